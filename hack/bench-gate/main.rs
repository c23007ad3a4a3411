//! How fast the gate is, against the smallest honest server of the same stack. Started by `hack/bench gate`.
//!
//! Both serve the same reviews over TLS and HTTP/1.1 in turns, so that a machine that gets slower slows both. What
//! counts are ratios of CPU time, read from the kernel; times of answers are measured by the caller.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod floor;
mod load;
mod servers;

use std::collections::BTreeMap;
use std::time::Duration;

use load::{Client, Measured};
use servers::Server;

/// Rounds in which each server is measured once.
const ROUNDS: usize = 7;

/// Requests a round, at 1 connection and at 16.
const REQUESTS: [(usize, usize); 2] = [(1, 3000), (16, 8000)];

/// What was measured, with its bar.
struct Figure {
    what: &'static str,
    value: f64,
    at_most: f64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|argument| argument == "floor") {
        return floor::serve(&arguments[2]).await;
    }
    let as_json = arguments.iter().any(|argument| argument == "json");
    let figures = measure(as_json).await;
    let missed = figures.iter().filter(|figure| figure.value > figure.at_most).count();
    print(&figures, as_json);
    std::process::exit(i32::from(missed > 0));
}

async fn measure(quiet: bool) -> Vec<Figure> {
    let (floor, unguarded, denied) = (Server::floor(), Server::castoff("unguarded"), Server::castoff("guarded"));
    let first_answer = median((0..5).map(|_| Server::castoff("unguarded").first_answer).collect());
    let idle = unguarded.memory();
    let mut figures = Vec::new();
    for size in ["12k", "100k"] {
        let body = std::fs::read(format!("{}/hack/bench-gate/review-{size}.json", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let mut seen: BTreeMap<(&str, usize), Vec<Measured>> = BTreeMap::new();
        for round in 0..ROUNDS {
            if !quiet {
                eprintln!("{size}: round {} of {ROUNDS}", round + 1);
            }
            for (name, server) in [("floor", &floor), ("unguarded", &unguarded), ("denied", &denied)] {
                for (connections, requests) in REQUESTS {
                    let client = Client::new(server, name != "denied");
                    seen.entry((name, connections)).or_default().push(client.load(&body, connections, requests).await);
                }
            }
        }
        figures.extend(figures_of(size, &seen));
    }
    figures.push(Figure { what: "resident memory, idle (MiB)", value: idle, at_most: 12.0 });
    figures.push(Figure { what: "start to first answer (ms)", value: first_answer, at_most: 25.0 });
    figures
}

fn figures_of(size: &'static str, seen: &BTreeMap<(&str, usize), Vec<Measured>>) -> Vec<Figure> {
    let ratio = |name: &str| {
        let pairs = seen[&(name, 16)].iter().zip(&seen[&("floor", 16)]);
        median(pairs.map(|(one, floor)| one.cpu_microseconds / floor.cpu_microseconds).collect())
    };
    let p99 =
        |name: &str, connections| median(seen[&(name, connections)].iter().map(|one| one.p99_milliseconds).collect());
    let twelve = size == "12k";
    let named = |small: &'static str, large: &'static str| if twelve { small } else { large };
    vec![
        Figure {
            what: named("CPU, unguarded / floor, 12 KB", "CPU, unguarded / floor, 100 KB"),
            value: ratio("unguarded"),
            at_most: 1.25,
        },
        Figure {
            what: named("CPU, denied / floor, 12 KB", "CPU, denied / floor, 100 KB"),
            value: ratio("denied"),
            at_most: 1.5,
        },
        Figure {
            what: named("p99, 1 connection, 12 KB (ms)", "p99, 1 connection, 100 KB (ms)"),
            value: p99("unguarded", 1),
            at_most: 0.5,
        },
        Figure {
            what: named("p99, 16 connections, 12 KB (ms)", "p99, 16 connections, 100 KB (ms)"),
            value: p99("unguarded", 16),
            at_most: if twelve { 2.0 } else { 8.0 },
        },
    ]
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn print(figures: &[Figure], as_json: bool) {
    if as_json {
        let rows: Vec<_> = figures
            .iter()
            .map(|figure| serde_json::json!({"what": figure.what, "figure": figure.value, "at_most": figure.at_most, "holds": figure.value <= figure.at_most}))
            .collect();
        println!("{}", serde_json::to_string_pretty(&rows).unwrap());
        return;
    }
    println!("{:36}{:>9}{:>9}", "", "figure", "at most");
    for figure in figures {
        let missed = if figure.value > figure.at_most { "  MISSED" } else { "" };
        println!("{:36}{:>9.2}{:>9.2}{missed}", figure.what, figure.value, figure.at_most);
    }
}

/// Waits until something answers there; how long that took.
fn until_it_answers(answers: impl Fn() -> bool) -> Duration {
    let began = std::time::Instant::now();
    while !answers() {
        assert!(began.elapsed() < Duration::from_secs(20), "the server does not answer");
        std::thread::sleep(Duration::from_micros(200));
    }
    began.elapsed()
}

//! How fast the gate is, against the smallest honest server of the same stack. Started by `hack/bench gate`.
//!
//! Both serve the same reviews over TLS and HTTP/1.1 in turns, so that a machine that gets slower slows both. CPU time
//! is read from the kernel, and of its ratios the median round counts. Times of answers are measured by the caller;
//! whatever else the machine does only adds to them, so that the calmest round counts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod floor;
mod load;
mod report;
mod servers;

use std::collections::BTreeMap;

use load::{Client, Measured};
use report::{Bar, Row};
use servers::Server;

/// Rounds in which each server is measured once.
const ROUNDS: usize = 9;

/// Requests a round, at 1 connection and at 16.
const REQUESTS: [(usize, usize); 2] = [(1, 2000), (16, 8000)];

/// How often each server is started, to see when it gives its first answer.
const STARTS: usize = 9;

/// The floor, Castoff for a pod that no policy selects, and Castoff for one that is being prepared.
const SERVERS: [&str; 3] = ["floor", "unguarded", "denied"];

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|argument| argument == "floor") {
        return floor::serve(&arguments[2]).await;
    }
    let as_json = arguments.iter().any(|argument| argument == "json");
    let rows = measure().await;
    report::print(&rows, as_json);
    std::process::exit(i32::from(!rows.iter().all(Row::holds)));
}

async fn measure() -> Vec<Row> {
    let review = |size: &str| {
        std::fs::read(format!("{}/hack/bench-gate/review-{size}.json", env!("CARGO_MANIFEST_DIR"))).unwrap()
    };
    let first = first_answers(&review("12k")).await;
    let servers = SERVERS.map(Server::start);
    let idle = servers.each_ref().map(Server::memory);
    let mut rows = Vec::new();
    for size in ["12k", "100k"] {
        let body = review(size);
        let mut seen: BTreeMap<(&str, usize), Vec<Measured>> = BTreeMap::new();
        for round in 0..ROUNDS {
            eprintln!("{size}: round {} of {ROUNDS}", round + 1);
            for (name, server) in SERVERS.into_iter().zip(&servers) {
                for (connections, requests) in REQUESTS {
                    let measured = Client::new(server).load(&body, connections, requests).await;
                    seen.entry((name, connections)).or_default().push(measured);
                }
            }
        }
        rows.extend(rows_of(size, &seen));
    }
    let loaded = servers.each_ref().map(Server::memory);
    rows.push(Row { what: "RSS idle, MiB".into(), values: idle, ratios: None, bar: Bar::AtMost(12.0) });
    rows.push(Row { what: "RSS after the load, MiB".into(), values: loaded, ratios: None, bar: Bar::None });
    rows.push(Row { what: "start to first answer, ms".into(), values: first, ratios: None, bar: Bar::AtMost(25.0) });
    rows
}

fn rows_of(size: &str, seen: &BTreeMap<(&str, usize), Vec<Measured>>) -> Vec<Row> {
    let of = |name, connections, figure: fn(&Measured) -> f64| seen[&(name, connections)].iter().map(figure);
    let cpu = |name| of(name, 16, |one| one.cpu_microseconds);
    let ratios =
        ["unguarded", "denied"].map(|name| median(cpu(name).zip(cpu("floor")).map(|(one, floor)| one / floor)));
    let calmest = |connections, figure| {
        SERVERS.map(|name| of(name, connections, figure).min_by(f64::total_cmp).unwrap_or_default())
    };
    // The bars are those of the review of usual size.
    let bar = |bar| if size == "12k" { bar } else { Bar::None };
    let row = |what: &str, values, ratios, bar| Row { what: format!("{size}: {what}"), values, ratios, bar };
    let p50: fn(&Measured) -> f64 = |one| one.p50_milliseconds;
    let p99: fn(&Measured) -> f64 = |one| one.p99_milliseconds;
    vec![
        row("CPU a request, us", SERVERS.map(|name| median(cpu(name))), Some(ratios), bar(Bar::Ratios([1.25, 1.5]))),
        row("p50, 1 connection, ms", calmest(1, p50), None, Bar::None),
        row("p99, 1 connection, ms", calmest(1, p99), None, bar(Bar::AtMost(0.5))),
        row("p50, 16 connections, ms", calmest(16, p50), None, Bar::None),
        row("p99, 16 connections, ms", calmest(16, p99), None, bar(Bar::AtMost(2.0))),
    ]
}

/// From the start of each server to its first answer to a review, in milliseconds.
async fn first_answers(body: &[u8]) -> [f64; 3] {
    let mut seen = [const { Vec::new() }; 3];
    for _ in 0..STARTS {
        for (name, seen) in SERVERS.into_iter().zip(&mut seen) {
            let server = Server::start(name);
            Client::new(&server).load(body, 1, 1).await;
            seen.push(server.began.elapsed().as_secs_f64() * 1000.0);
        }
    }
    seen.map(|times| times.into_iter().min_by(f64::total_cmp).unwrap_or_default())
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

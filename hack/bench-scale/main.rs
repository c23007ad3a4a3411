//! What Castoff costs as a cluster grows. Started by `hack/bench scale`.
//!
//! Each case is a process of its own on one processor; what stands for backends and for the API server is on another, or
//! costs next to nothing. Processor time is read from the kernel.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod api;
mod backend;
mod gate;
mod looks;
mod plot;
mod pods;
mod process;
mod report;
mod scene;

use std::process::{Command, Stdio};

use report::Figure;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    match words.as_slice() {
        ["backend"] => runtime.block_on(backend::serve()),
        ["case", name, rest @ ..] => {
            let figures = runtime.block_on(case(name, rest));
            println!("{}", serde_json::to_string(&figures).unwrap());
            // Nothing that still goes on is waited for.
            std::process::exit(0);
        }
        _ => {
            let only: Vec<&str> =
                words.iter().copied().filter(|word| !["json", "plot", "table"].contains(word)).collect();
            let figures = run_all(&only);
            report::print(&figures, words.contains(&"json"));
            if words.contains(&"plot") {
                for (name, svg) in plots(&figures) {
                    std::fs::write(format!("docs/images/scale-{name}.svg"), svg).unwrap();
                }
            }
            std::process::exit(i32::from(!figures.iter().all(Figure::holds)));
        }
    }
}

async fn case(name: &str, rest: &[&str]) -> Vec<Figure> {
    let number = |index: usize| rest[index].parse().unwrap();
    match name {
        "looks" => looks::at_once(number(0)).await,
        "beside" => looks::beside(number(0), rest[1]).await,
        "line" => looks::in_line(number(0)).await,
        "writes" => looks::writes(number(0)).await,
        "ordinals" => looks::ordinals(rest[0].parse().unwrap()).await,
        "begin" => pods::begin(number(0)).await,
        "events" => pods::events(number(0), number(1)).await,
        "neighbours" => pods::neighbours(number(0), number(1)).await,
        "gate" => gate::decisions(number(0), number(1)).await,
        _ => panic!("there is no case {name}"),
    }
}

/// One case, in a process of its own on the first processor.
fn run(words: &str) -> Vec<Figure> {
    eprintln!("{words}");
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(program).arg("case").args(words.split(' ')).stderr(Stdio::inherit());
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let figures: Vec<Figure> = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{words}: {text}"));
    figures.into_iter().map(|figure| Figure { what: format!("{words}: {}", figure.what), ..figure }).collect()
}

/// The cases, each with its arguments, and the bars that some of its figures are held to.
const CASES: [(&str, &[(&str, f64)]); 19] = [
    ("looks 100", &[]),
    ("looks 1000", &[]),
    ("looks 3000", &[]),
    ("looks 10000", &[("period, of the one that is wanted", 1.25), ("processors", 1.0), ("resident memory", 100.0)]),
    ("beside 0 hang", &[]),
    ("beside 500 hang", &[("longest time between two looks", 2.5)]),
    ("beside 500 refuse", &[("longest time between two looks", 2.5)]),
    ("beside 500 slow", &[("longest time between two looks", 2.5)]),
    ("beside 20 long", &[("longest time between two looks", 2.5), ("p99 of a denial", 50.0)]),
    ("line 1000", &[("requests at the backend, a period", 1.25)]),
    ("writes 1", &[("writes to the API, a drain, besides progress", 10.0)]),
    ("writes 1000", &[("writes to the API, a drain, besides progress", 10.0)]),
    ("ordinals 10", &[]),
    ("ordinals 2000000000", &[]),
    ("neighbours 500 5000", &[("period, of the one that is wanted", 1.25)]),
    ("begin 15000", &[]),
    (
        "begin 150000",
        &[("CPU of that", 20.0), ("resident memory", 250.0), ("the most that was resident meanwhile, of that", 1.1)],
    ),
    ("events 1500 10", &[]),
    ("events 150000 1000", &[("processors at 2,000 a second", 0.2)]),
];

/// How the gate is asked: with so many policies, and so many drains.
const GATES: [&str; 3] = ["gate 1 1", "gate 10000 1", "gate 1 10000"];

/// Figures that must not grow: what, from which case to which, and how many times it may be as much.
const FLAT: [(&str, &str, &str, f64); 5] = [
    ("CPU of one look", "looks 100", "looks 10000", 1.3),
    ("CPU of one look", "looks 10000", "neighbours 500 5000", 1.3),
    ("CPU of one event", "events 1500 10", "events 150000 1000", 1.3),
    ("CPU of one turn", "ordinals 10", "ordinals 2000000000", 1.3),
    ("from prepared at the backend to Drained, the last of ten", "beside 0 hang", "beside 500 hang", 1.25),
];

fn run_all(only: &[&str]) -> Vec<Figure> {
    let mut all = Vec::new();
    let wanted = |case: &str| only.is_empty() || only.iter().any(|word| case.starts_with(word));
    for (case, bars) in CASES.iter().filter(|(case, _)| wanted(case)) {
        let bar = |figure: &Figure| {
            bars.iter().find(|(what, _)| figure.what.ends_with(&format!(": {what}"))).map(|bar| bar.1)
        };
        all.extend(run(case).into_iter().map(|figure| Figure { at_most: bar(&figure), ..figure }));
    }
    for case in GATES.iter().filter(|case| wanted(case)) {
        all.extend(run(case));
    }
    let value = |case: &str, what: &str| all.iter().find(|it| it.what == format!("{case}: {what}")).map(|it| it.value);
    let ratio = |what: &str, from: &str, to: &str, most: f64| {
        let times = value(to, what)? / value(from, what)?;
        Some(Figure::new(format!("{what}: {to}, of {from}"), times, "x").at_most(most))
    };
    let mut ratios: Vec<Figure> =
        FLAT.iter().filter_map(|(what, from, to, most)| ratio(what, from, to, *most)).collect();
    for what in ["CPU of one decision, not guarded", "CPU of one decision, denied"] {
        ratios.extend(GATES[1..].iter().filter_map(|to| ratio(what, GATES[0], to, 1.1)));
    }
    all.extend(ratios);
    all
}

/// What grows, or must not, as a picture each.
fn plots(figures: &[Figure]) -> [(&'static str, String); 2] {
    let points = |case: &str, what: &str| {
        let of_case = |figure: &Figure| {
            let (words, said) = figure.what.split_once(": ")?;
            let size = words.strip_prefix(case)?.trim().split(' ').next()?.parse().ok()?;
            (said == what).then_some((size, figure.value))
        };
        figures.iter().filter_map(of_case).collect::<Vec<(f64, f64)>>()
    };
    [
        (
            "looks",
            plot::lines("Processor time of one look, by drains under way", "us", &points("looks", "CPU of one look")),
        ),
        ("memory", plot::lines("Resident memory, by drains under way", "MiB", &points("looks", "resident memory"))),
    ]
}

//! What Castoff costs as a cluster grows. Started by `hack/bench scale`.
//!
//! Each case is a process of its own on one processor; what stands for backends and for the API server is on another, or
//! costs next to nothing. Processor time is read from the kernel.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod backend;
mod looks;
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
            let figures = run_all();
            report::print(&figures, words.contains(&"json"));
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

fn run_all() -> Vec<Figure> {
    let mut all = Vec::new();
    for words in ["looks 100", "looks 1000", "looks 3000", "looks 10000", "beside 0 hang", "beside 200 hang", "line 1", "line 100"] {
        all.extend(run(words));
    }
    all
}

//! `castoff plan test`.

mod file;
mod play;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

use crate::plan::spec::PlanSpec;
use crate::plan::{Mistake, Plan, catalogue, compile};
use crate::yaml;

use self::file::{Outcome, Recording, TestFile};
use self::play::{Played, play};
use super::Failure;
use super::output::{self, Output};

/// What helps those who write plans.
#[derive(Debug, Args)]
pub(super) struct PlanCommand {
    #[command(subcommand)]
    command: Which,
}

#[derive(Debug, Subcommand)]
enum Which {
    Test(Test),
}

/// Plays answers of a backend against a plan, and says where the round comes to anything but what the file expects.
///
/// The built-in plans have such tests, to begin with: `castoff plans NAME --explain`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  castoff plan test my-plan.test.yaml
  castoff plan test -o json *.test.yaml

Exit codes: 0 all is as expected, 1 something is not, 2 wrong usage.")]
struct Test {
    /// Files with tests
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// How to print
    #[arg(short, long, default_value = "table", value_name = "FORMAT")]
    output: Output,
}

/// What the cases of one file came to.
#[derive(Debug, Serialize)]
struct Report {
    file: PathBuf,
    plan: String,
    cases: Vec<Played>,
}

/// Carries out the command.
pub(super) fn run(command: &PlanCommand) -> Result<(), Failure> {
    let Which::Test(test) = &command.command;
    let reports = test.files.iter().map(|path| report(path)).collect::<Result<Vec<Report>, Failure>>()?;
    output::print_as(test.output, &reports, || print(&reports))?;
    let differs = reports.iter().any(|report| report.cases.iter().any(|case| !case.differs.is_empty()));
    if differs { Err(Failure::No(String::new())) } else { Ok(()) }
}

/// Plays the cases of one file.
fn report(path: &Path) -> Result<Report, Failure> {
    let wrong = |why: String| Failure::Usage(format!("{}: {why}", path.display()));
    let file: TestFile = read_yaml(path)?;
    let beside = |name: &str| path.parent().unwrap_or(Path::new("")).join(name);
    let plan = plan(&file.plan, beside)?;
    let recording = match &file.recording {
        None => Recording::default(),
        Some(name) => serde_json::from_str(&read(&beside(name))?)
            .map_err(|error| Failure::Usage(format!("{}: {error}", beside(name).display())))?,
    };
    let cases = file.cases.iter().map(|case| {
        play(&plan, &file, &recording, case).map_err(|why| wrong(format!("case \"{}\": {why}", case.name)))
    });
    Ok(Report { file: path.to_owned(), plan: file.plan.clone(), cases: cases.collect::<Result<_, _>>()? })
}

/// The built-in plan of that name, or the DrainPlan in that file.
fn plan(name: &str, beside: impl Fn(&str) -> PathBuf) -> Result<Arc<Plan>, Failure> {
    #[derive(Deserialize)]
    struct Document {
        spec: PlanSpec,
    }
    if let Some(plan) = catalogue::builtin(name) {
        return Ok(Arc::clone(plan));
    }
    let path = beside(name);
    let document: Document = read_yaml(&path)?;
    let told = |mistakes: Vec<Mistake>| {
        let lines =
            mistakes.iter().map(|mistake| format!("{}: spec.{}: {}", path.display(), mistake.field, mistake.message));
        Failure::Usage(lines.collect::<Vec<_>>().join("\n"))
    };
    compile(&document.spec).map(Arc::new).map_err(told)
}

/// Says what a built-in plan makes of what its backend answers: its tests, in words.
pub(super) fn explain(name: &str, plan: &Plan, form: Output) -> Result<(), Failure> {
    let none =
        || Failure::No(format!("the plan {name} has no cases to show; castoff plans {name} prints the plan itself"));
    let file: TestFile =
        yaml::parse(catalogue::tests(name).ok_or_else(none)?).map_err(|error| Failure::No(error.message))?;
    let cases: Vec<Explained<'_>> =
        file.cases.iter().map(|case| Explained { case: &case.name, expect: &case.expect }).collect();
    output::print_as(form, &cases, || {
        output::line(format_args!("{}\nChecked against {}.\n", plan.spec().summary, catalogue::checked(name)));
        for Explained { case, expect } in &cases {
            output::line(format_args!("{:9}{case}", expect.verdict));
            for told in expect.message.iter().chain(&expect.act) {
                output::line(format_args!("{:11}{told}", ""));
            }
        }
    })
}

/// A case of a built-in plan.
#[derive(Serialize)]
struct Explained<'a> {
    case: &'a str,
    #[serde(flatten)]
    expect: &'a Outcome,
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))
}

fn read_yaml<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    yaml::parse(&read(path)?).map_err(|error| {
        let line = error.line.map_or_else(String::new, |line| format!("{line}: "));
        let field = error.field.map_or_else(String::new, |field| format!("{field}: "));
        Failure::Usage(format!("{}:{line}{field}{}", path.display(), error.message))
    })
}

fn print(reports: &[Report]) {
    for report in reports {
        output::line(format_args!("{} (plan {})", report.file.display(), report.plan));
        for case in &report.cases {
            let mark = if case.differs.is_empty() { "as expected" } else { "DIFFERS" };
            output::line(format_args!("  {mark:13}{}: {}", case.case, told(case)));
            for difference in &case.differs {
                output::line(format_args!("      {difference}"));
            }
            // A request that nobody answers explains a difference; where there is none, it was meant.
            for request in case.unanswered.iter().filter(|_| !case.differs.is_empty()) {
                output::line(format_args!("      no answer is given to {request}"));
            }
        }
    }
    let cases = || reports.iter().flat_map(|report| &report.cases);
    let differ = cases().filter(|case| !case.differs.is_empty()).count();
    output::line(format_args!("\ncases: {}, of which differ: {differ}", cases().count()));
}

/// What a case came to, in a line.
fn told(case: &Played) -> String {
    let what = case.is.message.iter().chain(&case.is.act).map(|text| format!(", {text}"));
    let left = case.is.remaining.map(|count| format!(", {count} left"));
    format!("{}{}", case.is.verdict, what.chain(left).collect::<String>())
}

//! `castoff doctor`: what is wrong with an installation, why it matters, and what mends it.

mod api;
mod findings;
mod gather;
mod guarding;
mod installation;
mod rights;
mod seen;
mod webhook;

use clap::Args;
use serde::Serialize;

use super::Failure;
use super::connect::Which;
use super::output::{self, Output};
use super::render::{self, Paint, painted};
use findings::Finding;

/// Looks for what is wrong with an installation in a cluster: what, why it matters, and the command that mends it.
///
/// It reads, and tries one delete for each policy out as a dry run, so that Castoff looks at the backends. It changes
/// nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  castoff doctor
  castoff doctor -o json | jq -r '.findings[].reason'

What it may not read it leaves out, and says so. To see all it needs the rights of a cluster's admin.

Exit codes: 0 nothing is wrong, 1 something is, 2 wrong usage.")]
pub(super) struct Doctor {
    /// The namespace that Castoff runs in
    #[arg(short, long, env = "CASTOFF_NAMESPACE", default_value = "castoff-system", value_name = "NAME")]
    namespace: String,

    /// How to print
    #[arg(short, long, default_value = "table", value_name = "FORMAT")]
    output: Output,

    #[command(flatten)]
    which: Which,
}

#[derive(Serialize)]
struct Report {
    findings: Vec<Finding>,
    /// Too little may be looked at to say that nothing is wrong.
    blind: bool,
    /// How much was looked at.
    looked: Vec<String>,
    /// How long preparations took, by policy.
    took: Vec<String>,
}

/// Looks, prints what is wrong, and says no if anything is.
pub(super) async fn run(command: Doctor) -> Result<(), Failure> {
    let client = command.which.connect().await?;
    let seen = gather::gather(&client, &command.namespace).await?;
    let took = seen.policies.iter().filter_map(|policy| policy.took.clone()).collect();
    let report = Report { findings: findings::findings(&seen), blind: seen.is_blind(), looked: seen.looked(), took };
    output::print_as(command.output, &report, || {
        report.findings.iter().flat_map(lines).for_each(output::line);
        output::line(sum(&report));
        report.took.iter().for_each(output::line);
    })?;
    if report.findings.iter().all(|found| found.note) && !report.blind {
        Ok(())
    } else {
        Err(Failure::No(String::new()))
    }
}

fn lines(found: &Finding) -> Vec<String> {
    let colour = if found.note { Paint::Waiting } else { Paint::Bad };
    let Finding { reason, what, why, fix, runbook, note: _ } = found;
    let mut lines =
        vec![format!("{}: {what}", painted(reason, colour)), format!("  why   {why}"), format!("  fix   {fix}")];
    lines.extend(runbook.map(|section| format!("  more  {} runbook {section}", render::program())));
    lines.push(String::new());
    lines
}

fn sum(report: &Report) -> String {
    let notes = report.findings.iter().filter(|found| found.note).count();
    let looked = report.looked.join(", ");
    match (report.findings.len() - notes, notes) {
        (0, _) if report.blind => {
            format!("nothing can be said: most of it may not be looked at by whoever asks; looked at {looked}")
        }
        (0, 0) => format!("nothing is wrong; looked at {looked}"),
        (0, notes) => format!("nothing is wrong, to be known: {notes}; looked at {looked}"),
        (faults, 0) => format!("wrong: {faults}; looked at {looked}"),
        (faults, notes) => format!("wrong: {faults}, to be known: {notes}; looked at {looked}"),
    }
}

#[cfg(test)]
mod tests;

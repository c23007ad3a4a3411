//! `castoff review`.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use prometheus::Registry;
use serde::Serialize;
use tokio::time::{Duration, Instant};

use crate::admission;
use crate::app::assemble::Standalone;

use super::output::{self, Output};
use super::{Failure, serve};

/// Says what the gate would answer to stored AdmissionReviews. Never acts: it is a dry run.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  castoff review --policies policies tests/reviews/1.36/*.json
  kubectl get --raw ... | castoff review --policies policies -o json -

Exit codes: 0 every request would be allowed, 1 one would be denied or is no AdmissionReview, 2 wrong usage.")]
pub(super) struct Review {
    /// Files with an AdmissionReview each; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    sources: serve::Sources,

    /// How to print
    #[arg(short, long, default_value = "table", value_name = "FORMAT")]
    output: Output,
}

/// How long the backends are asked, as the API server would wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the gate says to one file.
#[derive(Debug, Serialize)]
struct Row {
    file: String,
    allowed: bool,
    reason: &'static str,
    code: u16,
    message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// Answers the files, prints what came out, and says no if one was denied.
pub(super) async fn run(command: Review) -> Result<(), Failure> {
    let gate = Standalone::read(&command.sources.checked()?)?.assemble(&Registry::new())?.gate;
    let mut rows = Vec::with_capacity(command.files.len());
    for file in &command.files {
        let bytes = read(file).map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
        let name = file.display().to_string();
        rows.push(match admission::request::parse(&bytes) {
            Ok(request) => {
                let answer = gate.ask(&request, true, Instant::now() + PATIENCE).await;
                Row {
                    file: name,
                    allowed: answer.allowed,
                    reason: answer.reason.as_str(),
                    code: if answer.allowed { 200 } else { admission::response::DENIED.0 },
                    message: answer.message,
                    warnings: answer.warnings,
                }
            }
            Err(malformed) => Row {
                file: name,
                allowed: false,
                reason: "Malformed",
                code: 400,
                message: malformed.message,
                warnings: Vec::new(),
            },
        });
    }
    output::print_as(command.output, &rows, || print_table(&rows))?;
    if rows.iter().all(|row| row.allowed) { Ok(()) } else { Err(Failure::No(String::new())) }
}

fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    if file.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    std::fs::read(file)
}

fn print_table(rows: &[Row]) {
    let width = |cell: fn(&Row) -> usize, title: &str| rows.iter().map(cell).max().unwrap_or(0).max(title.len());
    let file = width(|row| row.file.chars().count(), "FILE");
    let reason = width(|row| row.reason.len(), "REASON");
    output::line(format_args!("{:file$}  ANSWER  {:reason$}  CODE  MESSAGE", "FILE", "REASON"));
    for row in rows {
        let answer = if row.allowed { "allow" } else { "deny" };
        let said = if row.message.is_empty() { row.warnings.join("; ") } else { row.message.clone() };
        output::line(format_args!(
            "{}",
            format!("{:file$}  {answer:6}  {:reason$}  {:4}  {said}", row.file, row.reason, row.code).trim_end()
        ));
    }
}

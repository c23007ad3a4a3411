//! `castoff check`.

mod beside;

use std::path::{Path, PathBuf};

use clap::Args;

use crate::standalone::policies::{self, Checked};

use super::Failure;
use super::connect::Which;
use super::output::{self, Output};

/// Checks policies and plans: every mistake with file, line and field, and policies that are in each other's way.
///
/// What it accepts, `serve` accepts. With --cluster it also looks whether selectors match pods, whether plans and
/// Secrets are there, and whether a Role lets Castoff read those.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  castoff check policies
  castoff check -o json policies/tikv.yaml plans
  castoff check --cluster policies.yaml

Exit codes: 0 nothing is wrong, 1 something is, 2 wrong usage.")]
pub(super) struct Check {
    /// Files, or directories of which every .yaml, .yml and .json file is read
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// Also look at the cluster that they are for
    #[arg(long)]
    cluster: bool,

    /// The namespace that Castoff runs in, for --cluster
    #[arg(long, env = "CASTOFF_NAMESPACE", default_value = "castoff-system", value_name = "NAME")]
    castoff_namespace: String,

    /// How to print
    #[arg(short, long, default_value = "table", value_name = "FORMAT")]
    output: Output,

    #[command(flatten)]
    which: Which,
}

/// Checks the files, prints what is wrong with them, and says no if anything is.
pub(super) async fn run(command: Check) -> Result<(), Failure> {
    let mut files = Vec::new();
    for path in &command.paths {
        files.extend(read(path)?);
    }
    let mut checked = if command.cluster {
        let client = command.which.connect().await?;
        let mut checked = policies::check_beside(&files, beside::plans(&client).await?);
        checked.complaints.extend(beside::complaints(&client, &command.castoff_namespace, &checked.policies).await?);
        checked
    } else {
        policies::check(&files)
    };
    checked.complaints.extend(checked.conflicts());
    output::print_as(command.output, &checked.complaints, || print(&checked))?;
    if checked.complaints.is_empty() { Ok(()) } else { Err(Failure::No(String::new())) }
}

/// The files of a directory, or the one that is named.
fn read(path: &Path) -> Result<Vec<(PathBuf, String)>, Failure> {
    if path.is_dir() {
        return policies::read_directory(path).map_err(Failure::usage);
    }
    let text = std::fs::read_to_string(path).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?;
    Ok(vec![(path.to_owned(), text)])
}

fn print(checked: &Checked) {
    for complaint in &checked.complaints {
        output::line(format_args!("{complaint}"));
    }
    let files: std::collections::BTreeSet<&PathBuf> =
        checked.complaints.iter().map(|complaint| &complaint.file).collect();
    match checked.complaints.len() {
        0 => output::line(format_args!(
            "policies: {}, plans of your own: {}; nothing is wrong",
            checked.policies.len(),
            checked.plans
        )),
        mistakes => output::line(format_args!("\nmistakes: {mistakes}, files with mistakes: {}", files.len())),
    }
}

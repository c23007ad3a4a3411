//! `castoff runbook`.

use clap::Args;

use crate::nearest;
use crate::runbook::{Section, section, sections};

use super::{Failure, output};

/// What to do in trouble: lists the runbook's sections, or prints one.
///
/// Events, conditions of policies and findings of the doctor name the section that is about them; their own words, as
/// `DrainStalled`, will do too.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  castoff runbook
  castoff runbook no-replica-answers
  castoff runbook DrainStalled")]
pub(super) struct Runbook {
    /// A section's name, or what an event or a finding is called
    #[arg(value_name = "SECTION")]
    name: Option<String>,
}

/// Prints the section that is asked for, or which there are.
pub(super) fn run(command: &Runbook) -> Result<(), Failure> {
    let Some(name) = &command.name else {
        sections().for_each(|section| output::line(format_args!("{:26}{}", section.name(), means(&section))));
        return Ok(());
    };
    let wanted = section(name).map_or_else(|| name.to_lowercase(), str::to_owned);
    let Some(found) = sections().find(|section| section.name() == wanted) else {
        return Err(Failure::Usage(unknown(name)));
    };
    output::line(format_args!("{}\n\n{}", found.heading, found.text));
    Ok(())
}

/// What a section is about, in a few words: how its explanation begins.
fn means(section: &Section) -> &'static str {
    let (_, explanation) = section.text.split_once("**Means** ").unwrap_or_default();
    let line = explanation.lines().next().unwrap_or_default();
    let end = [". ", ": ", "; ", " ("].iter().filter_map(|mark| line.find(mark)).min().unwrap_or(line.len());
    line[..end].trim_end_matches('.')
}

fn unknown(name: &str) -> String {
    let names: Vec<String> = sections().map(|section| section.name()).collect();
    let guess = nearest::nearest(name, names.iter().map(String::as_str));
    let meant = guess.map_or(String::new(), |guess| format!(" Did you mean {guess}?"));
    format!("the runbook has no section {name}.{meant} It has {}", names.join(", "))
}

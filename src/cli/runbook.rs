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
    output::line(format_args!("{}\n\n{}", found.heading, plain(found.text)));
    Ok(())
}

/// What a section is about: the first clause of its explanation.
fn means(section: &Section) -> String {
    let (_, explanation) = section.text.split_once("**Means** ").unwrap_or_default();
    let line = explanation.lines().next().unwrap_or_default();
    let end = [". ", "; "].iter().filter_map(|mark| line.find(mark)).min().unwrap_or(line.len());
    plain(&line[..end]).trim_end_matches('.').to_owned()
}

/// Markdown as a terminal shows it best: links are their words, words that it makes bold stand in capitals, and code
/// as it is.
fn plain(markdown: &str) -> String {
    let lines: Vec<&str> = markdown.lines().filter(|line| !line.starts_with("```")).collect();
    let markdown = lines.join("\n");
    let mut text = String::with_capacity(markdown.len());
    let mut rest = markdown.as_str();
    while let Some(at) = rest.find(['[', '*']) {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let bold = rest.strip_prefix("**").and_then(|inner| inner.split_once("**"));
        let link = rest.strip_prefix('[').and_then(|inner| inner.split_once("](")).and_then(|(words, after)| {
            let (_, after) = after.split_once(')')?;
            (!words.contains([']', '\n'])).then_some((words, after))
        });
        rest = match (bold, link) {
            (Some((words, after)), _) => {
                text.push_str(&words.to_uppercase());
                after
            }
            (None, Some((words, after))) => {
                text.push_str(words);
                after
            }
            (None, None) => {
                text.push_str(&rest[..1]);
                &rest[1..]
            }
        };
    }
    text.push_str(rest);
    text.replace('`', "")
}

fn unknown(name: &str) -> String {
    let names: Vec<String> = sections().map(|section| section.name()).collect();
    let guess = nearest::nearest(name, names.iter().map(String::as_str));
    let meant = guess.map_or(String::new(), |guess| format!(" Did you mean {guess}?"));
    format!("the runbook has no section {name}.{meant} It has {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_printed_without_markup_and_a_title_ends_with_its_sentence() {
        let told = plain("**Do** see [no leader](#no-leader) and `kubectl get pdr`: a[0] * 2");
        assert_eq!(told, "DO see no leader and kubectl get pdr: a[0] * 2");
        assert_eq!(plain("type:\n```sh played\nkubectl get pdr\n```\nthen"), "type:\nkubectl get pdr\nthen");
        let section =
            Section { heading: "X", text: "**Means** the plan says \"not now\", in MESSAGE: another is away. More." };
        assert_eq!(means(&section), "the plan says \"not now\", in MESSAGE: another is away");
    }
}

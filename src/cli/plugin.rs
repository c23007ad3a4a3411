//! The program under its other name: `kubectl-castoff` in PATH is `kubectl castoff` to people.

use clap::{Command, CommandFactory, FromArgMatches};

use super::Arguments;
use super::render::program;

/// Reads the arguments; what is printed about them names the program as it was called.
pub(super) fn parse() -> Arguments {
    let matches = called(Arguments::command(), program()).get_matches();
    Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// The command as a program of this name would have it: usage and examples.
fn called(command: Command, program: &str) -> Command {
    let command = examples(command, program);
    if program == "castoff" { command } else { command.bin_name(program).display_name(program) }
}

/// The examples, with this name in place of the usual one.
fn examples(command: Command, program: &str) -> Command {
    let renamed = |text: &str| text.replace("  castoff ", &format!("  {program} "));
    let help = command.get_after_help().map(|help| renamed(&help.to_string()));
    let command = match help {
        Some(help) if program != "castoff" => command.after_help(help),
        _ => command,
    };
    command.mut_subcommands(|inner| examples(inner, program))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_a_plugin_usage_and_examples_are_those_of_kubectl() {
        let mut command = called(Arguments::command(), "kubectl castoff");
        command.build();
        let help = command.render_help().to_string();
        assert!(help.contains("Usage: kubectl castoff") && help.contains("  kubectl castoff status -A"), "{help}");
        let prepare = command.find_subcommand_mut("prepare").map(|inner| inner.render_help().to_string());
        let prepare = prepare.unwrap_or_default();
        assert!(prepare.contains("Usage: kubectl castoff prepare"), "{prepare}");
        assert!(prepare.contains("  kubectl castoff prepare basic-tikv-2"), "{prepare}");
    }
}

//! The program under its other name: `kubectl-castoff` in PATH is `kubectl castoff` to people.

use clap::Command;

/// The command as a program of this name would have it: usage and examples.
pub(super) fn called(command: Command, program: &str) -> Command {
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

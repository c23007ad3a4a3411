//! `castoff completions` and `castoff man`: made from the arguments themselves.

use std::io::Write;

use clap::{Args, Command};

use super::Failure;

/// Prints completions for a shell, as for bash: source <(castoff completions bash)
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: clap_complete::Shell,
}

/// Prints what completes the arguments in a shell.
pub(super) fn completions(command: &Completions, mut program: Command) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(command.shell, &mut program, "castoff", &mut text);
    print(&text)
}

/// Prints the manual page.
pub(super) fn manual(program: Command) -> Result<(), Failure> {
    let mut text = Vec::new();
    let page = clap_mangen::Man::new(program);
    page.render(&mut text).map_err(|error| Failure::No(error.to_string()))?;
    print(&text)
}

fn print(text: &[u8]) -> Result<(), Failure> {
    std::io::stdout().write_all(text).map_err(|error| Failure::No(error.to_string()))
}

/// `castoff crds`: YAML documents.
pub(super) fn crds() -> Result<(), Failure> {
    for definition in crate::kubernetes::crds::all() {
        let text = serde_saphyr::to_string(&definition).map_err(|error| Failure::No(error.to_string()))?;
        super::output::line(format!("---\n{}", text.trim_end()));
    }
    Ok(())
}

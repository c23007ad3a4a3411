//! What goes to standard output.

use std::fmt::Display;
use std::io::Write;

use anstream::{AutoStream, ColorChoice};
use clap::ValueEnum;

use super::Failure;

/// How a list is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    Table,
    Json,
    Yaml,
}

/// Prints a line, in colour where that is wanted. A reader that has gone, as `head` does, wants no more: the program
/// ends, in peace.
pub(super) fn line(text: impl Display) {
    if writeln!(anstream::stdout().lock(), "{text}").is_err() {
        std::process::exit(0);
    }
}

/// A text for something else that draws on the terminal: in colour, or without where none is wanted.
pub(super) fn in_wanted_colour(text: &str) -> String {
    match AutoStream::choice(&std::io::stdout()) {
        ColorChoice::Never => anstream::adapter::strip_str(text).to_string(),
        ColorChoice::Auto | ColorChoice::AlwaysAnsi | ColorChoice::Always => text.to_owned(),
    }
}

/// Prints a list for people with `table`, or its values for scripts.
pub(super) fn print_as(form: Output, values: &impl serde::Serialize, table: impl FnOnce()) -> Result<(), Failure> {
    match form {
        Output::Table => table(),
        Output::Json => {
            line(serde_json::to_string_pretty(values).map_err(|error| Failure::No(error.to_string()))?);
        }
        Output::Yaml => {
            let text = serde_saphyr::to_string(values).map_err(|error| Failure::No(error.to_string()))?;
            line(text.trim_end());
        }
    }
    Ok(())
}

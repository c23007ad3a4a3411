//! The log: lines for people, or JSON.

use std::ffi::OsStr;
use std::io::IsTerminal;

use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{fmt, registry};

/// How to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lines for people, in colour on a terminal.
    Human,
    /// One JSON object a line.
    Json,
}

/// Why nothing can be logged.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("the log filter `{filter}` is not valid: {error}")]
    Filter { filter: String, error: ParseError },
    #[error(transparent)]
    Begun(#[from] TryInitError),
}

/// Begins to log, to standard error.
pub fn init(format: Format, filter: &str) -> Result<(), LogError> {
    let wanted = filter.parse::<Targets>();
    let filter = wanted.map_err(|error| LogError::Filter { filter: filter.to_owned(), error })?;
    let colour = in_colour(std::io::stderr().is_terminal(), std::env::var_os("NO_COLOR").as_deref());
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(colour);
    match format {
        Format::Human => registry().with(filter).with(lines).try_init()?,
        Format::Json => registry().with(filter).with(lines.json().flatten_event(true)).try_init()?,
    }
    Ok(())
}

/// Colour is for terminals, and for nobody who has set `NO_COLOR` to something (<https://no-color.org>).
fn in_colour(is_terminal: bool, no_color: Option<&OsStr>) -> bool {
    is_terminal && no_color.is_none_or(OsStr::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_for_terminals_without_no_color() {
        let (unset, empty, set) = (None, Some(OsStr::new("")), Some(OsStr::new("1")));
        for (is_terminal, no_color, colour) in
            [(true, unset, true), (true, empty, true), (true, set, false), (false, unset, false), (false, set, false)]
        {
            assert_eq!(in_colour(is_terminal, no_color), colour, "{is_terminal} {no_color:?}");
        }
    }
}

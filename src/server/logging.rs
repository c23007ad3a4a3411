//! The log: lines for people, or JSON.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// How to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lines for people, in colour on a terminal.
    Human,
    /// One JSON object a line.
    Json,
}

/// Begins to log, to standard error.
///
/// # Errors
/// When the filter can't be read, or logging has begun already.
pub fn init(format: Format, filter: &str) -> Result<(), String> {
    let filter =
        EnvFilter::try_new(filter).map_err(|error| format!("the log filter `{filter}` is not valid: {error}"))?;
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colour);
    match format {
        Format::Human => log.try_init(),
        Format::Json => log.json().flatten_event(true).try_init(),
    }
    .map_err(|error| error.to_string())
}

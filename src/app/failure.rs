//! Why a command has not done what it should.

use std::fmt::Display;

/// What went wrong, and whose fault it is.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The answer is no.
    #[error("{0}")]
    No(String),
    /// The arguments, or the files that they name, can't be used.
    #[error("{0}")]
    Usage(String),
}

impl Failure {
    /// An error that says no.
    pub fn no(error: impl Display) -> Self {
        Failure::No(error.to_string())
    }

    /// An error in arguments or files.
    pub fn usage(error: impl Display) -> Self {
        Failure::Usage(error.to_string())
    }
}

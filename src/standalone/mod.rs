//! The surroundings without a cluster: drains in memory or in files, pods from files, policies from files.

pub mod cluster;
mod mistakes;
pub mod objects;
pub mod policies;
pub(crate) mod secrets;
pub(crate) mod store;

use std::fmt::Display;
use std::path::{Path, PathBuf};

/// A file or directory that can't be used, and why.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", .path.display())]
pub struct FileError {
    path: PathBuf,
    why: String,
}

fn at<E: Display>(path: &Path) -> impl Fn(E) -> FileError {
    move |why| FileError { path: path.to_owned(), why: why.to_string() }
}

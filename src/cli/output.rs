//! What goes to standard output.

use std::fmt::Display;
use std::io::Write;

/// Prints a line. A reader that has gone, as `head` does, wants no more: the program ends, in peace.
pub(super) fn line(text: impl Display) {
    if writeln!(std::io::stdout().lock(), "{text}").is_err() {
        std::process::exit(0);
    }
}

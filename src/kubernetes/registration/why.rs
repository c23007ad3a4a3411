//! Why the registration is changed: for the log, events and metrics.

use std::collections::BTreeSet;
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Namespaces come in.
    Grown(BTreeSet<String>),
    /// Namespaces go out.
    Shrunk(BTreeSet<String>),
    /// Another authority is to be trusted.
    Bundle,
    /// Another path is to be asked.
    Path,
    /// It is to go when Castoff's namespace goes.
    Owner,
    /// These fields are not as this version of Castoff sets them.
    Differs(BTreeSet<String>),
}

impl Why {
    pub(super) fn word(&self) -> &'static str {
        match self {
            Why::Grown(_) => "grown",
            Why::Shrunk(_) => "shrunk",
            Why::Bundle => "bundle",
            Why::Path => "path",
            Why::Owner => "owner",
            Why::Differs(_) => "put_back",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |names: &BTreeSet<String>| names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        match self {
            Why::Grown(names) => write!(formatter, "now sent: {}", list(names)),
            Why::Shrunk(names) => write!(formatter, "no longer sent: {}", list(names)),
            Why::Bundle => formatter.write_str("the authority that the API server trusts"),
            // Never the path itself.
            Why::Path => formatter.write_str("the path that the API server asks on"),
            Why::Owner => formatter.write_str("the namespace that it goes with"),
            Why::Differs(fields) => write!(formatter, "fields {}", list(fields)),
        }
    }
}

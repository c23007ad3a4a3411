//! What is wrong with an installation, from what was seen of it. Pure: one function for each thing that can be wrong,
//! in `installation`, `webhook` and `guarding`.

use serde::Serialize;

use crate::kubernetes::registration::{EVICTIONS, PODS};
use crate::runbook;

use super::seen::{Hook, Seen};
use super::{guarding, installation, webhook};

/// Something that is wrong, or should be known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// One word, for scripts.
    pub reason: &'static str,
    pub what: String,
    pub why: String,
    /// What mends it.
    pub fix: String,
    /// The section of the runbook that says more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runbook: Option<&'static str>,
    /// To be known, but nothing that has to be mended.
    pub note: bool,
}

/// All that is wrong, in the order in which it is best mended.
pub(super) fn findings(seen: &Seen) -> Vec<Finding> {
    if let Some(absent) = installation::absent(seen) {
        return vec![absent];
    }
    let checks: [fn(&Seen) -> Vec<Finding>; 19] = [
        installation::definitions,
        installation::versions,
        installation::replicas,
        installation::lease,
        installation::rights,
        webhook::registered,
        webhook::entries,
        webhook::paths,
        webhook::covered,
        webhook::certificates,
        webhook::gate_open,
        guarding::policies,
        guarding::operators,
        guarding::never_asked,
        guarding::called,
        guarding::others,
        guarding::backends,
        guarding::budgets,
        guarding::drains,
    ];
    let mut found: Vec<Finding> = checks.iter().flat_map(|check| check(seen)).collect();
    found.extend(unseen(seen));
    found
}

/// What could not be looked at, in one note: whoever has few rights need not read it for each kind.
fn unseen(seen: &Seen) -> Option<Finding> {
    let (_, first) = seen.unseen.first()?;
    let parts: Vec<&str> = seen.unseen.iter().map(|(what, _)| what.as_str()).collect();
    let what = format!("not looked at: {}", parts.join(", "));
    Some(Finding { note: true, ..finding("NotSeen", &what, first, "kubectl auth whoami   # it needs more rights") })
}

/// A finding that has to be mended.
pub(super) fn finding(reason: &'static str, what: &str, why: &str, fix: &str) -> Finding {
    let (what, why, fix) = (what.to_owned(), why.to_owned(), fix.to_owned());
    Finding { reason, what, why, fix, runbook: runbook::section(reason), note: false }
}

/// Castoff's entries.
pub(super) fn ours(seen: &Seen) -> impl Iterator<Item = &Hook> {
    seen.hooks.iter().flatten().filter(|hook| hook.name == PODS || hook.name == EVICTIONS)
}

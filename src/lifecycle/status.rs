//! How far a drain is: its phase, and everything else that Castoff alone writes.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plan::Mode;
use crate::pod::Pod;
use crate::policy::spec::PolicySpec;
use crate::remedy::Cause;

use super::caller::Caller;
use super::explanation::{Awaited, Explanation};
use super::step::{DrainStep, StepProgress};

/// A policy's limits. Seconds throughout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Limits {
    /// Between two looks at the backend.
    pub poll_period_seconds: u32,
    /// Without progress, until the drain is called stalled.
    pub progress_deadline_seconds: u32,
    /// Without a try, until the drain is given up.
    pub abandon_after_seconds: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits::from(&PolicySpec::default())
    }
}

impl From<&PolicySpec> for Limits {
    fn from(spec: &PolicySpec) -> Self {
        Limits {
            poll_period_seconds: spec.poll_period_seconds,
            progress_deadline_seconds: spec.progress_deadline_seconds,
            abandon_after_seconds: spec.abandon_after_seconds,
        }
    }
}

/// Where a drain stands.
///
/// ```text
/// Queued ─slot─► Draining ─all steps done─► Drained ─claim─► Departing ─its hole is closed──────► Restoring ─► Completed
///    │              │  ▲                      │  │               │                                  │            │
///    │              │  └──no longer done──────┘  │               └─not carried out─► Drained        └─tried again┴─► Queued
///    ├──────────────┴── given up or cancelled ───┴──► Restoring
///    └── Queued, Draining, Drained: the pod is terminating or gone, by any path ──► Departing (Queued, nothing owned: Completed)
/// ```
///
/// Drained says that every step is done and that the policy's limit holds. A Draining drain that is blocked before it
/// owns anything goes back to Queued and gives its slot up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Waits for a slot, or for the backend to allow it.
    #[default]
    Queued,
    /// The backend is being prepared.
    Draining,
    /// Every step is done, and the limit holds: the next try may be allowed.
    Drained,
    /// Allowed, or gone without our yes.
    Departing,
    /// What was set is being undone.
    Restoring,
    /// Over.
    Completed,
    /// This version can't read it: left alone, and the pod stays.
    #[serde(other)]
    Unknown,
}

impl Phase {
    /// Its name, as the API shows it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Queued => "Queued",
            Phase::Draining => "Draining",
            Phase::Drained => "Drained",
            Phase::Departing => "Departing",
            Phase::Restoring => "Restoring",
            Phase::Completed => "Completed",
            Phase::Unknown => "Unknown",
        }
    }

    /// Whether a drain in this phase holds a place in its policy's limit.
    #[must_use]
    pub fn holds_a_place(self) -> bool {
        matches!(self, Phase::Draining | Phase::Drained | Phase::Departing | Phase::Restoring)
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// How a pod left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Outcome {
    /// Prepared, with our yes.
    Prepared,
    /// By a named exemption.
    Exempt,
    /// By the break-glass annotation.
    Bypassed,
    /// Without our yes.
    Unprepared,
}

/// How far a drain is.
#[allow(clippy::struct_excessive_bools)] // Each is a fact of its own, shown to users as a condition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DrainStatus {
    /// Where it stands.
    #[schemars(with = "String")]
    pub phase: Phase,
    /// Counts how often the drain became Drained or began anew; part of the wake-up's mark.
    pub cycle: u32,
    /// Whether the pod is expected back; decided when draining begins.
    pub mode: Mode,
    /// The pod, as it was when draining began, with the addresses that it was last seen with.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "crate::pod::deserialize_optional")]
    #[schemars(schema_with = "crate::schema::pod")]
    pub pod: Option<Arc<Pod<'static>>>,
    /// The name of the step under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The steps, as the policy had them when draining began.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<DrainStep>,
    /// The policy's limits, as they were then.
    pub limits: Limits,
    /// How much is left in the step under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<StepProgress>,
    /// Why it does not go on, for people; constant for a cause.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// More of the same: errno, status, the beginning of a body.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// What a person mends at the backend.
    #[serde(skip_serializing_if = "Cause::is_other")]
    pub cause: Cause,
    /// Whom it waits for.
    #[serde(skip_serializing_if = "Awaited::is_nobody")]
    pub waits_for: Awaited,
    /// The plan says "not now".
    pub blocked: bool,
    /// No progress for the policy's deadline.
    pub stalled: bool,
    /// Prepared for a minute, and nobody has asked for the pod since.
    pub unasked: bool,
    /// How often a try was written down (not every try is).
    pub tries: u64,
    /// What kind of caller asks.
    pub caller: Caller,
    /// The longest pause between two tries that was seen, in seconds.
    pub longest_pause_seconds: u64,
    /// How often an allow was claimed.
    pub claims: u64,
    /// The last claim stands: the pod was allowed to leave, and it is not known yet that it did not.
    pub allowed: bool,
    /// The pod was seen to leave.
    pub left: bool,
    /// How often an allow was not carried out.
    pub not_carried_out: u32,
    /// What was set is undone only to prepare the pod in another way: it is queued again after that.
    pub again: bool,
    /// How the pod left, or was let go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The drain of the same seat whose steps this one took over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predecessor: Option<String>,
}

impl DrainStatus {
    /// The status of a drain that was only just asked for.
    #[must_use]
    pub fn first(requester: &str) -> Self {
        DrainStatus { tries: 1, caller: Caller::of(requester), ..Default::default() }
    }

    /// The phase by its name; in its place `Blocked` or `Stalled` where that is so.
    #[must_use]
    pub fn stands_at(&self) -> &'static str {
        match self.phase {
            _ if self.blocked => "Blocked",
            _ if self.stalled => "Stalled",
            phase => phase.as_str(),
        }
    }

    /// Why things do not go on, as it was noted.
    #[must_use]
    pub fn explanation(&self) -> Explanation {
        Explanation {
            message: self.message.clone(),
            detail: self.detail.clone(),
            cause: self.cause.clone(),
            awaited: self.waits_for.clone(),
        }
    }

    /// Notes why things do not go on; the default where nothing is in the way.
    pub fn explain(&mut self, why: Explanation) {
        let Explanation { message, detail, cause, awaited } = why;
        (self.message, self.detail, self.cause, self.waits_for) = (message, detail, cause, awaited);
    }

    /// Whether it says why it does not go on.
    #[must_use]
    pub fn says_why_it_is_held(&self) -> bool {
        self.blocked || self.stalled || self.unasked || !self.message.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Verdict;

    #[test]
    fn what_is_no_longer_in_the_way_is_forgotten_whole() {
        let mut status = DrainStatus::default();
        let failed = Verdict::Failed {
            message: "does not answer".to_owned(),
            detail: "os error 111".to_owned(),
            cause: crate::remedy::Kind::Refused.into(),
        };
        status.explain(Explanation::of(&failed).unwrap_or_default());
        assert!(!status.cause.is_other() && !status.detail.is_empty());
        status.explain(Explanation::default());
        assert_eq!(status, DrainStatus::default());
    }
}

//! What the gate says.

use crate::lifecycle::Outcome;

use super::dry_run::StepNow;
use super::reason::Reason;

/// What the gate says to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The question that decided.
    pub reason: Reason,
    /// Whether the request may go on.
    pub allowed: bool,
    /// Why not, for the caller; empty where allowed.
    pub message: String,
    /// Further lines for the caller, shown on allow and on deny.
    pub warnings: Vec<String>,
    /// After how many seconds the caller is told to try again. Only for callers whose waiting holds up nothing else.
    pub retry_after_seconds: Option<u32>,
    /// How a guarded pod goes, where it is let go.
    pub outcome: Option<Outcome>,
    /// What others than the caller are told of it: in an event, and in the audit log.
    pub told: Option<String>,
    /// How each step stands at its backend, for whoever tries a delete out.
    pub steps: Vec<StepNow>,
    /// What would have been answered, were the policy enforced.
    pub audited: Option<Audited>,
}

/// What would have been answered under a policy that only tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audited {
    /// The policy's name.
    pub policy: String,
    /// The question that would have decided.
    pub would: Reason,
}

impl Answer {
    /// Goes on, with nothing to say.
    #[must_use]
    pub fn allow(reason: Reason) -> Self {
        Answer {
            reason,
            allowed: true,
            message: String::new(),
            warnings: Vec::new(),
            retry_after_seconds: None,
            outcome: None,
            told: None,
            steps: Vec::new(),
            audited: None,
        }
    }

    /// Stays, for this reason.
    pub(crate) fn deny(reason: Reason, message: String) -> Self {
        Answer { allowed: false, message, ..Answer::allow(reason) }
    }

    /// The same, with one more line for the caller.
    pub(crate) fn warn(mut self, warning: String) -> Self {
        self.warnings.push(warning);
        self
    }

    /// The same, with how one more step stands: for people, and where it is a denial for programs too.
    pub(crate) fn tell_step(mut self, step: StepNow) -> Self {
        self.warnings.push(step.to_string());
        self.steps.push(step);
        self
    }

    /// The same, told to others too.
    pub(crate) fn tell(mut self, text: String) -> Self {
        self.told = Some(text);
        self
    }

    /// The same, of a guarded pod that goes in this way.
    pub(crate) fn departs(mut self, outcome: Outcome) -> Self {
        self.outcome = Some(outcome);
        self
    }
}

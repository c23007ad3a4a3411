//! What the gate writes: a try, the claim, and that a pod was let go. Each is a new version of the drain, to be
//! written on the version that the gate read.

use std::time::Duration;

use super::caller::Caller;
use super::drain::Drain;
use super::explanation::Explanation;
use super::status::{DrainStatus, Outcome, Phase};

/// Whether the gate may allow the pod to leave, once every step was seen done and the limit was seen to hold.
#[must_use]
pub fn may_be_claimed(drain: &Drain) -> bool {
    // None that is given up: each further claim would put its end off.
    let may = match drain.status.phase {
        Phase::Drained => true,
        Phase::Departing => drain.status.allowed,
        _ => false,
    };
    may && !drain.is_cancelled()
}

/// After a conflict: whether what is there now may be claimed by a gate that observed for `before`.
#[must_use]
pub fn may_be_claimed_anew(before: &Drain, now: &Drain) -> bool {
    before.status.cycle == now.status.cycle && before.pod_uid() == now.pod_uid() && may_be_claimed(now)
}

/// The drain, claimed: the pod may leave.
#[must_use]
pub fn claimed(mut drain: Drain) -> Drain {
    drain.status.phase = Phase::Departing;
    drain.status.allowed = true;
    drain.status.unasked = false;
    drain.status.claims += 1;
    drain.status.outcome = Some(Outcome::Prepared);
    drain.status.explain(Explanation::default());
    drain
}

/// The drain that a live look found to be no longer prepared: at this step, or by the policy's limit.
#[must_use]
pub fn no_longer_prepared(mut drain: Drain, step: Option<usize>, why: Explanation) -> Drain {
    drain.status.phase = Phase::Draining;
    drain.status.step = step.and_then(|step| drain.status.steps.get(step)).map(|step| step.name.clone());
    drain.status.explain(why);
    drain
}

/// A completed drain whose pod is asked for again: queued anew.
#[must_use]
pub fn begun_anew(mut drain: Drain, caller: Caller) -> Drain {
    drain.spec.cancel = false;
    drain.status = DrainStatus {
        cycle: drain.status.cycle + 1,
        tries: drain.status.tries + 1,
        claims: drain.status.claims,
        caller,
        ..Default::default()
    };
    drain
}

/// The drain of a pod that an exemption lets go.
#[must_use]
pub fn let_go(mut drain: Drain, outcome: Outcome) -> Drain {
    drain.status.outcome = Some(outcome);
    drain
}

/// The drain with this try written down; `None` where the last one that was written is recent enough: `last` is how
/// long ago that was, as far as this process has seen. Preemption would ask 50 times a second.
#[must_use]
pub fn tried(drain: &Drain, caller: Caller, last: Duration) -> Option<Drain> {
    let caller = caller.after(drain.status.caller);
    if caller == drain.status.caller && !drain.status.unasked && last < between_tries(drain) {
        return None;
    }
    let mut drain = drain.clone();
    drain.status.unasked = false;
    drain.status.tries += 1;
    drain.status.caller = caller;
    Some(drain)
}

/// A try is written down only when the last one written is older than this.
#[must_use]
pub fn between_tries(drain: &Drain) -> Duration {
    Duration::from_secs(drain.status.limits.abandon_after_seconds.into()) / 4
}

//! Of whom people are told that they must do something: a pod that is held, and no waiting ends that.

use std::time::Duration;

use crate::plan::Verdict;
use crate::remedy;

use super::explanation::Explanation;
use super::reconcile::{StepWork, Work};
use super::status::Phase;
use super::told::{Kind, Next};
use super::world::{PodSeen, Wrong};

/// When a cause is looked for once more before people are told of it.
const LOOK_AGAIN: Duration = Duration::from_secs(4);

/// Why a pod is held.
struct Cause {
    kind: Kind,
    /// It has lasted already.
    lasts: bool,
    message: String,
}

/// Tells people why the pod is held, where they must do something about it.
pub(super) fn tell(work: &mut Work<'_>) {
    let Some(Cause { kind, lasts, message }) = cause(work) else { return work.memory.told.nothing() };
    match work.memory.told.of(kind, lasts, work.world.now) {
        Next::Known => {}
        Next::LookAgain => work.again = work.again.min(LOOK_AGAIN),
        Next::Tell => work.tell(kind.0, true, message),
    }
}

/// Why a person must do something. A pod that waits for another one, for its turn or for what goes on at its backend is
/// held too, and nobody has to do anything.
fn cause(work: &Work<'_>) -> Option<Cause> {
    let status = &work.drain.status;
    if work.drain.metadata.kept.deleting || work.world.namespace_ending {
        // It ends by itself, and what could not be undone is told then.
        return None;
    }
    match status.phase {
        Phase::Queued | Phase::Draining | Phase::Drained | Phase::Restoring => {}
        Phase::Unknown if matches!(work.world.pod, PodSeen::Gone | PodSeen::Terminating) => return None,
        Phase::Unknown => return Some(lasting("DrainNotKnown", "this version can't read its PodDrain".to_owned())),
        Phase::Departing | Phase::Completed => return None,
    }
    if let Some(Wrong { reason, message }) = work.world.wrong.as_ref().filter(|_| status.phase != Phase::Restoring) {
        return Some(lasting(reason, message.clone()));
    }
    if status.unasked {
        return Some(lasting("DrainUnasked", unasked(work)));
    }
    let step = current(work)?;
    let place = format!("policy {}, step {}", work.drain.spec.policy, step.step.name);
    if status.stalled && !status.blocked {
        return Some(lasting("DrainStalled", format!("{place}: {}", no_progress(work, step))));
    }
    let (reason, said) = match &step.round?.verdict {
        Verdict::Blocked { message } => ("DrainBlocked", format!("{message}. Goes on by itself").into()),
        verdict @ Verdict::Unknown { .. } => ("BackendNotBelieved", Explanation::of(verdict)?),
        verdict @ Verdict::Failed { .. } => ("BackendNotReached", Explanation::of(verdict)?),
        Verdict::Act(_) => ("BackendRefuses", step.memory.refused.clone()?),
        Verdict::Done | Verdict::Waiting => return None,
    };
    let message = format!("{place}: {}", said.cause.asked(&said.message));
    Some(Cause { kind: (reason, said.cause.kind), lasts: false, message })
}

fn lasting(reason: &'static str, message: String) -> Cause {
    Cause { kind: (reason, remedy::Kind::Other), lasts: true, message }
}

/// The step under way; once all were done, the first that can't be seen to be.
fn current<'a, 'b>(work: &'b Work<'a>) -> Option<&'b StepWork<'a>> {
    let drained = work.drain.status.phase == Phase::Drained;
    let is_current = |step: &&StepWork<'_>| {
        let unseen = || step.round.is_some_and(|round| round.verdict.is_hindrance());
        if drained { unseen() } else { work.drain.status.step.as_ref() == Some(&step.step.name) }
    };
    work.steps.iter().find(is_current)
}

fn no_progress(work: &Work<'_>, step: &StepWork<'_>) -> String {
    let status = &work.drain.status;
    let left = step.round.and_then(|round| round.progress.as_ref());
    let left = left.map_or_else(String::new, |left| format!("{} {} left, ", left.remaining, left.unit));
    let why = if status.message.is_empty() { String::new() } else { format!(": {}", status.message) };
    format!("{left}no progress for {}s{why}", status.limits.progress_deadline_seconds)
}

fn unasked(work: &Work<'_>) -> String {
    let (policy, pod) = (&work.drain.spec.policy, &work.drain.spec.pod.name);
    format!(
        "policy {policy}: prepared for a minute, and nobody asks for the pod: delete it again, or undo it with castoff \
         cancel {pod} -n {}",
        work.drain.metadata.namespace
    )
}

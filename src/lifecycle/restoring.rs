//! Restoring: what was set is undone, the last step first.

use std::time::Duration;

use crate::plan::{Mode, Verdict};

use super::departing::disown_what_was_taken_over;
use super::explanation::Explanation;
use super::reconcile::{ROUNDS_RUNNING, Work};
use super::status::Phase;
use super::step::Ownership;
use super::world::{Effect, PodSeen};

/// How long a namespace's end is held up by a restore that does not succeed.
const NAMESPACE_PATIENCE: Duration = Duration::from_secs(30);

/// How long a person who deletes a PodDrain waits for a restore that does not succeed, and for what is left to do at the
/// API server after it. Each is tried for some seconds of this phase, however long the one before took: after an allow
/// that may still be carried out, 50 s. All in all a minute at most.
const DELETE_PATIENCE: Duration = Duration::from_secs(30);
const RESTORE_AT_LEAST: Duration = Duration::from_secs(4);
const END_PATIENCE: Duration = Duration::from_secs(45);
const END_AT_LEAST: Duration = Duration::from_secs(6);

/// Undoes one step after the other, then gives the slot back, then is over.
pub(super) fn restoring(work: &mut Work<'_>) {
    if work.is_quiet() {
        return;
    }
    // It may have begun in the moment in which this one went on to restore.
    disown_what_was_taken_over(work);
    // A pod that has left for good leaves nothing to undo: that it is no longer known there is what was wanted.
    if work.drain.status.mode == Mode::Removal && work.world.pod == PodSeen::Gone {
        for step in &mut work.steps {
            step.step.ownership = Ownership::None;
        }
    }
    if let Some(index) = next_step(work) {
        disown_what_was_never_sent(work, index);
        if work.steps.get(index).is_some_and(|step| step.step.owns()) {
            restore(work, index);
        }
    }
    if next_step(work).is_none() {
        conclude(work);
    }
}

/// The step to restore next: the last one that owns something.
fn next_step(work: &Work<'_>) -> Option<usize> {
    work.steps.iter().rposition(|step| step.step.owns())
}

/// The PodDrain was deleted so long ago that what the API server still refuses is left, once it was tried.
pub(super) fn is_overdue(work: &Work<'_>) -> bool {
    is_long_deleted(work) && work.memory.in_phase(work.world.now) >= END_AT_LEAST
}

/// Whoever deletes the PodDrain has waited for nearly as long as they are to.
pub(super) fn is_long_deleted(work: &Work<'_>) -> bool {
    work.memory.deleting_for(work.world.now) >= END_PATIENCE
}

/// Nothing is left to undo.
fn conclude(work: &mut Work<'_>) {
    let listed = work.world.listed;
    let marked = matches!(work.world.pod, PodSeen::Present { wake_mark: Some(_), .. });
    if is_overdue(work) && (listed || marked) {
        let message = if listed {
            "the PodDrain is deleted; its place in the policy's status may be left, and is freed by the next drain"
        } else {
            "the PodDrain is deleted; the marks castoff.dev/drained and pod-deletion-cost may be left on the pod"
        };
        work.tell("NotRestored", true, message.to_owned());
        // Tried once more all the same.
        work.enter(Phase::Completed);
    }
    if listed {
        // The other order breaks: a slot of a completed drain would be nobody's to give back.
        work.effect(Effect::GiveSlot);
        work.again = Duration::ZERO;
    } else if marked {
        // Given up: the pod is no more the one to go first, and its controller is not to think so.
        work.effect(Effect::Unmark);
    } else if work.drain.status.again && matches!(work.world.pod, PodSeen::Present { .. }) && !work.drain.is_cancelled()
    {
        queue_again(work);
    } else {
        work.enter(Phase::Completed);
        work.drain.status.step = None;
        work.drain.status.progress = None;
    }
}

/// What was set was undone only to prepare the pod in another way: nobody need ask for it again.
fn queue_again(work: &mut Work<'_>) {
    work.enter(Phase::Queued);
    let status = &mut work.drain.status;
    status.again = false;
    status.cycle += 1;
    (status.step, status.progress) = (None, None);
    for step in &mut work.steps {
        step.step.member = None;
        step.step.act_seconds = 0;
    }
}

/// Intent that this process wrote and never acted on is nothing to undo.
fn disown_what_was_never_sent(work: &mut Work<'_>, index: usize) {
    let Some(step) = work.steps.get_mut(index) else { return };
    if step.step.ownership == Ownership::Intent && step.memory.intended && !step.memory.sent {
        step.step.ownership = Ownership::None;
        work.again = Duration::ZERO;
    }
}

fn restore(work: &mut Work<'_>, index: usize) {
    work.at_step(index);
    let now = work.world.now;
    let verdict = work.steps.get(index).and_then(|step| step.round).map(|round| round.verdict.clone());
    let refused = work.steps.get(index).and_then(|step| step.memory.refused.clone());
    let hindrance = verdict.as_ref().and_then(Explanation::of);
    work.explain(hindrance.or_else(|| refused.clone()).unwrap_or_default());
    let Some(step) = work.steps.get_mut(index) else { return };
    if step.memory.act_until > now {
        // What an act under way may still set can't be seen to be undone.
        step.memory.restored_rounds = 0;
        leave_if_time_is_over(work, index, "an act may still be going on there");
        return;
    }
    let is_ours = step.round.is_some_and(|round| round.ours != Some(false));
    match verdict {
        Some(Verdict::Act(act)) if is_ours => {
            step.memory.restored_rounds = 0;
            work.send(index, &act);
            leave_if_time_is_over(work, index, refused.as_ref().map_or("it is not undone yet", |said| &said.message));
        }
        Some(Verdict::Act(_) | Verdict::Done | Verdict::Waiting) => {
            step.memory.restored_rounds += 1;
            if step.memory.restored_rounds >= ROUNDS_RUNNING {
                seen_restored(work, index);
            }
        }
        Some(Verdict::Blocked { message } | Verdict::Unknown { message } | Verdict::Failed { message, .. }) => {
            step.memory.restored_rounds = 0;
            leave_if_time_is_over(work, index, &message);
        }
        None => leave_if_time_is_over(work, index, "its backend could not be looked at"),
    }
}

fn seen_restored(work: &mut Work<'_>, index: usize) {
    let is_last = work.steps.iter().filter(|step| step.step.owns()).count() == 1;
    if is_last && work.world.listed && !is_overdue(work) {
        // Written together with the end: until then whoever looks sees the same.
        work.effect(Effect::GiveSlot);
        work.again = Duration::ZERO;
        return;
    }
    let Some(step) = work.steps.get_mut(index) else { return };
    step.step.ownership = Ownership::None;
    let message = format!("step {}: what was set is undone, and seen to be", step.step.name);
    work.tell("Restored", false, message);
    work.again = Duration::ZERO;
}

/// A namespace that goes takes what a restore would need with it, and a person who deletes a PodDrain wants it gone:
/// neither is held up for long.
fn leave_if_time_is_over(work: &mut Work<'_>, index: usize, why: &str) {
    let now = work.world.now;
    let ending = work.world.namespace_ending && work.memory.in_phase(now) >= NAMESPACE_PATIENCE;
    let deleted = work.memory.deleting_for(now) >= DELETE_PATIENCE && work.memory.in_phase(now) >= RESTORE_AT_LEAST;
    let because = match (ending, deleted) {
        (true, _) => "the namespace is deleted",
        (_, true) => "the PodDrain is deleted",
        _ => return,
    };
    let Some(step) = work.steps.get_mut(index) else { return };
    step.step.ownership = Ownership::None;
    let (name, member) = (step.step.name.clone(), step.step.member.clone().unwrap_or_default());
    let message = format!("step {name}: {because}; what was set for {member} may be left: {why}");
    work.tell("NotRestored", true, message);
    work.again = Duration::ZERO;
}

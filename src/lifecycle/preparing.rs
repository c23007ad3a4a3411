//! Queued, Draining, Drained: until the pod may leave.

use std::time::Duration;

use crate::plan::{Act, Mode, Round, Verdict};
use crate::printable::printable;

use super::caller::Caller;
use super::claim;
use super::explanation::Explanation;
use super::limit::Room;
use super::reconcile::{Work, mode_now};
use super::status::Phase;
use super::step::{Ownership, StepProgress};
use super::wish::Wish;
use super::world::{Effect, PodSeen, PolicySeen};

/// Prepared, and nobody asks: after this long that is told.
const UNASKED: Duration = Duration::from_mins(1);

/// After a try, what is seen of the owner and its pods may still be what was before it.
const A_MOMENT: Duration = Duration::from_secs(2);

/// Waits for the backend not to object, then for a slot; then begins.
pub(super) fn queued(work: &mut Work<'_>) {
    if give_up(work) || work.is_quiet() {
        return;
    }
    // What will be given up in a moment is not begun.
    if is_asked_for_in_vain(work) {
        work.again = work.again.min(A_MOMENT);
        return;
    }
    if let Some(wrong) = &work.world.wrong {
        work.drain.status.step = None;
        work.explain(wrong.message.as_str());
        give_back(work);
        return;
    }
    if work.steps.is_empty() {
        work.explain("its policy can't be followed now");
        return;
    }
    if let Some(index) = first_hindrance(work) {
        held_up(work, index);
        give_back(work);
        return;
    }
    not_stuck(work);
    work.drain.status.blocked = false;
    match &work.world.room {
        Room::Wait(why) => {
            work.drain.status.step = None;
            work.explain(why.clone());
        }
        Room::Take(slots) => {
            work.effect(Effect::TakeSlot(slots.clone()));
            work.again = Duration::ZERO;
        }
        Room::Held | Room::HeldBut(_) | Room::NoLimit => begin(work),
    }
}

/// One that can't begin holds no place that another could have.
fn give_back(work: &mut Work<'_>) {
    if work.world.listed {
        work.effect(Effect::GiveSlot);
    }
}

/// Takes note of what is in the way before draining begins. A plan that says "not now" is obeyed for as long as it
/// does; nobody is to wait unseen for a backend.
fn held_up(work: &mut Work<'_>, index: usize) {
    work.at_step(index);
    let Some(round) = work.steps.get(index).and_then(|step| step.round) else { return };
    if matches!(round.verdict, Verdict::Blocked { .. }) {
        not_stuck(work);
    } else {
        note_progress(work, index, round);
    }
    hold(work, round);
}

/// From Queued to Draining: who the pod is at each backend, and the intent of the first step, are written down.
fn begin(work: &mut Work<'_>) {
    work.enter(Phase::Draining);
    work.drain.status.mode = mode_now(work);
    if let Some(predecessor) = &work.world.predecessor {
        work.drain.status.predecessor = Some(predecessor.metadata.name.clone());
        for own in &mut work.steps {
            if let Some(before) = predecessor.status.steps.iter().find(|step| step.is_same(&own.step)) {
                own.step.take_over(before);
            }
        }
    }
    for index in 0..work.steps.len() {
        pin_member(work, index);
    }
    work.at_step(0);
    if let Some(Round { verdict: Verdict::Act(act), .. }) = work.world.rounds.get(&0) {
        intend(work, 0, act);
    }
    let policy = &work.drain.spec.policy;
    let message = format!("policy {policy}: preparing, asked for by {}", printable(&work.drain.spec.requester));
    work.tell("Draining", false, message);
}

/// Prepares one step after the other; prepared is the pod once all are done and the policy's limit holds.
pub(super) fn draining(work: &mut Work<'_>) {
    if give_up(work) || work.is_quiet() || reconsider(work) {
        return;
    }
    for index in 0..work.steps.len() {
        let Some(round) = work.steps.get(index).and_then(|step| step.round) else {
            // The step before it was done only just now: this one is to be looked at, at once.
            work.again = Duration::ZERO;
            return;
        };
        work.at_step(index);
        pin_member(work, index);
        note_progress(work, index, round);
        if !advance(work, index, round) {
            return;
        }
    }
    if let Room::HeldBut(_) = work.world.room {
        return;
    }
    work.drain.status.cycle += 1;
    work.drain.status.progress = None;
    work.enter(Phase::Drained);
    let message = format!("policy {}: prepared, the next delete is allowed", work.drain.spec.policy);
    work.tell("Drained", false, message);
}

/// Whether the pod is now to go for good, or to stay: what was set for the one is undone before the other begins.
fn reconsider(work: &mut Work<'_>) -> bool {
    if mode_now(work) == work.drain.status.mode {
        return false;
    }
    work.tell("Reconsidered", false, "the owner's wish has changed: restoring first".to_owned());
    // Whoever no longer wants the pod gone does not ask again; who still does need not.
    work.drain.status.again = work.world.wish.is_to_go();
    work.enter(Phase::Restoring);
    true
}

/// Brings one step on; true once it is done.
fn advance(work: &mut Work<'_>, index: usize, round: &Round) -> bool {
    let now = work.world.now;
    let Some(step) = work.steps.get_mut(index) else { return false };
    let done = matches!(round.verdict, Verdict::Done);
    // An act that may still be going on could undo what is seen now.
    let settled = done && step.memory.act_until <= now;
    step.memory.done_rounds = if settled { step.memory.done_rounds.saturating_add(1) } else { 0 };
    if let Verdict::Done | Verdict::Waiting = round.verdict {
        step.settle_ownership();
        step.memory.refused = None;
    }
    let is_done = step.is_done();
    match &round.verdict {
        Verdict::Done | Verdict::Waiting => {
            work.drain.status.blocked = false;
            explain_limit(work, done);
            return done && is_done;
        }
        Verdict::Act(act) => act_or_intend(work, index, act),
        Verdict::Blocked { .. } => {
            if !work.owns_anything() {
                work.enter(Phase::Queued);
            }
            hold(work, round);
        }
        Verdict::Unknown { .. } | Verdict::Failed { .. } => hold(work, round),
    }
    false
}

/// Nothing at the backend is in the way; where that is done, the policy's limit may be.
fn explain_limit(work: &mut Work<'_>, done: bool) {
    match &work.world.room {
        Room::HeldBut(why) if done => work.explain(why.clone()),
        _ => work.explain(Explanation::default()),
    }
}

/// Sends the act if the intent is written down; else writes that first, and looks again.
fn act_or_intend(work: &mut Work<'_>, index: usize, act: &Act) {
    work.drain.status.blocked = false;
    let is_wanted = work.world.wish.is_to_go() && work.drain.status.mode == Mode::Removal;
    if act.irreversible && !is_wanted {
        work.explain("waits: the next act can't be undone, and it can't be seen that the owner still wants it");
        return;
    }
    let Some(step) = work.steps.get(index) else { return };
    let refused = step.memory.refused.clone();
    let written = step.step.owns() && step.step.act_seconds >= seconds_beyond(act);
    work.explain(refused.unwrap_or_default());
    if written {
        work.send(index, act);
    } else {
        intend(work, index, act);
    }
}

/// Writes down that the step is about to be acted on, before it is.
fn intend(work: &mut Work<'_>, index: usize, act: &Act) {
    let Some(step) = work.steps.get_mut(index) else { return };
    if !step.step.owns() {
        step.step.ownership = Ownership::Intent;
        step.memory.intended = true;
        step.memory.sent = false;
    }
    step.step.act_seconds = step.step.act_seconds.max(seconds_beyond(act));
    work.again = Duration::ZERO;
}

/// For how many seconds an act may go on at the backend after its request was sent.
fn seconds_beyond(act: &Act) -> u64 {
    if act.background { act.request.timeout.as_secs().max(1) } else { 0 }
}

/// Waits for the next try; meanwhile looks whether the backend is still ready, and the limit still holds.
pub(super) fn drained(work: &mut Work<'_>) {
    if give_up(work) || work.is_quiet() || reconsider(work) {
        return;
    }
    // What can't be seen just now decides nothing: the gate looks for itself before it allows.
    let is_undone =
        |round: &Round| matches!(round.verdict, Verdict::Act(_) | Verdict::Waiting | Verdict::Blocked { .. });
    if let Some(index) = work.steps.iter().position(|step| step.round.is_some_and(is_undone)) {
        work.enter(Phase::Draining);
        work.at_step(index);
        return;
    }
    if let Room::HeldBut(why) = &work.world.room {
        work.enter(Phase::Draining);
        work.explain(why.clone());
        return;
    }
    note_unasked(work);
    bring_the_next_try(work);
}

/// Wakes the pod's controller, or deletes the pod where nobody would: only once the gate would allow it.
fn bring_the_next_try(work: &mut Work<'_>) {
    let all_done = work.steps.iter().all(|step| step.round.is_some_and(|round| round.verdict == Verdict::Done));
    let PodSeen::Present { wake_mark, controlled } = &work.world.pod else { return };
    if !all_done {
        return;
    }
    let mark = work.drain.wake_mark();
    if work.world.wish == Wish::MustBeDone {
        work.effect(Effect::Delete);
    } else if *controlled && wake_mark.as_ref() != Some(&mark) {
        work.effect(Effect::Wake(mark));
    }
}

/// Prepared, but nobody asks for the pod.
fn note_unasked(work: &mut Work<'_>) {
    let unasked = work.memory.silent(work.world.now) >= UNASKED;
    // That a new process has heard nothing yet is no try.
    work.drain.status.unasked = unasked || work.drain.status.unasked && !work.memory.has_heard;
}

/// Gives the drain up if a person cancelled it, another policy guards the pod, or nobody wants it any more.
fn give_up(work: &mut Work<'_>) -> bool {
    let message = if work.drain.is_cancelled() {
        "cancelled"
    } else if work.drain.metadata.kept.older {
        "given up: an older version of Castoff began it, and it is begun anew"
    } else if work.world.policy == PolicySeen::Other {
        "given up: another policy guards the pod now"
    } else if work.drain.status.phase == Phase::Queued && work.world.policy == PolicySeen::Gone {
        "given up: no policy guards the pod any more"
    } else if is_kept(work) {
        "given up: its owner does not want it gone any more"
    } else if is_abandoned(work) {
        "given up: nobody has asked for it any more"
    } else {
        return false;
    };
    work.tell("GivenUp", false, format!("{message}. Restoring"));
    work.drain.status.again = false;
    work.enter(Phase::Restoring);
    true
}

/// Nobody has tried for longer than this caller is ever silent, and nothing shows that the pod is still to go.
fn is_abandoned(work: &Work<'_>) -> bool {
    let status = &work.drain.status;
    let abandon_after = Duration::from_secs(status.limits.abandon_after_seconds.into());
    let pause = Duration::from_secs(status.longest_pause_seconds);
    let patience = abandon_after.max(2 * pause).max(status.caller.shortest_patience());
    // A try that came soon after one that was written down is not written itself.
    let unwritten = claim::between_tries(&work.drain);
    !work.world.wish.is_to_go() && work.memory.silent(work.world.now) > patience + unwritten
}

/// Nobody but the pod's owner has asked, and it can be seen to want nothing of the pod any more: rolled back, scaled out
/// again, or content with another pod. However long its back-off is, it will not ask.
fn is_asked_for_in_vain(work: &Work<'_>) -> bool {
    work.drain.status.caller == Caller::Owner && work.world.wish == Wish::Keeps && !work.world.ahead
}

fn is_kept(work: &Work<'_>) -> bool {
    is_asked_for_in_vain(work) && work.memory.silent(work.world.now) >= A_MOMENT
}

fn first_hindrance(work: &Work<'_>) -> Option<usize> {
    work.steps.iter().position(|step| step.round.is_some_and(|round| round.verdict.is_hindrance()))
}

/// Tells why the drain does not go on.
fn hold(work: &mut Work<'_>, round: &Round) {
    let Some(why) = Explanation::of(&round.verdict) else { return };
    let blocked = matches!(round.verdict, Verdict::Blocked { .. });
    work.drain.status.blocked = blocked;
    work.explain(why);
}

/// The first name that the backend knew the pod by stays.
fn pin_member(work: &mut Work<'_>, index: usize) {
    if let Some(step) = work.steps.get_mut(index)
        && step.step.member.is_none()
        && let Some(round) = step.round
    {
        step.step.member.clone_from(&round.member);
    }
}

fn not_stuck(work: &mut Work<'_>) {
    work.memory.stuck = None;
    work.drain.status.stalled = false;
}

/// Takes note of how much is left, and of how long it has not become less.
fn note_progress(work: &mut Work<'_>, index: usize, round: &Round) {
    let now = work.world.now;
    let remaining = round.progress.as_ref().map(|progress| progress.remaining);
    let fell = match &work.memory.stuck {
        Some((stuck_step, before, _)) => {
            *stuck_step != index || remaining.is_some_and(|left| before.is_none_or(|before| left < before))
        }
        None => true,
    };
    if fell {
        work.memory.stuck = Some((index, remaining, now));
        work.drain.status.stalled = false;
    }
    let stuck = work.memory.stuck.as_ref().map_or(Duration::ZERO, |(_, _, since)| now.saturating_sub(*since));
    let deadline = Duration::from_secs(work.drain.status.limits.progress_deadline_seconds.into());
    let done = matches!(round.verdict, Verdict::Done);
    if stuck >= deadline && !done {
        work.drain.status.stalled = true;
    }
    write_progress(work, index, round);
}

/// Writes progress down: the first figure at once, then not more often than the settings say.
fn write_progress(work: &mut Work<'_>, index: usize, round: &Round) {
    let (Some(left), Some(step)) = (&round.progress, work.steps.get(index)) else { return };
    let name = step.step.name.clone();
    let before = work.drain.status.progress.as_ref().filter(|progress| progress.step == name);
    let now = work.world.now;
    let every = work.world.settings.progress_every;
    let recent = work.memory.progress_written.is_some_and(|written| now.saturating_sub(written) < every);
    // Where nothing was left from the beginning there is nothing to tell.
    let nothing = before.is_none() && left.remaining == 0;
    if nothing || before.is_some_and(|before| before.left == *left || recent) {
        return;
    }
    let total = before.map_or(left.remaining, |before| before.total.max(left.remaining));
    work.drain.status.progress = Some(StepProgress { step: name, total, left: left.clone() });
    work.memory.progress_written = Some(now);
}

//! Queued, Draining, Drained: until the pod may leave.

use std::time::Duration;

use crate::plan::{Act, Mode, Round, Verdict};
use crate::printable::printable;

use super::drain::{Ownership, Phase, StepProgress};
use super::reconcile::{hindrance, is_done};
use super::slots::Answer;
use super::world::{Effect, PodSeen, Turn, World};

/// Waits for the backend not to object, then for a slot; then begins.
pub(super) fn queued(turn: &mut Turn, world: &World) {
    if give_up(turn, world) || turn.is_quiet(world.now) {
        return;
    }
    if let Some((step, round)) = first_hindrance(world) {
        turn.drain.status.step = turn.drain.spec.steps.get(step).map(|step| step.name.clone());
        // A plan that says "not now" is obeyed for as long as it does; nobody is to wait unseen for a backend.
        if matches!(round.verdict, Verdict::Blocked { .. }) {
            not_stuck(turn);
        } else {
            note_progress(turn, step, round, world);
        }
        hold(turn, round);
        if world.slot == Answer::Held {
            turn.effects.push(Effect::GiveSlot);
        }
        return;
    }
    not_stuck(turn);
    turn.drain.status.blocked = false;
    match &world.slot {
        Answer::Wait(seats) => {
            turn.drain.status.step = None;
            let limit = &turn.drain.spec.limits.max_unavailable;
            let who = if seats.is_empty() { "a pod that has not come back".to_owned() } else { seats.join(", ") };
            let message = format!("waits for {who} (maxUnavailable {limit})");
            turn.explain(&message, "");
        }
        Answer::Take(slots) => {
            turn.effects.push(Effect::TakeSlot(slots.clone()));
            turn.again = Duration::ZERO;
        }
        Answer::Held => begin(turn, world),
    }
}

/// From Queued to Draining: who the pod is at each backend, and the intent of the first step, are written down.
fn begin(turn: &mut Turn, world: &World) {
    turn.enter(Phase::Draining, world.now);
    turn.drain.status.mode = world.mode;
    if let Some(predecessor) = &world.predecessor {
        turn.drain.status.predecessor = Some(predecessor.metadata.name.clone());
        for (own, before) in turn.drain.status.steps.iter_mut().zip(&predecessor.status.steps) {
            own.clone_from(before);
        }
    }
    for (step, round) in &world.rounds {
        pin_member(turn, *step, round);
    }
    turn.drain.status.step = turn.drain.spec.steps.first().map(|step| step.name.clone());
    if let Some(Round { verdict: Verdict::Act(act), .. }) = world.rounds.get(&0) {
        intend(turn, 0, act);
    }
    let policy = &turn.drain.spec.policy;
    let message = format!("policy {policy}: preparing, asked for by {}", printable(&turn.drain.spec.requester));
    turn.tell("Draining", false, message);
}

/// Prepares one step after the other.
pub(super) fn draining(turn: &mut Turn, world: &World) {
    if give_up(turn, world) || turn.is_quiet(world.now) {
        return;
    }
    if world.mode != turn.drain.status.mode {
        turn.tell("Reconsidered", false, "the owner's wish has changed: restoring first".to_owned());
        turn.enter(Phase::Restoring, world.now);
        return;
    }
    for step in 0..turn.drain.spec.steps.len() {
        let Some(round) = world.rounds.get(&step) else {
            // The step before it was done only just now: this one is to be looked at, at once.
            turn.again = Duration::ZERO;
            return;
        };
        turn.drain.status.step = turn.drain.spec.steps.get(step).map(|step| step.name.clone());
        pin_member(turn, step, round);
        note_progress(turn, step, round, world);
        if !advance(turn, step, round, world) {
            return;
        }
    }
    let status = &mut turn.drain.status;
    status.cycle += 1;
    status.progress = None;
    turn.enter(Phase::Drained, world.now);
    let message = format!("policy {}: prepared, the next delete is allowed", turn.drain.spec.policy);
    turn.tell("Drained", false, message);
}

/// Brings one step on; true once it is done.
fn advance(turn: &mut Turn, step: usize, round: &Round, world: &World) -> bool {
    if let Verdict::Done | Verdict::Waiting = round.verdict {
        turn.settle_ownership(step, round);
        turn.drain.status.blocked = false;
        turn.explain("", "");
    }
    let done = matches!(round.verdict, Verdict::Done);
    let Some(memory) = turn.memory.steps.get_mut(step) else { return false };
    // An act that may still be going on could undo what is seen now.
    let settled = done && memory.act_until <= world.now;
    memory.done_rounds = if settled { memory.done_rounds.saturating_add(1) } else { 0 };
    match &round.verdict {
        Verdict::Done => return is_done(&turn.drain, &turn.memory, step),
        Verdict::Waiting => {}
        Verdict::Act(act) => act_or_intend(turn, step, act, world),
        Verdict::Blocked { .. } | Verdict::Unknown { .. } | Verdict::Failed { .. } => {
            let may_requeue = matches!(round.verdict, Verdict::Blocked { .. }) && !turn.drain.owns_anything();
            if may_requeue {
                turn.enter(Phase::Queued, world.now);
            }
            hold(turn, round);
        }
    }
    false
}

/// Sends the act if the intent is written down; else writes that first, and looks again.
fn act_or_intend(turn: &mut Turn, step: usize, act: &Act, world: &World) {
    turn.drain.status.blocked = false;
    turn.explain("", "");
    if act.irreversible && !(world.owner_wants && turn.drain.status.mode == Mode::Removal) {
        turn.explain("waits: the next act can't be undone, and it can't be seen that the owner still wants it", "");
        return;
    }
    let Some(status) = turn.drain.status.steps.get(step) else { return };
    let written = status.ownership != Ownership::None && status.act_seconds >= seconds_beyond(act);
    if written {
        turn.send(step, act, world.now);
    } else {
        intend(turn, step, act);
    }
}

/// Writes down that the step is about to be acted on, before it is.
fn intend(turn: &mut Turn, step: usize, act: &Act) {
    let (Some(status), Some(memory)) = (turn.drain.status.steps.get_mut(step), turn.memory.steps.get_mut(step)) else {
        return;
    };
    if status.ownership == Ownership::None {
        status.ownership = Ownership::Intent;
        memory.intended = true;
        memory.sent = false;
    }
    status.act_seconds = status.act_seconds.max(seconds_beyond(act));
    turn.again = Duration::ZERO;
}

/// For how many seconds an act may go on at the backend after its request was sent.
fn seconds_beyond(act: &Act) -> u64 {
    if act.background { act.request.timeout.as_secs().max(1) } else { 0 }
}

/// Waits for the next try; meanwhile looks whether the backend is still ready.
pub(super) fn drained(turn: &mut Turn, world: &World) {
    if give_up(turn, world) || turn.is_quiet(world.now) {
        return;
    }
    if world.mode != turn.drain.status.mode {
        turn.enter(Phase::Restoring, world.now);
        return;
    }
    // What can't be seen just now decides nothing: the gate looks for itself before it allows.
    let no_longer = world
        .rounds
        .iter()
        .find(|(_, round)| matches!(round.verdict, Verdict::Act(_) | Verdict::Waiting | Verdict::Blocked { .. }));
    if let Some((step, _)) = no_longer {
        let name = turn.drain.spec.steps.get(*step).map(|step| step.name.clone());
        turn.enter(Phase::Draining, world.now);
        turn.drain.status.step = name;
        return;
    }
    if let PodSeen::Present { terminating: false, wake_mark } = &world.pod {
        let mark = turn.drain.wake_mark();
        let all_done = world.rounds.values().all(|round| round.verdict == Verdict::Done);
        let caller = turn.drain.status.caller;
        if all_done && caller.may_forget() && world.owner_wants {
            turn.effects.push(Effect::Delete);
        } else if all_done && caller.is_woken_by_the_pod() && wake_mark.as_ref() != Some(&mark) {
            turn.effects.push(Effect::Wake(mark));
        }
    }
}

/// Gives the drain up if a person cancelled it, or nobody wants it any more.
fn give_up(turn: &mut Turn, world: &World) -> bool {
    let cancelled = turn.drain.spec.cancel;
    if !cancelled && !is_abandoned(turn, world) {
        return false;
    }
    let message = if cancelled {
        "cancelled"
    } else if has_enough(turn, world) {
        "given up: its owner has no pod too many any more"
    } else {
        "given up: nobody has asked for it any more"
    };
    turn.tell("GivenUp", false, format!("{message}. Restoring"));
    turn.enter(Phase::Restoring, world.now);
    true
}

/// Nobody has tried for longer than this caller is ever silent, and nothing shows that the pod is still to go.
fn is_abandoned(turn: &Turn, world: &World) -> bool {
    let abandon_after = Duration::from_secs(turn.drain.spec.limits.abandon_after_seconds.into());
    let denied = turn.memory.denied().max(Duration::from_secs(turn.drain.status.denied_seconds));
    let gap = turn.drain.status.caller.longest_gap(denied);
    // A try that came soon after one that was written down is not written itself.
    let unwritten = super::claim::between_tries(&turn.drain);
    has_enough(turn, world)
        || (!world.owner_wants && turn.memory.silent(world.now) > abandon_after.max(gap) + unwritten)
}

/// Who asked counts its pods, and has no more than it wants. Of several pods that it asked for in turn it keeps all but
/// those that were too many: the others are not to be prepared after that.
fn has_enough(turn: &Turn, world: &World) -> bool {
    turn.drain.status.caller.counts_pods() && world.owner_has_enough
}

fn first_hindrance(world: &World) -> Option<(usize, &Round)> {
    world.rounds.iter().find(|(_, round)| hindrance(&round.verdict).is_some()).map(|(step, round)| (*step, round))
}

/// Tells why the drain does not go on.
fn hold(turn: &mut Turn, round: &Round) {
    let Some((message, detail)) = hindrance(&round.verdict) else { return };
    let blocked = matches!(round.verdict, Verdict::Blocked { .. });
    let was_blocked = std::mem::replace(&mut turn.drain.status.blocked, blocked);
    turn.explain(message, detail);
    if blocked && !was_blocked {
        let message = format!("policy {}: {message}. Goes on by itself", turn.drain.spec.policy);
        turn.tell("DrainBlocked", true, message);
    }
}

/// The first name that the backend knew the pod by stays.
fn pin_member(turn: &mut Turn, step: usize, round: &Round) {
    if let Some(status) = turn.drain.status.steps.get_mut(step)
        && status.member.is_none()
    {
        status.member.clone_from(&round.member);
    }
}

fn not_stuck(turn: &mut Turn) {
    turn.memory.stuck = None;
    turn.drain.status.stalled = false;
}

/// Takes note of how much is left, and of how long it has not become less.
fn note_progress(turn: &mut Turn, step: usize, round: &Round, world: &World) {
    let remaining = round.progress.as_ref().map(|progress| progress.remaining);
    let fell = match &turn.memory.stuck {
        Some((stuck_step, before, _)) => {
            *stuck_step != step || remaining.is_some_and(|left| before.is_none_or(|before| left < before))
        }
        None => true,
    };
    if fell {
        turn.memory.stuck = Some((step, remaining, world.now));
        turn.drain.status.stalled = false;
    }
    let stuck = turn.memory.stuck.as_ref().map_or(Duration::ZERO, |(_, _, since)| world.now.saturating_sub(*since));
    let deadline = Duration::from_secs(turn.drain.spec.limits.progress_deadline_seconds.into());
    let done = matches!(round.verdict, Verdict::Done);
    if stuck >= deadline && !done && !turn.drain.status.stalled {
        turn.drain.status.stalled = true;
        let left = round
            .progress
            .as_ref()
            .map_or_else(String::new, |progress| format!("{} {} left, ", progress.remaining, progress.unit));
        let message = format!("policy {}: {left}no progress for {}s", turn.drain.spec.policy, deadline.as_secs());
        turn.tell("DrainStalled", true, message);
    }
    write_progress(turn, step, round, world);
}

/// Writes progress down: the first figure at once, then not more often than the settings say.
fn write_progress(turn: &mut Turn, step: usize, round: &Round, world: &World) {
    let Some(left) = &round.progress else { return };
    let Some(name) = turn.drain.spec.steps.get(step).map(|step| step.name.clone()) else { return };
    let before = turn.drain.status.progress.as_ref().filter(|progress| progress.step == name);
    let recent = turn
        .memory
        .progress_written
        .is_some_and(|written| world.now.saturating_sub(written) < world.settings.progress_every);
    // Where nothing was left from the beginning there is nothing to tell.
    let nothing = before.is_none() && left.remaining == 0;
    if nothing || before.is_some_and(|before| before.left == *left || recent) {
        return;
    }
    let total = before.map_or(left.remaining, |before| before.total.max(left.remaining));
    turn.drain.status.progress = Some(StepProgress { step: name, total, left: left.clone() });
    turn.memory.progress_written = Some(world.now);
}

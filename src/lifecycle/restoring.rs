//! Restoring: what was set is undone, the last step first.

use std::time::Duration;

use crate::plan::{Mode, Round, Verdict};

use super::drain::{Drain, Ownership, Phase};
use super::reconcile::{ROUNDS_RUNNING, hindrance};
use super::slots::Answer;
use super::world::{Effect, PodSeen, Turn, World};

/// How long a namespace's end is held up by a restore that does not succeed.
const NAMESPACE_PATIENCE: Duration = Duration::from_secs(30);

/// The step to restore next: the last one that owns something.
pub(super) fn next_step(drain: &Drain) -> Option<usize> {
    drain.status.steps.iter().rposition(|step| step.ownership != Ownership::None)
}

/// Undoes one step after the other, then gives the slot back, then is over.
pub(super) fn restoring(turn: &mut Turn, world: &World) {
    if turn.is_quiet(world.now) {
        return;
    }
    // A pod that has left for good leaves nothing to undo: that it is no longer known there is what was wanted.
    if turn.drain.status.mode == Mode::Removal && world.pod == PodSeen::Gone {
        for step in &mut turn.drain.status.steps {
            step.ownership = Ownership::None;
        }
    }
    if let Some(step) = next_step(&turn.drain) {
        disown_what_was_never_sent(turn, step);
        if turn.drain.status.steps.get(step).is_some_and(|step| step.ownership != Ownership::None)
            && let Some(round) = world.rounds.get(&step)
        {
            restore(turn, step, round, world);
        }
    }
    if next_step(&turn.drain).is_none() {
        conclude(turn, world);
    }
}

/// Nothing is left to undo.
fn conclude(turn: &mut Turn, world: &World) {
    if world.slot == Answer::Held {
        // The other order breaks: a slot of a completed drain would be nobody's to give back.
        turn.effects.push(Effect::GiveSlot);
        turn.again = Duration::ZERO;
    } else if matches!(world.pod, PodSeen::Present { terminating: false, wake_mark: Some(_) }) {
        // Given up: the pod is no more the one to go first, and its controller is not to think so.
        turn.effects.push(Effect::Unmark);
    } else {
        finish(turn, world);
    }
}

/// Intent that this process wrote and never acted on is nothing to undo.
fn disown_what_was_never_sent(turn: &mut Turn, step: usize) {
    let (Some(status), Some(memory)) = (turn.drain.status.steps.get_mut(step), turn.memory.steps.get(step)) else {
        return;
    };
    if status.ownership == Ownership::Intent && memory.intended && !memory.sent {
        status.ownership = Ownership::None;
        turn.again = Duration::ZERO;
    }
}

fn restore(turn: &mut Turn, step: usize, round: &Round, world: &World) {
    turn.drain.status.step = turn.drain.spec.steps.get(step).map(|step| step.name.clone());
    if let Some((message, detail)) = hindrance(&round.verdict) {
        turn.explain(message, detail);
    } else {
        turn.explain("", "");
    }
    let Some(memory) = turn.memory.steps.get_mut(step) else { return };
    if memory.act_until > world.now {
        // What an act under way may still set can't be seen to be undone.
        memory.restored_rounds = 0;
        return;
    }
    match &round.verdict {
        Verdict::Act(act) if round.ours != Some(false) => {
            memory.restored_rounds = 0;
            turn.send(step, act, world.now);
        }
        Verdict::Act(_) | Verdict::Done | Verdict::Waiting => {
            memory.restored_rounds += 1;
            if memory.restored_rounds >= ROUNDS_RUNNING {
                let is_last =
                    turn.drain.status.steps.iter().filter(|step| step.ownership != Ownership::None).count() == 1;
                if is_last && world.slot == Answer::Held {
                    // Written together with the end: until then whoever looks sees the same.
                    turn.effects.push(Effect::GiveSlot);
                    turn.again = Duration::ZERO;
                } else {
                    disown(turn, step);
                }
            }
        }
        Verdict::Blocked { message } | Verdict::Unknown { message } | Verdict::Failed { message, .. } => {
            memory.restored_rounds = 0;
            if world.namespace_ending && turn.memory.in_phase(world.now) >= NAMESPACE_PATIENCE {
                leave_as_it_is(turn, step, message);
            }
        }
    }
}

/// The namespace goes, and with it what a restore would need: it is not held up any longer.
fn leave_as_it_is(turn: &mut Turn, step: usize, why: &str) {
    if let Some(status) = turn.drain.status.steps.get_mut(step) {
        status.ownership = Ownership::None;
    }
    let name = turn.drain.spec.steps.get(step).map_or("", |step| step.name.as_str());
    let member = turn.drain.status.steps.get(step).and_then(|step| step.member.clone()).unwrap_or_default();
    let message = format!("step {name}: the namespace is deleted; what was set for {member} may be left: {why}");
    turn.tell("NotRestored", true, message);
    turn.again = Duration::ZERO;
}

fn disown(turn: &mut Turn, step: usize) {
    if let Some(status) = turn.drain.status.steps.get_mut(step) {
        status.ownership = Ownership::None;
    }
    let name = turn.drain.spec.steps.get(step).map_or("", |step| step.name.as_str());
    let message = format!("step {name}: what was set is undone, and seen to be");
    turn.tell("Restored", false, message);
    turn.again = Duration::ZERO;
}

fn finish(turn: &mut Turn, world: &World) {
    turn.enter(Phase::Completed, world.now);
    turn.drain.status.step = None;
    turn.drain.status.progress = None;
}

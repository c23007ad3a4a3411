//! The transition: one pure function of a drain, what this process remembers of it, and what was seen now.
//!
//! It looks at how things are, not at what happened: a lost or repeated write, a crash or a new leader changes
//! nothing but how much is still to be done.

use std::time::Duration;

use crate::plan::{Act, Round, Task, Verdict};

use super::drain::{Drain, Outcome, Ownership, Phase};
use super::memory::Memory;
use super::preparing;
use super::restoring;
use super::world::{Effect, Event, Look, PodSeen, PolicySeen, Successor, Turn, World};

/// A restore is believed once it was seen on so many rounds running; how many a preparation takes, its plan says.
pub(super) const ROUNDS_RUNNING: u8 = 2;

/// Which rounds to make before the next turn.
#[must_use]
pub fn look(drain: &Drain, memory: &Memory) -> Look {
    let all = 0..drain.spec.steps.len();
    match drain.status.phase {
        Phase::Queued | Phase::Drained => Look { task: Task::Prepare, steps: all.collect() },
        Phase::Draining => {
            let done = |step: &usize| is_done(drain, memory, *step);
            let current = all.clone().find(|step| !done(step)).unwrap_or(0);
            Look { task: Task::Prepare, steps: (0..=current).collect() }
        }
        Phase::Restoring => Look { task: Task::Restore, steps: restoring::next_step(drain).into_iter().collect() },
        Phase::Departing | Phase::Completed | Phase::Unknown => Look { task: Task::Prepare, steps: Vec::new() },
    }
}

/// Whether the step was done on as many rounds running as its plan wants.
pub(super) fn is_done(drain: &Drain, memory: &Memory, step: usize) -> bool {
    let seen = memory.steps.get(step).map_or(0, |step| step.done_rounds);
    drain.spec.steps.get(step).is_some_and(|step| seen >= step.rounds())
}

/// One turn.
#[must_use]
pub fn reconcile(drain: &Drain, memory: &Memory, world: &World) -> Turn {
    let mut turn = Turn { drain: drain.clone(), memory: memory.clone(), effects: Vec::new(), again: Duration::ZERO };
    turn.memory.notice(drain, world.now);
    turn.again = turn.poll_period();
    turn.note_policy(world.policy);
    if turn.leave_if_gone(world) {
        return turn;
    }
    match drain.status.phase {
        Phase::Queued => preparing::queued(&mut turn, world),
        Phase::Draining => preparing::draining(&mut turn, world),
        Phase::Drained => preparing::drained(&mut turn, world),
        Phase::Departing => departing(&mut turn, world),
        Phase::Restoring => restoring::restoring(&mut turn, world),
        Phase::Completed => completed(&mut turn, world),
        Phase::Unknown => {}
    }
    turn
}

/// Whether a turn's drain is to be written. That an intent was acted on rides on the next write: a process that
/// does not know takes it for acted on anyway.
#[must_use]
pub fn must_be_written(before: &Drain, after: &Drain) -> bool {
    let mut after = after.clone();
    for (after, before) in after.status.steps.iter_mut().zip(&before.status.steps) {
        if (before.ownership, after.ownership) == (Ownership::Intent, Ownership::Acted) {
            after.ownership = Ownership::Intent;
        }
    }
    after != *before
}

impl Turn {
    /// Tells of a policy that is no longer what it was: a drain under way does not follow it.
    fn note_policy(&mut self, seen: PolicySeen) {
        let over = matches!(self.drain.status.phase, Phase::Completed | Phase::Unknown);
        if over || std::mem::replace(&mut self.memory.policy, seen) == seen {
            return;
        }
        let policy = &self.drain.spec.policy;
        let message = match seen {
            PolicySeen::AsBegun => return,
            PolicySeen::Changed => {
                format!("policy {policy} has changed: this drain goes on with the steps it began with")
            }
            PolicySeen::Gone => format!(
                "policy {policy} is deleted: the pod is no longer held, and what was set is restored once it is replaced"
            ),
        };
        self.tell("PolicyChanged", false, message);
    }

    /// A pod that leaves by any path takes its drain along.
    fn leave_if_gone(&mut self, world: &World) -> bool {
        let leaving = matches!(world.pod, PodSeen::Gone | PodSeen::Present { terminating: true, .. });
        if leaving && self.drain.status.phase == Phase::Restoring {
            // After it was given up: what was set is being undone already.
            self.note_departure();
        }
        let status = &self.drain.status;
        if !leaving || !matches!(status.phase, Phase::Queued | Phase::Draining | Phase::Drained) {
            return false;
        }
        let holds_nothing =
            status.phase == Phase::Queued && world.slot != super::slots::Answer::Held && !self.drain.owns_anything();
        // A slot that was being taken for it may still come.
        if holds_nothing && self.is_quiet(world.now) {
            return true;
        }
        self.note_departure();
        self.enter(if holds_nothing { Phase::Completed } else { Phase::Departing }, world.now);
        true
    }

    /// The pod was seen to leave: counted once, and told where it was not by our yes.
    pub(super) fn note_departure(&mut self) {
        if std::mem::replace(&mut self.drain.status.left, true) {
            return;
        }
        let outcome = *self.drain.status.outcome.get_or_insert(Outcome::Unprepared);
        self.effects.push(Effect::Count(outcome));
        let progress = self.drain.status.progress.as_ref();
        let left = progress.map_or_else(String::new, |progress| format!(", {}", progress.were_left()));
        let pod = self.drain.pod_name();
        match outcome {
            // Told by whoever let it go, who knows why.
            Outcome::Prepared | Outcome::Bypassed => {}
            Outcome::Unprepared if self.drain.status.phase == Phase::Drained => {
                self.tell(
                    "LeftUnasked",
                    false,
                    format!("{pod} left prepared, but without having been asked for again"),
                );
            }
            Outcome::Unprepared => {
                self.tell("LeftUnprepared", true, format!("{pod} left without being prepared{left}. Restoring"));
            }
            Outcome::Exempt => self.tell("Exempt", false, format!("{pod} left by an exemption of its policy{left}")),
        }
    }

    /// Comes to a phase, and looks again at once.
    pub(super) fn enter(&mut self, phase: Phase, now: Duration) {
        self.drain.status.phase = phase;
        self.drain.status.blocked = false;
        self.drain.status.stalled = false;
        self.drain.status.message.clear();
        self.drain.status.detail.clear();
        self.memory.enter(phase, now);
        self.again = Duration::ZERO;
    }

    pub(super) fn tell(&mut self, reason: &'static str, warning: bool, message: String) {
        self.effects.push(Effect::Tell(Event { reason, warning, message }));
    }

    pub(super) fn poll_period(&self) -> Duration {
        Duration::from_secs(self.drain.spec.limits.poll_period_seconds.into())
    }

    /// Whether something of the leader before may still be under way; then waits that long.
    pub(super) fn is_quiet(&mut self, now: Duration) -> bool {
        let left = self.memory.quiet_until.saturating_sub(now);
        if left.is_zero() {
            return false;
        }
        self.again = left;
        true
    }

    /// Sends an act, unless an earlier one of the step may still be going on.
    pub(super) fn send(&mut self, step: usize, act: &Act, now: Duration) {
        let Some(memory) = self.memory.steps.get_mut(step) else { return };
        if memory.act_until > now {
            return;
        }
        memory.sent = true;
        if act.background {
            memory.act_until = now + act.request.timeout;
        }
        self.effects.push(Effect::Send(step, Box::new(act.clone())));
    }

    /// Notes why things do not go on, for people.
    pub(super) fn explain(&mut self, message: &str, detail: &str) {
        message.clone_into(&mut self.drain.status.message);
        detail.clone_into(&mut self.drain.status.detail);
    }

    /// The state at the backend is as an act of ours would make it: decides whether it is ours.
    ///
    /// Intent that this process wrote, with nothing sent since, was overtaken by somebody else: not ours. Intent that
    /// it did not write may have been acted on by whoever did: ours.
    pub(super) fn settle_ownership(&mut self, step: usize, round: &Round) {
        let (Some(status), Some(memory)) = (self.drain.status.steps.get_mut(step), self.memory.steps.get(step)) else {
            return;
        };
        if let Some(ours) = round.ours {
            status.ownership = if ours { Ownership::Acted } else { Ownership::None };
        } else if status.ownership == Ownership::Intent {
            let overtaken = memory.intended && !memory.sent;
            status.ownership = if overtaken { Ownership::None } else { Ownership::Acted };
        }
    }
}

fn departing(turn: &mut Turn, world: &World) {
    if world.superseded {
        turn.note_departure();
        for step in &mut turn.drain.status.steps {
            step.ownership = Ownership::None;
        }
        turn.enter(Phase::Completed, world.now);
        return;
    }
    match &world.pod {
        PodSeen::Present { terminating: false, .. } => not_carried_out(turn, world),
        PodSeen::Unseen => turn.note_departure(),
        PodSeen::Gone if world.successor != Successor::Awaited => {
            turn.note_departure();
            turn.enter(Phase::Restoring, world.now);
        }
        // That a prepared pod has left is nothing to tell: it is noted with the next phase, which saves a write.
        PodSeen::Gone | PodSeen::Present { terminating: true, .. } => {
            if turn.drain.status.outcome != Some(Outcome::Prepared) {
                turn.note_departure();
            }
        }
    }
}

/// The pod was allowed to leave and stands there all the same: a disruption budget or another webhook refused, or the
/// gate died. After some patience it is Drained again, and its controller is woken once more, the first time.
fn not_carried_out(turn: &mut Turn, world: &World) {
    let waited = turn.memory.since_claim(world.now);
    let patience = world.settings.claim_patience;
    if waited < patience {
        turn.again = turn.again.min(patience.saturating_sub(waited));
        return;
    }
    let status = &mut turn.drain.status;
    status.allowed = false;
    status.outcome = None;
    status.not_carried_out += 1;
    if status.not_carried_out == 1 {
        status.cycle += 1;
    }
    turn.enter(Phase::Drained, world.now);
    turn.explain("allowed, but not carried out: a disruption budget or another webhook is in the way", "");
}

fn completed(turn: &mut Turn, world: &World) {
    let kept = turn.memory.in_phase(world.now);
    if kept >= world.settings.completed_ttl {
        turn.effects.push(Effect::Remove);
    } else {
        turn.again = world.settings.completed_ttl.saturating_sub(kept);
    }
}

/// The part of a verdict that keeps a step from going on, if it does.
pub(super) fn hindrance(verdict: &Verdict) -> Option<(&str, &str)> {
    match verdict {
        Verdict::Blocked { message } | Verdict::Unknown { message } => Some((message, "")),
        Verdict::Failed { message, detail } => Some((message, detail)),
        Verdict::Done | Verdict::Waiting | Verdict::Act(_) => None,
    }
}

//! The transition: one pure function of a drain, what this process remembers of it, and what was seen now.
//!
//! It looks at how things are, not at what happened: a lost or repeated write, a crash or a new leader changes
//! nothing but how much is still to be done.

use std::time::Duration;

use crate::plan::{Act, Mode, Round, Task};

use super::departing;
use super::drain::Drain;
use super::explanation::Explanation;
use super::held;
use super::limit::Room;
use super::memory::{Memory, StepMemory};
use super::preparing;
use super::restoring;
use super::status::{Outcome, Phase};
use super::step::{DrainStep, Ownership};
use super::world::{Effect, Event, Look, PodSeen, PolicySeen, Turn, World};

/// A restore is believed once it was seen on so many rounds running; how many a preparation takes, its plan says.
pub(super) const ROUNDS_RUNNING: u8 = 2;

/// Between two turns of a drain that is being deleted, at the most.
const HURRY: Duration = Duration::from_secs(1);

/// Which rounds to make before the next turn. One that only waits for a place asks no backend.
#[must_use]
pub fn look(drain: &Drain, memory: &Memory, room: &Room) -> Look {
    let steps = &drain.status.steps;
    let all = 0..steps.len();
    let prepare = |steps: Vec<usize>| Look { task: Task::Prepare, steps };
    match drain.status.phase {
        Phase::Queued if matches!(room, Room::Wait(_)) => prepare(Vec::new()),
        Phase::Queued | Phase::Drained => prepare(all.collect()),
        Phase::Draining => {
            let rounds = |step: usize| memory.steps.get(step).map_or(0, |step| step.done_rounds);
            let current = steps.iter().enumerate().position(|(index, step)| rounds(index) < step.rounds());
            prepare((0..=current.unwrap_or(steps.len().saturating_sub(1))).filter(|step| all.contains(step)).collect())
        }
        Phase::Restoring => {
            Look { task: Task::Restore, steps: steps.iter().rposition(DrainStep::owns).into_iter().collect() }
        }
        Phase::Departing | Phase::Completed | Phase::Unknown => prepare(Vec::new()),
    }
}

/// One turn.
#[must_use]
pub fn reconcile(drain: &Drain, memory: &Memory, world: &World) -> Turn {
    let mut work = Work::new(drain, memory, world);
    work.note_policy();
    if !work.leave_if_gone() {
        match drain.status.phase {
            Phase::Queued => preparing::queued(&mut work),
            Phase::Draining => preparing::draining(&mut work),
            Phase::Drained => preparing::drained(&mut work),
            Phase::Departing => departing::departing(&mut work),
            Phase::Restoring => restoring::restoring(&mut work),
            Phase::Completed => completed(&mut work),
            Phase::Unknown => unreadable(&mut work),
        }
    }
    held::tell(&mut work);
    work.finish()
}

/// Whether a turn's drain is to be written. That an intent was acted on, and how long callers pause, rides on the next
/// write: a process that does not know takes the one for acted on, and measures the other itself.
#[must_use]
pub fn must_be_written(before: &Drain, after: &Drain) -> bool {
    let mut after = after.clone();
    after.status.longest_pause_seconds = before.status.longest_pause_seconds;
    for (after, before) in after.status.steps.iter_mut().zip(&before.status.steps) {
        if (before.ownership, after.ownership) == (Ownership::Intent, Ownership::Acted) {
            after.ownership = Ownership::Intent;
        }
    }
    after != *before
}

/// A turn while it is decided.
pub(super) struct Work<'a> {
    /// The drain as it will be; its steps are in `steps`.
    pub drain: Drain,
    /// The memory as it will be; that of the steps is in `steps`.
    pub memory: Memory,
    /// What was seen.
    pub world: &'a World,
    /// All that there is of each step.
    pub steps: Vec<StepWork<'a>>,
    effects: Vec<Effect>,
    /// How long from now until the next turn.
    pub again: Duration,
}

/// One step while a turn is decided: what is stored of it, what this process remembers, and what was seen now.
pub(super) struct StepWork<'a> {
    pub step: DrainStep,
    pub memory: StepMemory,
    pub round: Option<&'a Round>,
}

impl StepWork<'_> {
    /// Whether the step was done on as many rounds running as its plan wants.
    pub fn is_done(&self) -> bool {
        self.memory.done_rounds >= self.step.rounds()
    }

    /// The state at the backend is as an act of ours would make it: decides whether it is ours.
    ///
    /// Intent that this process wrote, with nothing sent since, was overtaken by somebody else: not ours. Intent that
    /// it did not write may have been acted on by whoever did: ours.
    pub fn settle_ownership(&mut self) {
        if let Some(ours) = self.round.and_then(|round| round.ours) {
            self.step.ownership = if ours { Ownership::Acted } else { Ownership::None };
        } else if self.step.ownership == Ownership::Intent {
            let overtaken = self.memory.intended && !self.memory.sent;
            self.step.ownership = if overtaken { Ownership::None } else { Ownership::Acted };
        }
    }
}

impl<'a> Work<'a> {
    fn new(drain: &Drain, memory: &Memory, world: &'a World) -> Self {
        let (mut drain, mut memory) = (drain.clone(), memory.clone());
        memory.notice(&drain, world.now);
        if world.ahead {
            memory.is_asked_ahead(world.now);
        }
        drain.status.longest_pause_seconds = drain.status.longest_pause_seconds.max(memory.longest_pause().as_secs());
        let steps = std::mem::take(&mut drain.status.steps).into_iter().zip(std::mem::take(&mut memory.steps));
        let steps =
            steps.enumerate().map(|(index, (step, memory))| StepWork { step, memory, round: world.rounds.get(&index) });
        let again = Duration::from_secs(drain.status.limits.poll_period_seconds.into());
        Work { steps: steps.collect(), drain, memory, world, effects: Vec::new(), again }
    }

    fn finish(mut self) -> Turn {
        for step in self.steps {
            self.drain.status.steps.push(step.step);
            self.memory.steps.push(step.memory);
        }
        // Who deletes a PodDrain waits for it.
        let again = if self.drain.metadata.kept.deleting { self.again.min(HURRY) } else { self.again };
        Turn { drain: self.drain, memory: self.memory, effects: self.effects, again }
    }

    /// Whether anything at a backend is, or may be, ours to undo.
    pub fn owns_anything(&self) -> bool {
        self.steps.iter().any(|step| step.step.owns())
    }

    /// Tells of a policy that is no longer what it was: a drain under way does not follow it.
    fn note_policy(&mut self) {
        let seen = self.world.policy;
        let under_way = self.drain.status.phase.holds_a_place();
        if !under_way || std::mem::replace(&mut self.memory.policy, seen) == seen {
            return;
        }
        let policy = &self.drain.spec.policy;
        let message = match seen {
            PolicySeen::AsBegun => return,
            PolicySeen::Changed => {
                format!(
                    "policy {policy} has changed: this drain goes on with the steps it began with; to begin anew with \
                     the new ones: castoff cancel {} -n {}",
                    self.drain.spec.pod.name, self.drain.metadata.namespace
                )
            }
            PolicySeen::Gone => format!(
                "policy {policy} no longer selects the pod: it is no longer held, and what was set is restored once it \
                 is replaced"
            ),
            PolicySeen::Other => format!("another policy than {policy} guards the pod now: given up, to begin anew"),
        };
        self.tell("PolicyChanged", false, message);
    }

    /// A pod that leaves by any path takes its drain along.
    fn leave_if_gone(&mut self) -> bool {
        let leaving = matches!(self.world.pod, PodSeen::Gone | PodSeen::Terminating);
        let phase = self.drain.status.phase;
        if leaving && phase == Phase::Restoring {
            // After it was given up: what was set is being undone already.
            self.note_outcome();
        }
        if !leaving || !matches!(phase, Phase::Queued | Phase::Draining | Phase::Drained) {
            return false;
        }
        let holds_nothing = phase == Phase::Queued && !self.world.listed && !self.owns_anything();
        // A slot that was being taken for it may still come.
        if holds_nothing && self.is_quiet() {
            return true;
        }
        self.note_outcome();
        self.enter(if holds_nothing { Phase::Completed } else { Phase::Departing });
        true
    }

    /// The pod was seen to leave: counted once, and told where it was not by our yes.
    pub fn note_outcome(&mut self) {
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
    pub fn enter(&mut self, phase: Phase) {
        let status = &mut self.drain.status;
        status.phase = phase;
        (status.blocked, status.stalled, status.unasked) = (false, false, false);
        status.explain(Explanation::default());
        self.memory.enter(phase, self.world.now);
        for step in &mut self.steps {
            (step.memory.done_rounds, step.memory.restored_rounds) = (0, 0);
            step.memory.refused = None;
        }
        self.again = Duration::ZERO;
    }

    /// Asks for something to be done after the write.
    pub fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Tells people.
    pub fn tell(&mut self, reason: &'static str, warning: bool, message: String) {
        self.effects.push(Effect::Tell(Event { reason, warning, message }));
    }

    /// Whether something of the leader before may still be under way; then waits that long.
    pub fn is_quiet(&mut self) -> bool {
        let left = self.memory.quiet_until.saturating_sub(self.world.now);
        if left.is_zero() {
            return false;
        }
        self.again = left;
        true
    }

    /// Sends an act, unless an earlier one of the step may still be going on.
    pub fn send(&mut self, index: usize, act: &Act) {
        let Some(step) = self.steps.get_mut(index) else { return };
        if step.memory.act_until > self.world.now {
            return;
        }
        step.memory.sent = true;
        if act.background {
            step.memory.act_until = self.world.now + act.request.timeout;
        }
        self.effects.push(Effect::Send(index, Box::new(act.clone())));
    }

    /// Notes why things do not go on, for people.
    pub fn explain(&mut self, why: impl Into<Explanation>) {
        self.drain.status.explain(why.into());
    }

    /// Says which step is under way.
    pub fn at_step(&mut self, index: usize) {
        self.drain.status.step = self.steps.get(index).map(|step| step.step.name.clone());
    }
}

/// Over: kept for a while for people, unless it is in the way of a new one.
fn completed(work: &mut Work<'_>) {
    let kept = work.drain.metadata.kept;
    if kept.finalizer && work.world.listed && !restoring::is_long_deleted(work) {
        // Whoever wrote that it is over ended before giving the slot back: once it is released, nobody would.
        work.effect(Effect::GiveSlot);
        work.again = Duration::ZERO;
        return;
    }
    if kept.finalizer {
        work.effect(Effect::Release);
        return;
    }
    let in_phase = work.memory.in_phase(work.world.now);
    let ttl = work.world.settings.completed_ttl;
    let is_there = matches!(work.world.pod, PodSeen::Present { .. });
    let in_the_way = is_there && (kept.older || work.world.policy == PolicySeen::Other);
    if in_the_way || in_phase >= ttl {
        work.effect(Effect::Remove);
    } else {
        work.again = ttl.saturating_sub(in_phase);
    }
}

/// What this version can't read is left alone, and its pod held, until a person ends it.
fn unreadable(work: &mut Work<'_>) {
    if work.drain.metadata.kept.deleting && work.world.listed && !restoring::is_overdue(work) {
        work.effect(Effect::GiveSlot);
        work.again = Duration::ZERO;
    } else if work.drain.metadata.kept.deleting {
        let message = "this version of Castoff could not read the PodDrain, and ends it because it is deleted: what was \
                       set at a backend may be left there";
        work.tell("NotRestored", true, message.to_owned());
        for step in &mut work.steps {
            step.step.ownership = Ownership::None;
        }
        work.enter(Phase::Completed);
    }
}

/// Whether the pod is expected back, as far as it can be told: what is not known now is as it was.
pub(super) fn mode_now(work: &Work<'_>) -> Mode {
    work.world.mode.unwrap_or(work.drain.status.mode)
}

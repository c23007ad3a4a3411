//! When two worlds are the same: all that decides what can happen next, and nothing else. Versions count by whether they
//! are the newest, times by how long ago they are, up to where no longer wait makes a difference.

use std::hash::{DefaultHasher, Hash, Hasher};

use castoff::lifecycle::hole::{SETTLED, hole};
use castoff::lifecycle::{DrainStep, Hole, PodSeen};

use super::*;

/// All waits but that for a caller are over after that.
const LONGEST_WAIT: Duration = Duration::from_secs(61);

/// By then each try is written down, also of a drain that waits and has no limits of its own yet.
const LONGEST_BETWEEN_TRIES: Duration = Duration::from_secs(150);

const SECOND: Duration = Duration::from_secs(1);

impl World {
    /// The same number for worlds that are the same.
    pub fn key(&self) -> u64 {
        let mut key = DefaultHasher::new();
        self.hash_into(&mut key);
        key.finish()
    }

    fn hash_into(&self, key: &mut DefaultHasher) {
        (self.policy, self.replicas, self.owner_is_read, self.foreign, self.lies, self.refuses).hash(key);
        (&self.pods, &self.stores, &self.slots.0).hash(key);
        for seat in (0..self.seats()).filter(|seat| self.foreign && self.pods[*seat].by_our_yes) {
            self.gone_for(seat).min(SETTLED).hash(key);
        }
        for (uid, drain) in &self.drains {
            uid.hash(key);
            of_drain(drain, key);
        }
        for (uid, memory) in &self.memories {
            uid.hash(key);
            self.of_memory(uid, memory, key);
        }
        // Which of the two is which makes no difference.
        let mut gates = [0, 1].map(|gate| self.of_gate(gate));
        gates.sort_unstable();
        gates.hash(key);
        if let Some(copies) = &self.copies {
            self.of_copies(&copies.drains, key);
            (copies.slots.1 == self.slots.1, &copies.slots.0, &copies.pods).hash(key);
        }
        self.quiet_until.saturating_sub(self.now).hash(key);
        self.decided.len().hash(key);
        for operation in &self.decided {
            self.of_operation(operation, key);
        }
        if let Some(operation) = &self.old {
            self.of_operation(operation, key);
            self.old_until.saturating_sub(self.now).hash(key);
        }
    }

    fn of_copies(&self, copies: &BTreeMap<String, Arc<Drain>>, key: &mut DefaultHasher) {
        copies.len().hash(key);
        for (uid, drain) in copies {
            uid.hash(key);
            self.of_version(drain, key);
        }
    }

    fn of_gate(&self, gate: usize) -> u64 {
        let key = &mut DefaultHasher::new();
        self.of_copies(&self.gates[gate], key);
        for (uid, written) in self.written[gate].iter().filter(|(uid, _)| self.is_up(uid)) {
            let last = self.now.saturating_sub(*written);
            if last < LONGEST_BETWEEN_TRIES {
                (uid, last).hash(key);
            }
        }
        let call = &self.calls[gate];
        std::mem::discriminant(call).hash(key);
        match call {
            Call::None => {}
            Call::Read(drain) => self.of_version(drain, key),
            Call::Done(drain, limit) => {
                limit.hash(key);
                self.of_version(drain, key);
            }
            Call::Allowed(pod) => pod.hash(key),
        }
        key.finish()
    }

    /// A copy that is not the newest version never will be again.
    fn of_version(&self, drain: &Arc<Drain>, key: &mut DefaultHasher) {
        let live = self.drains.get(drain.pod_uid());
        let newest = live.is_some_and(|live| live.metadata.resource_version == drain.metadata.resource_version);
        newest.hash(key);
        if !newest {
            of_drain(drain, key);
        }
    }

    fn of_operation(&self, operation: &Operation, key: &mut DefaultHasher) {
        match operation {
            Operation::Write(drain, turn, slots) => {
                let live = self.drains.get(drain.pod_uid());
                let writes = live.is_some_and(|live| live.metadata.resource_version == drain.metadata.resource_version);
                (0, writes, *slots == self.slots.1, drain.pod_uid()).hash(key);
                if writes {
                    of_drain(drain, key);
                    self.of_memory(drain.pod_uid(), &turn.memory, key);
                    turn.effects.iter().for_each(|effect| of_effect(effect, key));
                }
            }
            Operation::Effect(effect, pod, slots, version) => {
                let newest = self.drains.get(pod).is_some_and(|drain| drain.metadata.resource_version == *version);
                (1, pod, *slots == self.slots.1, newest).hash(key);
                of_effect(effect, key);
            }
        }
    }

    /// What a process remembers of a drain, by what it would make of the drain now.
    fn of_memory(&self, uid: &str, memory: &Memory, key: &mut DefaultHasher) {
        let (now, Some(drain)) = (self.now, self.drains.get(uid)) else { return };
        let (phase, kept) = (drain.status.phase, drain.metadata.kept);
        if phase == Phase::Completed && !self.is_up(uid) && !kept.finalizer {
            return;
        }
        (unnoticed(drain, memory, now), memory.policy as u8, memory.quiet_until.saturating_sub(now)).hash(key);
        memory.deleting_for(now).min(LONGEST_WAIT).hash(key);
        if phase == Phase::Restoring {
            memory.in_phase(now).min(LONGEST_WAIT).hash(key);
        }
        if phase == Phase::Departing && self.is_up(uid) {
            memory.since_claim(now).min(LONGEST_WAIT).hash(key);
        } else if phase == Phase::Departing {
            self.of_pods(drain, memory, key);
        }
        if let Some((step, left, since)) = memory.stuck {
            (step, left, now.saturating_sub(since).min(LONGEST_WAIT)).hash(key);
        }
        for (number, step) in memory.steps.iter().enumerate() {
            let rounds = drain.status.steps.get(number).map_or(2, DrainStep::rounds).max(2);
            (step.intended, step.sent, step.act_until.saturating_sub(now), &step.refused).hash(key);
            (step.done_rounds.min(rounds), step.restored_rounds.min(2)).hash(key);
        }
        if self.is_up(uid) {
            self.of_silence(drain, memory, key);
        }
    }

    /// For how long nobody has asked. Once the pod may leave, nobody is waited for.
    fn of_silence(&self, drain: &Drain, memory: &Memory, key: &mut DefaultHasher) {
        let now = self.now;
        (memory.has_heard && drain.status.unasked).hash(key);
        let patience = patience(drain).max(2 * memory.longest_pause()) + claim::between_tries(drain);
        (patience, memory.silent(now).min(patience + SECOND)).hash(key);
        if drain.status.phase == Phase::Drained {
            // Since the last try, whichever phase it is in.
            let mut memory = memory.clone();
            memory.enter(Phase::Queued, now);
            memory.silent(now).min(patience + SECOND).hash(key);
        }
    }

    fn is_up(&self, uid: &str) -> bool {
        self.pods.iter().enumerate().any(|(seat, pod)| pod.is_up() && super::uid(seat, pod.generation) == uid)
    }

    /// For how long the owner's pods have been as they are, where that decides anything.
    fn of_pods(&self, drain: &Drain, memory: &Memory, key: &mut DefaultHasher) {
        let Some(pod) = &drain.status.pod else { return };
        let (_, seen) = self.sight().seen(drain, self.now);
        if seen.pod != PodSeen::Gone {
            return;
        }
        let number = match hole(pod, &self.sight().pods, &self.sight().owner) {
            Hole::Quiet(number) => number,
            Hole::Open | Hole::Closed => 0,
        };
        let mut memory = memory.clone();
        let before = memory.clone();
        let unchanged = memory.unchanged_for(number, self.now).min(SETTLED);
        (unchanged, memory == before).hash(key);
    }
}

/// What is new in a drain to this process: a claim, the phase, that it is deleted, a try. It takes note of that in the
/// next turn, and what it measures from there on begins only then.
fn unnoticed(drain: &Drain, memory: &Memory, now: Duration) -> [bool; 4] {
    let (mut memory, next) = (memory.clone(), now + SECOND);
    memory.notice(drain, next);
    let deleting = drain.metadata.kept.deleting && memory.deleting_for(next).is_zero();
    let (claim, phase) = (memory.since_claim(next).is_zero(), memory.in_phase(next).is_zero());
    memory.enter(Phase::Queued, next);
    [claim, phase, deleting, memory.silent(next).is_zero()]
}

/// For how long nobody need ask until the drain is given up, as far as it is written down.
fn patience(drain: &Drain) -> Duration {
    let written = 2 * Duration::from_secs(drain.status.longest_pause_seconds);
    let abandon_after = Duration::from_secs(drain.status.limits.abandon_after_seconds.into());
    abandon_after.max(written).max(drain.status.caller.shortest_patience())
}

fn of_drain(drain: &Drain, key: &mut DefaultHasher) {
    let kept = drain.metadata.kept;
    (&drain.metadata.uid, drain.spec.cancel, &drain.spec.policy, kept.deleting, kept.finalizer).hash(key);
    let status = &drain.status;
    (status.phase, status.cycle, status.mode as u8, &status.step, status.pod.is_some(), &status.message).hash(key);
    (status.blocked, status.stalled, status.unasked, status.caller, patience(drain)).hash(key);
    (status.allowed, status.left, status.not_carried_out.min(2), status.again, status.outcome).hash(key);
    status.predecessor.hash(key);
    for step in &status.steps {
        (&step.name, step.parameters["port"].as_u64(), step.ownership, step.member.is_some(), step.act_seconds)
            .hash(key);
    }
}

fn of_effect(effect: &Effect, key: &mut DefaultHasher) {
    std::mem::discriminant(effect).hash(key);
    match effect {
        Effect::TakeSlot(slots) => slots.hash(key),
        Effect::Send(step, act) => (step, act.index).hash(key),
        Effect::Wake(mark) => mark.hash(key),
        Effect::GiveSlot
        | Effect::Unmark
        | Effect::Delete
        | Effect::Release
        | Effect::Remove
        | Effect::Tell(_)
        | Effect::Count(_) => {}
    }
}

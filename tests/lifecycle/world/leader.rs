//! The leader: looks at a drain, decides, writes, acts.

use castoff::lifecycle::{Hole, Room, World as Seen};

use super::*;

impl World {
    pub(super) fn turn(&mut self, seat: usize) {
        let policy = &self.policy.policy().name;
        let is_in_the_way = |drain: &Drain| drain.metadata.kept.finalizer || drain.spec.policy != *policy;
        let is_there = |drain: &Drain| drain.status.phase != Phase::Completed || is_in_the_way(drain);
        let name = seat_name(seat);
        let candidates: Vec<Arc<Drain>> =
            self.drains.values().filter(|drain| drain.spec.pod.name == name && is_there(drain)).cloned().collect();
        for drain in candidates {
            if !self.decided.is_empty() {
                return;
            }
            self.turn_of(seat, &drain);
        }
    }

    fn turn_of(&mut self, seat: usize, stored: &Arc<Drain>) {
        let new = || Memory::new(stored, self.now, Duration::ZERO);
        let memory = self.memories.entry(stored.pod_uid().to_owned()).or_insert_with(new).clone();
        let (mut drain, mut seen) = self.sight().seen(stored, self.now);
        self.spoil(&mut drain, &mut seen);
        let wanted = look(&drain, &memory, &seen.room);
        let round = |step: &usize| (*step, self.round(seat, wanted.task, &drain.status.steps[*step]));
        seen.rounds = wanted.steps.iter().map(round).collect();
        let turn = reconcile(&drain, &memory, &seen);
        self.check_decision(seat, &drain, &turn);
        let before = Drain::clone(stored).to_be_stored(stored);
        let mut after = turn.drain.clone().to_be_stored(stored);
        after.metadata.kept = stored.metadata.kept;
        if must_be_written(&before, &after) {
            self.decided.push(Operation::Write(Box::new(after), Box::new(turn), self.slots.1));
        } else {
            self.memories.insert(stored.pod_uid().to_owned(), turn.memory.clone());
            self.decide_effects(turn, self.slots.1);
        }
    }

    /// The mistakes that are made on purpose in what is seen.
    fn spoil(&self, drain: &mut Drain, seen: &mut Seen) {
        match self.broken {
            Broken::DeleteChangesNothing => drain.metadata.kept.deleting = false,
            Broken::LimitAskedOnlyOnce if drain.status.phase.holds_a_place() => seen.room = Room::Held,
            Broken::HoleByKind if self.foreign => seen.hole = Hole::Open,
            Broken::UnknownIsDefault if !self.owner_is_read => seen.mode = Some(Mode::Restart),
            Broken::TakeoverByPlace => {
                let before = seen.predecessor.iter_mut().flat_map(|drain| &mut drain.status.steps);
                for (before, own) in before.zip(&drain.status.steps) {
                    before.name.clone_from(&own.name);
                    before.parameters.clone_from(&own.parameters);
                }
                if let Some(successor) = &mut seen.successor {
                    successor.status.steps.clone_from(&drain.status.steps);
                }
            }
            _ => {}
        }
    }

    /// What can be told of a decision alone, by what really is.
    fn check_decision(&mut self, seat: usize, drain: &Drain, turn: &Turn) {
        let truly = if seat < self.replicas { Mode::Restart } else { Mode::Removal };
        let told =
            |reason| turn.effects.iter().any(|effect| matches!(effect, Effect::Tell(event) if event.reason == reason));
        if self.frozen && (told("Draining") || told("Drained")) {
            self.violated("begun, or called prepared, while the policy is frozen");
        }
        if told("Reconsidered") && drain.status.mode == truly {
            self.violated("undone though the owner's wish has not changed");
        }
        if turn.effects.contains(&Effect::Delete) && truly == Mode::Restart {
            self.violated("deletes a pod that its owner does not want gone");
        }
    }

    pub(super) fn sight(&self) -> sights::Sight<'_> {
        let owner = match (self.owner_is_read, self.foreign) {
            (false, _) => OwnerSeen::Unknown,
            (true, true) => OwnerSeen::Known(OwnerFacts::default()),
            (true, false) => sights::owner(self.replicas).clone(),
        };
        sights::Sight {
            pods: sights::pods(&self.pods, self.foreign),
            drains: self.drains.values().cloned().collect(),
            frozen: self.frozen && self.broken != Broken::FreezeOfGatesOnly,
            one_zone: self.broken == Broken::OneZoneForAll,
            list_only: self.broken == Broken::SlotsFromListOnly,
            slots: &self.slots.0,
            policy: self.policy.policy(),
            owner,
        }
    }

    fn decide_effects(&mut self, turn: Turn, slots: u64) {
        let uid = turn.drain.pod_uid().to_owned();
        self.decided.extend(turn.effects.into_iter().map(|effect| Operation::Effect(effect, uid.clone(), slots)));
    }

    pub(super) fn act(&mut self) {
        if !self.decided.is_empty() {
            let operation = self.decided.remove(0);
            self.carry_out(operation, true);
        }
    }

    pub(super) fn carry_out(&mut self, operation: Operation, is_leader: bool) {
        match operation {
            Operation::Write(drain, turn, slots) => {
                let uid = drain.pod_uid().to_owned();
                if self.write(*drain, false) && is_leader {
                    self.memories.insert(uid, turn.memory.clone());
                    self.decide_effects(*turn, slots);
                } else {
                    self.decided.clear();
                }
            }
            Operation::Effect(effect, pod, slots_version) => self.effect(effect, &pod, slots_version, is_leader),
        }
    }

    fn effect(&mut self, effect: Effect, pod: &str, slots_version: u64, is_leader: bool) {
        let Some(drain) = self.drains.get(pod).cloned() else { return };
        let seat = (0..SEATS).find(|seat| seat_name(*seat) == drain.spec.pod.name).unwrap();
        let is_its = uid(seat, self.pods[seat].generation) == pod;
        match effect {
            Effect::TakeSlot(slots) => self.write_slots(slots, slots_version),
            // It is read again before.
            Effect::GiveSlot => self.write_slots(self.slots.0.without(&drain.metadata.name), self.slots.1),
            Effect::Send(_, act) => self.stores[seat].act(act.index, drain.status.mode),
            Effect::Wake(mark) => {
                if is_leader && self.stores[seat].leaders {
                    self.violated("6: woken before the gate would allow");
                }
                let pod = &mut self.pods[seat];
                if is_its && pod.mark.as_ref() != Some(&mark) {
                    pod.mark = Some(mark.clone());
                    pod.wakes.push(mark);
                }
            }
            Effect::Unmark if is_its => self.pods[seat].mark = None,
            // Which the gate is asked for as for any other.
            Effect::Delete if is_its => self.attempt(0, seat, Caller::Program),
            Effect::Release | Effect::Remove => {
                self.drains.remove(pod);
                self.memories.remove(pod);
            }
            Effect::Unmark | Effect::Delete | Effect::Tell(_) | Effect::Count(_) => {}
        }
    }

    fn write_slots(&mut self, slots: Slots, version: u64) {
        if self.slots.1 == version || self.broken == Broken::SlotsUnconditional {
            self.slots = (slots, self.slots.1 + 1);
        }
    }
}

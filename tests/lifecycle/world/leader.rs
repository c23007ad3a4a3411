//! The leader: looks at a drain, decides, writes, acts.

use castoff::lifecycle::{Hole, Room, World as Seen};
use castoff::plan::Act;

use super::*;

impl World {
    pub(super) fn turn(&mut self, seat: usize) {
        let generations = 0..=self.pods[seat].generation;
        for generation in generations {
            if !self.decided.is_empty() {
                return;
            }
            self.turn_of_pod(seat, generation);
        }
    }

    /// The drain of this pod, as the leader knows it, unless it is over.
    pub(super) fn drain_to_turn(&self, seat: usize, generation: u32) -> Option<&Arc<Drain>> {
        let policy = &self.policy.policy().name;
        let is_in_the_way = |drain: &Drain| drain.metadata.kept.finalizer || drain.spec.policy != *policy;
        let is_there = |drain: &&Arc<Drain>| drain.status.phase != Phase::Completed || is_in_the_way(drain);
        self.known().get(&uid(seat, generation)).filter(is_there)
    }

    pub(super) fn turn_of_pod(&mut self, seat: usize, generation: u32) {
        let Some(stored) = self.drain_to_turn(seat, generation).filter(|_| self.decided.is_empty()).cloned() else {
            return;
        };
        let new = || Memory::new(&stored, self.now, self.quiet_about(&stored));
        let memory = self.memories.get(stored.pod_uid()).cloned().unwrap_or_else(new);
        let (mut drain, mut seen) = self.sight_of_leader().seen(&stored, self.now);
        self.spoil(&mut drain, &mut seen);
        let wanted = look(&drain, &memory, &seen.room);
        let round = |step: &usize| (*step, self.round(seat, wanted.task, &drain.status.steps[*step]));
        seen.rounds = wanted.steps.iter().map(round).collect();
        let mut turn = reconcile(&drain, &memory, &seen);
        self.check_decision(seat, &drain, &turn);
        self.forget_intent(&stored, &mut turn);
        let before = Drain::clone(&stored).to_be_stored(&stored);
        let mut after = turn.drain.clone().to_be_stored(&stored);
        after.metadata.kept = stored.metadata.kept;
        let slots = self.copies.as_ref().map_or(self.slots.1, |copies| copies.slots.1);
        if must_be_written(&before, &after) {
            self.decided.push(Operation::Write(Box::new(after), Box::new(turn), slots));
        } else {
            self.memories.insert(stored.pod_uid().to_owned(), turn.memory.clone());
            self.decide_effects(seat, turn, slots);
        }
    }

    /// For how long nothing is done about a drain that the leader hears of only now, as its agenda has it.
    fn quiet_about(&self, drain: &Drain) -> Duration {
        let is_quiet = drain.owns_anything() && self.broken != Broken::QuietOnlyAtFirst;
        if is_quiet { self.quiet_until.saturating_sub(self.now) } else { Duration::ZERO }
    }

    /// What the leader has in memory comes up to date; also that another has brought a drain on.
    pub(super) fn sync_leader(&mut self) {
        let Some(before) = self.copies.take() else { return };
        self.let_leader_lag();
        for (uid, drain) in &self.drains {
            let is_news = before.drains.get(uid) != Some(drain);
            let until = self.now + self.quiet_about(drain);
            if let Some(memory) = self.memories.get_mut(uid).filter(|_| is_news) {
                memory.quiet_until = memory.quiet_until.max(until);
            }
        }
    }

    /// From now on the leader sees what it has copies of.
    pub fn let_leader_lag(&mut self) {
        let (drains, slots, pods) = (self.drains.clone(), self.slots.clone(), self.pods.clone());
        self.copies = Some(Copies { drains, slots, pods });
    }

    /// The mistakes that are made on purpose in what is seen.
    fn spoil(&self, drain: &mut Drain, seen: &mut Seen) {
        match self.broken {
            Broken::IntentNotWritten if drain.status.phase == Phase::Draining => {
                drain.status.steps.iter_mut().for_each(|step| step.ownership = Ownership::Intent);
            }
            Broken::DeleteChangesNothing => drain.metadata.kept.deleting = false,
            Broken::LimitAskedOnlyOnce if drain.status.phase.holds_a_place() => seen.room = Room::Held,
            Broken::HoleByKind if self.foreign => seen.hole = Hole::Open,
            Broken::HoleClosedAtOnce if self.foreign => seen.hole = Hole::Closed,
            Broken::NeverTakenBack => seen.settings.claim_patience = Duration::MAX,
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

    /// A mistake that is made on purpose: what is about to be set is not written down.
    fn forget_intent(&self, stored: &Drain, turn: &mut Turn) {
        if self.broken == Broken::IntentNotWritten {
            for (after, before) in turn.drain.status.steps.iter_mut().zip(&stored.status.steps) {
                after.ownership = before.ownership;
            }
        }
    }

    /// What can be told of a decision alone, by what really is.
    fn check_decision(&mut self, seat: usize, drain: &Drain, turn: &Turn) {
        let truly = if seat < self.replicas { Mode::Restart } else { Mode::Removal };
        let told =
            |reason| turn.effects.iter().any(|effect| matches!(effect, Effect::Tell(event) if event.reason == reason));
        if self.policy.frozen && (told("Draining") || told("Drained")) {
            self.violated("begun, or called prepared, while the policy is frozen");
        }
        if told("Reconsidered") && drain.status.mode == truly {
            self.violated("undone though the owner's wish has not changed");
        }
        let wakes = turn.effects.iter().any(|effect| matches!(effect, Effect::Wake(_)));
        if wakes && self.stores[seat].leaders {
            self.violated("6: woken before the gate would allow");
        }
        if turn.effects.contains(&Effect::Delete) && truly == Mode::Restart {
            self.violated("deletes a pod that its owner does not want gone");
        }
    }

    /// What is to be seen live.
    pub(super) fn sight(&self) -> sights::Sight<'_> {
        self.sight_of(&self.pods, &self.drains, &self.slots.0)
    }

    fn sight_of_leader(&self) -> sights::Sight<'_> {
        match &self.copies {
            Some(copies) => self.sight_of(&copies.pods, &copies.drains, &copies.slots.0),
            None => self.sight(),
        }
    }

    fn sight_of<'a>(
        &'a self,
        pods: &[Pod],
        drains: &BTreeMap<String, Arc<Drain>>,
        slots: &'a Slots,
    ) -> sights::Sight<'a> {
        let owner = match (self.owner_is_read, self.foreign) {
            (false, _) => OwnerSeen::Unread,
            (true, true) => OwnerSeen::Known(OwnerFacts::default()),
            (true, false) => sights::owner(self.replicas).clone(),
        };
        sights::Sight {
            pods: sights::pods(pods, self.foreign),
            drains: drains.values().cloned().collect(),
            live: &self.drains,
            frozen: self.policy.frozen && self.broken != Broken::FreezeOfGatesOnly,
            one_zone: self.broken == Broken::OneZoneForAll,
            list_only: self.broken == Broken::SlotsFromListOnly,
            slots,
            policy: self.policy,
            owner,
        }
    }

    /// What people are told, and what is counted, changes nothing.
    fn decide_effects(&mut self, seat: usize, turn: Turn, slots: u64) {
        let uid = turn.drain.pod_uid().to_owned();
        let version = self.known().get(&uid).map(|drain| drain.metadata.resource_version.clone()).unwrap_or_default();
        for effect in turn.effects {
            match effect {
                Effect::Tell(event) => self.stores[seat].told |= event.reason == "NotRestored",
                Effect::Count(_) => {}
                effect => self.decided.push(Operation::Effect(effect, uid.clone(), slots, version.clone())),
            }
        }
    }

    /// What is about to be sent is cut off: for ten seconds it may still land.
    pub(super) fn cut_off(&mut self) {
        let Some(Operation::Effect(Effect::Send(step, _), pod, ..)) = self.decided.first() else { return };
        if let Some(memory) = self.memories.get_mut(pod) {
            memory.sent(*step, true, None, self.now);
        }
        self.old = Some(self.decided.remove(0));
        self.old_until = self.now + QUIET;
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
                let seat = self.seat_of(&drain);
                let written = self.write(*drain, false);
                if written && is_leader {
                    if let Some(copies) = &mut self.copies {
                        copies.drains.insert(uid.clone(), Arc::clone(&self.drains[&uid]));
                    }
                    self.memories.insert(uid, turn.memory.clone());
                    self.decide_effects(seat, *turn, slots);
                } else if is_leader {
                    self.decided.clear();
                }
            }
            Operation::Effect(effect, pod, slots, version) => self.effect(effect, &pod, (slots, version), is_leader),
        }
    }

    fn effect(&mut self, effect: Effect, pod: &str, (slots_version, version): (u64, String), is_leader: bool) {
        let Some(drain) = self.drains.get(pod).cloned() else { return };
        let seat = self.seat_of(&drain);
        let is_its = uid(seat, self.pods[seat].generation) == pod;
        match effect {
            Effect::TakeSlot(slots) => self.write_slots(slots, slots_version, is_leader),
            Effect::GiveSlot if self.broken == Broken::SlotKept => {}
            // It is read again before.
            Effect::GiveSlot => {
                let (slots, version) = self.copies.as_ref().map_or(&self.slots, |copies| &copies.slots).clone();
                self.write_slots(slots.without(&drain.metadata.name), version, is_leader);
            }
            Effect::Send(step, act) => self.send(seat, step, &act, pod, drain.status.mode, is_leader),
            Effect::Wake(mark) if is_its => self.wake(seat, mark),
            Effect::Unmark if is_its => self.pods[seat].mark = None,
            // Which the gate is asked for as for any other.
            Effect::Delete if is_its => self.attempt(0, seat, Caller::Program),
            Effect::Release if drain.metadata.resource_version == version => self.release(&drain),
            Effect::Remove if self.broken == Broken::NotRemoved => {}
            Effect::Remove if drain.metadata.resource_version == version => self.forget(pod),
            Effect::Release
            | Effect::Remove
            | Effect::Wake(_)
            | Effect::Unmark
            | Effect::Delete
            | Effect::Tell(_)
            | Effect::Count(_) => {}
        }
    }

    /// The API server may let go of it: what is being deleted is gone then.
    fn release(&mut self, drain: &Drain) {
        let pod = drain.pod_uid();
        if drain.metadata.kept.deleting {
            return self.forget(pod);
        }
        let mut released = drain.clone();
        released.metadata.kept.finalizer = false;
        self.write(released, false);
        if let Some(copies) = &mut self.copies {
            copies.drains.insert(pod.to_owned(), Arc::clone(&self.drains[pod]));
        }
    }

    /// It is no more.
    fn forget(&mut self, pod: &str) {
        self.drains.remove(pod);
        self.memories.remove(pod);
        if let Some(copies) = &mut self.copies {
            copies.drains.remove(pod);
        }
    }

    fn send(&mut self, seat: usize, step: usize, act: &Act, pod: &str, mode: Mode, is_leader: bool) {
        if !self.refuses {
            self.stores[seat].act(act.index, mode);
        }
        if let Some(memory) = self.memories.get_mut(pod).filter(|_| is_leader) {
            memory.sent(step, false, self.refuses.then(|| "no".into()), self.now);
        }
    }

    fn wake(&mut self, seat: usize, mark: String) {
        let pod = &mut self.pods[seat];
        if pod.mark.as_ref() != Some(&mark) {
            let again = pod.wakes.contains(&mark);
            pod.mark = Some(mark.clone());
            pod.wakes.push(mark);
            if again {
                self.violated("6: woken twice for the same becoming-prepared");
            }
        }
    }

    fn write_slots(&mut self, slots: Slots, version: u64, is_leader: bool) {
        if self.slots.1 == version || self.broken == Broken::SlotsUnconditional {
            self.slots = (slots, self.slots.1 + 1);
            if let Some(copies) = self.copies.as_mut().filter(|_| is_leader) {
                copies.slots.clone_from(&self.slots);
            }
        }
    }
}

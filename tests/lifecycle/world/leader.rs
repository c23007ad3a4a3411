//! The leader: looks at a drain, decides, writes, acts.

use super::*;

impl World {
    pub(super) fn turn(&mut self, seat: usize) {
        if !self.decided.is_empty() {
            return;
        }
        let of_seat = |drain: &&Drain| drain.spec.pod.name == seat_name(seat);
        let candidates: Vec<Drain> = self.drains.values().filter(of_seat).cloned().collect();
        for drain in candidates {
            if drain.status.phase == Phase::Completed && drain.status.left {
                continue;
            }
            self.turn_of(seat, &drain);
            if !self.decided.is_empty() {
                return;
            }
        }
    }

    pub(super) fn turn_of(&mut self, seat: usize, drain: &Drain) {
        let memory = self
            .memories
            .entry(drain.pod_uid().to_owned())
            .or_insert_with(|| Memory::new(drain, self.now, Duration::ZERO))
            .clone();
        let mut drain = drain.clone();
        if self.broken == Broken::DeleteChangesNothing {
            drain.metadata.kept.deleting = false;
        }
        let drain = &drain;
        let mut seen = self.sight().seen(drain, self.now);
        if self.broken == Broken::LimitAskedOnlyOnce && drain.status.phase.holds_a_place() {
            seen.room = castoff::lifecycle::Room::Held;
        }
        if self.broken == Broken::HoleByKind && self.foreign {
            seen.hole = castoff::lifecycle::Hole::Open;
        }
        let wanted = look(drain, &memory, &seen.room);
        seen.rounds = wanted.steps.iter().map(|step| (*step, self.round(seat, wanted.task))).collect();
        let turn = reconcile(drain, &memory, &seen);
        if must_be_written(drain, &turn.drain) {
            self.decided.push(Operation::Write(Box::new(turn), Box::new(drain.clone())));
        } else {
            self.memories.insert(drain.pod_uid().to_owned(), turn.memory.clone());
            self.decide_effects(&turn, drain);
        }
    }

    pub(super) fn sight(&self) -> sights::Sight<'_> {
        let owner = match (self.owner_is_read, self.foreign) {
            (false, _) => OwnerSeen::Unknown,
            (true, true) => OwnerSeen::Known(OwnerFacts { wanted: None, kind: OwnerKind::Other }),
            (true, false) => sights::owner(SEATS),
        };
        sights::Sight {
            pods: sights::pods(&self.pods, self.foreign),
            drains: self.drains.values().cloned().map(std::sync::Arc::new).collect(),
            list_only: self.broken == Broken::SlotsFromListOnly,
            slots: &self.slots.0,
            policy: &self.policy,
            owner,
        }
    }

    /// What a round finds: an entry is what prepares, and what is restored.
    pub(super) fn round(&self, seat: usize, task: Task) -> Round {
        let store = self.stores[seat];
        let act = |index| {
            let request = Request {
                method: "POST".to_owned(),
                url: String::new(),
                body: None,
                ok: Accept::None,
                timeout: Duration::from_secs(3),
                tls_secret: String::new(),
                auth_secret: String::new(),
            };
            Verdict::Act(Box::new(Act { index, request, background: false, irreversible: false }))
        };
        let verdict = match task {
            _ if self.lies => Verdict::Unknown { message: "it has just started".to_owned() },
            Task::Prepare if !store.entry => act(0),
            Task::Prepare if store.leaders => Verdict::Waiting,
            Task::Restore if store.entry => act(1),
            Task::Prepare | Task::Restore => Verdict::Done,
        };
        Round { verdict, member: Some(seat.to_string()), progress: None, ours: None }
    }

    pub(super) fn decide_effects(&mut self, turn: &Turn, drain: &Drain) {
        let slots_version = self.slots.1;
        let uid = drain.pod_uid().to_owned();
        let effects = turn.effects.iter().map(|effect| Operation::Effect(effect.clone(), uid.clone(), slots_version));
        self.decided.extend(effects);
    }

    pub(super) fn act(&mut self) {
        if !self.decided.is_empty() {
            let operation = self.decided.remove(0);
            self.carry_out(operation, true);
        }
    }

    pub(super) fn carry_out(&mut self, operation: Operation, is_leader: bool) {
        match operation {
            Operation::Write(turn, before) => {
                let slots_version = self.slots.1;
                let drain = turn.drain.clone();
                if self.write(drain, false) && is_leader {
                    self.memories.insert(before.pod_uid().to_owned(), turn.memory.clone());
                    let uid = before.pod_uid().to_owned();
                    let effects = turn.effects.into_iter();
                    self.decided.extend(effects.map(|effect| Operation::Effect(effect, uid.clone(), slots_version)));
                } else {
                    self.decided.clear();
                }
            }
            Operation::Effect(effect, pod, slots_version) => self.effect(effect, &pod, slots_version, is_leader),
        }
    }

    pub(super) fn effect(&mut self, effect: Effect, pod: &str, slots_version: u64, is_leader: bool) {
        let Some(drain) = self.drains.get(pod).cloned() else { return };
        let seat = (0..SEATS).find(|seat| seat_name(*seat) == drain.spec.pod.name).unwrap();
        match effect {
            Effect::TakeSlot(slots) => self.write_slots(slots, slots_version),
            Effect::GiveSlot => self.write_slots(self.slots.0.without(&drain.metadata.name), slots_version),
            Effect::Send(_, act) if act.index == 0 => self.stores[seat].entry = true,
            Effect::Send(..) => {
                self.stores[seat] = Store { entry: false, persons: self.stores[seat].persons, ..self.stores[seat] }
            }
            Effect::Wake(mark) => {
                if is_leader && self.stores[seat].leaders {
                    self.violated("6: woken before the gate would allow");
                }
                let pod_now = &mut self.pods[seat];
                if uid(seat, pod_now.generation) == pod && pod_now.mark.as_ref() != Some(&mark) {
                    pod_now.mark = Some(mark.clone());
                    pod_now.wakes.push(mark);
                }
            }
            Effect::Unmark => {
                let pod_now = &mut self.pods[seat];
                if uid(seat, pod_now.generation) == pod {
                    pod_now.mark = None;
                }
            }
            Effect::Delete => self.violated("deletes a pod that its owner has not been seen to want gone"),
            Effect::Release | Effect::Remove => {
                self.drains.remove(pod);
            }
            Effect::Tell(_) | Effect::Count(_) => {}
        }
    }

    pub(super) fn write_slots(&mut self, slots: Slots, version: u64) {
        if self.slots.1 == version || self.broken == Broken::SlotsUnconditional {
            self.slots = (slots, self.slots.1 + 1);
        }
    }
}

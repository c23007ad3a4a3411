//! Everything runs its course, without faults; then nothing may be left open.

use super::*;

/// So many rounds of three seconds, in which what is being deleted must have ended; then such of a minute.
const SHORT_ROUNDS: u32 = 40;

/// So many rounds at the most: hours.
const ROUNDS: u32 = 400;

impl World {
    /// Lets everything settle.
    pub fn settle(&mut self) {
        self.lies = false;
        self.old = None;
        self.owner_is_read = true;
        self.frozen = false;
        let deleted = |drain: &Drain| drain.metadata.kept.deleting;
        for round in 0..ROUNDS {
            for seat in 0..SEATS {
                self.settle_seat(seat);
            }
            for gate in 0..2 {
                self.observe_at(gate);
                self.claim(gate);
                self.carry_out_allow(gate, true);
                self.gates[gate] = self.drains.clone();
            }
            self.pass(Duration::from_secs(if round < SHORT_ROUNDS { 3 } else { 60 }));
            self.check();
            if round == SHORT_ROUNDS && self.drains.values().any(|drain| deleted(drain)) {
                self.violated("a PodDrain that was deleted two minutes ago is still there");
            }
            if self.violation.is_some() || self.is_settled() {
                break;
            }
        }
        self.check_the_end();
    }

    fn settle_seat(&mut self, seat: usize) {
        self.turn(seat);
        while !self.decided.is_empty() {
            self.act();
        }
        self.move_leaders(seat);
        self.kubelet(seat);
        if self.pods[seat].life == Life::NotReady {
            self.pods[seat].life = Life::Ready;
        }
        if seat >= self.replicas {
            self.attempt(seat % 2, seat, Caller::Owner);
        }
    }

    fn is_settled(&self) -> bool {
        let over = self.drains.values().all(|drain| drain.status.phase == Phase::Completed);
        let life = |seat| if seat < self.replicas { Life::Ready } else { Life::Gone };
        over && self.decided.is_empty() && (0..SEATS).all(|seat| self.pods[seat].life == life(seat))
    }

    fn check_the_end(&mut self) {
        let open = self.drains.values().filter(|drain| drain.status.phase != Phase::Completed);
        let open: Vec<_> = open.map(|drain| format!("{} {:?}", drain.metadata.name, drain.status.phase)).collect();
        if !open.is_empty() {
            self.violated(&format!("7: never over: {}", open.join(", ")));
        } else if !self.slots.0.departing.is_empty() {
            self.violated("7: a slot is held for ever");
        }
        for seat in 0..SEATS {
            if let Some(wrong) = self.stores[seat].wrong(seat) {
                self.violated(&wrong);
            }
        }
    }

    pub(super) fn check(&mut self) {
        for pod in &self.pods {
            let mut marks = pod.wakes.clone();
            marks.dedup();
            marks.sort();
            let before = marks.len();
            marks.dedup();
            if marks.len() != before {
                self.violated("6: woken twice for the same becoming-prepared");
                return;
            }
        }
    }
}

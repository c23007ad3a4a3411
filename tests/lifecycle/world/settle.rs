//! Everything runs its course, without faults; then nothing may be left open.

use super::*;

/// So many rounds of three seconds, in which what is being deleted must have ended; then such of a minute.
const SHORT_ROUNDS: u32 = 40;

/// So many rounds at the most: hours.
const ROUNDS: u32 = 400;

impl World {
    /// Lets everything settle.
    pub fn settle(&mut self) {
        (self.lies, self.refuses) = (false, false);
        self.copies = None;
        self.old = None;
        self.owner_is_read = true;
        self.policy.frozen = false;
        let deleted = |drain: &Drain| drain.metadata.kept.deleting;
        for round in 0..ROUNDS {
            for seat in 0..self.seats() {
                self.settle_seat(seat);
            }
            for gate in 0..2 {
                self.observe_at(gate);
                self.claim(gate);
                self.carry_out_allow(gate, true);
                self.gates[gate] = self.drains.clone();
            }
            self.pass(Duration::from_secs(if round < SHORT_ROUNDS { 3 } else { 60 }));
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

    /// How everything stands, for people.
    pub fn told(&self) -> String {
        let drain = |drain: &Arc<Drain>| {
            let status = &drain.status;
            let owned: Vec<_> = status.steps.iter().map(|step| step.ownership).collect();
            format!("  {} {:?} {owned:?} {}", drain.metadata.name, status.phase, status.message)
        };
        let drains: Vec<String> = self.drains.values().map(drain).collect();
        let lives: Vec<_> = self.pods.iter().map(|pod| pod.life).collect();
        let (slots, left) = (&self.slots.0.departing, self.what_is_left());
        format!("{}\n  {lives:?} {:?} {slots:?} {left:?}", drains.join("\n"), self.stores)
    }

    /// All is over, nothing is under way, and nothing was left behind.
    pub fn is_quiet(&self) -> bool {
        let idle = self.old.is_none() && self.calls.iter().all(|call| matches!(call, Call::None));
        let kept = self.drains.values().any(|drain| drain.metadata.kept.finalizer);
        idle && !kept && self.is_settled() && self.what_is_left().is_none()
    }

    fn is_settled(&self) -> bool {
        let over = self.drains.values().all(|drain| drain.status.phase == Phase::Completed);
        let life = |seat| if seat < self.replicas { Life::Ready } else { Life::Gone };
        over && self.decided.is_empty() && (0..self.seats()).all(|seat| self.pods[seat].life == life(seat))
    }

    fn check_the_end(&mut self) {
        if let Some(left) = self.what_is_left() {
            self.violated(&left);
        }
    }

    /// What is open, or left behind.
    pub fn what_is_left(&self) -> Option<String> {
        let open = self.drains.values().filter(|drain| drain.status.phase != Phase::Completed);
        let open: Vec<_> = open.map(|drain| format!("{} {:?}", drain.metadata.name, drain.status.phase)).collect();
        if !open.is_empty() {
            return Some(format!("7: never over: {}", open.join(", ")));
        }
        let is_told =
            |drain: &str| (0..self.seats()).any(|seat| self.stores[seat].told && drain.starts_with(&seat_name(seat)));
        if self.slots.0.departing.iter().any(|slot| !is_told(&slot.drain)) {
            return Some("7: a slot is held for ever".to_owned());
        }
        (0..self.seats()).find_map(|seat| self.stores[seat].wrong(seat))
    }
}

//! What people do.

use super::*;

impl World {
    pub(super) fn of_person(&mut self, seat: u8, change: impl FnOnce(&mut Drain)) {
        let seat = usize::from(seat) % self.seats();
        if let Some(drain) = self.drains.get(&uid(seat, self.pods[seat].generation)) {
            let mut drain = Drain::clone(drain);
            change(&mut drain);
            self.write(drain, false);
        }
    }

    /// The API server keeps what has a finalizer.
    pub(super) fn delete(&mut self, seat: u8) {
        let number = usize::from(seat) % self.seats();
        let uid = uid(number, self.pods[number].generation);
        if self.drains.get(&uid).is_some_and(|drain| drain.metadata.kept.finalizer) {
            self.of_person(seat, |drain| drain.metadata.kept.deleting = true);
        } else {
            self.drains.remove(&uid);
            self.memories.remove(&uid);
        }
    }

    /// A person's entry that is set while ours is there, or about to be, can't be told apart: that is documented.
    pub(super) fn person(&mut self, seat: usize) {
        let of_seat = |drain: &&Arc<Drain>| drain.spec.pod.name == seat_name(seat);
        let ours_about = self
            .drains
            .values()
            .filter(of_seat)
            .any(|drain| drain.owns_anything() || !matches!(drain.status.phase, Phase::Completed));
        let has_entries = self.stores[seat].has_entries();
        if !ours_about && !has_entries && !self.lies && self.decided.is_empty() && self.old.is_none() {
            self.stores[seat].set_by_a_person();
        }
    }
}

//! Whether the parts of this process that must never stand still go on.
//!
//! Readiness asks whether others may send requests here; liveness, whether only a new process would help. A part that has
//! died ends the process by itself: what is found here is a part that is there and does not turn.

use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The parts that have to give signs of life.
#[derive(Clone, Debug, Default)]
pub struct Liveness(Arc<Mutex<Vec<Part>>>);

#[derive(Debug)]
struct Part {
    name: &'static str,
    /// The longest that it may take from one beat to the next.
    limit: Duration,
    /// `None` while no beat is due.
    last: Option<Instant>,
}

/// How a part gives its signs of life. Dropping it is no sign of any kind: whoever is silent is late some day.
#[derive(Clone, Debug)]
pub struct Pulse {
    liveness: Liveness,
    index: usize,
}

impl Liveness {
    /// No parts yet.
    #[must_use]
    pub fn new() -> Self {
        Liveness::default()
    }

    /// Adds a part that beats at least once within `limit`, counted from now.
    #[must_use]
    pub fn register(&self, name: &'static str, limit: Duration) -> Pulse {
        let mut parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        parts.push(Part { name, limit, last: Some(Instant::now()) });
        Pulse { liveness: self.clone(), index: parts.len() - 1 }
    }

    /// Whether every part has beaten within its limit as of `now`, and a line for each.
    #[must_use]
    pub fn report(&self, now: Instant) -> (bool, String) {
        let parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut alive, mut text) = (true, String::new());
        for part in parts.iter() {
            // Writing to a text does not fail.
            let _ = match part.late(now) {
                None => writeln!(text, "[+]{} ok", part.name),
                Some(silent) => {
                    alive = false;
                    let limit = part.limit.as_secs();
                    writeln!(text, "[-]{}: no sign of life for {} s (limit {limit} s)", part.name, silent.as_secs())
                }
            };
        }
        (alive, text)
    }
}

impl Part {
    /// For how long it has been silent, where that is too long.
    fn late(&self, now: Instant) -> Option<Duration> {
        let silent = now.saturating_duration_since(self.last?);
        (silent > self.limit).then_some(silent)
    }
}

impl Pulse {
    /// A sign of life; the next one is due within the limit.
    pub fn beat(&self) {
        self.set(Some(Instant::now()));
    }

    /// No sign of life is due until the next [`Self::beat`]: as for what only the leader does.
    pub fn rest(&self) {
        self.set(None);
    }

    fn set(&self, last: Option<Instant>) {
        let mut parts = self.liveness.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(part) = parts.get_mut(self.index) {
            part.last = last;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_mins(1);
    const LONGER: Duration = Duration::from_secs(61);

    #[test]
    fn a_part_that_does_not_beat_within_its_limit_is_named() {
        let liveness = Liveness::new();
        let begun = Instant::now();
        let _silent = liveness.register("controller", LIMIT);
        let _slow = liveness.register("listener", 2 * LIMIT);
        assert_eq!(liveness.report(begun + LIMIT), (true, "[+]controller ok\n[+]listener ok\n".to_owned()));
        let (alive, text) = liveness.report(begun + LONGER + Duration::from_millis(500));
        assert!(!alive);
        assert_eq!(text, "[-]controller: no sign of life for 61 s (limit 60 s)\n[+]listener ok\n");
    }

    #[test]
    fn a_beat_counts_from_when_it_came_and_mends_what_was_late() {
        let liveness = Liveness::new();
        let pulse = liveness.register("controller", LIMIT);
        let later = Instant::now() + LONGER;
        assert!(!liveness.report(later).0);
        pulse.set(Some(later));
        assert!(liveness.report(later + LIMIT).0);
        assert!(!liveness.report(later + LONGER).0);
    }

    #[test]
    fn a_part_that_rests_is_not_late_until_it_has_begun_again() {
        let liveness = Liveness::new();
        let pulse = liveness.register("controller", LIMIT);
        pulse.rest();
        assert!(liveness.report(Instant::now() + 100 * LIMIT).0);
        pulse.beat();
        assert!(!liveness.report(Instant::now() + LONGER).0);
    }

    #[test]
    fn a_pulse_that_was_dropped_is_silent() {
        let liveness = Liveness::new();
        drop(liveness.register("controller", LIMIT));
        assert!(!liveness.report(Instant::now() + LONGER).0);
    }
}

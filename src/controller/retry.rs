//! How soon a turn that failed is tried again. Nothing is repeated faster than once a second, but a lost race.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The first pause after a failure; it doubles with each further one.
const FIRST: Duration = Duration::from_secs(1);

/// The longest pause.
const LONGEST: Duration = Duration::from_mins(1);

/// So many races may be lost one after the other without a pause.
const RACES: u32 = 3;

/// How a drain's last turns went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retry {
    failures: u32,
    races: u32,
}

impl Retry {
    /// A turn has succeeded.
    pub fn succeeded(&mut self) {
        *self = Retry::default();
    }

    /// Whether the last turn failed, or lost a race.
    pub fn has_failed(self) -> bool {
        self != Retry::default()
    }

    /// Somebody else was faster: the pause until the next turn.
    pub fn lost_a_race(&mut self) -> Duration {
        self.races += 1;
        if self.races <= RACES { Duration::ZERO } else { self.failed(jitter()) }
    }

    /// A turn has failed: the pause until the next one. `jitter`, from 0 to 1, keeps those that failed together apart.
    pub fn failed(&mut self, jitter: f64) -> Duration {
        let pause = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        pause.mul_f64(1.0 + jitter / 4.0).min(LONGEST)
    }
}

/// A number from 0 to 1.
pub fn jitter() -> f64 {
    let bits = RandomState::new().hash_one(0_u8) >> 40;
    f64::from(u32::try_from(bits).unwrap_or(0)) / f64::from(1_u32 << 24)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_from_a_second_to_a_minute_and_begin_anew_after_a_success() {
        let mut retry = Retry::default();
        let seconds: Vec<u64> = (0..9).map(|_| retry.failed(0.0).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        retry.succeeded();
        assert!(retry.failed(1.0) >= FIRST && retry.failed(1.0) <= 3 * FIRST);
        assert!((0..100).all(|_| (0.0..=1.0).contains(&jitter())));
    }

    #[test]
    fn a_lost_race_is_run_again_at_once_but_not_for_ever() {
        let mut retry = Retry::default();
        let pauses: Vec<Duration> = (0..5).map(|_| retry.lost_a_race()).collect();
        assert!(pauses.iter().take(3).all(Duration::is_zero) && pauses.iter().skip(3).all(|pause| *pause >= FIRST));
    }
}

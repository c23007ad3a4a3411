//! When the pods that are denied were last asked for, as far as this process has seen.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::admission::Reason;

/// So many pods are remembered; further ones in place of those that were not asked for longest.
const REMEMBERED: usize = 1024;

/// No UID is longer; what is, no API server has given out.
const LONGEST_UID: usize = 128;

/// The tries that this process has seen, by pod UID. Whatever is sent here, it stays small.
#[derive(Debug, Default)]
pub struct Tries(Mutex<HashMap<String, Tried>>);

/// What is known of a pod that is denied.
#[derive(Debug)]
struct Tried {
    seen: Instant,
    /// When a try was last written down.
    written: Option<Instant>,
    /// What was last told of it in the log.
    told: Option<Reason>,
}

impl Tries {
    /// How long ago a try of this pod was last written down.
    #[must_use]
    pub fn since_written(&self, uid: &str) -> Duration {
        self.with(uid, |tried, now| tried.written.map_or(Duration::MAX, |written| now - written)).unwrap_or_default()
    }

    /// A try of this pod is being written down.
    pub fn written(&self, uid: &str) {
        self.with(uid, |tried, now| tried.written = Some(now));
    }

    /// Whether this is another denial than the one last told of the pod.
    #[must_use]
    pub fn is_news(&self, uid: &str, reason: Reason) -> bool {
        self.with(uid, |tried, _| tried.told.replace(reason) != Some(reason)).unwrap_or(true)
    }

    /// `None` where the UID is none.
    fn with<T>(&self, uid: &str, change: impl FnOnce(&mut Tried, Instant) -> T) -> Option<T> {
        if uid.len() > LONGEST_UID {
            return None;
        }
        let mut tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if !tries.contains_key(uid) && tries.len() >= REMEMBERED {
            let oldest = tries.iter().min_by_key(|(_, tried)| tried.seen).map(|(uid, _)| uid.clone());
            oldest.and_then(|uid| tries.remove(&uid));
        }
        let tried = tries.entry(uid.to_owned()).or_insert(Tried { seen: now, written: None, told: None });
        tried.seen = now;
        Some(change(tried, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forged_tries_take_no_more_memory_than_their_share() {
        let tries = Tries::default();
        for number in 0..3 * REMEMBERED {
            tries.written(&number.to_string());
        }
        tries.written(&"x".repeat(8 << 20));
        let kept = tries.0.lock().map(|kept| (kept.len(), kept.keys().map(String::len).max())).ok();
        assert_eq!(kept, Some((REMEMBERED, Some(4))));
    }

    #[test]
    fn a_try_that_was_written_and_a_denial_that_was_told_are_known() {
        let tries = Tries::default();
        assert_eq!(tries.since_written("a"), Duration::MAX);
        tries.written("a");
        assert!(tries.since_written("a") < Duration::from_hours(1));
        assert!(tries.is_news("a", Reason::Queued) && !tries.is_news("a", Reason::Queued));
        assert!(tries.is_news("a", Reason::Draining));
    }
}

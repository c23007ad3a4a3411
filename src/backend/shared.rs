//! Drains of one policy that look at the same backend at the same time: what they read is read once.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::plan::Observation;

/// A read that began longer ago is made anew.
const TOGETHER: Duration = Duration::from_millis(200);

/// Who shares a read, and who it is that asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sharing {
    /// The policy.
    pub among: String,
    /// The drain: no drain is given the same read twice, since what it sees counts on several rounds.
    pub who: String,
}

/// Reads that are under way, or were a moment ago.
#[derive(Debug, Default)]
pub struct SharedReads(Mutex<HashMap<String, Entry>>);

#[derive(Debug)]
struct Entry {
    begun: Instant,
    taken_by: HashSet<String>,
    observation: Arc<OnceCell<Observation>>,
}

impl SharedReads {
    /// What this read brings: made now, or taken from another drain that makes it at the same time.
    pub async fn get(&self, key: String, who: &str, read: impl Future<Output = Observation>) -> Observation {
        let observation = self.entry(key, who, Instant::now());
        observation.get_or_init(|| read).await.clone()
    }

    fn entry(&self, key: String, who: &str, now: Instant) -> Arc<OnceCell<Observation>> {
        let mut reads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reads.retain(|_, entry| now - entry.begun < TOGETHER);
        let entry = reads.entry(key).or_insert_with(|| Entry::new(now));
        if !entry.taken_by.insert(who.to_owned()) {
            *entry = Entry::new(now);
            entry.taken_by.insert(who.to_owned());
        }
        Arc::clone(&entry.observation)
    }

    /// An act was sent: what was read before says nothing any more.
    pub fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Entry {
    fn new(begun: Instant) -> Self {
        Entry { begun, taken_by: HashSet::new(), observation: Arc::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether `who` is given another read than `before` was.
    fn is_new(shared: &SharedReads, who: &str, now: Instant, before: &Arc<OnceCell<Observation>>) -> bool {
        !Arc::ptr_eq(&shared.entry("key".to_owned(), who, now), before)
    }

    #[test]
    fn two_departures_share_a_read_and_none_is_given_the_same_twice() {
        let (shared, now) = (SharedReads::default(), Instant::now());
        let first = shared.entry("key".to_owned(), "a", now);
        assert!(!is_new(&shared, "b", now, &first));
        assert!(is_new(&shared, "a", now, &first), "a has seen that one");
    }

    #[test]
    fn a_read_is_not_shared_after_a_while_nor_after_an_act() {
        let (shared, now) = (SharedReads::default(), Instant::now());
        let first = shared.entry("key".to_owned(), "a", now);
        let second = shared.entry("key".to_owned(), "b", now + TOGETHER);
        assert!(!Arc::ptr_eq(&first, &second));
        shared.forget();
        assert!(is_new(&shared, "c", now + TOGETHER, &second));
    }
}

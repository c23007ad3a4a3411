//! Drains of one policy that look at the same backend at the same time: what they read is read once.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::plan::Observation;

/// A read that began longer ago is made anew.
const TOGETHER: Duration = Duration::from_millis(200);

/// Who shares a read, and who it is that asks.
#[derive(Clone, Debug)]
pub struct Sharing {
    /// The policy.
    pub among: String,
    /// The drain: no drain is given the same read twice, since what it sees counts on several rounds.
    pub who: String,
    /// Whether a backend that was asked did not answer.
    pub silence: Silence,
}

/// Whether a backend that was asked did not answer.
#[derive(Clone, Debug, Default)]
pub struct Silence(Arc<AtomicBool>);

impl Silence {
    /// Whether there was one.
    #[must_use]
    pub fn was_met(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn meet(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What a read brought.
#[derive(Clone, Debug)]
pub struct Answered {
    /// What is to be seen.
    pub observation: Observation,
    /// The backend did not answer.
    pub silent: bool,
}

/// Reads that are under way, or were a moment ago.
#[derive(Debug)]
pub struct SharedReads(Mutex<Reads>);

#[derive(Debug)]
struct Reads {
    all: HashMap<String, Entry>,
    /// When those that are too old were last taken out: not at each read, of which there may be thousands a second.
    swept: Instant,
}

impl Default for SharedReads {
    fn default() -> Self {
        SharedReads(Mutex::new(Reads { all: HashMap::new(), swept: Instant::now() }))
    }
}

#[derive(Debug)]
struct Entry {
    begun: Instant,
    taken_by: HashSet<String>,
    answered: Arc<OnceCell<Answered>>,
}

impl SharedReads {
    /// What this read brings: made now, or taken from another drain that makes it at the same time.
    pub async fn get(&self, key: String, sharing: &Sharing, read: impl Future<Output = Answered>) -> Observation {
        let answered = self.entry(key, &sharing.who, Instant::now());
        let Answered { observation, silent } = answered.get_or_init(|| read).await.clone();
        if silent {
            sharing.silence.meet();
        }
        observation
    }

    fn entry(&self, key: String, who: &str, now: Instant) -> Arc<OnceCell<Answered>> {
        let mut reads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now - reads.swept >= TOGETHER {
            reads.all.retain(|_, entry| now - entry.begun < TOGETHER);
            reads.swept = now;
        }
        let entry = reads.all.entry(key).or_insert_with(|| Entry::new(now));
        if now - entry.begun >= TOGETHER || !entry.taken_by.insert(who.to_owned()) {
            *entry = Entry::new(now);
            entry.taken_by.insert(who.to_owned());
        }
        Arc::clone(&entry.answered)
    }

    /// An act was sent for a drain of this namespace: what its drains read before says nothing any more.
    pub fn forget(&self, namespace: &str) {
        let mut reads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reads.all.retain(|key, _| !key.strip_prefix(namespace).is_some_and(|rest| rest.starts_with('/')));
    }
}

impl Entry {
    fn new(begun: Instant) -> Self {
        Entry { begun, taken_by: HashSet::new(), answered: Arc::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether `who` is given another read than `before` was.
    fn is_new(shared: &SharedReads, who: &str, now: Instant, before: &Arc<OnceCell<Answered>>) -> bool {
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
        let first = shared.entry("n/p key".to_owned(), "a", now);
        let second = shared.entry("n/p key".to_owned(), "b", now + TOGETHER);
        assert!(!Arc::ptr_eq(&first, &second));
        let third = |who| shared.entry("n/p key".to_owned(), who, now + TOGETHER);
        shared.forget("other");
        assert!(Arc::ptr_eq(&third("c"), &second), "another tenant's act");
        shared.forget("n");
        assert!(!Arc::ptr_eq(&third("d"), &second));
    }
}

//! A copy of all objects of a kind, kept by a watch. Only what decisions read is kept of each.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use kube::Api;
use kube::core::DynamicObject;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

pub(crate) use crate::printable::chain;
use crate::runtime::liveness::Pulse;

use super::follow::{self, Pace, Told};
use super::health::{Health, Sign};

/// The objects of a kind, by a key of one's own.
#[derive(Debug)]
pub struct Cache<T> {
    entries: RwLock<HashMap<String, Entry<T>>>,
    changes: watch::Sender<u64>,
    /// What `changes` was at the last change in a namespace, and under no name at the last whole list.
    changed: Mutex<HashMap<String, u64>>,
    health: watch::Sender<Health>,
    /// How many lists have begun.
    lists: AtomicU64,
}

#[derive(Debug)]
struct Entry<T> {
    version: u64,
    value: Arc<T>,
    /// How many lists had begun when this process wrote it itself; 0 for what came in otherwise.
    written: u64,
}

/// What a copy is made of.
pub struct Source<T> {
    /// The objects.
    pub api: Api<DynamicObject>,
    /// What they are called in the log.
    pub what: &'static str,
    /// How one becomes an entry.
    pub read: Read<T>,
    /// Waits.
    pub pace: Pace,
    /// Beats whenever something is heard or tried.
    pub pulse: Option<Pulse>,
}

impl<T> Source<T> {
    /// A source with the usual waits.
    #[must_use]
    pub fn new(api: Api<DynamicObject>, what: &'static str, read: Read<T>) -> Self {
        Source { api, what, read, pace: Pace::default(), pulse: None }
    }
}

/// How an object becomes an entry: its key, and what is kept of it. `None` leaves it out.
pub type Read<T> = fn(&DynamicObject) -> Option<(String, T)>;

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Cache {
            entries: RwLock::default(),
            changes: watch::Sender::new(0),
            changed: Mutex::default(),
            health: watch::Sender::new(Health::unheard(Instant::now())),
            lists: AtomicU64::new(0),
        }
    }
}

impl<T: Send + Sync + 'static> Cache<T> {
    /// The entry with this key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Arc<T>> {
        self.entries().get(key).map(|entry| Arc::clone(&entry.value))
    }

    /// All entries.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<T>> {
        self.entries().values().map(|entry| Arc::clone(&entry.value)).collect()
    }

    /// The entries that `wanted` picks.
    #[must_use]
    pub fn pick(&self, wanted: impl Fn(&T) -> bool) -> Vec<Arc<T>> {
        self.entries().values().filter(|entry| wanted(&entry.value)).map(|entry| Arc::clone(&entry.value)).collect()
    }

    /// Changes whenever an entry does.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// A number that is another one whenever an entry of this namespace has changed.
    #[must_use]
    pub fn changed_in(&self, namespace: &str) -> u64 {
        let changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        ["", namespace].into_iter().filter_map(|place| changed.get(place)).max().copied().unwrap_or(0)
    }

    /// Whether the first list has come in whole. Before, an entry that is not there says nothing.
    #[must_use]
    pub fn is_filled(&self) -> bool {
        self.health.borrow().is_filled()
    }

    /// Waits until the first list has come in whole.
    pub async fn filled(&self) {
        // The sender lives as long as `self`.
        let _ = self.health.subscribe().wait_for(Health::is_filled).await;
    }

    /// How well it follows. Not every sign of life is a change.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Waits until there has been no sign of life for so long; says what is known of why.
    pub async fn fell_silent(&self, patience: Duration) -> String {
        loop {
            let (until, said) = {
                let health = self.health.borrow();
                (health.heard() + patience, health.said())
            };
            if Instant::now() >= until {
                return said;
            }
            sleep_until(until).await;
        }
    }

    /// Forgets everything: an entry that is not there says nothing until a list has come in whole again.
    pub fn clear(&self) {
        self.health.send_replace(Health::unheard(Instant::now()));
        self.write().clear();
    }

    /// Takes up what this process has just written, before the watch brings it. An older version changes nothing.
    pub fn put(&self, key: String, version: &str, value: T) -> Arc<T> {
        let value = Arc::new(value);
        let namespace = namespace_of(&key).to_owned();
        self.insert(key, version_of(version), &value, self.lists.load(Ordering::Relaxed));
        self.tell(&namespace);
        value
    }

    /// Forgets what this process has just removed.
    pub fn forget(&self, key: &str) {
        self.write().remove(key);
        self.tell(namespace_of(key));
    }

    /// Follows all objects of `source`, for ever. A watch that breaks is begun again; what is known stays.
    pub async fn follow(self: Arc<Self>, source: Source<T>) {
        let Source { api, what, read, pace, pulse } = source;
        let mut listed: HashMap<String, u64> = HashMap::new();
        follow::follow(api, pace, |told| {
            if let Some(pulse) = &pulse {
                pulse.beat();
            }
            if let Told::Failed(error) = &told {
                tracing::warn!(what, error, "what is followed was interrupted; beginning again");
            }
            let sign = Sign::of(&told);
            let changed = self.take(told, read, &mut listed);
            self.health.send_if_modified(|known| known.note(sign, Instant::now()));
            if let Some(namespace) = changed {
                self.tell(&namespace);
            }
        })
        .await;
    }

    /// Takes up what was told; in which namespace that changes something, and under no name where it may be everywhere.
    fn take(&self, told: Told, read: Read<T>, listed: &mut HashMap<String, u64>) -> Option<String> {
        match told {
            Told::Listing => {
                listed.clear();
                self.lists.fetch_add(1, Ordering::Relaxed);
                None
            }
            Told::Listed(object) => {
                listed.extend(self.apply(&object, read));
                None
            }
            Told::ListedAll => {
                self.keep_only(listed);
                Some(String::new())
            }
            Told::Written(object) => self.apply(&object, read).map(|(key, _)| namespace_of(&key).to_owned()),
            Told::Deleted(object) => {
                let (key, _) = read(&object)?;
                self.remove(&key, object_version(&object));
                Some(namespace_of(&key).to_owned())
            }
            Told::Alive | Told::Failed(_) => None,
        }
    }

    fn apply(&self, object: &DynamicObject, read: Read<T>) -> Option<(String, u64)> {
        let (key, value) = read(object)?;
        let version = object_version(object);
        self.insert(key.clone(), version, &Arc::new(value), 0);
        Some((key, version))
    }

    fn insert(&self, key: String, version: u64, value: &Arc<T>, written: u64) {
        let mut entries = self.write();
        if entries.get(&key).is_none_or(|known| known.version <= version) {
            entries.insert(key, Entry { version, value: Arc::clone(value), written });
        }
    }

    fn remove(&self, key: &str, version: u64) {
        let mut entries = self.write();
        if entries.get(key).is_some_and(|known| known.version <= version) {
            entries.remove(key);
        }
    }

    /// What a whole list did not hold is gone, unless this process has written it since the list began.
    fn keep_only(&self, listed: &HashMap<String, u64>) {
        let lists = self.lists.load(Ordering::Relaxed);
        self.write().retain(|key, entry| listed.contains_key(key) || entry.written == lists);
    }

    /// Tells of a change in this namespace; everywhere, where it has no name.
    fn tell(&self, namespace: &str) {
        self.changes.send_modify(|changes| {
            *changes += 1;
            self.changed.lock().unwrap_or_else(PoisonError::into_inner).insert(namespace.to_owned(), *changes);
        });
    }

    fn entries(&self) -> RwLockReadGuard<'_, HashMap<String, Entry<T>>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<String, Entry<T>>> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `namespace/name`, or the name alone of what lives in no namespace.
#[must_use]
pub fn key_of(object: &DynamicObject) -> String {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    object.metadata.namespace.as_deref().map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"))
}

fn namespace_of(key: &str) -> &str {
    key.split_once('/').map_or("", |(namespace, _)| namespace)
}

fn object_version(object: &DynamicObject) -> u64 {
    version_of(object.metadata.resource_version.as_deref().unwrap_or_default())
}

/// Resource versions of one kind are ordered decimal numbers.
fn version_of(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_process_wrote_is_not_overtaken_by_an_older_copy() {
        let cache: Cache<&str> = Cache::default();
        cache.put("a".to_owned(), "12", "written");
        cache.insert("a".to_owned(), 11, &Arc::new("seen late"), 0);
        cache.remove("a", 11);
        assert_eq!(cache.get("a").as_deref(), Some(&"written"));
        cache.insert("a".to_owned(), 13, &Arc::new("newer"), 0);
        assert_eq!(cache.get("a").as_deref(), Some(&"newer"));
    }

    #[test]
    fn a_change_in_one_namespace_is_none_in_another_and_a_whole_list_is_one_everywhere() {
        let cache: Cache<&str> = Cache::default();
        let seen = || ["a", "b", "c"].map(|namespace| cache.changed_in(namespace));
        cache.put("a/x".to_owned(), "1", "x");
        let first = seen();
        cache.put("b/x".to_owned(), "2", "x");
        let second = seen();
        assert!(first[0] == second[0] && first[1] != second[1] && first[2] == second[2], "{first:?} {second:?}");
        cache.forget("a/x");
        assert!(seen()[0] != second[0] && seen()[1] == second[1]);
        let before = seen();
        cache.tell("");
        assert!(
            seen().iter().zip(before).all(|(now, before)| *now != before),
            "after a list anything may have changed"
        );
    }

    #[test]
    fn a_whole_list_takes_out_what_it_does_not_hold_however_new_that_was() {
        let cache: Cache<&str> = Cache::default();
        cache.lists.store(1, Ordering::Relaxed);
        cache.insert("gone".to_owned(), 8, &Arc::new("the newest of all when the watch broke"), 0);
        cache.put("written and gone".to_owned(), "9", "x");
        cache.put("stays".to_owned(), "4", "x");
        cache.lists.store(2, Ordering::Relaxed);
        cache.put("written since".to_owned(), "10", "x");
        cache.keep_only(&HashMap::from([("stays".to_owned(), 4), ("other".to_owned(), 5)]));
        assert!(cache.get("gone").is_none() && cache.get("written and gone").is_none());
        assert!(cache.get("stays").is_some() && cache.get("written since").is_some());
    }
}

//! A copy of all objects of a kind, kept by a watch. Only what decisions read is kept of each.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use kube::Api;
use kube::core::DynamicObject;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::ports::{Listener, Listeners};
pub(crate) use crate::printable::chain;
use crate::runtime::liveness::Pulse;

use super::entries::{Entries, Entry, PlaceOf};
use super::follow::{self, Followed, Pace, Told};
use super::health::{Health, Sign};

/// The objects of a kind, by a key of one's own, and by the place where each lives: its namespace.
#[derive(Debug)]
pub struct Cache<T> {
    entries: RwLock<Entries<T>>,
    changes: watch::Sender<u64>,
    listeners: Listeners<T>,
    health: watch::Sender<Health>,
    /// How many lists have begun.
    lists: AtomicU64,
}

/// What a copy is made of.
pub struct Source<T, K = DynamicObject> {
    /// The objects.
    pub api: Api<K>,
    /// What they are called in the log.
    pub what: &'static str,
    /// How one becomes an entry.
    pub read: Read<T, K>,
    /// Waits.
    pub pace: Pace,
    /// Beats whenever something is heard or tried.
    pub pulse: Option<Pulse>,
}

impl<T, K> Source<T, K> {
    /// A source with the usual waits.
    #[must_use]
    pub fn new(api: Api<K>, what: &'static str, read: Read<T, K>) -> Self {
        Source { api, what, read, pace: Pace::default(), pulse: None }
    }
}

/// How an object becomes an entry: its key, and what is kept of it. `None` leaves it out.
pub type Read<T, K = DynamicObject> = fn(&K) -> Option<(String, T)>;

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Cache::placed(|key, _| namespace_of(key))
    }
}

impl<T> Cache<T> {
    /// A cache whose entries live where `place_of` says.
    #[must_use]
    pub fn placed(place_of: PlaceOf<T>) -> Self {
        Cache {
            entries: RwLock::new(Entries::placed(place_of)),
            changes: watch::Sender::new(0),
            listeners: Listeners::default(),
            health: watch::Sender::new(Health::unheard(Instant::now())),
            lists: AtomicU64::new(0),
        }
    }
}

impl<T: Send + Sync + 'static> Cache<T> {
    /// The entry with this key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Arc<T>> {
        self.entries().all.get(key).map(|entry| Arc::clone(&entry.value))
    }

    /// All entries.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<T>> {
        self.entries().all.values().map(|entry| Arc::clone(&entry.value)).collect()
    }

    /// The entries of a place: the same slice as long as none of them has changed.
    #[must_use]
    pub fn of_place(&self, place: &str) -> Arc<[Arc<T>]> {
        let known = self.entries().known_together(place);
        known.unwrap_or_else(|| self.write().together(place))
    }

    /// The entries that `wanted` picks.
    #[must_use]
    pub fn pick(&self, wanted: impl Fn(&T) -> bool) -> Vec<Arc<T>> {
        let entries = self.entries();
        entries.all.values().filter(|entry| wanted(&entry.value)).map(|entry| Arc::clone(&entry.value)).collect()
    }

    /// Changes whenever an entry does.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Tells `listener` of every entry that changes; while a list comes in, only that it has.
    pub fn listen(&self, listener: Listener<T>) {
        self.listeners.add(listener);
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
        self.tell_of_any();
    }

    /// Takes up what this process has just written, before the watch brings it. An older version changes nothing.
    pub fn put(&self, key: &str, version: &str, value: T) -> Arc<T> {
        let value = Arc::new(value);
        self.insert(key, version_of(version), &value, self.lists.load(Ordering::Relaxed), true);
        value
    }

    /// Forgets what this process has just removed.
    pub fn forget(&self, key: &str) {
        let gone = self.write().remove(key);
        self.tell(gone.as_ref(), None);
    }

    /// Follows all objects of `source`, for ever. A watch that breaks is begun again; what is known stays.
    pub async fn follow<K: Followed>(self: Arc<Self>, source: Source<T, K>) {
        let Source { api, what, read, pace, pulse } = source;
        let mut listed: HashSet<String> = HashSet::new();
        follow::follow(api, pace, |told| {
            if let Some(pulse) = &pulse {
                pulse.beat();
            }
            if let Told::Failed(error) = &told {
                tracing::warn!(what, error, "what is followed was interrupted; beginning again");
            }
            let sign = Sign::of(&told);
            // Whoever listens knows all of it before it counts as whole.
            self.take(told, read, &mut listed);
            self.health.send_if_modified(|known| known.note(sign, Instant::now()));
        })
        .await;
    }

    fn take<K: Followed>(&self, told: Told<K>, read: Read<T, K>, listed: &mut HashSet<String>) {
        match told {
            Told::Listing => {
                listed.clear();
                self.lists.fetch_add(1, Ordering::Relaxed);
            }
            Told::Listed(object) => {
                let Some((key, value)) = read(&object) else { return };
                self.insert(&key, object_version(&*object), &Arc::new(value), 0, false);
                listed.insert(key);
            }
            Told::ListedAll => {
                self.keep_only(listed);
                // As much again is not needed until there is another list.
                *listed = HashSet::new();
                self.tell_of_any();
            }
            Told::Written(object) => {
                let Some((key, value)) = read(&object) else { return };
                self.insert(&key, object_version(&*object), &Arc::new(value), 0, true);
            }
            Told::Deleted(object) => {
                if let Some((key, _)) = read(&object) {
                    self.remove(&key, object_version(&*object));
                }
            }
            Told::Alive | Told::Failed(_) => {}
        }
    }

    fn insert(&self, key: &str, version: u64, value: &Arc<T>, written: u64, telling: bool) {
        let before = {
            let mut entries = self.write();
            if entries.all.get(key).is_some_and(|known| known.version > version) {
                return;
            }
            entries.insert(key, Entry { version, value: Arc::clone(value), written })
        };
        if telling {
            self.tell(before.as_ref(), Some(value));
        }
    }

    fn remove(&self, key: &str, version: u64) {
        let gone = {
            let mut entries = self.write();
            let is_older = entries.all.get(key).is_some_and(|known| known.version <= version);
            is_older.then(|| entries.remove(key)).flatten()
        };
        self.tell(gone.as_ref(), None);
    }

    /// What a whole list did not hold is gone, unless this process has written it since the list began.
    fn keep_only(&self, listed: &HashSet<String>) {
        let lists = self.lists.load(Ordering::Relaxed);
        let mut entries = self.write();
        let is_gone = |key: &str, entry: &Entry<T>| !listed.contains(key) && entry.written != lists;
        let gone: Vec<Arc<str>> =
            entries.all.iter().filter(|(key, entry)| is_gone(key, entry)).map(|(key, _)| Arc::clone(key)).collect();
        for key in gone {
            entries.remove(&key);
        }
    }

    fn tell(&self, before: Option<&Arc<T>>, now: Option<&Arc<T>>) {
        self.listeners.tell(before, now);
        self.changes.send_modify(|changes| *changes += 1);
    }

    fn tell_of_any(&self) {
        self.listeners.tell_of_any();
        self.changes.send_modify(|changes| *changes += 1);
    }

    fn entries(&self) -> RwLockReadGuard<'_, Entries<T>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Entries<T>> {
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

fn object_version<K: Followed>(object: &K) -> u64 {
    version_of(object.meta().resource_version.as_deref().unwrap_or_default())
}

/// Resource versions of one kind are ordered decimal numbers.
fn version_of(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::News;

    #[test]
    fn what_this_process_wrote_is_not_overtaken_by_an_older_copy() {
        let cache: Cache<&str> = Cache::default();
        cache.put("a", "12", "written");
        cache.insert("a", 11, &Arc::new("seen late"), 0, true);
        cache.remove("a", 11);
        assert_eq!(cache.get("a").as_deref(), Some(&"written"));
        cache.insert("a", 13, &Arc::new("newer"), 0, true);
        assert_eq!(cache.get("a").as_deref(), Some(&"newer"));
    }

    #[test]
    fn what_lives_in_a_place_is_the_same_slice_until_something_of_it_changes() {
        let cache: Cache<&str> = Cache::default();
        let names = |place: &str| {
            let mut names: Vec<&str> = cache.of_place(place).iter().map(|name| **name).collect();
            names.sort_unstable();
            names
        };
        cache.put("a/x", "1", "x");
        cache.put("b/x", "2", "other");
        let (a, b) = (cache.of_place("a"), cache.of_place("b"));
        cache.put("a/y", "3", "y");
        assert_eq!((names("a"), names("b"), names("c")), (vec!["x", "y"], vec!["other"], vec![]));
        assert!(Arc::ptr_eq(&b, &cache.of_place("b")) && !Arc::ptr_eq(&a, &cache.of_place("a")));
        cache.put("a/y", "4", "newer");
        assert_eq!(names("a"), ["newer", "x"]);
        cache.forget("a/x");
        cache.forget("a/y");
        assert!(names("a").is_empty() && !cache.entries().places.contains_key("a"), "nothing stays of an empty place");
    }

    #[test]
    fn whoever_listens_is_told_what_was_and_what_is_and_of_a_list_once() {
        let (cache, told) = (Cache::<&str>::default(), Arc::new(std::sync::Mutex::new(Vec::new())));
        let heard = Arc::clone(&told);
        cache.listen(Box::new(move |news| {
            heard.lock().unwrap_or_else(PoisonError::into_inner).push(match news {
                News::One { before, now } => (before.map(|it| *it), now.map(|it| *it)),
                News::Any => (Some("any"), Some("any")),
            });
            true
        }));
        cache.put("a/x", "1", "one");
        cache.put("a/x", "2", "two");
        cache.insert("a/x", 1, &Arc::new("late"), 0, true);
        cache.insert("a/x", 3, &Arc::new("listed"), 0, false);
        cache.tell_of_any();
        cache.forget("a/x");
        let told = told.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let expected =
            [(None, Some("one")), (Some("one"), Some("two")), (Some("any"), Some("any")), (Some("listed"), None)];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_whole_list_takes_out_what_it_does_not_hold_however_new_that_was() {
        let cache: Cache<&str> = Cache::default();
        cache.lists.store(1, Ordering::Relaxed);
        cache.insert("gone", 8, &Arc::new("the newest of all when the watch broke"), 0, true);
        cache.put("written and gone", "9", "x");
        cache.put("stays", "4", "x");
        cache.lists.store(2, Ordering::Relaxed);
        cache.put("written since", "10", "x");
        cache.keep_only(&HashSet::from(["stays".to_owned(), "other".to_owned()]));
        assert!(cache.get("gone").is_none() && cache.get("written and gone").is_none());
        assert!(cache.get("stays").is_some() && cache.get("written since").is_some());
    }
}

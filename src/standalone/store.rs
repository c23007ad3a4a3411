//! Drains and slots in memory, and where a directory is given, in files of the same form.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, watch};

use crate::lifecycle::{Drain, Slots};
use crate::ports::{Listener, Listeners, Store, StoreError, VersionedSlots};

use super::{FileError, at};

/// The version of the resources that files hold.
const API_VERSION: &str = "castoff.dev/v1alpha1";

/// Where slots are kept, beside the drains.
const SLOTS_FILE: &str = "slots.json";

/// Drains and slots. A write is in its file, and the file on the disk, before it counts.
#[derive(Debug)]
pub struct FileStore {
    directory: Option<PathBuf>,
    state: RwLock<State>,
    /// Held while writing, so that files and memory change in the same order.
    writing: Mutex<()>,
    changes: watch::Sender<u64>,
    listeners: Listeners<Drain>,
}

#[derive(Debug, Default)]
struct State {
    /// By pod UID.
    drains: HashMap<String, Arc<Drain>>,
    /// The same by namespace and name.
    names: BTreeMap<(String, String), Arc<Drain>>,
    /// All of a namespace, as long as none of them has changed.
    together: HashMap<String, Arc<[Arc<Drain>]>>,
    /// By namespace and policy.
    slots: BTreeMap<String, VersionedSlots>,
    version: u64,
}

impl State {
    fn insert(&mut self, drain: &Arc<Drain>) -> Option<Arc<Drain>> {
        let meta = &drain.metadata;
        self.together.remove(&meta.namespace);
        self.names.insert((meta.namespace.clone(), meta.name.clone()), Arc::clone(drain));
        self.drains.insert(drain.pod_uid().to_owned(), Arc::clone(drain))
    }

    fn remove(&mut self, uid: &str) -> Option<Arc<Drain>> {
        let gone = self.drains.remove(uid)?;
        self.together.remove(&gone.metadata.namespace);
        self.names.remove(&(gone.metadata.namespace.clone(), gone.metadata.name.clone()));
        Some(gone)
    }

    fn of_namespace(&self, namespace: &str) -> impl Iterator<Item = &Arc<Drain>> {
        let from = (namespace.to_owned(), String::new());
        self.names.range(from..).take_while(move |((of, _), _)| of == namespace).map(|(_, drain)| drain)
    }
}

/// A drain's file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DrainFile<D> {
    api_version: String,
    kind: String,
    #[serde(flatten)]
    drain: D,
}

impl FileStore {
    /// A store that forgets everything with the process.
    #[must_use]
    pub fn in_memory() -> Self {
        FileStore {
            directory: None,
            state: RwLock::default(),
            writing: Mutex::default(),
            changes: watch::Sender::new(0),
            listeners: Listeners::default(),
        }
    }

    /// The store in this directory, with what an earlier process left there. The directory is made where it is missing.
    ///
    /// # Errors
    /// When the directory can't be made or read, or a file there is no drain: the sentence names the file.
    pub fn open(directory: &Path) -> Result<Self, FileError> {
        std::fs::create_dir_all(directory).map_err(at(directory))?;
        let mut state = State::default();
        for entry in std::fs::read_dir(directory).map_err(at(directory))? {
            let path = entry.map_err(at(directory))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name == SLOTS_FILE {
                let slots: HashMap<String, Slots> = read_json(&path)?;
                state.slots = slots.into_iter().map(|(policy, slots)| (policy, at_version(slots, 0))).collect();
            } else if path.extension().is_some_and(|extension| extension == "json") {
                let file: DrainFile<Drain> = read_json(&path)?;
                let mut drain = file.drain;
                state.version = state.version.max(drain.metadata.resource_version.parse().unwrap_or(0));
                if drain.metadata.resource_version.is_empty() {
                    "0".clone_into(&mut drain.metadata.resource_version);
                }
                state.insert(&Arc::new(drain));
            }
        }
        Ok(FileStore { directory: Some(directory.to_owned()), state: RwLock::new(state), ..FileStore::in_memory() })
    }

    fn state(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner));
        self.changes.send_modify(|changes| *changes += 1);
        changed
    }

    /// Writes a drain under the next version. `expected` is the version that must be there.
    async fn put(&self, mut drain: Drain, expected: Option<String>) -> Result<Arc<Drain>, StoreError> {
        let _writing = self.writing.lock().await;
        let next = {
            let state = self.state();
            let there = state.drains.get(drain.pod_uid()).map(|drain| drain.metadata.resource_version.clone());
            if there != expected {
                return Err(StoreError::Conflict);
            }
            state.version + 1
        };
        drain.metadata.resource_version = next.to_string();
        if let Some(directory) = &self.directory {
            let file = DrainFile { api_version: API_VERSION.to_owned(), kind: "PodDrain".to_owned(), drain: &drain };
            write_file(directory.join(file_name(&drain)), &file).await?;
        }
        let drain = Arc::new(drain);
        let before = self.change(|state| {
            state.version = next;
            state.insert(&drain)
        });
        self.listeners.tell(before.as_ref(), Some(&drain));
        Ok(drain)
    }
}

#[async_trait]
impl Store for FileStore {
    fn by_pod(&self, uid: &str) -> Option<Arc<Drain>> {
        self.state().drains.get(uid).cloned()
    }

    fn all(&self) -> Vec<Arc<Drain>> {
        self.state().names.values().cloned().collect()
    }

    fn of_namespace(&self, namespace: &str) -> Arc<[Arc<Drain>]> {
        if let Some(together) = self.state().together.get(namespace) {
            return Arc::clone(together);
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let together: Arc<[_]> = state.of_namespace(namespace).cloned().collect();
        state.together.insert(namespace.to_owned(), Arc::clone(&together));
        together
    }

    fn listen(&self, listener: Listener<Drain>) {
        self.listeners.add(listener);
    }

    async fn list(&self, namespace: &str) -> Result<Vec<Arc<Drain>>, StoreError> {
        Ok(self.state().of_namespace(namespace).cloned().collect())
    }

    async fn read(&self, namespace: &str, name: &str) -> Result<Option<Arc<Drain>>, StoreError> {
        Ok(self.state().names.get(&(namespace.to_owned(), name.to_owned())).cloned())
    }

    async fn create(&self, drain: Drain) -> Result<Arc<Drain>, StoreError> {
        self.put(drain, None).await
    }

    async fn write(&self, drain: Drain) -> Result<Arc<Drain>, StoreError> {
        let expected = drain.metadata.resource_version.clone();
        self.put(drain, Some(expected)).await
    }

    async fn release(&self, _drain: &Drain) -> Result<(), StoreError> {
        Ok(())
    }

    async fn remove(&self, drain: &Drain) -> Result<(), StoreError> {
        let _writing = self.writing.lock().await;
        let there = self.by_pod(drain.pod_uid());
        if there.is_none_or(|there| there.metadata.resource_version != drain.metadata.resource_version) {
            return Err(StoreError::Conflict);
        }
        if let Some(directory) = &self.directory {
            let path = directory.join(file_name(drain));
            tokio::fs::remove_file(&path).await.map_err(|error| refused(&path, &error))?;
        }
        let gone = self.change(|state| state.remove(drain.pod_uid()));
        self.listeners.tell(gone.as_ref(), None);
        Ok(())
    }

    async fn slots(&self, namespace: &str, policy: &str) -> Result<Option<VersionedSlots>, StoreError> {
        Ok(self.state().slots.get(&format!("{namespace}/{policy}")).cloned())
    }

    fn listing(&self, namespace: &str, drain: &str) -> Vec<String> {
        let state = self.state();
        let place = format!("{namespace}/");
        let lists = state.slots.range(place.clone()..).map_while(|(key, list)| Some((key.strip_prefix(&place)?, list)));
        lists.filter(|(_, list)| list.slots.held_by(drain)).map(|(policy, _)| policy.to_owned()).collect()
    }

    async fn write_slots(&self, namespace: &str, policy: &str, slots: VersionedSlots) -> Result<(), StoreError> {
        let _writing = self.writing.lock().await;
        let policy = format!("{namespace}/{policy}");
        let next = {
            let state = self.state();
            let there = state.slots.get(&policy).map_or("", |slots| slots.version.as_str());
            if there != slots.version {
                return Err(StoreError::Conflict);
            }
            state.version + 1
        };
        if let Some(directory) = &self.directory {
            let known = self.state().slots.clone();
            let mut all: BTreeMap<String, Slots> =
                known.into_iter().map(|(policy, held)| (policy, held.slots)).collect();
            all.insert(policy.clone(), slots.slots.clone());
            write_file(directory.join(SLOTS_FILE), &all).await?;
        }
        self.change(|state| {
            state.version = next;
            state.slots.insert(policy, at_version(slots.slots, next));
        });
        Ok(())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

fn at_version(slots: Slots, version: u64) -> VersionedSlots {
    VersionedSlots { slots, version: version.to_string() }
}

/// Namespaces hold no dots, so that two drains never share a file.
fn file_name(drain: &Drain) -> String {
    let safe = |text: &str| text.replace(['/', '\\'], "_");
    format!("{}.{}.json", safe(&drain.metadata.namespace), safe(&drain.metadata.name))
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, FileError> {
    let bytes = std::fs::read(path).map_err(at(path))?;
    let unreadable = |error: serde_json::Error| {
        format!("{error}. Mend the file, or move it away: what it says was set at a backend stays set")
    };
    serde_json::from_slice(&bytes).map_err(unreadable).map_err(at(path))
}

/// Replaces a file as a whole: whoever reads it finds the old text or the new one, also after a crash.
async fn write_file(path: PathBuf, content: &impl Serialize) -> Result<(), StoreError> {
    let text = serde_json::to_vec_pretty(content).map_err(|error| StoreError::Unavailable(error.to_string()))?;
    let target = path.clone();
    let write = move || -> io::Result<()> {
        let temporary = target.with_extension("tmp");
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(&temporary, &target)
    };
    let written =
        tokio::task::spawn_blocking(write).await.map_err(|error| StoreError::Unavailable(error.to_string()))?;
    written.map_err(|error| refused(&path, &error))
}

fn refused(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Unavailable(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::lifecycle::Phase;
    use crate::lifecycle::Slot;

    fn drain(uid: &str) -> Drain {
        let json = serde_json::json!({
            "metadata": {"name": format!("db-0-{uid}"), "namespace": "n"},
            "spec": {
                "pod": {"name": "db-0", "uid": uid}, "policy": "p", "requester": "x",
            },
        });
        serde_json::from_value(json).unwrap()
    }

    #[tokio::test]
    async fn of_two_writes_on_the_same_version_one_wins() {
        let store = FileStore::in_memory();
        let first = store.create(drain("a")).await.unwrap();
        assert!(matches!(store.create(drain("a")).await, Err(StoreError::Conflict)));
        let mut one = Drain::clone(&first);
        one.status.phase = Phase::Draining;
        store.write(one.clone()).await.unwrap();
        assert!(matches!(store.write(one).await, Err(StoreError::Conflict)));
        assert!(matches!(store.remove(&first).await, Err(StoreError::Conflict)));
        assert_eq!(store.by_pod("a").unwrap().status.phase, Phase::Draining);
    }

    #[tokio::test]
    async fn a_new_process_finds_what_the_last_one_wrote() {
        let directory = tempfile::tempdir().unwrap();
        let slots = Slots { departing: vec![Slot { seat: "db-0".into(), drain: "db-0-a".into() }] };
        {
            let store = FileStore::open(directory.path()).unwrap();
            store.create(drain("a")).await.unwrap();
            let gone = store.create(drain("b")).await.unwrap();
            store.remove(&gone).await.unwrap();
            let written = VersionedSlots { slots: slots.clone(), version: String::new() };
            store.write_slots("n", "p", written.clone()).await.unwrap();
            assert!(matches!(store.write_slots("n", "p", written).await, Err(StoreError::Conflict)));
        }
        let store = FileStore::open(directory.path()).unwrap();
        assert_eq!(store.all().len(), 1);
        assert_eq!(store.slots("n", "p").await.unwrap().unwrap().slots, slots);
        let found = store.read("n", "db-0-a").await.unwrap().unwrap();
        store.write(Drain::clone(&found)).await.unwrap();
    }

    #[test]
    fn a_file_that_is_no_departure_is_named_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("n.db-0.json"), "{").unwrap();
        let error = FileStore::open(directory.path()).unwrap_err().to_string();
        assert!(error.contains("n.db-0.json") && error.contains("stays set"), "{error}");
    }
}

//! What the controller and the gate need of their surroundings. `kubernetes` and `standalone` implement it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;
use tokio::sync::watch;

use crate::facts::{NamespaceFacts, NodeSeen, OwnerSeen};
use crate::lifecycle::{Drain, Event, Slots};
use crate::pod::{OwnerReference, Pod};
use crate::policy::{Policy, PolicyIndex};

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else has written since the version that the write names.
    #[error("somebody else has written it meanwhile")]
    Conflict,
    /// This replica does not lead: another brings drains about.
    #[error("another replica leads now")]
    NotLeader,
    /// It is refused, and will be refused again unless something is changed: rights, a quota, a namespace that goes.
    #[error("the API server refuses: {0}")]
    Forbidden(String),
    /// It could not be done now: whoever keeps it does not answer, or is too busy.
    #[error("{0}")]
    Unavailable(String),
}

/// What has changed in memory.
#[derive(Debug)]
pub enum News<T> {
    /// This: as it was, where it was known, and as it is now, where it is.
    One {
        /// As it was.
        before: Option<Arc<T>>,
        /// As it is.
        now: Option<Arc<T>>,
    },
    /// Anything may have.
    Any,
}

/// Whoever is told of changes: false once nobody listens any more. It is called by whoever changes something, and must
/// not take time.
pub type Listener<T> = Box<dyn Fn(News<T>) -> bool + Send + Sync>;

/// All who are told.
pub struct Listeners<T>(Mutex<Vec<Listener<T>>>);

impl<T> Default for Listeners<T> {
    fn default() -> Self {
        Listeners(Mutex::default())
    }
}

impl<T> Listeners<T> {
    /// One more is told, from now on.
    pub fn add(&self, listener: Listener<T>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(listener);
    }

    /// Tells all of them.
    pub fn tell(&self, before: Option<&Arc<T>>, now: Option<&Arc<T>>) {
        let one = || News::One { before: before.cloned(), now: now.cloned() };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|listener| listener(one()));
    }

    /// Tells all of them that anything may have changed.
    pub fn tell_of_any(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|listener| listener(News::Any));
    }
}

impl<T> std::fmt::Debug for Listeners<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Listeners")
    }
}

/// Slots, with the version that a conditional write must name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionedSlots {
    /// The slots.
    pub slots: Slots,
    /// Their version; empty where nothing was written yet.
    pub version: String,
}

/// Where drains and slots are kept. Every write is conditional.
#[async_trait]
pub trait Store: Send + Sync {
    /// The drain of the pod with this UID, from memory: it may lag.
    fn by_pod(&self, uid: &str) -> Option<Arc<Drain>>;

    /// All drains, from memory.
    fn all(&self) -> Vec<Arc<Drain>>;

    /// The drains of a namespace, from memory.
    fn of_namespace(&self, namespace: &str) -> Arc<[Arc<Drain>]>;

    /// Tells `listener` of every drain that changes.
    fn listen(&self, listener: Listener<Drain>);

    /// The drains of a namespace as they are now, not from memory.
    ///
    /// # Errors
    /// When the store can't be read.
    async fn list(&self, namespace: &str) -> Result<Vec<Arc<Drain>>, StoreError>;

    /// The drain as it is now, not from memory.
    ///
    /// # Errors
    /// When the store can't be read.
    async fn read(&self, namespace: &str, name: &str) -> Result<Option<Arc<Drain>>, StoreError>;

    /// Keeps a new drain.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when there is one of that name already.
    async fn create(&self, drain: Drain) -> Result<Arc<Drain>, StoreError>;

    /// Replaces the version that `drain.metadata.resource_version` names.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when that is no longer the newest version.
    async fn write(&self, drain: Drain) -> Result<Arc<Drain>, StoreError>;

    /// Lets a drain go that somebody has deleted, or that is over: nothing of it is left to be undone.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it is not of this version any more.
    async fn release(&self, drain: &Drain) -> Result<(), StoreError>;

    /// Forgets a drain, if it is still of this version.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it is not.
    async fn remove(&self, drain: &Drain) -> Result<(), StoreError>;

    /// The slots of a policy, as they are now; `None` where there is no such policy.
    ///
    /// # Errors
    /// When the store can't be read.
    async fn slots(&self, namespace: &str, policy: &str) -> Result<Option<VersionedSlots>, StoreError>;

    /// Which policies' lists name this drain, from memory.
    fn listing(&self, namespace: &str, drain: &str) -> Vec<String>;

    /// Replaces the slots of a policy.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when they are no longer of the version that `slots` names.
    async fn write_slots(&self, namespace: &str, policy: &str, slots: VersionedSlots) -> Result<(), StoreError>;

    /// Changes whenever a drain does.
    fn changes(&self) -> watch::Receiver<u64>;
}

/// The pods around, and what they depend on.
#[async_trait]
pub trait Cluster: Send + Sync {
    /// Whether pods can be seen at all.
    fn sees_pods(&self) -> bool;

    /// The pods of a namespace, from memory. Asked only where pods can be seen, and only for namespaces with guarded
    /// pods: plans conclude from pods that are missing, so that a memory that is not filled yet must not answer.
    fn pods(&self, namespace: &str) -> Arc<[Arc<Pod<'static>>]>;

    /// The pod of this name, from memory.
    fn known(&self, namespace: &str, name: &str) -> Option<Arc<Pod<'static>>>;

    /// The pods of a namespace, or of all, and on one node where one is named: from memory where pods are followed,
    /// else live.
    ///
    /// # Errors
    /// A sentence for users, when they can't be told.
    async fn find_pods(
        &self,
        namespace: Option<&str>,
        node: Option<&str>,
    ) -> Result<Vec<Arc<Pod<'static>>>, StoreError>;

    /// The pods with the labels that a policy selects, as they are now; `None` where there are more than `most`.
    ///
    /// # Errors
    /// A sentence for users, when they can't be told.
    async fn selected_now(&self, policy: &Policy, most: usize) -> Result<Option<Vec<Arc<Pod<'static>>>>, StoreError>;

    /// Asks the API server at this path, which may have a query, and sends `body` as a merge patch: the status and the
    /// body of its answer, which is no longer than what is read of a backend.
    ///
    /// # Errors
    /// A sentence for users, when nothing is answered.
    async fn api_server(&self, _: &str, _: &str, _: Option<Value>) -> Result<(u16, Bytes), StoreError> {
        Err(StoreError::Unavailable("there is no API server here".to_owned()))
    }

    /// A node, from memory.
    fn node(&self, name: &str) -> NodeSeen;

    /// A node, as it is now.
    async fn node_now(&self, name: &str) -> NodeSeen;

    /// Whether a NodeDrain names this node, from memory.
    fn has_node_drain(&self, _node: &str) -> bool {
        false
    }

    /// The nodes that a NodeDrain names, each with the name of one, from memory.
    fn node_drains(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// A namespace, from memory; `None` where this installation can't tell.
    fn namespace(&self, name: &str) -> Option<NamespaceFacts>;

    /// A namespace, as it is now; `None` where it can't be told.
    async fn namespace_now(&self, name: &str) -> Option<NamespaceFacts>;

    /// The policies of a namespace as they are now, where a review of it proves that there are some; `None` where it
    /// does not: without a cluster, or where others keep the registration.
    ///
    /// # Errors
    /// A sentence for the log, when they can't be told.
    async fn policies_now(&self, namespace: &str) -> Result<Option<PolicyIndex>, StoreError>;

    /// The annotations of the webhook configuration by which requests come, from memory; none where there is none.
    fn registration_annotations(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// The pod of this name as it is now; `None` where there is none.
    ///
    /// # Errors
    /// A sentence for users, when it can't be told.
    async fn pod(&self, namespace: &str, name: &str) -> Result<Option<Arc<Pod<'static>>>, StoreError>;

    /// A pod's owner as it is now.
    async fn owner(&self, namespace: &str, owner: &OwnerReference<'_>) -> OwnerSeen;

    /// Marks this pod, so that its controller tries again now. The same mark again changes nothing.
    ///
    /// # Errors
    /// Why not, for the log.
    async fn wake(&self, pod: &Pod<'_>, mark: &str) -> Result<(), StoreError>;

    /// Takes the mark, and what came with it, off this pod.
    ///
    /// # Errors
    /// Why not, for the log.
    async fn unmark(&self, pod: &Pod<'_>) -> Result<(), StoreError>;

    /// Deletes this pod, through the guard as everybody else.
    ///
    /// # Errors
    /// Why not, for the log.
    async fn delete(&self, pod: &Pod<'_>) -> Result<(), StoreError>;

    /// Evicts this pod, through the guard as everybody else, and by its disruption budgets.
    ///
    /// # Errors
    /// A sentence for users, when it is refused or can't be done.
    async fn evict(&self, pod: &Pod<'_>) -> Result<(), StoreError> {
        Err(StoreError::Unavailable(format!("{} can't be evicted without a cluster", pod.full_name())))
    }

    /// Tells `listener` of every pod that changes, at least in namespaces of which pods were asked for.
    fn listen(&self, listener: Listener<Pod<'static>>);
}

/// What the gate says to somebody in this process who wants a pod gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The pod may leave.
    pub allowed: bool,
    /// It was prepared for that.
    pub prepared: bool,
    /// Why, or why not.
    pub message: String,
}

/// Who is asked for a pod by somebody in this process, and has it prepared.
#[async_trait]
pub trait Asks: Send + Sync {
    /// As if this user deleted the pod.
    async fn ask_for(&self, pod: &Pod<'static>, user: &str) -> Answered;
}

/// Tells people.
pub trait Events: Send + Sync {
    /// Tells of an event, on the drain and its pod.
    fn tell(&self, drain: &Drain, event: &Event);

    /// Tells of an event on a pod, which may have no drain.
    fn tell_of_pod(&self, pod: &Pod<'_>, event: &Event);
}

/// The annotation that carries the wake-up's mark.
pub const WAKE_ANNOTATION: &str = "castoff.dev/drained";

//! What the controller and the gate need of their surroundings. `standalone` implements it without a cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::lifecycle::slots::Slots;
use crate::lifecycle::{Drain, Event};
use crate::pod::{OwnerReference, Pod};

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else has written since the version that the write names.
    #[error("somebody else has written it meanwhile")]
    Conflict,
    /// It could not be done; the sentence says why.
    #[error("{0}")]
    Refused(String),
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

    /// Forgets a drain, if it is still of this version.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it is not.
    async fn remove(&self, drain: &Drain) -> Result<(), StoreError>;

    /// The slots of a policy, as they are now.
    ///
    /// # Errors
    /// When the store can't be read.
    async fn slots(&self, namespace: &str, policy: &str) -> Result<VersionedSlots, StoreError>;

    /// Replaces the slots of a policy.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when they are no longer of the version that `slots` names.
    async fn write_slots(&self, namespace: &str, policy: &str, slots: VersionedSlots) -> Result<(), StoreError>;

    /// Changes whenever a drain does.
    fn changes(&self) -> watch::Receiver<u64>;
}

/// What is seen of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeSeen {
    /// It is there.
    Known(NodeFacts),
    /// There is no such node.
    Gone,
    /// This installation can't tell.
    Unknown,
}

/// A node, as far as decisions need it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// Its condition `Ready`; `None` where the node does not answer.
    pub ready: Option<bool>,
    /// It is cordoned, or carries a taint that evicts pods.
    pub leaving: bool,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

/// What is seen of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceFacts {
    /// It is being deleted.
    pub deleting: bool,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

/// What is seen of a pod's owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnerSeen {
    /// It is there.
    Known(OwnerFacts),
    /// It is deleted, or being deleted.
    DeletingOrGone,
    /// This installation can't tell.
    Unknown,
}

/// A pod's owner, as far as decisions need it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnerFacts {
    /// How many pods it wants.
    pub replicas: Option<u32>,
    /// The number of a StatefulSet's first pod.
    pub first_ordinal: u32,
    /// The revision that its pods are to have, as their label `controller-revision-hash` names it.
    pub update_revision: Option<String>,
}

/// The pods around, and what they depend on.
#[async_trait]
pub trait Cluster: Send + Sync {
    /// Whether pods can be seen at all.
    fn sees_pods(&self) -> bool;

    /// The pods of a namespace, from memory. Asked only where pods can be seen, and only for namespaces with guarded
    /// pods: plans conclude from pods that are missing, so that a memory that is not filled yet must not answer.
    fn pods(&self, namespace: &str) -> Vec<Arc<Pod<'static>>>;

    /// A number that is another one whenever a pod of this namespace has changed.
    fn pods_version(&self, namespace: &str) -> u64;

    /// The pods of a namespace, or of all, and on one node where one is named: from memory where pods are followed,
    /// else live.
    ///
    /// # Errors
    /// A sentence for users, when they can't be told.
    async fn find_pods(&self, namespace: Option<&str>, node: Option<&str>) -> Result<Vec<Arc<Pod<'static>>>, String>;

    /// A node, from memory.
    fn node(&self, name: &str) -> NodeSeen;

    /// A namespace, from memory; `None` where this installation can't tell.
    fn namespace(&self, name: &str) -> Option<NamespaceFacts>;

    /// The annotations of the webhook configuration by which requests come, from memory; none where there is none.
    fn registration_annotations(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// The pod of this name as it is now; `None` where there is none.
    ///
    /// # Errors
    /// A sentence for users, when it can't be told.
    async fn pod(&self, namespace: &str, name: &str) -> Result<Option<Arc<Pod<'static>>>, String>;

    /// A pod's owner as it is now.
    async fn owner(&self, namespace: &str, owner: &OwnerReference<'_>) -> OwnerSeen;

    /// Marks the pod with this UID, so that its controller tries again now. The same mark again changes nothing.
    ///
    /// # Errors
    /// A sentence for the log.
    async fn wake(&self, pod: &Pod<'_>, mark: &str) -> Result<(), String>;

    /// Takes the mark, and what came with it, off the pod with this UID.
    ///
    /// # Errors
    /// A sentence for the log.
    async fn unmark(&self, pod: &Pod<'_>) -> Result<(), String>;

    /// Deletes the pod with this UID, through the guard as everybody else.
    ///
    /// # Errors
    /// A sentence for the log.
    async fn delete(&self, pod: &Pod<'_>) -> Result<(), String>;

    /// Changes whenever a pod does.
    fn changes(&self) -> watch::Receiver<u64>;
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

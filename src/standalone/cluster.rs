//! Pods and what they depend on, without a cluster: set by a caller, or read from a directory again and again.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::facts::{NamespaceFacts, NodeSeen, OwnerSeen};
use crate::pod::{OwnerReference, Pod, TextMap};
use crate::policy::{Policy, PolicyIndex};
use crate::ports::{Cluster, Listener, Listeners, StoreError, WAKE_ANNOTATION};

use super::objects::Objects;

/// How often a directory of objects is read.
pub const REFRESH_PERIOD: Duration = Duration::from_secs(1);

/// The objects that are known now.
#[derive(Debug)]
pub struct LocalCluster {
    /// `None` where nobody tells of pods.
    objects: Option<RwLock<Objects>>,
    /// Pods by namespace, as they were asked for since the last change.
    together: Mutex<HashMap<String, Pods>>,
    changes: watch::Sender<u64>,
    listeners: Listeners<Pod<'static>>,
}

type Pods = Arc<[Arc<Pod<'static>>]>;

impl LocalCluster {
    /// A cluster of which nothing is known but what the reviews bring.
    #[must_use]
    pub fn unseen() -> Self {
        LocalCluster {
            objects: None,
            together: Mutex::default(),
            changes: watch::Sender::new(0),
            listeners: Listeners::default(),
        }
    }

    /// A cluster with these objects.
    #[must_use]
    pub fn new(objects: Objects) -> Self {
        LocalCluster { objects: Some(RwLock::new(objects)), ..LocalCluster::unseen() }
    }

    /// Changes the objects, and tells whoever waits for a change.
    pub fn change(&self, change: impl FnOnce(&mut Objects)) {
        if let Some(objects) = &self.objects {
            change(&mut objects.write().unwrap_or_else(PoisonError::into_inner));
            self.tell();
        }
    }

    /// Changes the annotations of this pod, if it is the one that is known under its name.
    fn change_pod<T>(&self, pod: &Pod<'_>, change: impl FnOnce(&mut TextMap<'static>) -> T) {
        let Some(objects) = &self.objects else { return };
        let (before, now) = {
            let mut objects = objects.write().unwrap_or_else(PoisonError::into_inner);
            let known = objects.pods.get_mut(&pod.full_name()).filter(|known| known.metadata.uid == pod.metadata.uid);
            let Some(known) = known else { return };
            let before = Arc::clone(known);
            change(&mut Arc::make_mut(known).metadata.annotations);
            (before, Arc::clone(known))
        };
        self.changed();
        self.listeners.tell(Some(&before), Some(&now));
    }

    /// Changes whenever an object does.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// What was put together is so no more.
    fn changed(&self) {
        self.together.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.changes.send_modify(|changes| *changes += 1);
    }

    fn tell(&self) {
        self.changed();
        self.listeners.tell_of_any();
    }

    /// Reads a directory of objects again and again, for ever. What can't be read leaves the objects as they were.
    pub async fn follow(self: Arc<Self>, directory: PathBuf) {
        loop {
            tokio::time::sleep(REFRESH_PERIOD).await;
            match Objects::read(&directory) {
                Ok(objects) => self.replace(objects),
                Err(error) => tracing::warn!(%error, "the objects could not be read again; the former ones hold"),
            }
        }
    }

    /// Takes these objects for the former ones; the marks on pods stay.
    fn replace(&self, mut objects: Objects) {
        let Some(known) = &self.objects else { return };
        let changed = {
            let before = known.read().unwrap_or_else(PoisonError::into_inner);
            for (name, pod) in &mut objects.pods {
                let marked = before.pods.get(name).filter(|before| before.metadata.uid == pod.metadata.uid);
                if let Some(mark) = marked.and_then(|before| before.metadata.annotations.get(WAKE_ANNOTATION)) {
                    Arc::make_mut(pod).metadata.annotations.insert(WAKE_ANNOTATION.into(), mark.clone());
                }
            }
            before.pods != objects.pods || before.owners != objects.owners
        };
        *known.write().unwrap_or_else(PoisonError::into_inner) = objects;
        if changed {
            self.tell();
        }
    }

    fn look<T>(&self, look: impl FnOnce(&Objects) -> T) -> Option<T> {
        self.objects.as_ref().map(|objects| look(&objects.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn unavailable(why: &str) -> StoreError {
    StoreError::Unavailable(why.to_owned())
}

#[async_trait]
impl Cluster for LocalCluster {
    fn sees_pods(&self) -> bool {
        self.objects.is_some()
    }

    fn pods(&self, namespace: &str) -> Pods {
        // Whoever changes the pods clears this later: what is put in meanwhile does not stay.
        let mut together = self.together.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pods) = together.get(namespace) {
            return Arc::clone(pods);
        }
        let of_namespace = |objects: &Objects| objects.pods_of(namespace).cloned().collect();
        let pods: Pods = self.look(of_namespace).unwrap_or_default();
        together.insert(namespace.to_owned(), Arc::clone(&pods));
        pods
    }

    fn known(&self, namespace: &str, name: &str) -> Option<Arc<Pod<'static>>> {
        self.look(|objects| objects.pods.get(&format!("{namespace}/{name}")).cloned()).flatten()
    }

    async fn find_pods(
        &self,
        namespace: Option<&str>,
        node: Option<&str>,
    ) -> Result<Vec<Arc<Pod<'static>>>, StoreError> {
        let is_asked = |pod: &&Arc<Pod<'static>>| {
            namespace.is_none_or(|namespace| pod.metadata.namespace == *namespace)
                && node.is_none_or(|node| pod.spec.node_name == *node)
        };
        let found = self.look(|objects| objects.pods.values().filter(is_asked).cloned().collect());
        found.ok_or_else(|| unavailable("pods can't be seen here (without a cluster: start with --pods DIR)"))
    }

    fn node(&self, name: &str) -> NodeSeen {
        let seen = |objects: &Objects| match objects.nodes.get(name) {
            Some(node) => NodeSeen::Known(node.clone()),
            // A directory that holds no nodes at all tells nothing of them.
            None if objects.nodes.is_empty() => NodeSeen::Unknown,
            None => NodeSeen::Gone,
        };
        self.look(seen).unwrap_or(NodeSeen::Unknown)
    }

    async fn selected_now(&self, policy: &Policy, most: usize) -> Result<Option<Vec<Arc<Pod<'static>>>>, StoreError> {
        let pods = self.pods(&policy.namespace);
        let selected: Vec<_> = pods.iter().filter(|pod| policy.selects(pod, None)).cloned().collect();
        Ok((selected.len() <= most).then_some(selected))
    }

    async fn node_now(&self, name: &str) -> NodeSeen {
        self.node(name)
    }

    async fn namespace_now(&self, name: &str) -> Option<NamespaceFacts> {
        self.namespace(name)
    }

    async fn policies_now(&self, _namespace: &str) -> Result<Option<PolicyIndex>, StoreError> {
        Ok(None)
    }

    fn namespace(&self, name: &str) -> Option<NamespaceFacts> {
        self.look(|objects| objects.namespaces.get(name).cloned()).flatten()
    }

    async fn pod(&self, namespace: &str, name: &str) -> Result<Option<Arc<Pod<'static>>>, StoreError> {
        let pod = self.look(|objects| objects.pods.get(&format!("{namespace}/{name}")).cloned());
        // A pod that no file describes may be there all the same.
        pod.flatten().map(Some).ok_or_else(|| unavailable("no file of a directory of pods (--pods) describes it"))
    }

    async fn owner(&self, _namespace: &str, owner: &OwnerReference<'_>) -> OwnerSeen {
        let seen = |objects: &Objects| match objects.owners.get(owner.uid.as_str()) {
            Some(seen) => seen.clone(),
            // A directory that holds no owners at all tells nothing of them.
            None if objects.owners.is_empty() => OwnerSeen::Unknown,
            None => OwnerSeen::DeletingOrGone,
        };
        self.look(seen).unwrap_or(OwnerSeen::Unknown)
    }

    async fn wake(&self, pod: &Pod<'_>, mark: &str) -> Result<(), StoreError> {
        self.change_pod(pod, |annotations| annotations.insert(WAKE_ANNOTATION.into(), mark.to_owned().into()));
        Ok(())
    }

    async fn unmark(&self, pod: &Pod<'_>) -> Result<(), StoreError> {
        self.change_pod(pod, |annotations| annotations.remove(WAKE_ANNOTATION));
        Ok(())
    }

    async fn delete(&self, _pod: &Pod<'_>) -> Result<(), StoreError> {
        Err(unavailable("without a cluster there is nobody who could delete it"))
    }

    fn listen(&self, listener: Listener<Pod<'static>>) {
        self.listeners.add(listener);
    }
}

//! Drains as PodDrains, slots in the status of their policy.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::DynamicObject;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::lifecycle::slots::Slots;
use crate::lifecycle::{Drain, Phase};
use crate::ports::{Store, StoreError, VersionedSlots};

use super::cache::{Cache, chain};
use super::drains::{self, FINALIZER, Kept};
use super::policies::{PolicyObject, read_policy};
use super::resources::{drain_policies, pod_drains};

/// Drains in the cluster. Reads come from watches; every write names the version that it was made from.
pub struct ClusterStore {
    client: Client,
    /// By pod UID.
    drains: Arc<Cache<Kept>>,
    /// By namespace and name of the policy.
    policies: Arc<Cache<PolicyObject>>,
    /// Slots of policies that are gone, while drains that they began are still open.
    orphaned: Mutex<HashMap<String, Slots>>,
}

/// How a PodDrain becomes an entry of the cache. One that can't be read is left out, and said so.
pub fn read_drain(object: &DynamicObject) -> Option<(String, Kept)> {
    match drains::read(object) {
        Ok(kept) => Some((kept.drain.pod_uid().to_owned(), kept)),
        Err(error) => {
            tracing::error!(%error, "a PodDrain is passed over; its pod may be denied until it is deleted");
            None
        }
    }
}

impl ClusterStore {
    /// A store on these caches.
    #[must_use]
    pub fn new(client: Client, drains: Arc<Cache<Kept>>, policies: Arc<Cache<PolicyObject>>) -> Self {
        ClusterStore { client, drains, policies, orphaned: Mutex::default() }
    }

    fn api(&self, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &pod_drains())
    }

    fn take_up(&self, object: &DynamicObject) -> Result<Arc<Drain>, StoreError> {
        let kept = drains::read(object).map_err(StoreError::Refused)?;
        let version = object.resource_version().unwrap_or_default();
        let key = kept.drain.pod_uid().to_owned();
        Ok(Arc::clone(&self.drains.put(key, &version, kept).drain))
    }

    fn orphaned(&self) -> std::sync::MutexGuard<'_, HashMap<String, Slots>> {
        self.orphaned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Patches what is no status, on the version that `drain` names; gives back the version after.
    async fn patch(&self, drain: &Drain, version: &str, mut change: Value) -> Result<DynamicObject, StoreError> {
        change["metadata"]["resourceVersion"] = json!(version);
        let api = self.api(&drain.metadata.namespace);
        let name = &drain.metadata.name;
        api.patch(name, &PatchParams::default(), &Patch::Merge(&change)).await.map_err(refused)
    }
}

#[async_trait]
impl Store for ClusterStore {
    fn by_pod(&self, uid: &str) -> Option<Arc<Drain>> {
        self.drains.get(uid).map(|kept| Arc::clone(&kept.drain))
    }

    fn all(&self) -> Vec<Arc<Drain>> {
        self.drains.all().into_iter().map(|kept| Arc::clone(&kept.drain)).collect()
    }

    async fn read(&self, namespace: &str, name: &str) -> Result<Option<Arc<Drain>>, StoreError> {
        match self.api(namespace).get_opt(name).await.map_err(refused)? {
            Some(object) => self.take_up(&object).map(Some),
            None => Ok(None),
        }
    }

    async fn create(&self, drain: Drain) -> Result<Arc<Drain>, StoreError> {
        let object = drains::new_object(&drain).map_err(|error| StoreError::Refused(error.to_string()))?;
        let made = self.api(&drain.metadata.namespace).create(&PostParams::default(), &object).await;
        self.take_up(&made.map_err(refused)?)
    }

    async fn write(&self, mut drain: Drain) -> Result<Arc<Drain>, StoreError> {
        let kept = self.drains.get(drain.pod_uid());
        let before = kept.as_deref();
        let over = drain.status.phase == Phase::Completed;
        let mut generation = before.and_then(|before| before.generation);
        if let Some(before) = before.filter(|before| !before.deleting && !over) {
            // A drain that begins anew is no longer cancelled, and has something to restore again.
            let uncancel = before.cancel && !drain.spec.cancel;
            if uncancel || !before.finalizer {
                let change = json!({"metadata": {"finalizers": [FINALIZER]}, "spec": {"cancel": drain.spec.cancel}});
                let patched = self.patch(&drain, &drain.metadata.resource_version, change).await?;
                drain.metadata.resource_version = patched.resource_version().unwrap_or_default();
                generation = patched.metadata.generation;
            }
        }
        let conditions = before.map(|before| before.conditions.clone()).unwrap_or_default();
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let object = drains::with_status(&drain, &conditions, generation, &now)
            .map_err(|error| StoreError::Refused(error.to_string()))?;
        let api = self.api(&drain.metadata.namespace);
        let mut written =
            api.replace_status(&drain.metadata.name, &PostParams::default(), &object).await.map_err(refused)?;
        if over && before.is_none_or(|before| before.finalizer) {
            let version = written.resource_version().unwrap_or_default();
            written = self.patch(&drain, &version, json!({"metadata": {"finalizers": null}})).await?;
        }
        self.take_up(&written)
    }

    async fn remove(&self, drain: &Drain) -> Result<(), StoreError> {
        let preconditions = Preconditions {
            resource_version: Some(drain.metadata.resource_version.clone()),
            uid: Some(drain.metadata.uid.clone()),
        };
        let how = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match self.api(&drain.metadata.namespace).delete(&drain.metadata.name, &how).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(refused(error)),
        }
        self.drains.forget(drain.pod_uid());
        Ok(())
    }

    async fn slots(&self, namespace: &str, policy: &str) -> Result<VersionedSlots, StoreError> {
        let key = format!("{namespace}/{policy}");
        let orphaned =
            || VersionedSlots { slots: self.orphaned().get(&key).cloned().unwrap_or_default(), version: String::new() };
        Ok(self.policies.get(&key).map_or_else(orphaned, |policy| policy.slots.clone()))
    }

    async fn write_slots(&self, namespace: &str, policy: &str, slots: VersionedSlots) -> Result<(), StoreError> {
        let key = format!("{namespace}/{policy}");
        if slots.version.is_empty() {
            self.orphaned().insert(key, slots.slots);
            return Ok(());
        }
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &drain_policies());
        let change = json!({
            "metadata": {"resourceVersion": slots.version},
            "status": {"departing": slots.slots.departing, "away": slots.slots.departing.len()},
        });
        let patched = api.patch_status(policy, &PatchParams::default(), &Patch::Merge(&change)).await;
        match patched {
            Ok(object) => {
                if let Some((key, policy)) = read_policy(&object) {
                    let version = policy.slots.version.clone();
                    self.policies.put(key, &version, policy);
                }
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.code == 404 => {
                self.policies.forget(&key);
                self.orphaned().insert(key, slots.slots);
                Ok(())
            }
            Err(error) => Err(refused(error)),
        }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.drains.changes()
    }
}

#[allow(clippy::needless_pass_by_value)] // As `map_err` gives it.
fn refused(error: kube::Error) -> StoreError {
    match &error {
        kube::Error::Api(status) if status.code == 409 => StoreError::Conflict,
        kube::Error::Api(status) => StoreError::Refused(format!("the API server refuses: {}", status.message)),
        _ => StoreError::Refused(format!("the API server can't be asked: {}", chain(&error))),
    }
}

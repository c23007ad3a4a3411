//! Drains as PodDrains, slots in the status of their policy.

use std::sync::Arc;

use async_trait::async_trait;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::DynamicObject;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::lifecycle::{Drain, Phase};
use crate::ports::{Listener, News, Store, StoreError, VersionedSlots};

use super::cache::{Cache, chain};
use super::drains::{self, ASKED, FINALIZER, Kept};
use super::policies::{PolicyObject, read_policy};
use super::resources::{drain_policies, pod_drains};
use super::views::Views;

/// Drains in the cluster. Reads come from watches; every write names the version that it was made from.
pub struct ClusterStore {
    client: Client,
    /// By pod UID.
    drains: Arc<Cache<Kept>>,
    /// By namespace and name of the policy.
    policies: Arc<Cache<PolicyObject>>,
    views: Views<Kept, Drain>,
}

/// How a PodDrain becomes an entry of the cache: by its pod, or where that can't be read, by its own name.
#[allow(clippy::unnecessary_wraps, reason = "of other kinds not every object becomes an entry")]
pub fn read_drain(object: &DynamicObject) -> Option<(String, Kept)> {
    let kept = drains::read(object);
    if kept.drain.status.phase == Phase::Unknown {
        let (drain, why) = (&kept.drain.metadata.name, &kept.drain.status.message);
        tracing::error!(%drain, why, "a PodDrain can't be read: its pod is held until it is deleted");
    }
    Some((key_of(&kept.drain), kept))
}

/// A drain lives where its pod does.
#[must_use]
pub fn place_of<'a>(_key: &'a str, kept: &'a Kept) -> &'a str {
    &kept.drain.metadata.namespace
}

fn key_of(drain: &Drain) -> String {
    let uid = drain.pod_uid();
    if uid.is_empty() { format!("{}/{}", drain.metadata.namespace, drain.metadata.name) } else { uid.to_owned() }
}

impl ClusterStore {
    pub fn new(client: Client, drains: Arc<Cache<Kept>>, policies: Arc<Cache<PolicyObject>>) -> Self {
        ClusterStore { client, drains, policies, views: Views::default() }
    }

    fn api(&self, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &pod_drains())
    }

    fn take_up(&self, object: &DynamicObject) -> Arc<Drain> {
        let kept = drains::read(object);
        let version = object.resource_version().unwrap_or_default();
        Arc::clone(&self.drains.put(&key_of(&kept.drain), &version, kept).drain)
    }

    /// Says that a person waits for this drain, so that it is not given up.
    pub async fn ask(&self, drain: &Drain) -> Result<(), StoreError> {
        let asked = jiff::Timestamp::now().as_millisecond().to_string();
        let change = json!({"metadata": {"annotations": {ASKED: asked}}});
        let api = self.api(&drain.metadata.namespace);
        let patched = api.patch(&drain.metadata.name, &PatchParams::default(), &Patch::Merge(&change)).await;
        patched.map(drop).map_err(refused)
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

    fn of_namespace(&self, namespace: &str) -> Arc<[Arc<Drain>]> {
        self.views.of(namespace, self.drains.of_place(namespace), |kept| Arc::clone(&kept.drain))
    }

    fn listen(&self, listener: Listener<Drain>) {
        let drain = |kept: Arc<Kept>| Arc::clone(&kept.drain);
        self.drains.listen(Box::new(move |news| {
            listener(match news {
                News::One { before, now } => News::One { before: before.map(drain), now: now.map(drain) },
                News::Any => News::Any,
            })
        }));
    }

    async fn list(&self, namespace: &str) -> Result<Vec<Arc<Drain>>, StoreError> {
        let listed = self.api(namespace).list(&ListParams::default()).await.map_err(refused)?;
        Ok(listed.items.iter().map(|object| drains::read(object).drain).collect())
    }

    async fn read(&self, namespace: &str, name: &str) -> Result<Option<Arc<Drain>>, StoreError> {
        let object = self.api(namespace).get_opt(name).await.map_err(refused)?;
        Ok(object.map(|object| self.take_up(&object)))
    }

    async fn create(&self, drain: Drain) -> Result<Arc<Drain>, StoreError> {
        let object = drains::new_object(&drain).map_err(unwritable)?;
        let made = self.api(&drain.metadata.namespace).create(&PostParams::default(), &object).await;
        Ok(self.take_up(&made.map_err(refused)?))
    }

    async fn write(&self, mut drain: Drain) -> Result<Arc<Drain>, StoreError> {
        let mut before = self.drains.get(&key_of(&drain));
        // A drain that begins anew is no longer cancelled, and has something to restore again.
        let begins_anew = before.as_ref().is_some_and(|before| {
            let (known, kept) = (&before.drain.spec, before.drain.metadata.kept);
            let is_open = drain.status.phase != Phase::Completed;
            is_open && !kept.deleting && ((known.cancel && !drain.spec.cancel) || !kept.finalizer)
        });
        if begins_anew {
            let change = json!({"metadata": {"finalizers": [FINALIZER]}, "spec": {"cancel": drain.spec.cancel}});
            let patched = self.patch(&drain, &drain.metadata.resource_version, change).await?;
            drain.metadata.resource_version = patched.resource_version().unwrap_or_default();
            before = Some(Arc::new(drains::read(&patched)));
        }
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let object = drains::with_status(&drain, before.as_deref(), &now).map_err(unwritable)?;
        let api = self.api(&drain.metadata.namespace);
        let written = api.replace_status(&drain.metadata.name, &PostParams::default(), &object).await;
        Ok(self.take_up(&written.map_err(refused)?))
    }

    async fn release(&self, drain: &Drain) -> Result<(), StoreError> {
        let known = self.drains.get(&key_of(drain));
        let finalizers = known.iter().flat_map(|known| &known.finalizers);
        let others: Vec<&String> = finalizers.filter(|finalizer| *finalizer != FINALIZER).collect();
        let change = json!({"metadata": {"finalizers": others}});
        let object = self.patch(drain, &drain.metadata.resource_version, change).await?;
        if drain.metadata.kept.deleting {
            self.drains.forget(&key_of(drain));
        } else {
            self.take_up(&object);
        }
        Ok(())
    }

    async fn remove(&self, drain: &Drain) -> Result<(), StoreError> {
        let preconditions = Preconditions {
            resource_version: Some(drain.metadata.resource_version.clone()),
            uid: Some(drain.metadata.uid.clone()),
        };
        let how = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match self.api(&drain.metadata.namespace).delete(&drain.metadata.name, &how).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(error) => return Err(refused(error)),
        }
        self.drains.forget(&key_of(drain));
        Ok(())
    }

    async fn slots(&self, namespace: &str, policy: &str) -> Result<Option<VersionedSlots>, StoreError> {
        Ok(self.policies.get(&format!("{namespace}/{policy}")).map(|policy| policy.slots.clone()))
    }

    fn listing(&self, namespace: &str, drain: &str) -> Vec<String> {
        let policies = self.policies.of_place(namespace);
        let lists = policies.iter().filter(|policy| policy.slots.slots.held_by(drain));
        lists.map(|policy| policy.name.clone()).collect()
    }

    async fn write_slots(&self, namespace: &str, policy: &str, slots: VersionedSlots) -> Result<(), StoreError> {
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &drain_policies());
        let change = json!({
            "metadata": {"resourceVersion": slots.version},
            "status": {"departing": slots.slots.departing, "away": slots.slots.departing.len()},
        });
        match api.patch_status(policy, &PatchParams::default(), &Patch::Merge(&change)).await {
            Ok(object) => {
                if let Some((key, policy)) = read_policy(&object) {
                    let version = policy.slots.version.clone();
                    self.policies.put(&key, &version, policy);
                }
                Ok(())
            }
            // It is gone, and its list with it.
            Err(kube::Error::Api(status)) if status.is_not_found() => {
                self.policies.forget(&format!("{namespace}/{policy}"));
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
        // It can't be done now, and will be another time.
        kube::Error::Api(status) if status.code == 429 || status.code >= 500 => {
            StoreError::Unavailable(format!("the API server is too busy, or in trouble: {}", status.message))
        }
        kube::Error::Api(status) => StoreError::Forbidden(status.message.clone()),
        _ => StoreError::Unavailable(format!("the API server can't be asked: {}", chain(&error))),
    }
}

#[allow(clippy::needless_pass_by_value)] // As `map_err` gives it.
fn unwritable(error: serde_json::Error) -> StoreError {
    StoreError::Unavailable(format!("it can't be put into JSON: {error}"))
}

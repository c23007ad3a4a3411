//! Owners of pods, of any kind, read live.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::{apps, batch, core};
use kube::api::{Api, ListParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Client, discovery};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::facts::{OwnerKind, OwnerSeen, read};
use crate::pod::OwnerReference;

use super::cache::chain;
use super::cluster::whole;

/// For how long it is known which kind has a `scale`: a new version of a CRD may add one.
const KINDS_KEPT: Duration = Duration::from_mins(10);

/// So many kinds are kept; a cluster's pods have a handful of owners.
const MOST_KINDS: usize = 256;

pub(super) struct Owners {
    client: Client,
    /// Kinds with a `scale`, by API version and kind; `None` for those without.
    scales: Mutex<HashMap<String, (Instant, Option<ApiResource>)>>,
}

impl Owners {
    pub fn new(client: Client) -> Self {
        Owners { client, scales: Mutex::default() }
    }

    pub async fn seen(&self, namespace: &str, owner: &OwnerReference<'_>) -> OwnerSeen {
        let seen = match known_kind(owner) {
            Some(resource) => self.of_known_kind(namespace, owner, &resource).await,
            None => self.by_scale(namespace, owner).await,
        };
        seen.unwrap_or_else(|error| {
            let (kind, name) = (&owner.kind, &owner.name);
            tracing::warn!(%kind, %name, error = %chain(&error), "a pod's owner could not be read");
            OwnerSeen::Unread
        })
    }

    async fn of_known_kind(
        &self,
        namespace: &str,
        owner: &OwnerReference<'_>,
        resource: &ApiResource,
    ) -> kube::Result<OwnerSeen> {
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, resource);
        let object = match api.get_opt(&owner.name).await? {
            Some(object) if object.metadata.uid.as_deref() == Some(owner.uid.as_str()) => object,
            _ => return Ok(OwnerSeen::DeletingOrGone),
        };
        let mut value = whole(&object);
        value["kind"] = json!(owner.kind);
        let mut seen = read::owner(&value).unwrap_or(OwnerSeen::Unknown);
        if let OwnerSeen::Known(facts) = &mut seen
            && let OwnerKind::DaemonSet { revision, .. } = &mut facts.kind
        {
            *revision = self.newest_revision(namespace, &owner.uid).await;
        }
        Ok(seen)
    }

    /// The revision of a DaemonSet's newest template, as the label `controller-revision-hash` of its pods names it.
    async fn newest_revision(&self, namespace: &str, daemon_set: &str) -> Option<String> {
        let resource = ApiResource::erase::<apps::v1::ControllerRevision>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
        let all = api.list(&ListParams::default()).await.ok()?;
        let is_its = |object: &&DynamicObject| {
            object.metadata.owner_references.iter().flatten().any(|owner| owner.uid == daemon_set)
        };
        let number = |object: &&DynamicObject| object.data.get("revision").and_then(Value::as_i64);
        let newest = all.items.iter().filter(is_its).max_by_key(number)?;
        newest.metadata.labels.as_ref()?.get("controller-revision-hash").cloned()
    }

    /// An owner of any other kind: how many pods it wants, if it has a `scale`, as the disruption controller asks. Whose
    /// `scale` may not be read, or is not there, says nothing.
    async fn by_scale(&self, namespace: &str, owner: &OwnerReference<'_>) -> kube::Result<OwnerSeen> {
        let Some(resource) = self.scale_of(owner).await? else { return Ok(OwnerSeen::Unknown) };
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
        match api.get_subresource("scale", &owner.name).await {
            Ok(scale) => {
                let is_it = scale.metadata.uid.as_deref() == Some(owner.uid.as_str());
                let seen = || read::scale(&whole(&scale)).unwrap_or(OwnerSeen::Unknown);
                Ok(if is_it { seen() } else { OwnerSeen::DeletingOrGone })
            }
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(OwnerSeen::DeletingOrGone),
            Err(kube::Error::Api(status)) if status.is_forbidden() => Ok(OwnerSeen::Unknown),
            Err(error) => Err(error),
        }
    }

    /// The resource of an owner's kind, if it has a `scale`. A kind that the API server no longer knows has none.
    async fn scale_of(&self, owner: &OwnerReference<'_>) -> kube::Result<Option<ApiResource>> {
        let key = format!("{}/{}", owner.api_version, owner.kind);
        if let Some((read, resource)) = self.kinds().get(&key)
            && read.elapsed() < KINDS_KEPT
        {
            return Ok(resource.clone());
        }
        let (group, version) = owner.api_version.split_once('/').unwrap_or(("", owner.api_version.as_str()));
        let kind = GroupVersionKind::gvk(group, version, &owner.kind);
        let resource = match discovery::pinned_kind(&self.client, &kind).await {
            Ok((resource, capabilities)) => {
                let has_scale = capabilities.subresources.iter().any(|(sub, _)| sub.plural == "scale");
                has_scale.then_some(resource)
            }
            Err(kube::Error::Api(status)) if status.is_not_found() => None,
            Err(kube::Error::Discovery(_)) => None,
            Err(error) => return Err(error),
        };
        let mut kinds = self.kinds();
        if kinds.len() >= MOST_KINDS {
            kinds.clear();
        }
        kinds.insert(key, (Instant::now(), resource.clone()));
        Ok(resource)
    }

    fn kinds(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Instant, Option<ApiResource>)>> {
        self.scales.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An owner's resource, where its kind is understood.
fn known_kind(owner: &OwnerReference<'_>) -> Option<ApiResource> {
    let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
    match (owner.kind.as_str(), group) {
        ("StatefulSet", "apps") => Some(ApiResource::erase::<apps::v1::StatefulSet>(&())),
        ("ReplicaSet", "apps") => Some(ApiResource::erase::<apps::v1::ReplicaSet>(&())),
        ("DaemonSet", "apps") => Some(ApiResource::erase::<apps::v1::DaemonSet>(&())),
        ("Job", "batch") => Some(ApiResource::erase::<batch::v1::Job>(&())),
        ("ReplicationController", "") => Some(ApiResource::erase::<core::v1::ReplicationController>(&())),
        _ => None,
    }
}

//! Pods and what they depend on: from watches where memory will do, live where it will not.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http_body_util::{BodyExt, Limited};
use k8s_openapi::api::core;
use kube::Client;
use kube::api::{Api, DeleteParams, EvictParams, ListParams, Patch, PatchParams, Preconditions};
use kube::client::Body;
use kube::core::{ApiResource, DynamicObject};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::backend::BODY_LIMIT;
use crate::facts::{NamespaceFacts, NodeFacts, NodeSeen, OwnerSeen, read};
use crate::pod::{OwnerReference, Pod, deserialize_owned};
use crate::policy::{Policy, PolicyIndex, selector};
use crate::ports::{Cluster, Listener, StoreError, WAKE_ANNOTATION};

use super::cache::{Cache, chain};
use super::node_drains::{self, NodeDrain};
use super::owners::Owners;
use super::pods::{self, Pods};
use super::registration::Seen;

/// The annotation by which a ReplicaSet chooses which pod goes first.
/// <https://kubernetes.io/docs/reference/labels-annotations-taints/#pod-deletion-cost>
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// <https://kubernetes.io/docs/reference/using-api/api-concepts/#patch-and-apply>
const MERGE_PATCH: &str = "application/merge-patch+json";

/// Lower than any other.
const FIRST_TO_GO: &str = "-2147483648";

/// What the deletion cost was before, until it is put back; empty where there was none.
const FORMER_COST: &str = "castoff.dev/former-deletion-cost";

/// What is known of the cluster. Pods are watched by the leader, once for all.
pub struct WatchedCluster {
    client: Client,
    /// Filled while this process leads.
    pub pods: Arc<Pods>,
    /// By name.
    pub nodes: Arc<Cache<NodeFacts>>,
    /// By name; filled while this process leads.
    pub node_drains: Arc<Cache<NodeDrain>>,
    /// By name.
    pub namespaces: Arc<Cache<NamespaceFacts>>,
    owners: Owners,
    /// What is seen of the registration.
    registration: watch::Receiver<Seen>,
    /// Whether the registration is Castoff's own, so that only namespaces with policies are in it.
    registration_is_ours: bool,
}

/// Nodes, as the API names them.
#[must_use]
pub fn nodes() -> ApiResource {
    ApiResource::erase::<core::v1::Node>(&())
}

/// Namespaces, as the API names them.
#[must_use]
pub fn namespaces() -> ApiResource {
    ApiResource::erase::<core::v1::Namespace>(&())
}

/// How a node becomes an entry of the cache.
#[must_use]
pub fn read_node(object: &DynamicObject) -> Option<(String, NodeFacts)> {
    Some((super::cache::key_of(object), read::node(&whole(object)).ok()?))
}

/// How a namespace becomes an entry of the cache.
#[must_use]
pub fn read_namespace(object: &DynamicObject) -> Option<(String, NamespaceFacts)> {
    Some((super::cache::key_of(object), read::namespace(&whole(object)).ok()?))
}

/// What is kept of a pod.
#[must_use]
pub fn pod_of(object: &DynamicObject) -> Option<Pod<'static>> {
    deserialize_owned(&whole(object)).ok().map(pods::pruned)
}

pub(super) fn whole(object: &DynamicObject) -> Value {
    serde_json::to_value(object).unwrap_or(Value::Null)
}

#[allow(clippy::needless_pass_by_value)] // As `map_err` gives it.
fn unavailable(error: kube::Error) -> StoreError {
    StoreError::Unavailable(chain(&error))
}

#[allow(clippy::needless_pass_by_value)] // As `map_err` gives it.
fn unlisted(error: kube::Error) -> StoreError {
    StoreError::Unavailable(format!("pods can't be listed: {}", chain(&error)))
}

impl WatchedCluster {
    /// A cluster of which nothing is known yet.
    #[must_use]
    pub fn new(client: Client, registration: watch::Receiver<Seen>, registration_is_ours: bool) -> Self {
        let (pods, nodes, namespaces) = Default::default();
        let node_drains = Arc::new(Cache::placed(node_drains::place_of));
        let owners = Owners::new(client.clone());
        WatchedCluster { client, pods, nodes, node_drains, namespaces, owners, registration, registration_is_ours }
    }

    fn pod_api(&self, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &pods::resource())
    }

    /// Patches the pod, if it is still the one with this UID.
    async fn patch(&self, pod: &Pod<'_>, annotations: Value) -> Result<(), StoreError> {
        let change = json!({"metadata": {"uid": pod.metadata.uid, "annotations": annotations}});
        let api = self.pod_api(&pod.metadata.namespace);
        match api.patch(&pod.metadata.name, &PatchParams::default(), &Patch::Merge(&change)).await {
            Ok(_) => Ok(()),
            // It has left, or another has its name: nobody is to be woken any more.
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
            Err(error) => Err(unavailable(error)),
        }
    }
}

#[async_trait]
impl Cluster for WatchedCluster {
    fn registration_annotations(&self) -> BTreeMap<String, String> {
        self.registration.borrow().annotations().cloned().unwrap_or_default()
    }

    async fn api_server(&self, method: &str, path: &str, body: Option<Value>) -> Result<(u16, Bytes), StoreError> {
        let request = http::Request::builder().method(method).uri(path).header(ACCEPT, "application/json");
        let request = match body {
            Some(body) => request.header(CONTENT_TYPE, MERGE_PATCH).body(body.to_string().into_bytes().into()),
            None => request.body(Body::empty()),
        };
        let request = request.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let answer = self.client.send(request).await.map_err(unavailable)?;
        let code = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), BODY_LIMIT).collect().await;
        let body = body.map_err(|error| StoreError::Unavailable(format!("the answer can't be read: {error}")))?;
        Ok((code, body.to_bytes()))
    }

    fn sees_pods(&self) -> bool {
        self.pods.cache.is_filled()
    }

    fn pods(&self, namespace: &str) -> Arc<[Arc<Pod<'static>>]> {
        self.pods.of_namespace(namespace)
    }

    fn known(&self, namespace: &str, name: &str) -> Option<Arc<Pod<'static>>> {
        self.pods.get(namespace, name)
    }

    async fn find_pods(
        &self,
        namespace: Option<&str>,
        node: Option<&str>,
    ) -> Result<Vec<Arc<Pod<'static>>>, StoreError> {
        if self.sees_pods() {
            return Ok(self.pods.find(namespace, node));
        }
        // A replica that is not leading does not follow pods: it answers as the leader would.
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => self.pod_api(namespace),
            None => Api::all_with(self.client.clone(), &pods::resource()),
        };
        let mut which = ListParams::default();
        if let Some(node) = node {
            which = which.fields(&format!("spec.nodeName={node}"));
        }
        let listed = api.list(&which).await.map_err(unlisted)?;
        Ok(listed.items.iter().filter_map(pod_of).map(Arc::new).collect())
    }

    fn node(&self, name: &str) -> NodeSeen {
        match self.nodes.get(name) {
            Some(node) => NodeSeen::Known(NodeFacts::clone(&node)),
            None if self.nodes.is_filled() && !name.is_empty() => NodeSeen::Gone,
            None => NodeSeen::Unknown,
        }
    }

    fn has_node_drain(&self, node: &str) -> bool {
        !self.node_drains.of_place(node).is_empty()
    }

    fn node_drains(&self) -> BTreeMap<String, String> {
        self.node_drains.all().iter().map(|drain| (drain.spec.node_name.clone(), drain.name.clone())).collect()
    }

    async fn selected_now(&self, policy: &Policy, most: usize) -> Result<Option<Vec<Arc<Pod<'static>>>>, StoreError> {
        let which = ListParams::default()
            .labels(&selector::to_query(&policy.spec.selector))
            .limit(u32::try_from(most).unwrap_or(u32::MAX));
        let listed = self.pod_api(&policy.namespace).list(&which).await;
        let listed = listed.map_err(unlisted)?;
        if listed.metadata.continue_.is_some_and(|more| !more.is_empty()) {
            return Ok(None);
        }
        Ok(Some(listed.items.iter().filter_map(pod_of).map(Arc::new).collect()))
    }

    async fn node_now(&self, name: &str) -> NodeSeen {
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &nodes());
        match api.get_opt(name).await {
            Ok(Some(node)) => read::node(&whole(&node)).map_or(NodeSeen::Unknown, NodeSeen::Known),
            Ok(None) => NodeSeen::Gone,
            Err(error) => {
                tracing::warn!(node = name, error = %chain(&error), "a node could not be read");
                NodeSeen::Unknown
            }
        }
    }

    async fn namespace_now(&self, name: &str) -> Option<NamespaceFacts> {
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &namespaces());
        let namespace = api.get_opt(name).await.ok()??;
        read::namespace(&whole(&namespace)).ok()
    }

    async fn policies_now(&self, namespace: &str) -> Result<Option<PolicyIndex>, StoreError> {
        if !self.registration_is_ours {
            return Ok(None);
        }
        super::policies::policies_now(&self.client, namespace).await.map(Some).map_err(unavailable)
    }

    fn namespace(&self, name: &str) -> Option<NamespaceFacts> {
        self.namespaces.get(name).map(|namespace| NamespaceFacts::clone(&namespace))
    }

    async fn pod(&self, namespace: &str, name: &str) -> Result<Option<Arc<Pod<'static>>>, StoreError> {
        let object = self.pod_api(namespace).get_opt(name).await.map_err(unavailable)?;
        Ok(object.as_ref().and_then(pod_of).map(Arc::new))
    }

    async fn owner(&self, namespace: &str, owner: &OwnerReference<'_>) -> OwnerSeen {
        self.owners.seen(namespace, owner).await
    }

    async fn wake(&self, pod: &Pod<'_>, mark: &str) -> Result<(), StoreError> {
        let mut annotations = json!({WAKE_ANNOTATION: mark});
        if pod.controller().is_some_and(|owner| owner.kind == "ReplicaSet") {
            let Some(live) = self.pod(&pod.metadata.namespace, &pod.metadata.name).await? else { return Ok(()) };
            let known = &live.metadata.annotations;
            if !known.contains_key(FORMER_COST) {
                annotations[FORMER_COST] = json!(known.get(DELETION_COST).map_or("", |cost| cost.as_str()));
            }
            annotations[DELETION_COST] = json!(FIRST_TO_GO);
        }
        self.patch(pod, annotations).await
    }

    async fn unmark(&self, pod: &Pod<'_>) -> Result<(), StoreError> {
        let Some(live) = self.pod(&pod.metadata.namespace, &pod.metadata.name).await? else { return Ok(()) };
        let mut annotations = json!({WAKE_ANNOTATION: null});
        if let Some(former) = live.metadata.annotations.get(FORMER_COST) {
            annotations[FORMER_COST] = Value::Null;
            annotations[DELETION_COST] = if former.is_empty() { Value::Null } else { json!(former) };
        }
        self.patch(pod, annotations).await
    }

    async fn delete(&self, pod: &Pod<'_>) -> Result<(), StoreError> {
        let uid = Some(pod.metadata.uid.as_str().to_owned());
        let preconditions = Preconditions { uid, resource_version: None };
        let how = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match self.pod_api(&pod.metadata.namespace).delete(&pod.metadata.name, &how).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
            Err(error) => Err(unavailable(error)),
        }
    }

    async fn evict(&self, pod: &Pod<'_>) -> Result<(), StoreError> {
        let uid = Some(pod.metadata.uid.as_str().to_owned());
        let preconditions = Preconditions { uid, resource_version: None };
        let how = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        let how = EvictParams { delete_options: Some(how), ..EvictParams::default() };
        let api: Api<core::v1::Pod> = Api::namespaced(self.client.clone(), &pod.metadata.namespace);
        match api.evict(&pod.metadata.name, &how).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
            Err(kube::Error::Api(status)) => Err(StoreError::Forbidden(status.message)),
            Err(error) => Err(unavailable(error)),
        }
    }

    fn listen(&self, listener: Listener<Pod<'static>>) {
        self.pods.listen(listener);
    }
}

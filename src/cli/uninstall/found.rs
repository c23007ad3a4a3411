//! What there is of Castoff in a cluster.

use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1 as admission;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::flowcontrol::v1::FlowSchema;
use k8s_openapi::api::rbac::v1 as rbac;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::Api;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::Value;

use crate::cli::{Failure, clock};
use crate::kubernetes::resources::{GROUP, pod_drains};
use crate::kubernetes::{drains, pods};
use crate::lifecycle::Phase;

use super::{gone_is_fine, list};

/// A lease that was renewed longer ago, in seconds, is nobody's.
const FRESH: i64 = 60;

/// Everything of Castoff.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub namespace: String,
    /// Webhook configurations with an entry of Castoff's.
    pub webhooks: Vec<String>,
    pub drains: Vec<DynamicObject>,
    /// Somebody undoes what was set.
    pub is_leader: bool,
    pub deployment: bool,
    /// Castoff's own kinds with an object.
    pub kinds: Vec<ApiResource>,
    pub definitions: Vec<String>,
    /// What is Castoff's beside its namespace: kind, namespace, name.
    pub around: Vec<(ApiResource, Option<String>, String)>,
    /// Whether its namespace is there, and what else runs in it.
    pub own: Option<Vec<String>>,
}

/// Objects of a kind, in a namespace or everywhere.
pub(super) fn object(client: &Client, resource: &ApiResource, namespace: Option<&str>) -> Api<DynamicObject> {
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        None => Api::all_with(client.clone(), resource),
    }
}

/// Whether something may still be set at a backend for this drain, or is being undone.
pub(super) fn is_open(drain: &DynamicObject) -> bool {
    drains::read(drain).drain.status.phase != Phase::Completed
}

impl Found {
    /// Looks for all of it.
    pub async fn look(client: &Client, namespace: &str) -> Result<Self, Failure> {
        let mut found = Found { namespace: namespace.to_owned(), ..Found::default() };
        let configurations = ApiResource::erase::<admission::ValidatingWebhookConfiguration>(&());
        found.webhooks = list(client, &configurations).await?.iter().filter(|it| is_webhook(it)).map(name).collect();
        found.drains = list(client, &pod_drains()).await?;
        let lease = get(client, &ApiResource::erase::<Lease>(&()), Some(namespace), "castoff").await?;
        let now = clock::now(client).await?;
        found.is_leader = lease.is_some_and(|lease| is_fresh(&lease, now));
        let deployments = ApiResource::erase::<Deployment>(&());
        found.deployment = get(client, &deployments, Some(namespace), "castoff").await?.is_some();
        for kind in super::kinds() {
            if !list(client, &kind).await?.is_empty() {
                found.kinds.push(kind);
            }
        }
        let definitions = ApiResource::erase::<CustomResourceDefinition>(&());
        let is_definition = |it: &&DynamicObject| name(it).ends_with(&format!(".{GROUP}"));
        found.definitions = list(client, &definitions).await?.iter().filter(is_definition).map(name).collect();
        found.around = around(client, namespace).await?;
        let namespaces = ApiResource::erase::<Namespace>(&());
        let own = get(client, &namespaces, None, namespace).await?;
        if own.is_some_and(|own| own.metadata.deletion_timestamp.is_none()) {
            let pods = object(client, &pods::resource(), Some(namespace)).list(&kube::api::ListParams::default()).await;
            let pods = gone_is_fine(pods, "list pods")?.map(|pods| pods.items).unwrap_or_default();
            found.own = Some(pods.iter().filter(|pod| !is_castoff(pod)).map(name).collect());
        }
        Ok(found)
    }
}

/// What belongs to Castoff outside its namespace: roles, bindings, its places in queues, rules for admission.
async fn around(client: &Client, namespace: &str) -> Result<Vec<(ApiResource, Option<String>, String)>, Failure> {
    let kinds = [
        mutating("MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings"),
        mutating("MutatingAdmissionPolicy", "mutatingadmissionpolicies"),
        ApiResource::erase::<admission::ValidatingAdmissionPolicyBinding>(&()),
        ApiResource::erase::<admission::ValidatingAdmissionPolicy>(&()),
        ApiResource::erase::<FlowSchema>(&()),
        ApiResource::erase::<rbac::ClusterRoleBinding>(&()),
        ApiResource::erase::<rbac::ClusterRole>(&()),
        // Those that let it read Secrets elsewhere.
        ApiResource::erase::<rbac::RoleBinding>(&()),
        ApiResource::erase::<rbac::Role>(&()),
    ];
    let mut around = Vec::new();
    for kind in kinds {
        for it in list(client, &kind).await? {
            let inside = it.metadata.namespace.as_deref() == Some(namespace);
            if !inside && (is_castoff(&it) || serves(&it, namespace)) {
                around.push((kind.clone(), it.metadata.namespace.clone(), name(&it)));
            }
        }
    }
    Ok(around)
}

/// What the overlay for Evictions has, of Kubernetes 1.36 and newer.
fn mutating(kind: &str, plural: &str) -> ApiResource {
    let kind = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", kind);
    ApiResource::from_gvk_with_plural(&kind, plural)
}

async fn get(
    client: &Client,
    resource: &ApiResource,
    namespace: Option<&str>,
    name: &str,
) -> Result<Option<DynamicObject>, Failure> {
    let found = object(client, resource, namespace).get_opt(name).await;
    Ok(gone_is_fine(found, &format!("get {} {name}", resource.plural))?.flatten())
}

fn name(object: &DynamicObject) -> String {
    object.metadata.name.clone().unwrap_or_default()
}

/// By the labels that manifests give, and those that Castoff itself gives.
fn is_castoff(object: &DynamicObject) -> bool {
    let labels = object.metadata.labels.iter().flatten();
    let marks = ["app.kubernetes.io/part-of", "app.kubernetes.io/name"];
    labels.into_iter().any(|(key, value)| marks.contains(&key.as_str()) && value == "castoff")
}

/// Whether a binding gives rights to Castoff's account and to nobody else.
fn serves(binding: &DynamicObject, namespace: &str) -> bool {
    let subjects = binding.data.get("subjects").and_then(Value::as_array).filter(|subjects| !subjects.is_empty());
    let is_ours = |subject: &Value| {
        let field = |name: &str| subject.get(name).and_then(Value::as_str);
        (field("kind"), field("name"), field("namespace")) == (Some("ServiceAccount"), Some("castoff"), Some(namespace))
    };
    subjects.is_some_and(|subjects| subjects.iter().all(is_ours))
}

fn is_webhook(configuration: &DynamicObject) -> bool {
    let entries = configuration.data.get("webhooks").and_then(Value::as_array);
    let is_ours = |entry: &Value| {
        entry.get("name").and_then(Value::as_str).is_some_and(|name| name.ends_with(&format!(".{GROUP}")))
    };
    // With no policy there is no entry in it.
    name(configuration) == crate::kubernetes::registration::NAME || entries.into_iter().flatten().any(is_ours)
}

fn is_fresh(lease: &DynamicObject, now: Timestamp) -> bool {
    let text = |name: &str| lease.data.pointer(&format!("/spec/{name}")).and_then(Value::as_str);
    let renewed: Option<Timestamp> = text("renewTime").and_then(|time| time.parse().ok());
    let held = text("holderIdentity").is_some_and(|holder| !holder.is_empty());
    held && renewed.is_some_and(|renewed| now.duration_since(renewed).as_secs() < FRESH)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn a_lease_is_somebodys_by_the_clock_that_renewed_it() {
        let lease: DynamicObject = serde_json::from_value(json!({
            "metadata": {"name": "castoff"},
            "spec": {"holderIdentity": "castoff-1", "renewTime": "2030-01-01T00:00:00.000000Z"},
        }))
        .unwrap();
        let at = |time: &str| time.parse::<Timestamp>().unwrap();
        assert!(is_fresh(&lease, at("2030-01-01T00:00:59Z")));
        assert!(!is_fresh(&lease, at("2030-01-01T00:01:00Z")));
    }
}

//! Which policy guards a pod, asked of the API by the questions that the gate asks.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;
use kube::core::DynamicObject;
use kube::{Api, Client};

use crate::admission::{Request, What};
use crate::kubernetes::cluster;
use crate::kubernetes::policies::policies_now;
use crate::lifecycle::Caller;
use crate::pod::Pod;
use crate::policy::PolicyIndex;

use super::Failure;
use super::connect::refused;

/// The policies of a namespace, as Castoff has them in force.
pub(super) async fn policies(client: &Client, namespace: &str) -> Result<PolicyIndex, Failure> {
    let now = policies_now(client, namespace).await;
    now.map_err(|error| refused("list drainpolicies, and the drainplans that they name", &error))
}

/// The pod of this name as it is now.
pub(super) async fn pod(client: &Client, namespace: &str, name: &str) -> Result<Pod<'static>, Failure> {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &cluster::pods());
    let found = api.get_opt(name).await.map_err(|error| refused(&format!("get pod {namespace}/{name}"), &error))?;
    let found = found.ok_or_else(|| Failure::No(format!("there is no pod {namespace}/{name}")))?;
    let unreadable = || Failure::No(format!("the pod {namespace}/{name} can't be read"));
    cluster::read_pod(&found).map(|(_, pod)| pod).ok_or_else(unreadable)
}

/// The labels of the pod's node, where a policy asks for them and they may be read.
pub(super) async fn node_labels(
    client: &Client,
    pod: &Pod<'_>,
    policies: &PolicyIndex,
) -> Option<BTreeMap<String, String>> {
    let of_namespace = policies.of_namespace(&pod.metadata.namespace);
    if of_namespace.iter().all(|policy| policy.spec.node_selector.is_empty()) {
        return None;
    }
    let api: Api<Node> = Api::all(client.clone());
    let node = api.get_opt(&pod.spec.node_name).await.ok().flatten()?;
    Some(node.metadata.labels.unwrap_or_default())
}

/// What the gate would be asked if this user deleted the pod.
pub(super) fn delete_of(pod: &Pod<'static>, user: &str) -> Request<'static> {
    Request {
        uid: String::new().into(),
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        username: user.to_owned().into(),
        caller: Caller::Person,
        dry_run: true,
        what: What::Delete { pod: Box::new(pod.clone()), grace_period_seconds: None },
    }
}

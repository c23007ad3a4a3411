//! Which policy guards a pod, asked of the API by the questions that the gate asks.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use kube::core::DynamicObject;
use kube::{Api, Client};

use crate::admission::{Request, What};
use crate::kubernetes::policies::{PlanObject, PolicyObject, compile, read_plan, read_policy};
use crate::kubernetes::resources::{drain_plans, drain_policies};
use crate::kubernetes::{cluster, pods};
use crate::lifecycle::Caller;
use crate::pod::Pod;
use crate::policy::PolicyIndex;

use super::Failure;
use super::connect::{list, refused};

/// The policies of a namespace, as Castoff has them in force.
pub(super) async fn policies(client: &Client, namespace: &str) -> Result<PolicyIndex, Failure> {
    let policies = list(client, &drain_policies(), Some(namespace)).await?;
    let policies: Vec<Arc<PolicyObject>> =
        policies.iter().filter_map(read_policy).map(|(_, it)| Arc::new(it)).collect();
    // Plans are the cluster's: whoever may see only a namespace may not see them, and most policies name none of them.
    let named = policies.iter().any(|policy| policy.spec.to_string().contains("\"plan\":{\"name\""));
    let plans = if named { list(client, &drain_plans(), None).await? } else { Vec::new() };
    let plans: Vec<Arc<PlanObject>> = plans.iter().filter_map(read_plan).map(|(_, it)| Arc::new(it)).collect();
    Ok(compile(&policies, &plans))
}

/// The pod of this name as it is now.
pub(super) async fn pod(client: &Client, namespace: &str, name: &str) -> Result<Pod<'static>, Failure> {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &pods::resource());
    let found = api.get_opt(name).await.map_err(|error| refused(&format!("get pod {namespace}/{name}"), &error))?;
    let found = found.ok_or_else(|| Failure::No(format!("there is no pod {namespace}/{name}")))?;
    let unreadable = || Failure::No(format!("the pod {namespace}/{name} can't be read"));
    cluster::pod_of(&found).ok_or_else(unreadable)
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

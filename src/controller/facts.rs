//! What is kept of the objects that pods depend on, read from their JSON. Pure.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::ports::{NamespaceFacts, NodeFacts, OwnerFacts, OwnerSeen};

/// The kinds of owners that are understood, with their API group.
pub const OWNER_KINDS: [(&str, &str); 4] =
    [("StatefulSet", "apps"), ("ReplicaSet", "apps"), ("DaemonSet", "apps"), ("Job", "batch")];

/// A node.
///
/// # Errors
/// What is wrong with the JSON.
pub fn node(object: &Value) -> Result<NodeFacts, serde_json::Error> {
    let node = Node::deserialize(object)?;
    Ok(NodeFacts {
        ready: match node.status.conditions.iter().find(|condition| condition.kind == "Ready") {
            Some(condition) if condition.status == "True" => Some(true),
            Some(condition) if condition.status == "False" => Some(false),
            _ => None,
        },
        leaving: node.spec.unschedulable || node.spec.taints.iter().any(|taint| taint.effect == "NoExecute"),
        labels: node.metadata.labels,
        annotations: node.metadata.annotations,
    })
}

/// A namespace.
///
/// # Errors
/// What is wrong with the JSON.
pub fn namespace(object: &Value) -> Result<NamespaceFacts, serde_json::Error> {
    let namespace = Plain::deserialize(object)?;
    let deleting = namespace.metadata.deletion_timestamp.is_some();
    Ok(NamespaceFacts { deleting, annotations: namespace.metadata.annotations })
}

/// A pod's owner, one of [`OWNER_KINDS`].
///
/// # Errors
/// What is wrong with the JSON.
pub fn owner(object: &Value) -> Result<OwnerSeen, serde_json::Error> {
    let owner = Owner::deserialize(object)?;
    if owner.metadata.deletion_timestamp.is_some() {
        return Ok(OwnerSeen::DeletingOrGone);
    }
    let replicas = match owner.kind.as_str() {
        "Job" => Some(pods_of_job(&owner)),
        // A StatefulSet's or ReplicaSet's default; a DaemonSet's number follows the nodes.
        "StatefulSet" | "ReplicaSet" => Some(owner.spec.replicas.unwrap_or(1)),
        _ => None,
    };
    let (first_ordinal, update_revision) = (owner.spec.ordinals.start, owner.status.update_revision);
    Ok(OwnerSeen::Known(OwnerFacts { replicas, first_ordinal, update_revision }))
}

/// How many pods a Job still wants: none once it is suspended or has ended.
fn pods_of_job(job: &Owner) -> u32 {
    let ended = job.status.conditions.iter().any(|condition| {
        matches!(condition.kind.as_str(), "Complete" | "Failed" | "FailureTarget" | "SuccessCriteriaMet")
            && condition.status == "True"
    });
    if job.spec.suspend || ended {
        return 0;
    }
    let parallelism = job.spec.parallelism.unwrap_or(1);
    let open = job.spec.completions.map(|completions| completions.saturating_sub(job.status.succeeded));
    open.map_or(parallelism, |open| open.min(parallelism))
}

#[derive(Deserialize)]
struct Plain {
    metadata: PlainMetadata,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PlainMetadata {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    deletion_timestamp: Option<String>,
}

#[derive(Deserialize)]
struct Owner {
    #[serde(default)]
    kind: String,
    metadata: PlainMetadata,
    #[serde(default)]
    spec: OwnerSpec,
    #[serde(default)]
    status: OwnerStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OwnerSpec {
    replicas: Option<u32>,
    parallelism: Option<u32>,
    completions: Option<u32>,
    suspend: bool,
    ordinals: FirstOrdinal,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FirstOrdinal {
    start: u32,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct OwnerStatus {
    update_revision: Option<String>,
    succeeded: u32,
    conditions: Vec<NamedCondition>,
}

#[derive(Deserialize)]
struct Node {
    metadata: PlainMetadata,
    #[serde(default)]
    spec: NodeSpec,
    #[serde(default)]
    status: NodeStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeSpec {
    unschedulable: bool,
    taints: Vec<Taint>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Taint {
    effect: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeStatus {
    conditions: Vec<NamedCondition>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NamedCondition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn replicas_of(job: &Value) -> u32 {
        let OwnerSeen::Known(facts) = owner(job).unwrap() else { return u32::MAX };
        facts.replicas.unwrap()
    }

    #[test]
    fn a_statefulset_may_begin_to_count_anywhere() {
        let set = json!({"kind": "StatefulSet", "metadata": {}, "spec": {"replicas": 3, "ordinals": {"start": 5}}});
        let expected = OwnerFacts { replicas: Some(3), first_ordinal: 5, update_revision: None };
        assert_eq!(owner(&set).unwrap(), OwnerSeen::Known(expected));
    }

    #[test]
    fn a_job_wants_pods_until_it_is_suspended_or_ended() {
        let mut job = json!({"kind": "Job", "metadata": {}, "spec": {"parallelism": 3, "completions": 4}});
        assert_eq!(replicas_of(&job), 3);
        job["status"] = json!({"succeeded": 2});
        assert_eq!(replicas_of(&job), 2);
        job["spec"]["suspend"] = json!(true);
        assert_eq!(replicas_of(&job), 0);
        job["spec"]["suspend"] = json!(false);
        job["status"]["conditions"] = json!([{"type": "Failed", "status": "True"}]);
        assert_eq!(replicas_of(&job), 0);
    }
}

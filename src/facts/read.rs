//! What is kept of the objects that pods depend on, read from their JSON. Pure.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{NamespaceFacts, NodeFacts, OwnerFacts, OwnerKind, OwnerSeen, Taint};

/// The kinds of owners that are understood, with their API group; of others, only their `scale` is asked for.
pub const OWNER_KINDS: [(&str, &str); 5] = [
    ("StatefulSet", "apps"),
    ("ReplicaSet", "apps"),
    ("DaemonSet", "apps"),
    ("Job", "batch"),
    ("ReplicationController", ""),
];

/// A node.
///
/// # Errors
/// What is wrong with the JSON.
pub fn node(object: &Value) -> Result<NodeFacts, serde_json::Error> {
    let node = Node::deserialize(object)?;
    let taints = node.spec.taints.iter().map(|taint| taint.key.clone()).collect();
    let is_true = node.status.conditions.iter().filter(|condition| condition.status == "True");
    let conditions = is_true.map(|condition| condition.kind.clone()).collect();
    let evicting = node.spec.taints.into_iter().filter(|taint| taint.effect == "NoExecute");
    Ok(NodeFacts {
        ready: match node.status.conditions.iter().find(|condition| condition.kind == "Ready") {
            Some(condition) if condition.status == "True" => Some(true),
            Some(condition) if condition.status == "False" => Some(false),
            _ => None,
        },
        evicting: evicting.map(|taint| Taint { key: taint.key, value: taint.value }).collect(),
        taints,
        conditions,
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

/// A pod's owner, one of [`OWNER_KINDS`]. The revision of a DaemonSet is not in it.
///
/// # Errors
/// What is wrong with the JSON.
pub fn owner(object: &Value) -> Result<OwnerSeen, serde_json::Error> {
    let owner = Owner::deserialize(object)?;
    if owner.metadata.deletion_timestamp.is_some() {
        return Ok(OwnerSeen::DeletingOrGone);
    }
    let rolls = owner.spec.update_strategy.kind != "OnDelete";
    // A Job does not say so.
    let observed = owner.kind == "Job" || owner.status.observed_generation >= owner.metadata.generation;
    let (wanted, kind) = match owner.kind.as_str() {
        "Job" => (Some(pods_of_job(&owner)), OwnerKind::Other),
        // What it wanted before the newest change of its spec says nothing.
        "DaemonSet" => {
            (owner.status.desired_number_scheduled.filter(|_| observed), OwnerKind::DaemonSet { rolls, revision: None })
        }
        "StatefulSet" => {
            let kind = OwnerKind::StatefulSet {
                first_ordinal: owner.spec.ordinals.start,
                rolls,
                partition: owner.spec.update_strategy.rolling_update.partition,
                ordered: owner.spec.pod_management_policy != "Parallel",
                revision: owner.status.update_revision,
            };
            (Some(owner.spec.replicas.unwrap_or(1)), kind)
        }
        _ => (Some(owner.spec.replicas.unwrap_or(1)), OwnerKind::Other),
    };
    Ok(OwnerSeen::Known(OwnerFacts { wanted, observed, kind }))
}

/// An owner of any kind, by its `scale` subresource, as the disruption controller tells how many pods it wants.
///
/// # Errors
/// What is wrong with the JSON.
pub fn scale(object: &Value) -> Result<OwnerSeen, serde_json::Error> {
    let scale = Scale::deserialize(object)?;
    Ok(OwnerSeen::Known(OwnerFacts { wanted: Some(scale.spec.replicas), ..OwnerFacts::default() }))
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
    generation: i64,
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
#[serde(rename_all = "camelCase", default)]
struct OwnerSpec {
    replicas: Option<u32>,
    parallelism: Option<u32>,
    completions: Option<u32>,
    suspend: bool,
    ordinals: FirstOrdinal,
    pod_management_policy: String,
    update_strategy: UpdateStrategy,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct UpdateStrategy {
    #[serde(rename = "type")]
    kind: String,
    rolling_update: RollingUpdate,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RollingUpdate {
    partition: u32,
}

#[derive(Deserialize)]
struct Scale {
    #[serde(default)]
    spec: ScaleSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ScaleSpec {
    replicas: u32,
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
    observed_generation: i64,
    desired_number_scheduled: Option<u32>,
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
    taints: Vec<NodeTaint>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeTaint {
    key: String,
    value: String,
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

    fn wanted(object: &Value) -> Option<u32> {
        owner(object).unwrap().wanted()
    }

    #[test]
    fn a_statefulset_may_begin_to_count_anywhere() {
        let set = json!({"kind": "StatefulSet", "metadata": {}, "spec": {"replicas": 3, "ordinals": {"start": 5}}});
        let seen = owner(&set).unwrap();
        assert_eq!(seen.ordinals(), Some((5, 3)));
        let wants = [4, 5, 7, 8].map(|ordinal| seen.wants_ordinal(ordinal));
        assert_eq!(wants, [Some(false), Some(true), Some(true), Some(false)]);
    }

    #[test]
    fn a_statefulset_says_how_it_rolls() {
        let kind = |spec: Value| {
            let set = json!({"kind": "StatefulSet", "metadata": {}, "spec": spec, "status": {"updateRevision": "new"}});
            owner(&set).unwrap().facts().unwrap().kind.clone()
        };
        let usual = |rolls, partition, ordered| OwnerKind::StatefulSet {
            first_ordinal: 0,
            rolls,
            partition,
            ordered,
            revision: Some("new".to_owned()),
        };
        assert_eq!(kind(json!({})), usual(true, 0, true));
        assert_eq!(kind(json!({"podManagementPolicy": "Parallel"})), usual(true, 0, false));
        let partition = json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}});
        assert_eq!(kind(partition), usual(true, 2, true));
        assert_eq!(kind(json!({"updateStrategy": {"type": "OnDelete"}})), usual(false, 0, true));
    }

    #[test]
    fn a_daemonset_wants_what_it_said_of_its_newest_spec() {
        let set = |observed| {
            json!({"kind": "DaemonSet", "metadata": {"generation": 2},
                "status": {"desiredNumberScheduled": 4, "observedGeneration": observed}})
        };
        assert_eq!((wanted(&set(2)), wanted(&set(1))), (Some(4), None));
    }

    #[test]
    fn a_job_wants_pods_until_it_is_suspended_or_ended() {
        let mut job = json!({"kind": "Job", "metadata": {}, "spec": {"parallelism": 3, "completions": 4}});
        assert_eq!(wanted(&job), Some(3));
        job["status"] = json!({"succeeded": 2});
        assert_eq!(wanted(&job), Some(2));
        job["spec"]["suspend"] = json!(true);
        assert_eq!(wanted(&job), Some(0));
        job["spec"]["suspend"] = json!(false);
        job["status"]["conditions"] = json!([{"type": "Failed", "status": "True"}]);
        assert_eq!(wanted(&job), Some(0));
    }

    #[test]
    fn any_kind_with_a_scale_says_how_many_it_wants() {
        assert_eq!(scale(&json!({"spec": {"replicas": 5}})).unwrap().wanted(), Some(5));
        assert_eq!(scale(&json!({"spec": {}})).unwrap().wanted(), Some(0));
    }

    #[test]
    fn a_taint_evicts_whom_it_is_not_tolerated_by() {
        use crate::facts::Tolerance;
        let tainted = node(&json!({"metadata": {}, "spec": {"taints": [
            {"key": "maintenance", "value": "yes", "effect": "NoExecute"}, {"key": "other", "effect": "NoSchedule"}]}}));
        let bears = |tolerations: Value| {
            let pod = json!({"metadata": {"name": "a"}, "spec": {"tolerations": tolerations}});
            tainted.as_ref().unwrap().tolerated_by(&crate::pod::deserialize_owned(&pod).unwrap())
        };
        assert_eq!(bears(json!([])), Tolerance::None);
        assert_eq!(bears(json!([{"key": "maintenance", "value": "no", "effect": "NoExecute"}])), Tolerance::None);
        assert_eq!(bears(json!([{"key": "maintenance", "value": "yes", "effect": "NoSchedule"}])), Tolerance::None);
        assert_eq!(bears(json!([{"key": "maintenance", "value": "yes"}])), Tolerance::Forever);
        assert_eq!(bears(json!([{"operator": "Exists"}])), Tolerance::Forever);
        assert_eq!(
            bears(json!([{"key": "maintenance", "operator": "Exists", "tolerationSeconds": 300}])),
            Tolerance::AWhile
        );
    }
}

//! Whether a pod is expected back, and whether its owner or its node wants it gone now: as the controllers of
//! Kubernetes really act, by what can be seen. Only what they would do by themselves now counts.

use crate::facts::{NodeSeen, OwnerFacts, OwnerKind, OwnerSeen, Tolerance};
use crate::plan::Mode;
use crate::pod::Pod;

use super::caller::Caller;

/// The label that a StatefulSet or DaemonSet puts its revision into.
const REVISION_LABEL: &str = "controller-revision-hash";

/// Whether somebody can be seen to want the pod gone now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wish {
    /// Nobody can.
    #[default]
    None,
    /// Its owner can, and asks for it by itself.
    Asks,
    /// Somebody can who does not ask again: the delete is to be done for it.
    MustBeDone,
}

/// Whether the pod is expected back: not if its ordinal is none of those that its StatefulSet wants. `None` where that
/// can't be told: then what was known holds.
#[must_use]
pub fn mode(pod: &Pod<'_>, owner: &OwnerSeen) -> Option<Mode> {
    match owner {
        OwnerSeen::Unknown => None,
        _ => match pod.ordinal().and_then(|ordinal| owner.wants_ordinal(ordinal)) {
            Some(false) => Some(Mode::Removal),
            Some(true) | None => Some(Mode::Restart),
        },
    }
}

/// Whether somebody can be seen to want this pod gone now, which `caller` has asked for.
#[must_use]
pub fn wish(pod: &Pod<'_>, owner: &OwnerSeen, node: &NodeSeen, caller: Caller) -> Wish {
    if is_evicted(pod, node, caller) {
        return Wish::MustBeDone;
    }
    let Some(facts) = owner.facts() else { return Wish::None };
    let asked_by_a_program = caller != Caller::Person;
    match &facts.kind {
        OwnerKind::StatefulSet { ordered, .. } if is_to_go(pod, owner, facts) => {
            // While a pod is not Ready an OrderedReady set deletes nothing, this one neither.
            let waits = *ordered && !pod.is_ready() && asked_by_a_program;
            if waits { Wish::MustBeDone } else { Wish::Asks }
        }
        // Its controller chooses afresh at each try.
        OwnerKind::DaemonSet { rolls: true, revision } if is_outdated(pod, revision.as_deref()) => {
            if asked_by_a_program { Wish::MustBeDone } else { Wish::Asks }
        }
        _ => Wish::None,
    }
}

/// Whether the node's taints evict the pod. One that tolerates them for a while goes once the time is over, which only
/// whoever asked knows.
fn is_evicted(pod: &Pod<'_>, node: &NodeSeen, caller: Caller) -> bool {
    let NodeSeen::Known(node) = node else { return false };
    match node.tolerated_by(pod) {
        Tolerance::None => true,
        Tolerance::AWhile => caller == Caller::TaintEviction,
        Tolerance::Forever => false,
    }
}

/// Whether a StatefulSet is about to delete the pod: to scale in, or to roll out.
fn is_to_go(pod: &Pod<'_>, owner: &OwnerSeen, facts: &OwnerFacts) -> bool {
    let Some(ordinal) = pod.ordinal() else { return false };
    if owner.wants_ordinal(ordinal) == Some(false) {
        return true;
    }
    match &facts.kind {
        OwnerKind::StatefulSet { rolls: true, partition, revision, .. } => {
            ordinal >= *partition && is_outdated(pod, revision.as_deref())
        }
        _ => false,
    }
}

fn is_outdated(pod: &Pod<'_>, wanted: Option<&str>) -> bool {
    let revision = pod.metadata.labels.get(REVISION_LABEL);
    wanted.is_some_and(|wanted| revision.is_some_and(|revision| revision.as_str() != wanted))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::facts::{NodeFacts, Taint, read};

    fn pod(kind: &str, ordinal: u32, ready: bool) -> Pod<'static> {
        let pod = json!({
            "metadata": {"name": format!("db-{ordinal}"), "namespace": "n", "uid": "u",
                "labels": {REVISION_LABEL: "old"},
                "ownerReferences": [{"kind": kind, "name": "db", "uid": "s", "controller": true}]},
            "status": {"conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]},
        });
        crate::pod::deserialize_owned(&pod).unwrap()
    }

    fn set(spec: &serde_json::Value, revision: &str) -> OwnerSeen {
        let set = json!({"kind": "StatefulSet", "metadata": {}, "spec": spec, "status": {"updateRevision": revision}});
        read::owner(&set).unwrap()
    }

    fn of(pod: &Pod<'_>, owner: &OwnerSeen, caller: Caller) -> Wish {
        wish(pod, owner, &NodeSeen::Unknown, caller)
    }

    #[test]
    fn a_pod_past_the_replicas_will_not_come_back() {
        let two = set(&json!({"replicas": 2}), "old");
        assert_eq!(mode(&pod("StatefulSet", 2, true), &two), Some(Mode::Removal));
        assert_eq!(mode(&pod("StatefulSet", 1, true), &two), Some(Mode::Restart));
    }

    #[test]
    fn an_owner_that_cannot_be_read_says_nothing_of_the_pods_return() {
        assert_eq!(mode(&pod("StatefulSet", 2, true), &OwnerSeen::Unknown), None);
        assert_eq!(mode(&pod("StatefulSet", 2, true), &OwnerSeen::DeletingOrGone), Some(Mode::Restart));
    }

    #[test]
    fn a_statefulset_wants_gone_what_its_roll_out_replaces_and_nothing_else() {
        let of = |spec: serde_json::Value, revision| {
            of(&pod("StatefulSet", 1, true), &set(&spec, revision), Caller::Program)
        };
        assert_eq!(of(json!({"replicas": 3}), "new"), Wish::Asks);
        assert_eq!(of(json!({"replicas": 3}), "old"), Wish::None);
        assert_eq!(of(json!({"replicas": 1}), "old"), Wish::Asks);
        let partition = |from| json!({"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": from}}});
        assert_eq!((of(partition(2), "new"), of(partition(1), "new")), (Wish::None, Wish::Asks));
        assert_eq!(of(json!({"replicas": 3, "updateStrategy": {"type": "OnDelete"}}), "new"), Wish::None);
    }

    #[test]
    fn an_ordered_set_does_not_ask_for_a_pod_that_is_not_ready() {
        let down = pod("StatefulSet", 1, false);
        let ordered = set(&json!({"replicas": 3}), "new");
        assert_eq!(of(&down, &ordered, Caller::Program), Wish::MustBeDone);
        assert_eq!(of(&down, &ordered, Caller::Person), Wish::Asks, "a person's delete is not carried out later");
        let parallel = set(&json!({"replicas": 3, "podManagementPolicy": "Parallel"}), "new");
        assert_eq!(of(&down, &parallel, Caller::Program), Wish::Asks);
        assert_eq!(of(&down, &set(&json!({"replicas": 1}), "old"), Caller::Program), Wish::MustBeDone);
    }

    #[test]
    fn a_taint_that_the_pod_does_not_bear_wants_it_gone_and_a_cordon_does_not() {
        let taint = Taint { key: "maintenance".into(), value: String::new() };
        let tainted = NodeSeen::Known(NodeFacts { evicting: vec![taint], ..NodeFacts::default() });
        let cordoned = NodeSeen::Known(NodeFacts::default());
        let mut pod = pod("ReplicaSet", 0, true);
        assert_eq!(wish(&pod, &OwnerSeen::Unknown, &tainted, Caller::TaintEviction), Wish::MustBeDone);
        assert_eq!(wish(&pod, &OwnerSeen::Unknown, &cordoned, Caller::TaintEviction), Wish::None);
        pod.spec.tolerations = vec![crate::pod::Toleration {
            key: "maintenance".into(),
            operator: "Exists".into(),
            toleration_seconds: Some(300),
            ..Default::default()
        }];
        assert_eq!(wish(&pod, &OwnerSeen::Unknown, &tainted, Caller::Program), Wish::None, "not before its time");
        assert_eq!(wish(&pod, &OwnerSeen::Unknown, &tainted, Caller::TaintEviction), Wish::MustBeDone);
        pod.spec.tolerations[0].toleration_seconds = None;
        assert_eq!(wish(&pod, &OwnerSeen::Unknown, &tainted, Caller::TaintEviction), Wish::None);
    }
}

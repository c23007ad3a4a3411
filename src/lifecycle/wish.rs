//! Whether a pod is expected back, and whether its owner or its node wants it gone now: as the controllers of
//! Kubernetes really act, by what can be seen. Only what they would do by themselves now counts.

use std::sync::Arc;

use crate::facts::{NodeSeen, OwnerFacts, OwnerKind, OwnerSeen, Tolerance};
use crate::plan::Mode;
use crate::pod::Pod;

use super::caller::Caller;

/// The label that a StatefulSet or DaemonSet puts its revision into.
const REVISION_LABEL: &str = "controller-revision-hash";

/// What can be seen of whether somebody wants the pod gone now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wish {
    /// Nothing.
    #[default]
    None,
    /// Its owner can be read, and wants nothing of it.
    Keeps,
    /// Its owner wants it gone, and asks for it by itself.
    Asks,
    /// Somebody wants it gone who does not ask again: the delete is to be done for it.
    MustBeDone,
}

impl Wish {
    /// Whether somebody can be seen to want the pod gone.
    #[must_use]
    pub fn is_to_go(self) -> bool {
        matches!(self, Wish::Asks | Wish::MustBeDone)
    }
}

/// Whether the pod is expected back: not if its ordinal is none of those that its StatefulSet wants. `None` where that
/// can't be told: then what was known holds.
#[must_use]
pub fn mode(pod: &Pod<'_>, owner: &OwnerSeen) -> Option<Mode> {
    match owner {
        OwnerSeen::Unread | OwnerSeen::Unknown => None,
        _ => match pod.ordinal().and_then(|ordinal| owner.wants_ordinal(ordinal)) {
            Some(false) => Some(Mode::Removal),
            Some(true) | None => Some(Mode::Restart),
        },
    }
}

/// What can be seen of whether somebody wants this pod, one of `pods`, gone now. `caller` has asked for it.
#[must_use]
pub fn wish(pod: &Pod<'_>, owner: &OwnerSeen, node: &NodeSeen, caller: Caller, pods: &[Arc<Pod<'static>>]) -> Wish {
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
        _ if keeps(pod, facts, pods) => Wish::Keeps,
        _ => Wish::None,
    }
}

/// Whether an owner that is not about to replace the pod can be seen to want nothing else of it either.
fn keeps(pod: &Pod<'_>, facts: &OwnerFacts, pods: &[Arc<Pod<'static>>]) -> bool {
    facts.observed
        && match &facts.kind {
            // It goes by the pod's number and revision alone.
            OwnerKind::StatefulSet { revision, .. } => pod.ordinal().is_some() && revision.is_some(),
            OwnerKind::DaemonSet { revision, .. } => revision.is_some() && has_enough(pod, facts, pods),
            OwnerKind::Other => has_enough(pod, facts, pods),
        }
}

/// Whether the pod's owner counts its pods, and has no more than it wants: then it asks for none of them any more.
fn has_enough(pod: &Pod<'_>, facts: &OwnerFacts, pods: &[Arc<Pod<'static>>]) -> bool {
    let (Some(controller), Some(wanted)) = (pod.controller(), facts.wanted) else { return false };
    let is_its = |other: &Pod<'_>| other.controller().is_some_and(|owner| owner.uid == controller.uid);
    let lives = |other: &&Arc<Pod<'static>>| is_its(other) && !other.is_terminating() && !other.is_finished();
    let living: Vec<_> = pods.iter().filter(lives).collect();
    living.len() <= wanted as usize && living.iter().any(|other| other.metadata.uid == pod.metadata.uid)
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

    fn counted(kind: &str, replicas: u32, observed: i64) -> OwnerSeen {
        let status = json!({"observedGeneration": observed, "desiredNumberScheduled": replicas});
        let owner =
            json!({"kind": kind, "metadata": {"generation": 2}, "spec": {"replicas": replicas}, "status": status});
        read::owner(&owner).unwrap()
    }

    fn of(pod: &Pod<'_>, owner: &OwnerSeen, caller: Caller) -> Wish {
        wish(pod, owner, &NodeSeen::Unknown, caller, &[Arc::new(pod.clone().into_owned())])
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
        assert_eq!(of(json!({"replicas": 3}), "old"), Wish::Keeps, "as after a roll-back");
        assert_eq!(of(json!({"replicas": 1}), "old"), Wish::Asks);
        let partition = |from| json!({"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": from}}});
        assert_eq!((of(partition(2), "new"), of(partition(1), "new")), (Wish::Keeps, Wish::Asks));
        assert_eq!(of(json!({"replicas": 3, "updateStrategy": {"type": "OnDelete"}}), "new"), Wish::Keeps);
    }

    #[test]
    fn an_owner_whose_controller_is_behind_says_nothing() {
        for (observed, wish) in [(1, Wish::None), (2, Wish::Keeps)] {
            let status = json!({"updateRevision": "old", "observedGeneration": observed});
            let set = json!({"kind": "StatefulSet", "metadata": {"generation": 2}, "spec": {}, "status": status});
            assert_eq!(of(&pod("StatefulSet", 0, true), &read::owner(&set).unwrap(), Caller::Owner), wish);
            assert_eq!(of(&pod("ReplicaSet", 0, true), &counted("ReplicaSet", 1, observed), Caller::Owner), wish);
        }
    }

    #[test]
    fn an_owner_with_no_pod_too_many_keeps_those_that_it_has() {
        let pods: Vec<_> = (0..2).map(|number| Arc::new(pod("ReplicaSet", number, true))).collect();
        let of = |owner: &OwnerSeen, pods: &[Arc<Pod<'static>>]| {
            wish(&pod("ReplicaSet", 0, true), owner, &NodeSeen::Unknown, Caller::Owner, pods)
        };
        let wants = |replicas| counted("ReplicaSet", replicas, 2);
        assert_eq!(of(&wants(2), &pods), Wish::Keeps);
        assert_eq!(of(&wants(1), &pods), Wish::None);
        assert_eq!(of(&OwnerSeen::Unknown, &pods), Wish::None);
        assert_eq!(of(&wants(2), &[]), Wish::None, "pods that are not seen say nothing");
    }

    #[test]
    fn a_daemonset_keeps_an_agent_of_its_revision_while_none_is_too_many() {
        let agent = pod("DaemonSet", 0, true);
        let revised = |replicas, newest: Option<&str>| {
            let mut owner = counted("DaemonSet", replicas, 2);
            if let OwnerSeen::Known(facts) = &mut owner
                && let OwnerKind::DaemonSet { revision, .. } = &mut facts.kind
            {
                *revision = newest.map(str::to_owned);
            }
            of(&agent, &owner, Caller::Owner)
        };
        assert_eq!(revised(1, Some("old")), Wish::Keeps);
        assert_eq!(revised(1, Some("new")), Wish::MustBeDone);
        assert_eq!((revised(0, Some("old")), revised(1, None)), (Wish::None, Wish::None));
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
        assert_eq!(wish(&pod, &OwnerSeen::Unknown, &tainted, Caller::TaintEviction, &[]), Wish::MustBeDone);
        assert_eq!(wish(&pod, &OwnerSeen::Unknown, &cordoned, Caller::TaintEviction, &[]), Wish::None);
        pod.spec.tolerations = vec![crate::pod::Toleration {
            key: "maintenance".into(),
            operator: "Exists".into(),
            toleration_seconds: Some(300),
            ..Default::default()
        }];
        assert_eq!(wish(&pod, &OwnerSeen::Unknown, &tainted, Caller::Program, &[]), Wish::None, "not before its time");
        assert_eq!(wish(&pod, &OwnerSeen::Unknown, &tainted, Caller::TaintEviction, &[]), Wish::MustBeDone);
        pod.spec.tolerations[0].toleration_seconds = None;
        assert_eq!(wish(&pod, &OwnerSeen::Unknown, &tainted, Caller::TaintEviction, &[]), Wish::None);
    }
}

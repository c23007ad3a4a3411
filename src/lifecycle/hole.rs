//! The hole that a pod leaves, and when it is closed: once its owner is content. Never told by the owner's kind alone,
//! and never closed by another owner's pod.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use crate::facts::{OwnerKind, OwnerSeen};
use crate::pod::Pod;

use super::drain::seat_of;

/// For how long all pods of an owner, of which nothing else can be told, must have been Ready and unchanged.
pub const SETTLED: Duration = Duration::from_mins(10);

/// What is to be seen of the hole that a pod has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hole {
    /// The owner is not content yet.
    Open,
    /// It is, or none is there to be.
    Closed,
    /// Nothing tells what the owner wants, but all its pods that are there are Ready. The number is another one
    /// whenever they are others: after [`SETTLED`] without a change the hole counts as closed.
    Quiet(u64),
}

/// What is to be seen of the hole that `gone` has left, among the pods of its namespace.
#[must_use]
pub fn hole(gone: &Pod<'_>, pods: &[Arc<Pod<'static>>], owner: &OwnerSeen) -> Hole {
    let Some(controller) = gone.controller() else { return Hole::Closed };
    if *owner == OwnerSeen::DeletingOrGone {
        return Hole::Closed;
    }
    let is_its = |pod: &&Arc<Pod<'static>>| {
        pod.metadata.uid != gone.metadata.uid
            && !pod.is_finished()
            && pod.controller().is_some_and(|other| other.uid == controller.uid)
    };
    let its: Vec<&Arc<Pod<'static>>> = pods.iter().filter(is_its).collect();
    let serves = |pod: &&&Arc<Pod<'static>>| pod.is_ready() && !pod.is_terminating();
    // A pod past the replicas takes nobody's place.
    let is_wanted = |pod: &Pod<'_>| pod.ordinal().and_then(|ordinal| owner.wants_ordinal(ordinal)) != Some(false);
    let ready = its.iter().filter(serves).filter(|pod| is_wanted(pod)).count();
    let seat = seat_of(gone);
    if its.iter().filter(serves).any(|pod| seat_of(pod) == seat) {
        return Hole::Closed;
    }
    match owner.facts() {
        Some(facts) => match (&facts.kind, facts.wanted) {
            (OwnerKind::StatefulSet { .. }, Some(_)) if !is_wanted(gone) => Hole::Closed,
            // Where every node that is to have a pod has one, this node is not among them any more.
            (OwnerKind::DaemonSet { .. }, Some(wanted)) if its.len() >= wanted as usize && is_empty(&seat, &its) => {
                Hole::Closed
            }
            (_, Some(wanted)) if ready >= wanted as usize => Hole::Closed,
            (_, Some(_)) => Hole::Open,
            (_, None) => quiet(&its, ready),
        },
        None => quiet(&its, ready),
    }
}

/// Nobody has this seat, nor may get it: an agent that is on no node yet may be for any.
fn is_empty(seat: &str, its: &[&Arc<Pod<'static>>]) -> bool {
    !its.iter().any(|pod| seat_of(pod) == seat || pod.spec.node_name.is_empty())
}

fn quiet(its: &[&Arc<Pod<'static>>], ready: usize) -> Hole {
    if ready < its.len() {
        return Hole::Open;
    }
    let uids: BTreeSet<&str> = its.iter().map(|pod| pod.metadata.uid.as_str()).collect();
    let mut hasher = DefaultHasher::new();
    uids.hash(&mut hasher);
    Hole::Quiet(hasher.finish())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::facts::{OwnerFacts, read};

    fn pod(kind: &str, owner: &str, name: &str, uid: &str, ready: bool) -> Pod<'static> {
        let pod = json!({
            "metadata": {"name": name, "namespace": "n", "uid": uid,
                "ownerReferences": [{"kind": kind, "name": owner, "uid": owner, "controller": true}]},
            "spec": {"nodeName": format!("node-of-{name}")},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]},
        });
        crate::pod::deserialize_owned(&pod).unwrap()
    }

    fn known(wanted: Option<u32>) -> OwnerSeen {
        OwnerSeen::Known(OwnerFacts { wanted, ..OwnerFacts::default() })
    }

    fn all(pods: &[Pod<'static>]) -> Vec<Arc<Pod<'static>>> {
        pods.iter().cloned().map(Arc::new).collect()
    }

    #[test]
    fn the_same_name_ready_under_the_same_owner_closes_it_whatever_kind_that_is() {
        for kind in ["StatefulSet", "StrimziPodSet", "Cluster", "StatefulSet.apps.kruise.io"] {
            let gone = pod(kind, "db", "db-0", "old", true);
            let back = pod(kind, "db", "db-0", "new", true);
            let starting = pod(kind, "db", "db-0", "new", false);
            let foreign = pod(kind, "other", "db-0", "new", true);
            assert_eq!(hole(&gone, &all(&[back]), &OwnerSeen::Unknown), Hole::Closed, "{kind}");
            assert_eq!(hole(&gone, &all(&[starting]), &OwnerSeen::Unknown), Hole::Open, "{kind}");
            assert_ne!(hole(&gone, &all(&[foreign]), &OwnerSeen::Unknown), Hole::Closed, "{kind}");
        }
    }

    #[test]
    fn as_many_ready_as_the_owner_wants_close_it() {
        let gone = pod("CloneSet", "web", "web-a", "a", true);
        let two = all(&[pod("CloneSet", "web", "web-b", "b", true), pod("CloneSet", "web", "web-c", "c", true)]);
        assert_eq!(hole(&gone, &two, &known(Some(2))), Hole::Closed);
        assert_eq!(hole(&gone, &two, &known(Some(3))), Hole::Open);
    }

    #[test]
    fn an_owner_that_is_gone_and_one_that_never_was_close_it() {
        let gone = pod("StatefulSet", "db", "db-0", "a", true);
        assert_eq!(hole(&gone, &[], &OwnerSeen::DeletingOrGone), Hole::Closed);
        let bare = Pod::default();
        assert_eq!(hole(&bare, &[], &OwnerSeen::None), Hole::Closed);
    }

    #[test]
    fn what_cannot_be_told_is_quiet_while_all_that_are_there_are_ready() {
        let gone = pod("Cluster", "pg", "pg-1", "a", true);
        let others = [pod("Cluster", "pg", "pg-2", "b", true), pod("Cluster", "pg", "pg-3", "c", true)];
        let before = hole(&gone, &all(&others), &OwnerSeen::Unknown);
        assert!(matches!(before, Hole::Quiet(_)), "{before:?}");
        assert_eq!(hole(&gone, &all(&others), &known(None)), before);
        let fewer = hole(&gone, &all(&others[..1]), &OwnerSeen::Unknown);
        assert!(matches!(fewer, Hole::Quiet(_)) && fewer != before, "{fewer:?}");
        let down = pod("Cluster", "pg", "pg-2", "b", false);
        assert_eq!(hole(&gone, &all(&[down]), &OwnerSeen::Unknown), Hole::Open);
    }

    fn agents(wanted: u32) -> OwnerSeen {
        let kind = OwnerKind::DaemonSet { rolls: true, revision: None };
        OwnerSeen::Known(OwnerFacts { wanted: Some(wanted), observed: true, kind })
    }

    #[test]
    fn an_agent_is_replaced_on_its_own_node_by_its_own_set() {
        let gone = pod("DaemonSet", "shm", "x", "a", true);
        let mut next = pod("DaemonSet", "shm", "y", "b", true);
        assert_eq!(hole(&gone, &all(&[next.clone()]), &agents(2)), Hole::Open, "another node's");
        next.spec.node_name = gone.spec.node_name.clone();
        assert_eq!(hole(&gone, &all(&[next.clone()]), &agents(2)), Hole::Closed);
        next.metadata.owner_references = pod("DaemonSet", "log", "y", "b", true).metadata.owner_references;
        assert_eq!(hole(&gone, &all(&[next]), &agents(2)), Hole::Open, "another set's");
    }

    #[test]
    fn an_agent_that_is_on_no_node_yet_may_be_for_that_one() {
        let gone = pod("DaemonSet", "shm", "x", "a", true);
        let mut next = pod("DaemonSet", "shm", "y", "b", false);
        next.spec.node_name = "".into();
        assert_eq!(hole(&gone, &all(&[next]), &agents(1)), Hole::Open);
    }

    #[test]
    fn a_node_that_no_longer_is_to_have_an_agent_leaves_no_hole() {
        let gone = pod("DaemonSet", "shm", "x", "a", true);
        let elsewhere = all(&[pod("DaemonSet", "shm", "y", "b", true), pod("DaemonSet", "shm", "z", "c", false)]);
        assert_eq!(hole(&gone, &elsewhere, &agents(3)), Hole::Open);
        assert_eq!(hole(&gone, &elsewhere, &agents(2)), Hole::Closed, "one elsewhere is not Ready: not our matter");
    }

    #[test]
    fn a_scaled_in_pod_leaves_no_hole_though_another_is_not_ready() {
        let gone = pod("StatefulSet", "db", "db-2", "a", true);
        let down = all(&[pod("StatefulSet", "db", "db-0", "b", false)]);
        let set = |replicas| {
            read::owner(&json!({"kind": "StatefulSet", "metadata": {}, "spec": {"replicas": replicas}})).unwrap()
        };
        assert_eq!((hole(&gone, &down, &set(2)), hole(&gone, &down, &set(3))), (Hole::Closed, Hole::Open));
    }
}

//! What the lifecycle is told of pods, made from what the cluster shows. Pure.

use std::sync::Arc;

use crate::lifecycle::drain::seat_of;
use crate::lifecycle::slots::Peer;
use crate::lifecycle::{Drain, PodSeen, Successor};
use crate::plan::Mode;
use crate::pod::Pod;
use crate::policy::Policy;

use super::interfaces::{NodeSeen, OwnerFacts, OwnerSeen, WAKE_ANNOTATION};

/// The label that a StatefulSet or DaemonSet puts its revision into.
const REVISION_LABEL: &str = "controller-revision-hash";

/// The pod with the departure's UID, among the pods of its namespace.
#[must_use]
pub fn pod_seen(drain: &Drain, pods: &[Arc<Pod<'static>>]) -> PodSeen {
    match pods.iter().find(|pod| pod.metadata.uid == *drain.pod_uid()) {
        None => PodSeen::Gone,
        Some(pod) => PodSeen::Present {
            terminating: pod.is_terminating() || pod.is_finished(),
            wake_mark: pod.metadata.annotations.get(WAKE_ANNOTATION).map(|mark| mark.as_str().to_owned()),
        },
    }
}

/// The pod that takes the departed one's place.
#[must_use]
pub fn successor(drain: &Drain, pods: &[Arc<Pod<'static>>], owner: &OwnerSeen) -> Successor {
    let gone = &drain.spec.pod;
    let Some(controller) = gone.controller() else { return Successor::NoneToCome };
    if *owner == OwnerSeen::DeletingOrGone || mode(gone, owner) == Mode::Removal {
        return Successor::NoneToCome;
    }
    let is_sibling = |pod: &Pod<'_>| {
        pod.metadata.uid != gone.metadata.uid && pod.controller().is_some_and(|other| other.uid == controller.uid)
    };
    let ready = |pod: &Pod<'_>| pod.is_ready() && !pod.is_terminating();
    let is_back = match controller.kind.as_str() {
        "StatefulSet" | "DaemonSet" => pods
            .iter()
            .any(|pod| pod.metadata.uid != gone.metadata.uid && seat_of(pod) == drain.spec.seat && ready(pod)),
        _ => {
            let wanted = match owner {
                OwnerSeen::Known(OwnerFacts { replicas: Some(replicas), .. }) => *replicas as usize,
                _ => return Successor::Awaited,
            };
            pods.iter().filter(|pod| is_sibling(pod) && ready(pod)).count() >= wanted
        }
    };
    if is_back { Successor::Ready } else { Successor::Awaited }
}

/// Whether the pod is expected back: not if its ordinal is past what its StatefulSet wants.
#[must_use]
pub fn mode(pod: &Pod<'_>, owner: &OwnerSeen) -> Mode {
    let OwnerSeen::Known(OwnerFacts { replicas: Some(replicas), .. }) = owner else { return Mode::Restart };
    if pod.ordinal().is_some_and(|ordinal| ordinal >= *replicas) { Mode::Removal } else { Mode::Restart }
}

/// Whether it can be seen that the pod is still to go.
#[must_use]
pub fn owner_wants(pod: &Pod<'_>, owner: &OwnerSeen, node: &NodeSeen) -> bool {
    let node_is_leaving = matches!(node, NodeSeen::Known(node) if node.leaving);
    let OwnerSeen::Known(facts) = owner else { return node_is_leaving };
    let revision = pod.metadata.labels.get(REVISION_LABEL);
    let is_outdated = facts
        .update_revision
        .as_ref()
        .is_some_and(|wanted| revision.is_some_and(|revision| revision.as_str() != wanted));
    node_is_leaving || is_outdated || mode(pod, owner) == Mode::Removal
}

/// The pods that share the departure's limit, and how many of them have not come back yet.
#[must_use]
pub fn peers(
    policy: Option<&Policy>,
    drain: &Drain,
    pods: &[Arc<Pod<'static>>],
    owner: &OwnerSeen,
) -> (Vec<Peer>, usize) {
    let selected: Vec<&Arc<Pod<'static>>> = pods
        .iter()
        .filter(|pod| !pod.is_finished() && policy.is_some_and(|policy| policy.selects(pod, None)))
        .collect();
    let peers: Vec<Peer> = selected
        .iter()
        .map(|pod| Peer { seat: seat_of(pod), ready: pod.is_ready() && !pod.is_terminating() })
        .collect();
    let missing = match (owner, drain.spec.pod.controller()) {
        (OwnerSeen::Known(OwnerFacts { replicas: Some(replicas), .. }), Some(controller)) => {
            let is_its = |pod: &Pod<'_>| pod.controller().is_some_and(|owner| owner.uid == controller.uid);
            let there = pods.iter().filter(|pod| is_its(pod) && !pod.is_finished()).count();
            (*replicas as usize).saturating_sub(there)
        }
        _ => 0,
    };
    (peers, missing)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn pod(json: &str) -> Pod<'static> {
        serde_json::from_str::<Pod<'_>>(json).unwrap().into_owned()
    }

    fn member(ordinal: u32, uid: &str, ready: bool) -> Pod<'static> {
        pod(&format!(
            r#"{{"metadata":{{"name":"db-{ordinal}","namespace":"n","uid":"{uid}","labels":{{"controller-revision-hash":"old"}},
            "ownerReferences":[{{"kind":"StatefulSet","name":"db","uid":"s","controller":true}}]}},
            "status":{{"phase":"Running","conditions":[{{"type":"Ready","status":"{}"}}]}}}}"#,
            if ready { "True" } else { "False" }
        ))
    }

    fn known(replicas: u32, revision: &str) -> OwnerSeen {
        OwnerSeen::Known(OwnerFacts { replicas: Some(replicas), update_revision: Some(revision.to_owned()) })
    }

    #[test]
    fn a_pod_past_the_replicas_will_not_come_back() {
        assert_eq!(mode(&member(2, "a", true), &known(2, "old")), Mode::Removal);
        assert_eq!(mode(&member(1, "a", true), &known(2, "old")), Mode::Restart);
        assert_eq!(mode(&member(2, "a", true), &OwnerSeen::Unknown), Mode::Restart);
    }

    #[test]
    fn an_older_revision_shows_that_the_pod_is_still_to_go() {
        let unknown = NodeSeen::Unknown;
        assert!(owner_wants(&member(0, "a", true), &known(3, "new"), &unknown));
        assert!(!owner_wants(&member(0, "a", true), &known(3, "old"), &unknown));
        let cordoned =
            NodeSeen::Known(crate::controller::interfaces::NodeFacts { leaving: true, ..Default::default() });
        assert!(owner_wants(&member(0, "a", true), &OwnerSeen::Unknown, &cordoned));
    }
}

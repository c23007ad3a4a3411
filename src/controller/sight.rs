//! What the lifecycle is told of pods, made from what the cluster shows. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::lifecycle::drain::seat_of;
use crate::lifecycle::slots::Peer;
use crate::lifecycle::{Drain, DrainStatus, Phase, PodSeen, PolicySeen, Successor};
use crate::plan::Mode;
use crate::pod::Pod;
use crate::policy::Policy;

use crate::ports::{NodeSeen, OwnerFacts, OwnerSeen, WAKE_ANNOTATION};

/// The label that a StatefulSet or DaemonSet puts its revision into.
const REVISION_LABEL: &str = "controller-revision-hash";

/// The pod with the drain's UID, among the pods of its namespace.
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

/// The drain with the addresses that its pod has now: it may have been asked for before it had any.
#[must_use]
pub fn with_addresses_of<'a>(pods: &[Arc<Pod<'static>>], drain: &'a Drain) -> Cow<'a, Drain> {
    let pod = pods.iter().find(|pod| pod.metadata.uid == *drain.pod_uid());
    match pod.filter(|_| drain.status.phase != Phase::Completed).and_then(|pod| drain.new_addresses(pod)) {
        None => Cow::Borrowed(drain),
        Some(addresses) => {
            let status = DrainStatus { addresses: Some(addresses), ..drain.status.clone() };
            Cow::Owned(Drain { status, ..drain.clone() })
        }
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

/// Whether the pod is expected back: not if its ordinal is none of those that its StatefulSet wants.
#[must_use]
pub fn mode(pod: &Pod<'_>, owner: &OwnerSeen) -> Mode {
    let Some(wanted) = ordinals(owner) else { return Mode::Restart };
    if pod.ordinal().is_some_and(|ordinal| !wanted.contains(&ordinal)) { Mode::Removal } else { Mode::Restart }
}

/// The ordinals of the pods that a StatefulSet wants.
fn ordinals(owner: &OwnerSeen) -> Option<Range<u32>> {
    let OwnerSeen::Known(OwnerFacts { replicas: Some(replicas), first_ordinal, .. }) = owner else { return None };
    Some(*first_ordinal..first_ordinal.saturating_add(*replicas))
}

/// Whether the pod's owner counts its pods and can be seen to have no more than it wants: then it asks for none of
/// them any more.
#[must_use]
pub fn owner_has_enough(pod: &Pod<'_>, pods: &[Arc<Pod<'static>>], owner: &OwnerSeen) -> bool {
    let (Some(controller), OwnerSeen::Known(OwnerFacts { replicas: Some(replicas), .. })) = (pod.controller(), owner)
    else {
        return false;
    };
    let is_its = |other: &Pod<'_>| other.controller().is_some_and(|owner| owner.uid == controller.uid);
    let lives = |other: &&Arc<Pod<'static>>| is_its(other) && !other.is_terminating() && !other.is_finished();
    let living: Vec<_> = pods.iter().filter(lives).collect();
    living.len() <= *replicas as usize && living.iter().any(|other| other.metadata.uid == pod.metadata.uid)
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

/// What has become of the policy that the drain began under.
#[must_use]
pub fn policy_seen(drain: &Drain, policy: Option<&Arc<Policy>>) -> PolicySeen {
    let Some(policy) = policy else { return PolicySeen::Gone };
    let begun = policy.steps.as_ref().is_ok_and(|steps| {
        steps.len() == drain.spec.steps.len()
            && steps.iter().zip(&drain.spec.steps).all(|(now, begun)| {
                now.name == begun.name
                    && now.plan.hash() == begun.hash
                    && now.parameters == begun.parameters
                    && now.credentials == begun.credentials
            })
    });
    if begun { PolicySeen::AsBegun } else { PolicySeen::Changed }
}

/// The pods that share the drain's limit, and how many of them have not come back yet besides. `node_labels` are
/// asked for only where the policy selects by them.
#[must_use]
pub fn peers(
    policy: Option<&Policy>,
    drain: &Drain,
    pods: &[Arc<Pod<'static>>],
    owner: &OwnerSeen,
    node_labels: impl Fn(&str) -> Option<BTreeMap<String, String>>,
) -> (Vec<Peer>, usize) {
    let selects = |policy: &Policy, pod: &Pod<'_>| {
        let labels = if policy.spec.node_selector.is_empty() { None } else { node_labels(&pod.spec.node_name) };
        policy.selects(pod, labels.as_ref())
    };
    let mut peers: Vec<Peer> = pods
        .iter()
        .filter(|pod| !pod.is_finished() && policy.is_some_and(|policy| selects(policy, pod)))
        .map(|pod| Peer { seat: seat_of(pod), ready: pod.is_ready() && !pod.is_terminating() })
        .collect();
    let (Some(controller), Some(wanted)) = (drain.spec.pod.controller(), ordinals(owner)) else { return (peers, 0) };
    let is_its = |pod: &Pod<'_>| pod.controller().is_some_and(|owner| owner.uid == controller.uid);
    let there: Vec<_> = pods.iter().filter(|pod| is_its(pod) && !pod.is_finished()).collect();
    if controller.kind != "StatefulSet" {
        return (peers, wanted.len().saturating_sub(there.len()));
    }
    // Whose place is empty is known by name: a drain may hold that place already, and it counts once.
    let is_empty = |ordinal: &u32| {
        policy.is_none_or(|policy| policy.has_ordinal(*ordinal))
            && !there.iter().any(|pod| pod.ordinal() == Some(*ordinal))
    };
    let empty = wanted.filter(is_empty);
    peers.extend(empty.map(|ordinal| Peer { seat: format!("{}-{ordinal}", controller.name), ready: false }));
    (peers, 0)
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
        OwnerSeen::Known(OwnerFacts {
            replicas: Some(replicas),
            first_ordinal: 0,
            update_revision: Some(revision.to_owned()),
        })
    }

    #[test]
    fn a_pod_past_the_replicas_will_not_come_back() {
        assert_eq!(mode(&member(2, "a", true), &known(2, "old")), Mode::Removal);
        assert_eq!(mode(&member(1, "a", true), &known(2, "old")), Mode::Restart);
        assert_eq!(mode(&member(2, "a", true), &OwnerSeen::Unknown), Mode::Restart);
    }

    #[test]
    fn a_set_that_begins_at_another_number_wants_the_pods_from_there_on() {
        let from_five = OwnerSeen::Known(OwnerFacts { replicas: Some(2), first_ordinal: 5, update_revision: None });
        let modes = [4, 5, 6, 7].map(|ordinal| mode(&member(ordinal, "a", true), &from_five));
        assert_eq!(modes, [Mode::Removal, Mode::Restart, Mode::Restart, Mode::Removal]);
    }

    #[test]
    fn an_owner_with_no_pod_too_many_asks_for_none() {
        let pods: Vec<_> = [(0, "a"), (1, "b")].map(|(ordinal, uid)| Arc::new(member(ordinal, uid, true))).into();
        assert!(owner_has_enough(&pods[0], &pods, &known(2, "old")));
        assert!(!owner_has_enough(&pods[0], &pods, &known(1, "old")));
        assert!(!owner_has_enough(&pods[0], &pods, &OwnerSeen::Unknown));
        assert!(!owner_has_enough(&pods[0], &[], &known(2, "old")), "pods that are not seen say nothing");
    }

    struct BuiltIn;

    impl crate::policy::Plans for BuiltIn {
        fn find(&self, reference: &crate::policy::spec::PlanReference) -> Result<Arc<crate::plan::Plan>, String> {
            crate::policy::find_built_in(reference)
        }
    }

    fn old() -> serde_json::Value {
        serde_json::json!({"matchLabels": {REVISION_LABEL: "old"}})
    }

    fn policy(spec: serde_json::Value) -> Policy {
        Policy::new("n", "p", serde_json::from_value(spec).unwrap(), &BuiltIn)
    }

    fn outcome(pod: &Pod<'static>, policy: &Policy) -> Drain {
        Drain::new(pod.clone(), policy, "", crate::lifecycle::Caller::StatefulSet).unwrap()
    }

    #[test]
    fn the_addresses_that_a_pod_got_since_are_taken_up_and_kept_when_it_has_none() {
        let policy = policy(serde_json::json!({
            "selector": old(), "steps": [{"name": "hook", "plan": {"builtIn": "http-hook"}}],
        }));
        let at = |ip: &str| {
            let mut pod = member(0, "u0", true);
            pod.status.pod_ip = ip.to_owned().into();
            [Arc::new(pod)]
        };
        let first = outcome(&at("")[0], &policy);
        let started = with_addresses_of(&at("10.0.0.7"), &first).into_owned();
        assert_eq!((first.pod().status.pod_ip.as_str(), started.pod().status.pod_ip.as_str()), ("", "10.0.0.7"));
        assert!(matches!(with_addresses_of(&at("10.0.0.7"), &started), Cow::Borrowed(_)), "nothing new");
        assert!(matches!(with_addresses_of(&at(""), &started), Cow::Borrowed(_)), "between two sandboxes");
        let moved = with_addresses_of(&at("10.0.0.8"), &started);
        assert_eq!(moved.pod().status.pod_ip, *"10.0.0.8");
        let others = [Arc::new(member(0, "u1", true))];
        assert_eq!(with_addresses_of(&others, &moved).pod().status.pod_ip, *"10.0.0.8", "the next pod is another");
    }

    #[test]
    fn an_empty_place_of_a_statefulset_counts_where_the_policy_has_it() {
        let steps = serde_json::json!([{"name": "hook", "plan": {"builtIn": "http-hook"}}]);
        let pods: Vec<_> = [0, 1].map(|ordinal| Arc::new(member(ordinal, &format!("u{ordinal}"), true))).into();
        let away = |ordinals: &str| {
            let policy = policy(serde_json::json!({"selector": old(), "ordinals": ordinals, "steps": steps}));
            let (peers, missing) = peers(Some(&policy), &outcome(&pods[0], &policy), &pods, &known(3, "old"), |_| None);
            (peers.iter().filter(|peer| !peer.ready).map(|peer| peer.seat.clone()).collect::<Vec<_>>(), missing)
        };
        assert_eq!(away("0-"), (vec!["db-2".to_owned()], 0));
        assert_eq!(away("0-1"), (vec![], 0));
    }

    #[test]
    fn pods_on_other_nodes_than_the_policy_selects_do_not_count() {
        let steps = serde_json::json!([{"name": "hook", "plan": {"builtIn": "http-hook"}}]);
        let policy = policy(serde_json::json!({"selector": old(), "nodeSelector": {"canary": "yes"}, "steps": steps}));
        let on = |node: &str, uid: &str| {
            let mut pod = member(0, uid, false);
            pod.spec.node_name = node.to_owned().into();
            Arc::new(pod)
        };
        let pods = [on("a", "u0"), on("b", "u1")];
        let labels = |node: &str| {
            Some(BTreeMap::from([("canary".to_owned(), if node == "a" { "yes" } else { "no" }.to_owned())]))
        };
        let (peers, _) = peers(Some(&policy), &outcome(&pods[0], &policy), &pods, &OwnerSeen::Unknown, labels);
        assert_eq!(peers.len(), 1);
    }

    #[test]
    fn an_older_revision_shows_that_the_pod_is_still_to_go() {
        let unknown = NodeSeen::Unknown;
        assert!(owner_wants(&member(0, "a", true), &known(3, "new"), &unknown));
        assert!(!owner_wants(&member(0, "a", true), &known(3, "old"), &unknown));
        let cordoned = NodeSeen::Known(crate::ports::NodeFacts { leaving: true, ..Default::default() });
        assert!(owner_wants(&member(0, "a", true), &OwnerSeen::Unknown, &cordoned));
    }
}

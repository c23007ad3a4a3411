//! What lets a guarded pod go unprepared, and what does not.

use std::collections::BTreeMap;
use std::sync::Arc;

use castoff::admission::Reason;
use castoff::facts::{NamespaceFacts, NodeFacts, NodeSeen, OwnerFacts, OwnerSeen};
use castoff::lifecycle::{Outcome, Phase};
use castoff::policy::spec::{Exemption, PolicyMode};

use super::fixtures::{Scene, policy};

const ALL: [Exemption; 5] =
    [Exemption::OwnerDeleted, Exemption::NodeLost, Exemption::NotRunning, Exemption::Unready, Exemption::Force];

fn node(ready: Option<bool>) -> NodeSeen {
    NodeSeen::Known(NodeFacts { ready, ..NodeFacts::default() })
}

fn bypass(reason: &str, until: &str) -> BTreeMap<String, String> {
    [("castoff.dev/bypass", reason), ("castoff.dev/bypass-until", until)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// A scene in which this exemption, and no other, applies.
fn scene_of(exemption: Exemption, listed: &[Exemption]) -> Scene {
    let mut scene = Scene::new(|spec| spec.exempt = listed.to_vec());
    match exemption {
        Exemption::OwnerDeleted => scene.facts.owner = OwnerSeen::DeletingOrGone,
        Exemption::NodeLost => scene.facts.node = NodeSeen::Gone,
        Exemption::NotRunning => {
            scene.pod.status.container_statuses.clear();
            scene.facts.node = node(Some(true));
        }
        Exemption::Unready => scene.pod.status.conditions.clear(),
        Exemption::Force => scene.grace_period_seconds = Some(0),
    }
    scene
}

#[test]
fn an_exemption_lets_a_pod_go_only_where_the_policy_lists_it() {
    for exemption in ALL {
        let answer = scene_of(exemption, &[exemption]).answer();
        assert!(answer.allowed);
        assert_eq!(answer.reason.as_str(), format!("{exemption:?}"));
        assert_eq!(answer.outcome, Some(Outcome::Exempt));
        assert!(answer.warnings[0].contains("basic-tikv-2 leaves unprepared"), "{:?}", answer.warnings);

        let others: Vec<Exemption> = ALL.into_iter().filter(|other| *other != exemption).collect();
        assert!(!scene_of(exemption, &others).answer().allowed, "{exemption:?}");
    }
}

#[test]
fn what_is_not_known_never_lets_a_pod_go() {
    let mut scene = Scene::new(|spec| spec.exempt = ALL.to_vec());
    assert!(!scene.answer().allowed);
    scene.pod.status.container_statuses.clear();
    assert!(!scene.answer().allowed, "the node may be cut off: its word on containers may be old");
}

#[test]
fn a_node_that_says_it_is_not_well_is_not_lost() {
    let mut scene = Scene::new(|_| {});
    scene.facts.node = node(Some(false));
    assert!(!scene.answer().allowed);
    scene.pod.status.container_statuses.clear();
    assert!(!scene.answer().allowed);
    scene.facts.node = node(None);
    assert_eq!(scene.answer().reason, Reason::NodeLost);
}

#[test]
fn a_pod_without_an_owner_has_no_deleted_owner() {
    for owner in [OwnerSeen::None, OwnerSeen::Known(OwnerFacts::default()), OwnerSeen::Unknown] {
        let mut scene = Scene::new(|_| {});
        scene.facts.owner = owner.clone();
        assert!(!scene.answer().allowed, "{owner:?}");
    }
}

#[test]
fn a_namespace_that_is_deleted_holds_nothing_whatever_the_policy_lists() {
    let mut scene = Scene::new(|spec| spec.exempt.clear());
    scene.facts.namespace = Some(NamespaceFacts { deleting: true, ..NamespaceFacts::default() });
    let answer = scene.answer();
    assert_eq!((answer.reason, answer.outcome), (Reason::NamespaceDeleted, Some(Outcome::Exempt)));
}

#[test]
fn a_bypass_counts_on_the_pod_its_node_its_namespace_and_the_webhook_configuration() {
    let annotations = bypass("INC-4711", "2030-01-31T13:00:00Z");
    let mut on_pod = Scene::new(|_| {});
    on_pod.pod.metadata.annotations =
        annotations.iter().map(|(key, value)| (key.clone().into(), value.clone().into())).collect();
    let mut on_node = Scene::new(|_| {});
    on_node.facts.node =
        NodeSeen::Known(NodeFacts { ready: Some(true), annotations: annotations.clone(), ..NodeFacts::default() });
    let mut on_namespace = Scene::new(|_| {});
    on_namespace.facts.namespace = Some(NamespaceFacts { annotations: annotations.clone(), deleting: false });
    let mut everywhere = Scene::new(|_| {});
    everywhere.facts.registration = annotations;
    let places = ["pod", "node", "namespace", "webhook configuration"];
    for (scene, place) in [on_pod, on_node, on_namespace, everywhere].into_iter().zip(places) {
        let answer = scene.answer();
        assert_eq!((answer.reason, answer.outcome), (Reason::Bypassed, Some(Outcome::Bypassed)), "{place}");
        assert!(answer.warnings[0].contains(&format!("on the {place}: INC-4711")), "{:?}", answer.warnings);
        let told = answer.told.unwrap_or_default();
        let expected = format!("may leave unprepared by castoff.dev/bypass \"INC-4711\" on the {place}, asked for by ");
        assert!(told.contains(&expected), "{told}");
    }
}

#[test]
fn a_bypass_that_does_not_count_is_denied_and_says_why() {
    let mut scene = Scene::new(|_| {}).with_drain(|drain| drain.status.phase = Phase::Draining);
    for (reason, until, why) in [
        (" ", "2030-01-31T13:00:00Z", "castoff.dev/bypass gives no reason"),
        ("INC", "2030-01-31T12:00:00Z", "castoff.dev/bypass-until is past"),
        ("INC", "2030-02-01T12:00:01Z", "castoff.dev/bypass-until is more than a day ahead"),
        ("INC", "soon", "castoff.dev/bypass-until is no time such as"),
    ] {
        scene.facts.namespace = Some(NamespaceFacts { annotations: bypass(reason, until), deleting: false });
        let answer = scene.answer();
        assert!(!answer.allowed);
        let expected = format!("The bypass on the namespace does not count: {why}");
        assert!(answer.message.contains(&expected), "{}", answer.message);
    }
}

#[test]
fn a_bypass_comes_before_every_hold() {
    let mut scene = Scene::new(|_| {}).with_drain(|drain| drain.status.phase = Phase::Unknown);
    scene.guard.rival = Some(Arc::new(policy("tidb", "other", |_| {})));
    scene.facts.namespace =
        Some(NamespaceFacts { annotations: bypass("INC", "2030-01-31T13:00:00Z"), deleting: false });
    assert_eq!(scene.answer().reason, Reason::Bypassed);
}

#[test]
fn audit_allows_and_names_the_question_that_would_have_denied() {
    for (phase, would) in [
        (None, "would have been denied (policy tikv, audit only): Queued"),
        (Some(Phase::Draining), "would have been denied (policy tikv, audit only): Draining"),
        (Some(Phase::Drained), "then allowed (policy tikv, audit only): Drained"),
    ] {
        let mut scene = Scene::new(|spec| spec.mode = PolicyMode::Audit);
        if let Some(phase) = phase {
            scene = scene.with_drain(|drain| drain.status.phase = phase);
        }
        let answer = scene.answer();
        assert_eq!((answer.reason, answer.allowed, answer.outcome), (Reason::Audited, true, None));
        assert!(answer.warnings[0].contains(would), "{:?}", answer.warnings);
    }
}

#[test]
fn an_exemption_needs_every_policy_that_selects_the_pod() {
    let mut scene = scene_of(Exemption::NodeLost, &[Exemption::NodeLost]);
    scene.guard.rival = Some(Arc::new(policy("tidb", "other", |spec| spec.exempt.clear())));
    assert_eq!(scene.answer().reason, Reason::Conflict);
    scene.guard.rival = Some(Arc::new(policy("tidb", "other", |_| {})));
    assert_eq!(scene.answer().reason, Reason::NodeLost);
}

#[test]
fn the_first_exemption_that_applies_decides() {
    let mut scene = Scene::new(|spec| spec.exempt = ALL.to_vec());
    scene.facts.namespace = Some(NamespaceFacts { annotations: bypass("INC", "2030-01-31T13:00:00Z"), deleting: true });
    scene.facts.owner = OwnerSeen::DeletingOrGone;
    scene.facts.node = NodeSeen::Gone;
    scene.pod.status.container_statuses.clear();
    scene.pod.status.conditions.clear();
    scene.grace_period_seconds = Some(0);
    assert_eq!(scene.answer().reason, Reason::Bypassed);
    scene.facts.namespace = Some(NamespaceFacts { deleting: true, ..NamespaceFacts::default() });
    assert_eq!(scene.answer().reason, Reason::NamespaceDeleted);
    scene.facts.namespace = None;
    assert_eq!(scene.answer().reason, Reason::OwnerDeleted);
    scene.facts.owner = OwnerSeen::Known(OwnerFacts::default());
    assert_eq!(scene.answer().reason, Reason::NodeLost);
    scene.facts.node = node(Some(true));
    assert_eq!(scene.answer().reason, Reason::NotRunning);
    scene.facts.node = NodeSeen::Unknown;
    assert_eq!(scene.answer().reason, Reason::Unready);
    scene.pod.status.conditions =
        vec![castoff::pod::Condition { kind: "Ready".into(), status: "True".into(), ..Default::default() }];
    assert_eq!(scene.answer().reason, Reason::Force);
}

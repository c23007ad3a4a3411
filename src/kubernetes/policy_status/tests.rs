#![allow(clippy::unwrap_used)]
use kube::core::DynamicObject;

use super::*;
use crate::kubernetes::policies::read_policy;

const NOW: &str = "2030-01-31T12:00:00Z";

/// A policy's object whose status tells of three pods, and this of how many are away.
fn object(away: usize, observed: i64) -> PolicyObject {
    let ready = json!({
        "type": "Ready", "status": "True", "reason": "Guarding", "message": "",
        "lastTransitionTime": "", "observedGeneration": observed,
    });
    let object: DynamicObject = serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "n", "generation": 2},
        "status": {"observedGeneration": observed, "pods": 3, "slots": 1, "away": away, "conditions": [ready]},
    }))
    .unwrap();
    read_policy(&object).unwrap().1
}

fn shown(pods: usize, away: usize) -> Shown {
    Shown { observed_generation: 2, pods, slots: 1, away, conditions: Vec::new(), history: Vec::new() }
}

/// A policy with these parameters of its one step, and what is said of it: conditions by kind, as status and reason.
fn told(parameters: &Value, pods: &[Arc<Pod<'static>>]) -> BTreeMap<String, (String, String)> {
    let object: DynamicObject = serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "n", "generation": 7},
        "spec": {
            "selector": {"matchLabels": {"app": "db"}},
            "steps": [{"name": "a", "plan": {"builtIn": "http-hook"}, "parameters": parameters}],
        },
    }))
    .unwrap();
    let object = Arc::new(read_policy(&object).unwrap().1);
    let index = crate::kubernetes::policies::compile(std::slice::from_ref(&object), &[]);
    let nodes = Cache::<NodeFacts>::default();
    let policies = index.of_namespace("n");
    let elsewhere = BTreeMap::new();
    let now = NOW.parse().unwrap();
    let known = Known { pods, nodes: &nodes, policies, not_called: None, backend: None, elsewhere, now };
    let shown = Shown::of(index.get("n", "p").unwrap(), &object, &known, (0, Vec::new()), &Links::default(), "now");
    assert_eq!(shown.change(&object).unwrap()["status"]["observedGeneration"], 7);
    assert!(shown.conditions.iter().all(|condition| condition.observed_generation == Some(7)));
    shown.conditions.into_iter().map(|it| (it.kind, (it.status, it.reason))).collect()
}

fn is(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

#[test]
fn a_policy_that_comes_before_its_pods_is_ready_and_says_that_there_are_none() {
    let before = told(&json!({"port": 80}), &[]);
    assert_eq!(before["Ready"], is("True", "NoPods"));
    assert_eq!(before["NoPods"], is("True", "NoPods"));
    assert_eq!(before["Stalled"], is("False", "NoPods"));
    let mut pod = Pod::default();
    pod.metadata.labels.insert("app".into(), "db".into());
    let later = told(&json!({"port": 80}), &[Arc::new(pod)]);
    assert_eq!(later["Ready"], is("True", "Guarding"));
    assert_eq!(later["NoPods"].0, "False");
}

#[test]
fn a_policy_that_must_be_mended_is_stalled() {
    let wrong = told(&json!({"port": "no"}), &[]);
    assert_eq!(wrong["Ready"], is("False", "NotCompiled"));
    assert_eq!(wrong["Stalled"], is("True", "NotCompiled"));
}

#[test]
fn pods_that_are_away_for_a_moment_are_no_news_but_those_that_stay_away_are() {
    let object = |observed| object(1, observed);
    assert!(shown(2, 1).change(&object(2)).is_none());
    assert!(shown(1, 1).change(&object(2)).is_some(), "one more is missing");
    assert!(shown(4, 1).change(&object(2)).is_some(), "one has come");
    assert!(shown(2, 0).change(&object(2)).is_some(), "the drain is over, and it did not come back");
    assert!(shown(2, 1).change(&object(1)).is_some(), "the policy was changed");
}

#[test]
fn a_policy_without_pods_says_where_such_pods_are() {
    let (_, policy) = read_policy(
        &serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n"},
            "spec": {"selector": {"matchLabels": {"app": "db"}},
                "steps": [{"name": "a", "plan": {"builtIn": "http-hook"}}]},
        }))
        .unwrap(),
    )
    .unwrap();
    let index = crate::kubernetes::policies::compile(&[Arc::new(policy)], &[]);
    let policy = index.get("n", "p").unwrap();
    let pod = |namespace: &str, app: &str| {
        let pod = json!({"metadata": {"name": "a", "namespace": namespace, "labels": {"app": app}}});
        Arc::new(crate::pod::deserialize_owned(&pod).unwrap())
    };
    let nodes = Cache::<NodeFacts>::default();
    let elsewhere = selected_elsewhere(policy, &[pod("web", "db"), pod("web", "db"), pod("n", "web")], &nodes);
    let now = NOW.parse().unwrap();
    let known = Known { pods: &[], nodes: &nodes, policies: &[], not_called: None, backend: None, elsewhere, now };
    let told = ready(policy, &known);
    assert_eq!(told.message, "no pod of this namespace is selected: nothing is guarded (0 here, 2 in web)");
}

#[test]
fn the_worst_condition_is_shown() {
    let condition = |kind: &str, status: &str| Condition {
        kind: kind.to_owned(),
        status: status.to_owned(),
        ..Condition::default()
    };
    let of = |ready: &str, seen: &str| {
        let all = [condition("Ready", ready), condition(BACKEND_SEEN, seen)];
        worst(&all).map(|worst| (worst.kind.clone(), worst.status.clone())).unwrap()
    };
    assert_eq!(of("True", "True"), ("Ready".to_owned(), "True".to_owned()));
    assert_eq!(of("True", "False"), (BACKEND_SEEN.to_owned(), "False".to_owned()));
    assert_eq!(of("False", "False"), ("Ready".to_owned(), "False".to_owned()));
    assert_eq!(worst(&[]), None);
}

#[test]
fn how_many_are_away_is_told_when_it_changes() {
    let change = shown(3, 1).change(&object(0, 2)).unwrap();
    assert_eq!(change["status"]["away"], 1);
    assert!(change["status"].get("departing").is_none(), "the lock is not the writer's");
}

#[test]
fn whoever_is_past_waiting_and_not_over_is_away_under_whichever_policy_that_began() {
    let plans: Vec<Arc<crate::kubernetes::policies::PlanObject>> = Vec::new();
    let (_, policy) = read_policy(
        &serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n"},
            "spec": {"selector": {"matchLabels": {"app": "db"}}, "steps": []},
        }))
        .unwrap(),
    )
    .unwrap();
    let index = crate::kubernetes::policies::compile(&[Arc::new(policy)], &plans);
    let policy = index.get("n", "p").unwrap();
    let pod = |app: &str| {
        let mut pod = Pod::default();
        pod.metadata.labels.insert("app".into(), app.to_owned().into());
        pod
    };
    let (ours, others) = (pod("db"), pod("web"));
    let phases = [
        Phase::Queued,
        Phase::Draining,
        Phase::Drained,
        Phase::Departing,
        Phase::Restoring,
        Phase::Completed,
        Phase::Unknown,
    ];
    let nodes = Cache::<NodeFacts>::default();
    let drains = phases.iter().flat_map(|phase| [(*phase, &ours), (*phase, &others)]);
    assert_eq!(away(policy, drains, &nodes), 4);
}

#[test]
fn a_frozen_policy_says_who_why_and_until_when_where_nothing_worse_is_to_be_told() {
    let frozen = |until: &str| {
        let annotations = [("freeze", "INC-4711"), ("freeze-until", until), ("freeze-by", "alice")];
        let annotations = annotations.map(|(key, value)| (format!("castoff.dev/{key}"), value.to_owned()));
        frozen(&Freeze::of(&annotations.into()), NOW.parse().unwrap())
    };
    let condition =
        |kind: &str, status: &str| Condition { kind: kind.into(), status: status.into(), ..Default::default() };
    let now = frozen("2030-01-31T13:00:00Z");
    assert_eq!((now.holds, now.message.as_str()), (true, "frozen by alice until 2030-01-31T13:00:00Z: INC-4711"));
    assert_eq!(frozen("2030-03-01T00:00:00Z").reason, "DoesNotCount");
    let first = |ready| worst(&[condition("Ready", ready), condition(FROZEN, "True")]).map(|worst| worst.kind.clone());
    assert_eq!(first("True").as_deref(), Some(FROZEN));
    assert_eq!(first("False").as_deref(), Some("Ready"));
}

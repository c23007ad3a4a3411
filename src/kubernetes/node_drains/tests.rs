#![allow(clippy::unwrap_used)]
use serde_json::json;

use super::*;
use crate::pod::Pod;
use crate::policy::{BuiltIn, PolicyIndex};

fn policy(name: &str, spec: &serde_json::Value) -> Policy {
    let mut whole = json!({"selector": {"matchLabels": {"app": "db"}}, "steps":
        [{"name": "hook", "plan": {"builtIn": "http-hook"}, "parameters": {"port": 80}}]});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    Policy::new("n", name, serde_json::from_value(whole).unwrap(), &BuiltIn)
}

fn drain(phase: Phase, message: &str) -> Drain {
    let mut drain = Drain::new(&Pod::default(), "db", "alice");
    (drain.status.phase, drain.status.message) = (phase, message.to_owned());
    drain
}

fn now() -> Timestamp {
    "2030-01-01T00:00:00Z".parse().unwrap()
}

/// How a pod that these policies select stands.
fn stands(policies: Vec<Policy>, drain: Option<&Drain>) -> Option<(Standing, String, Explanation)> {
    let policies = PolicyIndex::new(policies);
    standing(&policies.of_namespace("n").iter().collect::<Vec<_>>(), drain, now())
}

fn named(name: &str, standing: Standing, phase: &str, message: &str) -> (Standing, PodOnNode) {
    let (namespace, name) = ("n".to_owned(), name.to_owned());
    let (phase, message) = (phase.to_owned(), message.to_owned());
    (standing, PodOnNode { namespace, name, phase, message, ..PodOnNode::default() })
}

fn node_drain() -> NodeDrain {
    let spec = NodeDrainSpec { node_name: "node-1".to_owned() };
    NodeDrain { name: "one".to_owned(), generation: Some(1), spec, status: NodeDrainStatus::default() }
}

#[test]
fn a_pod_is_prepared_once_it_may_leave_and_held_where_a_person_must_do_something() {
    let db = || vec![policy("db", &json!({}))];
    let says = |drain: &Drain| stands(db(), Some(drain)).map(|(standing, phase, _)| (standing, phase)).unwrap();
    assert_eq!(stands(vec![], None), None);
    assert_eq!(stands(vec![policy("db", &json!({"mode": "Audit"}))], None), None, "it is let go");
    assert_eq!(stands(db(), None).unwrap(), (Standing::Preparing, "Queued".into(), Explanation::default()));
    assert_eq!(says(&drain(Phase::Draining, "")), (Standing::Preparing, "Draining".into()));
    assert_eq!(says(&drain(Phase::Drained, "")), (Standing::Prepared, "Drained".into()));
    let mut departing = drain(Phase::Departing, "");
    assert_eq!(says(&departing).0, Standing::Preparing, "it goes by another path, and may come back");
    departing.status.allowed = true;
    assert_eq!(says(&departing), (Standing::Prepared, "Departing".into()));
    let mut blocked = drain(Phase::Queued, "not now");
    blocked.status.blocked = true;
    assert_eq!(says(&blocked), (Standing::Held, "Blocked".into()));
    let mut over = drain(Phase::Completed, "");
    assert_eq!(says(&over), (Standing::Preparing, "Queued".into()), "it is begun anew");
    over.spec.cancel = true;
    assert_eq!(says(&over), (Standing::Held, "GivenUp".into()));
}

#[test]
fn what_no_drain_begins_for_says_why() {
    let both = vec![policy("db", &json!({})), policy("other", &json!({}))];
    let (standing, phase, Explanation { message, .. }) = stands(both, None).unwrap();
    assert!(standing == Standing::Held && phase == "PolicyConflict" && message.contains("db and other"), "{message}");
    let annotations = [("castoff.dev/freeze", "INC-1"), ("castoff.dev/freeze-until", "2030-01-01T01:00:00Z")];
    let annotations = annotations.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let frozen = policy("db", &json!({})).annotated(&annotations);
    let (standing, phase, Explanation { message, .. }) =
        stands(vec![frozen], Some(&drain(Phase::Draining, ""))).unwrap();
    assert!(standing == Standing::Held && phase == "Frozen" && message.contains("INC-1"), "{message}");
}

#[test]
fn a_node_is_prepared_where_all_are_or_wait_for_those_that_are() {
    use Standing::{Held, Prepared, Preparing};
    let verdict = |pods: Vec<_>| {
        let (holds, reason, _) = Node(pods).verdict("node-1", true);
        (holds, reason)
    };
    let first = || named("db-0", Prepared, "Drained", "");
    let second = |awaited: &str| {
        let (standing, pod) = named("db-1", Preparing, "Queued", "");
        let waits_for = Explanation::default().waiting_for([awaited]).awaited;
        (standing, PodOnNode { waits_for, ..pod })
    };
    assert_eq!(verdict(vec![]), (true, "NothingGuarded"));
    assert_eq!(verdict(vec![first()]), (true, "AllPrepared"));
    assert_eq!(verdict(vec![first(), second("db-0")]), (true, "LimitReached"));
    assert_eq!(verdict(vec![first(), second("db-2")]), (false, "Preparing"));
    assert_eq!(verdict(vec![first(), named("db-1", Preparing, "Draining", "")]), (false, "Preparing"));
    assert_eq!(verdict(vec![first(), named("db-1", Held, "Blocked", "not now")]), (false, "Held"));
    let (holds, reason, message) = Node::default().verdict("node-1", false);
    assert_eq!((holds, reason, message.as_str()), (false, "NoSuchNode", "there is no node node-1"));
}

#[test]
fn what_is_told_is_not_written_again_and_the_list_ends_somewhere() {
    use Standing::{Prepared, Preparing};
    let pods = || {
        let prepared = (0..=MOST).map(|number| named(&format!("web-{number}"), Prepared, "Drained", ""));
        Node(prepared.chain([named("db-0", Preparing, "Draining", "")]).collect())
    };
    let mut drain = node_drain();
    let status = pods().news(&drain, true, "2030-01-01T00:00:00Z").unwrap();
    assert_eq!((status.guarded, status.prepared, status.pods.len(), status.more), (MOST + 2, MOST + 1, MOST, 2));
    assert_eq!((status.pods[0].name.as_str(), status.conditions[0].reason.as_str()), ("db-0", "Preparing"));
    // As it comes back from the API server.
    drain.status = serde_json::from_value(json!(status)).unwrap();
    assert_eq!(pods().news(&drain, true, "2030-01-01T00:10:00Z"), None);
    let all = Node(vec![named("db-0", Prepared, "Drained", "")]).news(&drain, true, "2030-01-01T00:10:00Z").unwrap();
    let condition = &all.conditions[0];
    assert_eq!((condition.status.as_str(), condition.last_transition_time.as_str()), ("True", "2030-01-01T00:10:00Z"));
}

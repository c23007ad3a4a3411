//! Plans that read the cluster: `neighbours` and `quorum`, and the words that they are made of.

use castoff::plan::{Mode, Plan, Round, Task, Verdict, catalogue};
use serde_json::{Value, json};

use castoff_test_support::plans::{Backend, Case, builtin};

/// A pod of the set `set`, on a node, Ready since a time on the day of the rounds (which is at 12:00).
fn member(name: &str, node: &str, ready_since: &str) -> Value {
    json!({
        "metadata": {
            "name": name, "namespace": "db", "uid": format!("u-{name}"), "labels": {"app": "set"}, "annotations": {},
            "ownerReferences": [{"kind": "StatefulSet", "name": "set", "uid": "u-set", "controller": true}],
        },
        "spec": {"nodeName": node},
        "status": {"phase": "Running", "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": format!("2026-01-01T{ready_since}Z")},
        ]},
    })
}

fn with(mut pod: Value, path: &str, value: Value) -> Value {
    *pod.pointer_mut(path).unwrap() = value;
    pod
}

fn run(plan: &Plan, parameters: Value, cluster: &Backend) -> Round {
    let pod = member("set-0", "node-a", "08:00:00");
    Case { plan, pod, parameters, member: None, mode: Mode::Restart, task: Task::Prepare }.run(cluster).round
}

fn neighbours(parameters: Value, pods: &[Value]) -> Round {
    let mut all = vec![member("set-0", "node-a", "08:00:00"), member("set-1", "node-b", "08:00:00")];
    all.extend_from_slice(pods);
    run(builtin("neighbours"), parameters, &Backend::default().pods(&all))
}

/// A pod that uses the agent of its node.
fn user(name: &str, namespace: &str, node: &str) -> Value {
    let labels = json!({"app": "web", "tier": "a"});
    json!({
        "metadata": {"name": name, "namespace": namespace, "uid": format!("u-{name}"), "labels": labels},
        "spec": {"nodeName": node},
        "status": {"phase": "Running"},
    })
}

/// How much is left after a round.
fn left(round: &Round) -> i64 {
    let progress = round.progress.as_ref().unwrap();
    assert_eq!(progress.unit, "pods that depend on it");
    progress.remaining
}

#[test]
fn an_agent_stays_while_pods_that_depend_on_it_are_on_its_node() {
    let parameters = || json!({"selector": "app=web,tier in (a,b)"});
    let waits = neighbours(parameters(), &[user("web-0", "db", "node-a"), user("web-1", "db", "node-b")]);
    assert_eq!((&waits.verdict, left(&waits)), (&Verdict::Waiting, 1));
    let elsewhere = [
        user("web-1", "db", "node-b"),
        user("web-2", "other", "node-a"),
        with(user("web-3", "db", "node-a"), "/metadata/labels/tier", json!("c")),
        with(user("web-4", "db", "node-a"), "/status/phase", json!("Succeeded")),
    ];
    let free = neighbours(parameters(), &elsewhere);
    assert_eq!((&free.verdict, left(&free)), (&Verdict::Done, 0));
}

#[test]
fn pods_of_other_namespaces_count_where_they_are_asked_for() {
    let pods = [user("web-0", "shop", "node-a"), user("web-1", "db", "node-a")];
    for (namespace, remaining) in [("*", 2), ("shop", 1), ("db", 1), ("none", 0)] {
        let round = neighbours(json!({"selector": "app=web", "namespaces": namespace}), &pods);
        assert_eq!(left(&round), remaining, "{namespace}");
    }
}

#[test]
fn pods_that_say_that_they_can_do_without_it_do_not_count() {
    let detached = |status: &str| {
        let conditions = json!([{"type": "example.com/detached", "status": status}]);
        let mut pod = user("web-0", "db", "node-a");
        pod["status"]["conditions"] = conditions;
        pod
    };
    let annotated = |value: &str| {
        let mut pod = user("web-1", "db", "node-a");
        pod["metadata"]["annotations"] = json!({"example.com/detached": value});
        pod
    };
    let parameters = |word: &str| json!({"selector": "app=web", word: "example.com/detached"});
    assert_eq!(neighbours(parameters("condition"), &[detached("True")]).verdict, Verdict::Done);
    assert_eq!(neighbours(parameters("condition"), &[detached("False")]).verdict, Verdict::Waiting);
    assert_eq!(neighbours(parameters("annotation"), &[annotated("true")]).verdict, Verdict::Done);
    assert_eq!(neighbours(parameters("annotation"), &[annotated("false")]).verdict, Verdict::Waiting);
    assert_eq!(left(&neighbours(parameters("annotation"), &[detached("True"), annotated("true")])), 1);
    assert_eq!(left(&neighbours(json!({"selector": "app=web"}), &[detached("True"), annotated("true")])), 2);
}

#[test]
fn that_nobody_is_there_is_not_believed_where_the_agent_itself_is_not_seen() {
    let round = run(builtin("neighbours"), json!({"selector": "app=web"}), &Backend::default().pods(&[]));
    assert!(matches!(round.verdict, Verdict::Unknown { message } if message.contains("not seen yet")));
}

fn quorum(parameters: Value, replicas: Option<u32>, others: &[Value]) -> Verdict {
    let mut all = vec![member("set-0", "node-a", "08:00:00")];
    all.extend_from_slice(others);
    let cluster = Backend::default().pods(&all);
    let cluster = replicas.map_or(cluster.clone(), |replicas| cluster.replicas(replicas));
    run(builtin("quorum"), parameters, &cluster).verdict
}

fn blocked(message: &str) -> Verdict {
    Verdict::Blocked { message: message.to_owned() }
}

#[test]
fn a_member_goes_while_a_majority_of_the_others_has_been_ready_for_long_enough() {
    let ready = member("set-1", "node-b", "11:59:50");
    assert_eq!(quorum(json!({}), Some(3), &[ready.clone(), member("set-2", "node-c", "09:00:00")]), Verdict::Done);
    let told = "1 other pods of its set have been Ready for 10 s, 2 are needed";
    let unfit = [
        member("set-2", "node-c", "11:59:51"),
        member("set-2", "node-c", "12:30:00"),
        with(member("set-2", "node-c", "09:00:00"), "/status/conditions/0/status", json!("False")),
        with(member("set-2", "node-c", "09:00:00"), "/metadata/ownerReferences/0/uid", json!("u-other")),
        with(member("set-2", "node-c", "09:00:00"), "/metadata/namespace", json!("other")),
        with(member("set-2", "node-c", "09:00:00"), "/status", json!({"phase": "Pending"})),
    ];
    for other in unfit {
        assert_eq!(quorum(json!({}), Some(3), &[ready.clone(), other.clone()]), blocked(told), "{other}");
    }
    let mut leaving = member("set-2", "node-c", "09:00:00");
    leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T11:59:59Z");
    assert_eq!(quorum(json!({}), Some(3), &[ready, leaving]), blocked(told));
}

#[test]
fn a_majority_is_one_of_all_that_are_wanted_or_still_there() {
    let others = |count: u32| (1..=count).map(|n| member(&format!("set-{n}"), "n", "09:00:00")).collect::<Vec<_>>();
    // Two of five are missing; and five are there of which three are wanted.
    let told = |ready, needed| {
        blocked(&format!("{ready} other pods of its set have been Ready for 10 s, {needed} are needed"))
    };
    assert_eq!(quorum(json!({}), Some(5), &others(2)), told(2, 3));
    assert_eq!(quorum(json!({}), Some(5), &others(3)), Verdict::Done);
    assert_eq!(quorum(json!({}), Some(3), &others(4)), Verdict::Done);
    assert_eq!(quorum(json!({}), Some(1), &others(0)), told(0, 1));
}

#[test]
fn a_minimum_and_a_time_can_be_given_and_then_nobody_asks_the_owner() {
    let others = [member("set-1", "node-b", "11:59:00"), member("set-2", "node-c", "11:59:30")];
    assert_eq!(quorum(json!({"minimum": 1, "readySeconds": 60}), None, &others), Verdict::Done);
    let told = "1 other pods of its set have been Ready for 60 s, 2 are needed";
    assert_eq!(quorum(json!({"minimum": 2, "readySeconds": 60}), None, &others), blocked(told));
    let unseen = quorum(json!({}), None, &others);
    assert!(matches!(&unseen, Verdict::Failed { message, .. } if message == "the owner can't be seen"), "{unseen:?}");
}

#[test]
fn a_place_that_names_nothing_is_a_failure_and_not_everywhere() {
    for place in ["node", "namespace"] {
        let plan = format!(
            "summary: x\nparams: {{p: {{type: string, default: ''}}}}\nobserve: {{a: {{pods: {{{place}: '${{params.p}}'}}}}}}\ndone: a.size() == 0"
        );
        let plan = catalogue::read(&plan).unwrap().named("test");
        let verdict = run(&plan, json!({}), &Backend::default()).verdict;
        let told = format!("observe.a.pods.{place} of plan test names nothing");
        assert!(matches!(&verdict, Verdict::Failed { message, .. } if *message == told), "{verdict:?}");
    }
}

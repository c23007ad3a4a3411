//! How much work the built-in plans make of long answers: no more than in proportion to their length.
#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::{Value, json};

use super::round::conclude;
use super::scope::{MOST_STEPS, Scope, Trouble};
use super::{Inputs, Mode, Observation, Observations, Parameters, ReadKey, Task, Verdict, catalogue};

fn answer(body: Value) -> Observation {
    Observation::Answer { code: 200, body }
}

fn many(count: usize, make: impl Fn(usize) -> Value) -> Value {
    Value::Array((0..count).map(make).collect())
}

/// Long answers, made so that no loop can end early.
fn long_answers(plan: &str, count: usize) -> Vec<(&'static str, Observation)> {
    let member = |number: usize| json!({"name": format!("m{number}"), "client_urls": ["http://10.1.1.1:2379"]});
    match plan {
        "pd" => {
            let lead = json!({"name": "m1"});
            let all = json!({"members": many(count, member), "leader": lead, "etcd_leader": lead});
            let health = many(count * 3, |number| json!({"name": format!("m{}", number + 1), "health": true}));
            vec![("members", answer(all)), ("health", answer(health))]
        }
        "tikv" => {
            let store = |number: usize| {
                json!({"store": {"id": number, "address": format!("10.1.1.{number}:20160"), "state_name": "Up"},
                "status": {"leader_count": 3}})
            };
            let scheduler = |number: usize| json!({"type": format!("kind{number}"), "disable": false});
            vec![
                ("stores", answer(json!({"stores": many(count, store)}))),
                ("running", answer(many(count, |number| json!(format!("kind{number}-scheduler"))))),
                ("paused", answer(many(count, |number| json!(format!("kind{number}"))))),
                ("stored", answer(json!({"schedulers-v2": many(count, scheduler)}))),
                ("evict", answer(json!({"store-id-ranges": {}}))),
            ]
        }
        "etcd" => {
            let voter = |number: usize| json!({"ID": number.to_string(), "name": format!("m{number}"), "peerURLs": ["http://10.1.1.1:2380"]});
            let alarm = |number: usize| json!(format!("memberID:{number} alarm:CORRUPT"));
            vec![
                ("status", answer(json!({"leader": "1", "errors": many(count, alarm)}))),
                ("members", answer(json!({"members": many(count, voter)}))),
            ]
        }
        "patroni" => {
            let member = |number: usize| {
                json!({"name": format!("m{number}"), "state": "running", "lag": 0,
                "role": if number == 1 { "leader" } else { "replica" }, "api_url": "http://10.1.1.1:8008/patroni"})
            };
            vec![("cluster", answer(json!({"members": many(count, member)}))), ("config", answer(json!({})))]
        }
        "neighbours" => {
            let pod = |number: usize| {
                json!({"metadata": {"uid": format!("u{number}"), "annotations": {}},
                "status": {"phase": "Running", "conditions": [{"type": "x", "status": "False"}]}})
            };
            vec![("agents", Observation::Value(many(count, pod))), ("neighbours", Observation::Value(many(count, pod)))]
        }
        "in-flight" => {
            let sample = |_| json!({"name": "busy", "labels": {"a": "b", "c": "d"}, "value": 0});
            vec![("page", answer(many(count, sample)))]
        }
        other => panic!("{other} has no list that a backend makes long"),
    }
}

/// What a round comes to on long answers, and its work.
fn round(plan: &str, count: usize) -> (Result<Verdict, Trouble>, u64) {
    let plan = catalogue::builtin(plan).map(|compiled| (plan, compiled)).unwrap();
    let (name, plan) = (plan.0, plan.1);
    let given = json!({"pd": "http://pd", "url": "http://a", "selector": "a=b", "figure": "busy", "labels": "a=b,c=d"});
    let mut given: Parameters = serde_json::from_value(given).unwrap();
    given.retain(|parameter, _| plan.spec().params.contains_key(parameter));
    let parameters = plan.parameters(&given).unwrap();
    let pod = json!({"metadata": {"name": "m1", "namespace": "db", "uid": "u1", "annotations": {}},
        "spec": {"hostname": "m1", "subdomain": "peer", "nodeName": "n"}, "status": {"podIP": "10.1.1.9", "phase": "Running"}});
    let inputs = Inputs {
        pod: &pod,
        parameters: &parameters,
        member: (name == "tikv").then_some("1"),
        mode: Mode::Restart,
        task: Task::Prepare,
        now: "2026-01-01T00:00:00Z",
    };
    let seen = long_answers(name, count).into_iter();
    let seen: Observations =
        seen.map(|(name, brought)| (ReadKey { name: name.to_owned(), item: None }, brought)).collect();
    let mut scope = Scope::new(plan, &inputs, &seen);
    let verdict = conclude(&mut scope).map(|round| round.verdict);
    (verdict, scope.work())
}

#[test]
fn an_answer_of_twice_the_length_is_at_most_twice_the_work() {
    for plan in ["pd", "tikv", "etcd", "patroni", "neighbours", "in-flight"] {
        let ((verdict, short), (_, long)) = (round(plan, 300), round(plan, 600));
        assert!(short > 300 && long < short * 2 + 500, "{plan}: {short}, then {long} steps ({verdict:?})");
    }
}

#[test]
fn work_without_an_end_is_cut_off_and_lets_nobody_go() {
    let (verdict, work) = round("pd", 80_000);
    assert_eq!(work, MOST_STEPS);
    assert!(
        matches!(&verdict, Err(Trouble::Failed { message, .. }) if message.contains("too much work")),
        "{verdict:?}"
    );
}

//! The plan `patroni`, on answers in the form of Patroni's `GET /cluster`.

use castoff::plan::{Mode, Task, Verdict};
use serde_json::{Value, json};

use castoff_test_support::plans::{Backend, Case, builtin, pod};

fn member(name: &str, role: &str, state: &str, lag: Option<Value>) -> Value {
    let mut member =
        json!({"name": name, "role": role, "state": state, "host": "10.0.0.1", "port": 5432, "timeline": 1});
    if let Some(lag) = lag {
        member["lag"] = lag;
    }
    member
}

fn leader(name: &str) -> Value {
    member(name, "leader", "running", None)
}

fn replica(name: &str, lag: Value) -> Value {
    member(name, "replica", "streaming", Some(lag))
}

fn verdict(name: &str, members: &[Value], parameters: Value) -> Verdict {
    verdict_of(name, &json!({"members": members, "scope": "demo"}), parameters)
}

fn verdict_of(name: &str, cluster: &Value, parameters: Value) -> Verdict {
    let case = Case {
        plan: builtin("patroni"),
        pod: pod(name),
        parameters,
        member: None,
        mode: Mode::Restart,
        task: Task::Prepare,
    };
    case.run(&Backend::default().json("GET http://10.0.0.7:8008/cluster", 200, cluster)).round.verdict
}

fn blocked(verdict: &Verdict, part: &str) -> bool {
    matches!(verdict, Verdict::Blocked { message } if message.contains(part))
}

#[test]
fn switches_over_when_a_replica_is_fit() {
    let Verdict::Act(act) = verdict("pg-0", &[leader("pg-0"), replica("pg-1", json!(0))], json!({})) else { panic!() };
    assert_eq!(castoff_test_support::plans::shown(&act), "POST http://10.0.0.7:8008/switchover {\"leader\":\"pg-0\"}");
    assert!(act.background, "it outlives the call");
}

#[test]
fn is_done_when_another_member_leads_and_runs() {
    let members = |state| [member("pg-1", "leader", state, None), replica("pg-0", json!(0))];
    assert_eq!(verdict("pg-0", &members("running"), json!({})), Verdict::Done);
    assert_eq!(verdict("pg-0", &members("starting"), json!({"minOthers": 0})), Verdict::Waiting);
    assert!(blocked(&verdict("pg-0", &members("starting"), json!({})), "0 other members are running, minOthers is 1"));
}

#[test]
fn a_replica_that_lags_or_must_not_lead_is_not_fit() {
    let mut forbidden = replica("pg-1", json!(0));
    forbidden["tags"] = json!({"nofailover": true});
    for other in [replica("pg-1", json!(2_000_000)), replica("pg-1", json!("unknown")), forbidden] {
        assert!(blocked(&verdict("pg-0", &[leader("pg-0"), other], json!({})), "no replica is fit"));
    }
    let lax = verdict("pg-0", &[leader("pg-0"), replica("pg-1", json!(2_000_000))], json!({"maxLagBytes": 3_000_000}));
    assert!(matches!(lax, Verdict::Act(_)));
}

#[test]
fn only_synchronous_replicas_are_fit_where_there_are_any() {
    let lagging = member("pg-2", "sync_standby", "streaming", Some(json!(2_000_000)));
    let members = [leader("pg-0"), replica("pg-1", json!(0)), lagging];
    assert!(blocked(&verdict("pg-0", &members, json!({})), "no replica is fit"));
}

#[test]
fn a_paused_cluster_blocks_its_leader_and_no_one_else() {
    let paused = |leads: &str, follows: &str| json!({"members": [leader(leads), replica(follows, json!(0))], "pause": true, "scope": "demo"});
    assert!(blocked(&verdict_of("pg-0", &paused("pg-0", "pg-1"), json!({})), "paused"));
    assert_eq!(verdict_of("pg-0", &paused("pg-1", "pg-0"), json!({})), Verdict::Done);
}

#[test]
fn concludes_nothing_without_exactly_one_leader() {
    let none = [replica("pg-0", json!(0)), replica("pg-1", json!(0))];
    let two = [leader("pg-0"), leader("pg-1")];
    for members in [none, two] {
        assert!(matches!(verdict("pg-0", &members, json!({})), Verdict::Unknown { .. }));
    }
}

#[test]
fn a_member_that_patroni_does_not_know_stays() {
    let verdict = verdict("pg-9", &[leader("pg-0"), replica("pg-1", json!(0))], json!({}));
    assert!(matches!(verdict, Verdict::Failed { message, .. } if message == "the backend does not know this pod"));
}

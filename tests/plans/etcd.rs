//! The plan `etcd`, on answers in the form of etcd's JSON gateway.

use castoff::plan::{Mode, Task, Verdict};
use serde_json::{Value, json};

use castoff_test_support::plans::{Backend, Case, Outcome, builtin, pod};

const ANY: &str = "http://etcd:2379";

/// A cluster of members 101, 102, …, with the leader, and those that are healthy.
fn cluster(members: u64, leader: u64, healthy: &[u64]) -> Backend {
    let list: Vec<Value> = (1..=members).map(|number| member(number, false)).collect();
    let mut status = json!({"header": {"raft_term": "4"}, "version": "3.5.9", "raftIndex": "77"});
    if leader != 0 {
        status["leader"] = json!((100 + leader).to_string());
    }
    let backend = Backend::default()
        .json(&format!("POST {ANY}/v3/cluster/member/list"), 200, &json!({"header": {}, "members": list}))
        .json(&format!("POST {ANY}/v3/maintenance/status"), 200, &status);
    (1..=members).fold(backend, |backend, number| {
        let url = format!("GET http://etcd-{number}.etcd:2379/health");
        match healthy.contains(&number) {
            true => backend.json(&url, 200, &json!({"health": "true", "reason": ""})),
            false if number % 2 == 0 => {
                backend.json(&url, 503, &json!({"health": "false", "reason": "RAFT NO LEADER"}))
            }
            false => backend,
        }
    })
}

fn member(number: u64, learner: bool) -> Value {
    let mut member = json!({
        "ID": (100 + number).to_string(),
        "name": format!("etcd-{number}"),
        "peerURLs": [format!("http://etcd-{number}.etcd:2380")],
        "clientURLs": [format!("http://etcd-{number}.etcd:2379")],
    });
    if learner {
        member["isLearner"] = json!(true);
    }
    member
}

fn case(name: &str, mode: Mode) -> Case<'static> {
    Case {
        plan: builtin("etcd"),
        pod: pod(name),
        parameters: json!({"url": ANY}),
        member: None,
        mode,
        task: Task::Prepare,
    }
}

fn run(name: &str, backend: &Backend) -> Outcome {
    case(name, Mode::Restart).run(backend)
}

#[test]
fn moves_the_leadership_at_the_leader_to_a_healthy_member() {
    let act = case("etcd-1", Mode::Restart).act(&cluster(3, 1, &[1, 2, 3]));
    assert_eq!(act, "POST http://etcd-1.etcd:2379/v3/maintenance/transfer-leadership {\"targetID\":\"102\"}");
    let five = case("etcd-1", Mode::Restart).act(&cluster(5, 1, &[1, 3, 4, 5]));
    assert_eq!(five, "POST http://etcd-1.etcd:2379/v3/maintenance/transfer-leadership {\"targetID\":\"103\"}");
}

#[test]
fn is_done_when_another_member_leads() {
    let outcome = run("etcd-1", &cluster(3, 2, &[2, 3]));
    assert_eq!(outcome.round.verdict, Verdict::Done);
    assert_eq!(outcome.round.member.as_deref(), Some("101"));
    assert_eq!(outcome.waves.len(), 2, "the members' health takes their list, and nothing else does");
}

#[test]
fn keeps_the_quorum() {
    for backend in [cluster(3, 2, &[2]), cluster(3, 1, &[1, 3]), cluster(5, 2, &[2, 4])] {
        let verdict = run("etcd-1", &backend).round.verdict;
        assert!(
            matches!(&verdict, Verdict::Blocked { message } if message.contains("to keep the quorum")),
            "{verdict:?}"
        );
    }
}

#[test]
fn concludes_nothing_while_there_is_no_leader() {
    let verdict = run("etcd-1", &cluster(3, 0, &[2, 3])).round.verdict;
    assert_eq!(verdict, Verdict::Unknown { message: "etcd has no leader just now".to_owned() });
}

#[test]
fn a_learner_or_a_stranger_takes_no_vote_away() {
    let members = json!({"members": [member(1, false), member(2, true)]});
    let backend = cluster(1, 1, &[1]).json(&format!("POST {ANY}/v3/cluster/member/list"), 200, &members);
    for name in ["etcd-2", "etcd-9"] {
        let outcome = run(name, &backend);
        assert_eq!((outcome.round.verdict, outcome.round.member), (Verdict::Done, None));
    }
    let leaderless = cluster(1, 0, &[1]).json(&format!("POST {ANY}/v3/cluster/member/list"), 200, &members);
    assert!(matches!(run("etcd-9", &leaderless).round.verdict, Verdict::Unknown { .. }));
}

#[test]
fn a_voter_that_never_ran_counts_as_unhealthy_and_breaks_nothing() {
    let new = json!({"ID": "104", "peerURLs": ["http://etcd-4.etcd:2380"]});
    let four = |healthy: &[u64]| {
        let members = json!({"members": [member(1, false), member(2, false), member(3, false), new]});
        cluster(3, 2, healthy).json(&format!("POST {ANY}/v3/cluster/member/list"), 200, &members)
    };
    let verdict = run("etcd-1", &four(&[2, 3])).round.verdict;
    assert!(
        matches!(&verdict, Verdict::Blocked { message } if message.starts_with("2 of 3 other") && message.ends_with("not healthy: 104")),
        "{verdict:?}"
    );
    assert_eq!(run("etcd-4", &four(&[2, 3])).round.verdict, Verdict::Done, "it has no name at etcd yet");
}

#[test]
fn the_only_member_may_restart_and_not_be_removed() {
    assert_eq!(run("etcd-1", &cluster(1, 1, &[1])).round.verdict, Verdict::Done);
    let removed = case("etcd-1", Mode::Removal).verdict(&cluster(1, 1, &[1]));
    assert!(matches!(removed, Verdict::Blocked { .. }), "{removed:?}");
}

#[test]
fn removal_hands_over_then_removes_then_is_done() {
    let removal = |backend: &Backend| case("etcd-1", Mode::Removal).verdict(backend);
    let Verdict::Act(first) = removal(&cluster(3, 1, &[1, 2, 3])) else { panic!() };
    assert!(first.request.url.ends_with("/transfer-leadership") && !first.irreversible);
    let Verdict::Act(second) = removal(&cluster(3, 2, &[2, 3])) else { panic!() };
    assert_eq!(
        castoff_test_support::plans::shown(&second),
        format!("POST {ANY}/v3/cluster/member/remove {{\"ID\":\"101\"}}")
    );
    assert!(second.irreversible);
    let without = json!({"members": [member(2, false), member(3, false)]});
    let gone = cluster(3, 2, &[2, 3]).json(&format!("POST {ANY}/v3/cluster/member/list"), 200, &without);
    let verdict = Case { member: Some("101"), ..case("etcd-1", Mode::Removal) }.verdict(&gone);
    assert_eq!(verdict, Verdict::Done);
}

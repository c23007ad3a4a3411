//! The plan `pd`, on what PD 8.5.7 answered.

use castoff::plan::{Mode, Task, Verdict};
use serde_json::{Value, json};

use castoff_test_support::plans::{Backend, Case, Outcome, builtin, pod, recording};

const PD: &str = "http://pd:2379";

/// A recorded answer, by its number.
fn body(file: &str, step: usize) -> Value {
    recording(file).swap_remove(step).2
}

/// Three members of which pd-1 leads, all healthy.
fn healthy() -> (Value, Value) {
    let mut health = body("pd-leader-transfer", 29);
    health.as_array_mut().unwrap().iter_mut().for_each(|member| member["health"] = json!(true));
    (body("pd-leader-transfer", 30), health)
}

fn run((members, health): &(Value, Value), name: &str, member: Option<&str>, mode: Mode) -> Outcome {
    let backend = Backend::default().json(&format!("GET {PD}/pd/api/v1/members"), 200, members).json(
        &format!("GET {PD}/pd/api/v1/health"),
        200,
        health,
    );
    let parameters = json!({"pd": PD});
    Case { plan: builtin("pd"), pod: pod(name), parameters, member, mode, task: Task::Prepare }.run(&backend)
}

fn verdict(answers: &(Value, Value), name: &str) -> Verdict {
    run(answers, name, None, Mode::Restart).round.verdict
}

#[test]
fn the_leader_hands_over_to_a_name_and_its_followers_may_go() {
    let Verdict::Act(act) = verdict(&healthy(), "pd-1") else { panic!("{:?}", verdict(&healthy(), "pd-1")) };
    assert_eq!(act.request.method, "POST");
    let target = act.request.url.strip_prefix(&format!("{PD}/pd/api/v1/leader/transfer/"));
    assert!(["pd-0", "pd-2"].contains(&target.unwrap()), "{}", act.request.url);
    assert_eq!(verdict(&healthy(), "pd-0"), Verdict::Done);
    assert_eq!(verdict(&healthy(), "pd-2"), Verdict::Done);
}

#[test]
fn it_may_go_once_another_leads() {
    let (mut members, health) = healthy();
    let other = members["members"][0].clone();
    members["etcd_leader"] = other.clone();
    let moving = verdict(&(members.clone(), health.clone()), "pd-1");
    assert!(matches!(moving, Verdict::Unknown { message } if message.contains("moving")));
    members["leader"] = other;
    assert_eq!(verdict(&(members, health), "pd-1"), Verdict::Done);
}

#[test]
fn with_one_member_dead_no_other_may_go() {
    // Recorded: pd-0 was killed.
    let dead = (body("pd-leader-transfer", 30), body("pd-leader-transfer", 29));
    for name in ["pd-1", "pd-2"] {
        let blocked = verdict(&dead, name);
        assert!(matches!(&blocked, Verdict::Blocked { message } if message.contains("quorum")), "{blocked:?}");
    }
    assert_eq!(verdict(&dead, "pd-0"), Verdict::Done, "the dead one may be replaced");
}

#[test]
fn the_target_of_a_transfer_is_never_a_dead_member() {
    let (mut members, mut health) = healthy();
    // A fifth and a fourth member keep the quorum while the first two are dead.
    for name in ["pd-3", "pd-4"] {
        members["members"].as_array_mut().unwrap().push(json!({"name": name}));
        health.as_array_mut().unwrap().push(json!({"name": name, "health": true}));
    }
    health[0]["health"] = json!(false);
    let Verdict::Act(act) = verdict(&(members, health), "pd-1") else { panic!("no act") };
    assert!(!act.request.url.ends_with("pd-2"), "{}", act.request.url);
}

#[test]
fn without_a_quorum_nothing_is_concluded() {
    // Recorded: both others were killed; health goes on to answer.
    let (_, code, text) = recording("pd-quorum-lost").swap_remove(8);
    let backend = Backend::default().text(&format!("GET {PD}/pd/api/v1/members"), code, text.as_str().unwrap()).json(
        &format!("GET {PD}/pd/api/v1/health"),
        200,
        &body("pd-quorum-lost", 9),
    );
    let (parameters, mode, task) = (json!({"pd": PD}), Mode::Restart, Task::Prepare);
    let case = Case { plan: builtin("pd"), pod: pod("pd-2"), parameters, member: None, mode, task };
    let failed = case.verdict(&backend);
    assert!(matches!(&failed, Verdict::Failed { message, .. } if message.ends_with("answers 503")), "{failed:?}");
}

#[test]
fn a_removal_moves_the_leadership_first_then_deletes_the_member() {
    let removal = |answers: &(Value, Value), name: &str| run(answers, name, Some(name), Mode::Removal).round.verdict;
    let Verdict::Act(first) = removal(&healthy(), "pd-1") else { panic!("no act") };
    assert!(first.request.url.contains("/leader/transfer/") && !first.irreversible);
    let Verdict::Act(second) = removal(&healthy(), "pd-2") else { panic!("no act") };
    assert_eq!(second.request.method, "DELETE");
    assert_eq!(second.request.url, format!("{PD}/pd/api/v1/members/name/pd-2"));
    assert!(second.irreversible && second.request.ok.takes(404));
}

#[test]
fn a_removed_member_is_done_and_the_only_one_is_not_removed() {
    // Recorded: pd-2 removed, then pd-0, so that pd-1 is alone.
    let two = (body("pd-member-removal", 11), body("pd-member-removal", 12));
    assert_eq!(run(&two, "pd-2", Some("pd-2"), Mode::Removal).round.verdict, Verdict::Done);
    let gone = run(&two, "pd-2", None, Mode::Removal).round;
    assert_eq!((gone.verdict, gone.member), (Verdict::Done, None), "removed before it was asked");
    let alone = (body("pd-member-removal", 20), json!([{"name": "pd-1", "health": true}]));
    assert_eq!(verdict(&alone, "pd-1"), Verdict::Done, "the only member may restart");
    let last = run(&alone, "pd-1", None, Mode::Removal).round.verdict;
    assert!(matches!(&last, Verdict::Blocked { message } if message.contains("only member")), "{last:?}");
}

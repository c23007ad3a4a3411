//! The plan `consul`, on what Consul 1.21 answered.

use castoff::plan::{Mode, Round, Task, Verdict};
use serde_json::{Value, json};

use castoff_test_support::plans::{Backend, Case, builtin, pod, recording, shown};

const AGENT: &str = "http://10.0.0.8:8500/v1/agent";
const HEALTH: &str = "GET http://10.0.0.8:8500/v1/agent/health/service/id/web-1";

/// A recorded answer, by its number.
fn answer(file: &str, step: usize) -> (u16, Value) {
    let (_, code, body) = recording(file).swap_remove(step);
    (code, body)
}

fn run((code, body): &(u16, Value), member: Option<&str>, mode: Mode, task: Task) -> Round {
    let backend = match body {
        Value::String(text) => Backend::default().text(HEALTH, *code, text),
        body => Backend::default().json(HEALTH, *code, body),
    };
    let (plan, parameters) = (builtin("consul"), json!({}));
    Case { plan, pod: pod("web-1"), parameters, member, mode, task }.run(&backend).round
}

fn prepare(answer: &(u16, Value)) -> Round {
    run(answer, None, Mode::Restart, Task::Prepare)
}

/// The service in maintenance, with the reason that somebody gave.
fn in_maintenance(reason: &str) -> (u16, Value) {
    let (code, mut body) = answer("consul-agent", 41);
    body["Checks"][1]["Notes"] = json!(reason);
    (code, body)
}

const OURS: &str = "castoff.dev: web-1 is to leave";

#[track_caller]
fn act(round: &Round) -> String {
    match &round.verdict {
        Verdict::Act(act) => shown(act),
        other => panic!("no act but {other:?}"),
    }
}

#[test]
fn a_service_is_taken_out_with_a_reason_that_is_ours() {
    let on =
        format!("PUT {AGENT}/service/maintenance/web-1?enable=true&reason=castoff.dev%3A%20web-1%20is%20to%20leave");
    // Recorded: passing, warning, critical for a reason of its own.
    for step in [23, 64, 66] {
        let round = prepare(&answer("consul-agent", step));
        assert_eq!((act(&round), round.member.as_deref()), (on.clone(), Some("web-1")), "step {step}");
        assert_eq!(round.ours, Some(false));
    }
    let out = prepare(&in_maintenance(OURS));
    assert_eq!((out.verdict, out.ours), (Verdict::Done, Some(true)));
}

#[test]
fn maintenance_of_the_whole_node_is_not_the_services() {
    let round = prepare(&answer("consul-agent", 69));
    assert!(act(&round).contains("/service/maintenance/web-1?enable=true"));
}

#[test]
fn a_persons_maintenance_will_do_and_stays() {
    // Recorded with a person's reason.
    let theirs = answer("consul-agent", 41);
    let prepared = prepare(&theirs);
    assert_eq!((prepared.verdict, prepared.ours), (Verdict::Done, Some(false)));
    assert_eq!(run(&theirs, Some("web-1"), Mode::Restart, Task::Restore).verdict, Verdict::Done);
}

#[test]
fn the_successor_of_the_same_id_is_put_back_in() {
    let restore = |answer: &(u16, Value)| run(answer, Some("web-1"), Mode::Restart, Task::Restore);
    let off = format!("PUT {AGENT}/service/maintenance/web-1?enable=false");
    assert_eq!(act(&restore(&in_maintenance(OURS))), off);
    // Recorded: registered anew with replace-existing-checks, so that the maintenance is gone; and deregistered.
    assert_eq!(restore(&answer("consul-agent", 23)).verdict, Verdict::Done);
    assert_eq!(restore(&answer("consul-agent", 78)).verdict, Verdict::Done);
}

#[test]
fn what_may_not_be_read_is_no_absence() {
    // Recorded: no token, an unknown one, and the token of another service, for which lists are empty.
    for step in [28, 35, 56] {
        for task in [Task::Prepare, Task::Restore] {
            let verdict = run(&answer("consul-acl", step), Some("web-1"), Mode::Restart, task).verdict;
            assert!(
                matches!(&verdict, Verdict::Failed { message, .. } if message.ends_with("answers 403")),
                "{verdict:?}"
            );
        }
    }
    let unknown = prepare(&answer("consul-agent", 5)).verdict;
    assert!(matches!(unknown, Verdict::Failed { message, .. } if message == "the backend does not know this pod"));
    // A token that may only read is enough to see how things stand.
    let (_, seen) = answer("consul-acl", 42);
    assert_eq!(seen["AggregatedStatus"], "maintenance");
    assert_eq!(prepare(&answer("consul-acl", 42)).verdict, Verdict::Done);
}

#[test]
fn a_removal_takes_it_out_first_then_deregisters_it() {
    let removal = |answer: &(u16, Value), task| run(answer, Some("web-1"), Mode::Removal, task);
    assert!(act(&removal(&answer("consul-agent", 23), Task::Prepare)).contains("enable=true"));
    let Verdict::Act(last) = removal(&in_maintenance(OURS), Task::Prepare).verdict else { panic!("no act") };
    assert_eq!(shown(&last), format!("PUT {AGENT}/service/deregister/web-1"));
    assert!(last.irreversible);
    assert_eq!(removal(&answer("consul-agent", 78), Task::Prepare).verdict, Verdict::Done);
    assert!(act(&removal(&in_maintenance(OURS), Task::Restore)).ends_with("enable=false"));
}

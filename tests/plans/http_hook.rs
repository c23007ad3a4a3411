//! The plan `http-hook`: the contract between Castoff and an application.

use castoff::plan::{Mode, Task, Verdict};
use serde_json::{Value, json};

use castoff_test_support::plans::{Backend, Case, Outcome, builtin, pod};

fn run(task: Task, mode: Mode, state: &Value) -> Outcome {
    let case = Case {
        plan: builtin("http-hook"),
        pod: pod("web-0"),
        parameters: json!({"port": 9000}),
        member: None,
        mode,
        task,
    };
    case.run(&Backend::default().json("GET http://10.0.0.7:9000/prestop", 200, state))
}

fn act(task: Task, mode: Mode, state: &Value) -> String {
    match run(task, mode, state).round.verdict {
        Verdict::Act(act) => castoff_test_support::plans::shown(&act),
        other => panic!("{other:?}"),
    }
}

#[test]
fn asks_an_idle_application_and_tells_whether_it_comes_back() {
    let idle = json!({"state": "Idle"});
    let (restart, removal) = (Mode::Restart, Mode::Removal);
    assert_eq!(act(Task::Prepare, restart, &idle), "POST http://10.0.0.7:9000/prestop {\"removal\":false}");
    assert_eq!(act(Task::Prepare, removal, &idle), "POST http://10.0.0.7:9000/prestop {\"removal\":true}");
}

#[test]
fn waits_until_it_is_prepared_and_nothing_is_in_flight() {
    for state in [json!({"state": "Preparing"}), json!({"state": "Prepared", "inflight": 3})] {
        assert_eq!(run(Task::Prepare, Mode::Restart, &state).round.verdict, Verdict::Waiting);
    }
    let busy = run(Task::Prepare, Mode::Restart, &json!({"state": "Preparing", "inflight": 3})).round;
    assert_eq!(busy.progress.map(|progress| progress.remaining), Some(3));
    for state in [json!({"state": "Prepared"}), json!({"state": "Prepared", "inflight": 0, "blocked": ""})] {
        assert_eq!(run(Task::Prepare, Mode::Restart, &state).round.verdict, Verdict::Done);
    }
}

#[test]
fn tells_in_its_own_words_why_it_must_stay() {
    let state = json!({"state": "Idle", "blocked": "a\nbackup runs"});
    let verdict = run(Task::Prepare, Mode::Restart, &state).round.verdict;
    assert_eq!(verdict, Verdict::Blocked { message: "a backup runs".to_owned() });
}

#[test]
fn takes_it_back_only_where_something_was_asked() {
    let restore = |state: &str| run(Task::Restore, Mode::Restart, &json!({"state": state})).round.verdict;
    assert!(matches!(restore("Prepared"), Verdict::Act(act) if act.request.method == "DELETE"));
    assert_eq!(restore("Idle"), Verdict::Done);
}

#[test]
fn an_application_that_answers_nonsense_is_a_failure() {
    for state in [json!("Prepared"), json!({}), json!([]), json!(null)] {
        let verdict = run(Task::Prepare, Mode::Restart, &state).round.verdict;
        assert!(matches!(verdict, Verdict::Failed { .. }), "{state}: {verdict:?}");
    }
}

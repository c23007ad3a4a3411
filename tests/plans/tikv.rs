//! The plan `tikv`, on what PD 8.5.7 answered.

use castoff::plan::{Mode, Progress, Task, Verdict};
use serde_json::{Value, json};

use castoff_test_support::plans::{Backend, Case, builtin, pod, recording};

const PD: &str = "https://basic-pd:2379";

fn case(member: Option<&'static str>, task: Task) -> Case<'static> {
    Case {
        plan: builtin("tikv"),
        pod: pod("tikv-2"),
        parameters: json!({"pd": PD, "tlsSecret": "pd-client"}),
        member,
        mode: Mode::Restart,
        task,
    }
}

/// The body of the recorded step.
fn body(file: &str, step: usize) -> Value {
    recording(file).swap_remove(step).2
}

/// The default schedulers as PD stores them, with the evict-leader one where it is set.
fn stored() -> Value {
    body("pd-restart-window", 10)
}

/// All stores as PD shows them when settled, 80 leaders on each.
fn settled_stores() -> Value {
    body("pd-leader-count-truth", 1)
}

fn set(mut stores: Value, id: u64, field: &str, value: &Value) -> Value {
    for store in stores["stores"].as_array_mut().unwrap() {
        if store["store"]["id"] == id {
            let (part, name) = field.split_once('.').unwrap();
            store[part][name] = value.clone();
        }
    }
    stores
}

/// PD with store 2 evicted and everything running.
fn draining(stores: &Value) -> Backend {
    settled(stores).json(
        &format!("GET {PD}/pd/api/v1/scheduler-config/evict-leader-scheduler/list"),
        200,
        &body("pd-evict-leader", 26),
    )
}

/// PD with nothing evicted and everything running.
fn settled(stores: &Value) -> Backend {
    Backend::default()
        .json(&format!("GET {PD}/pd/api/v1/stores?state=0&state=1&state=2"), 200, stores)
        .json(&format!("GET {PD}/pd/api/v1/schedulers"), 200, &body("pd-evict-leader", 27))
        .json(&format!("GET {PD}/pd/api/v1/schedulers?status=paused"), 200, &body("pd-evict-leader", 28))
        .json(&format!("GET {PD}/pd/api/v1/config/schedule"), 200, &stored())
        .text(
            &format!("GET {PD}/pd/api/v1/scheduler-config/evict-leader-scheduler/list"),
            404,
            body("pd-evict-leader", 1).as_str().unwrap(),
        )
}

fn regions(backend: Backend, counts: &Value) -> Backend {
    backend.json(&format!("GET {PD}/pd/api/v1/stats/region"), 200, &json!({"store_leader_count": counts}))
}

/// PD just after a start, when it has not heard from its stores.
fn in_window() -> Backend {
    Backend::default()
        .json(&format!("GET {PD}/pd/api/v1/stores?state=0&state=1&state=2"), 200, &body("pd-restart-window", 3))
        .json(&format!("GET {PD}/pd/api/v1/schedulers"), 200, &body("pd-restart-window", 6))
        .json(&format!("GET {PD}/pd/api/v1/schedulers?status=paused"), 200, &json!([]))
        .json(&format!("GET {PD}/pd/api/v1/config/schedule"), 200, &stored())
        .json(&format!("GET {PD}/pd/api/v1/stats/region"), 200, &body("pd-restart-window", 5))
        .text(
            &format!("GET {PD}/pd/api/v1/scheduler-config/evict-leader-scheduler/list"),
            404,
            body("pd-restart-window", 7).as_str().unwrap(),
        )
}

#[test]
fn asks_for_the_eviction_of_a_store_that_leads() {
    let act = case(Some("2"), Task::Prepare).act(&settled(&settled_stores()));
    assert_eq!(act, format!("POST {PD}/pd/api/v1/schedulers {{\"name\":\"evict-leader-scheduler\",\"store_id\":2}}"));
}

#[test]
fn sends_the_endpoints_secret_along() {
    let Verdict::Act(act) = case(Some("2"), Task::Prepare).verdict(&settled(&settled_stores())) else { panic!() };
    assert_eq!((act.request.tls_secret.as_str(), act.request.auth_secret.as_str()), ("pd-client", ""));
}

#[test]
fn waits_while_leaders_are_left_and_counts_them() {
    let outcome = case(Some("2"), Task::Prepare).run(&draining(&settled_stores()));
    assert_eq!(outcome.round.verdict, Verdict::Waiting);
    assert_eq!(outcome.round.progress, Some(Progress { remaining: 80, unit: "leaders".to_owned() }));
}

#[test]
fn reads_side_by_side_and_the_region_statistics_only_when_the_count_is_zero() {
    let first = ["stores", "evict", "paused", "running", "stored"];
    let sorted = |wave: &[String]| {
        let mut names = wave.to_vec();
        names.sort();
        names
    };
    let mut expected: Vec<String> = first.iter().map(|name| (*name).to_owned()).collect();
    expected.sort();

    let waiting = case(None, Task::Prepare).run(&draining(&named(&settled_stores())));
    assert_eq!(waiting.waves.iter().map(|wave| sorted(wave)).collect::<Vec<_>>(), [expected.clone()]);

    let zero = named(&set(settled_stores(), 2, "status.leader_count", &json!(0)));
    let drained = case(None, Task::Prepare).run(&regions(draining(&zero), &json!({"1": 100})));
    assert_eq!(
        drained.waves.iter().map(|wave| sorted(wave)).collect::<Vec<_>>(),
        [expected, vec!["regions".to_owned()]]
    );
}

#[test]
fn is_done_once_both_witnesses_count_no_leader() {
    let zero = set(settled_stores(), 2, "status.leader_count", &json!(0));
    let outcome = case(Some("2"), Task::Prepare).run(&regions(draining(&zero), &json!({"1": 100, "3": 100})));
    assert_eq!(outcome.round.verdict, Verdict::Done);
    assert_eq!(outcome.round.progress.map(|progress| progress.remaining), Some(0));
}

#[test]
fn a_stale_count_of_zero_is_not_done() {
    // Recorded: 0 in the store list for a minute, while the region statistics counted 80.
    let mut stores = body("pd-leader-count-stale", 2);
    let stale = stores["stores"].as_array().unwrap().iter().find(|store| store["status"]["leader_count"] == 0);
    let id = stale.expect("a store whose count is stale")["store"]["id"].to_string();
    for store in stores["stores"].as_array_mut().unwrap() {
        store["store"]["address"] = json!("tikv");
    }
    let evicting = json!({"store-id-ranges": {&id: [{"start-key": "", "end-key": ""}]}, "batch": 3});
    let list = format!("GET {PD}/pd/api/v1/scheduler-config/evict-leader-scheduler/list");
    let backend = settled(&stores).json(&list, 200, &evicting).json(
        &format!("GET {PD}/pd/api/v1/stats/region"),
        200,
        &body("pd-leader-count-stale", 1),
    );
    let outcome = Case { member: Some(id.as_str()), ..case(None, Task::Prepare) }.run(&backend);
    assert_eq!(outcome.round.verdict, Verdict::Waiting);
    assert_eq!(outcome.round.progress.map(|progress| progress.remaining), Some(80));
}

#[test]
fn believes_nothing_that_pd_says_just_after_a_start() {
    for task in [Task::Prepare, Task::Restore] {
        let outcome = case(Some("1"), task).run(&in_window());
        let Verdict::Unknown { message } = outcome.round.verdict else { panic!("{:?}", outcome.round) };
        assert!(message.contains("just started"), "{message}");
        assert_eq!(outcome.round.progress, None);
    }
}

#[test]
fn one_scheduler_that_runs_is_no_end_of_the_window() {
    // Recorded: the first POST in the window makes the list ["evict-leader-scheduler"].
    let backend = in_window().json(&format!("GET {PD}/pd/api/v1/schedulers"), 200, &body("pd-restart-window", 19));
    assert!(matches!(case(Some("1"), Task::Prepare).verdict(&backend), Verdict::Unknown { .. }));
}

#[test]
fn a_paused_scheduler_blocks() {
    let paused = body("pd-evict-leader-limits", 15);
    let backend =
        draining(&settled_stores()).json(&format!("GET {PD}/pd/api/v1/schedulers?status=paused"), 200, &paused);
    let outcome = case(Some("2"), Task::Prepare).run(&backend);
    let Verdict::Blocked { message } = outcome.round.verdict else { panic!("{:?}", outcome.round) };
    assert_eq!(message, "the evict-leader scheduler is paused at PD: resume it");
    assert_eq!(outcome.round.progress.map(|progress| progress.remaining), Some(80));
}

#[test]
fn a_store_that_is_away_blocks() {
    // Recorded: store 4 while it was silent.
    let silent = body("pd-store-silent", 3)["store"]["state_name"].clone();
    assert_eq!(silent, "Disconnected");
    let stores = set(settled_stores(), 3, "store.state_name", &silent);
    assert_eq!(
        case(Some("2"), Task::Prepare).verdict(&draining(&stores)),
        Verdict::Blocked { message: "another store is away: mock:://tikv-3".to_owned() }
    );
    let itself = case(Some("3"), Task::Prepare).verdict(&draining(&stores));
    assert!(matches!(itself, Verdict::Blocked { message } if message.starts_with("this store does not report")));
}

#[test]
fn restores_by_deleting_this_stores_entry_alone() {
    let act = case(Some("2"), Task::Restore).act(&draining(&settled_stores()));
    assert_eq!(act, format!("DELETE {PD}/pd/api/v1/schedulers/evict-leader-scheduler-2"));
}

#[test]
fn is_restored_when_there_is_no_entry() {
    assert_eq!(case(Some("2"), Task::Restore).verdict(&settled(&settled_stores())), Verdict::Done);
    assert_eq!(case(Some("3"), Task::Restore).verdict(&draining(&settled_stores())), Verdict::Done);
}

#[test]
fn an_error_of_pd_is_a_failure_that_names_the_request() {
    let list = format!("GET {PD}/pd/api/v1/scheduler-config/evict-leader-scheduler/list");
    let backend = settled(&settled_stores()).text(&list, 406, "not bootstrapped");
    let Verdict::Failed { message, detail, .. } = case(Some("2"), Task::Prepare).verdict(&backend) else { panic!() };
    assert_eq!((message, detail.as_str()), (format!("{list} answers 406"), "not bootstrapped"));
}

#[test]
fn finds_the_store_by_its_address() {
    let outcome = case(None, Task::Prepare).run(&draining(&named(&settled_stores())));
    assert_eq!(outcome.round.member.as_deref(), Some("2"));
    let unknown = case(None, Task::Prepare).verdict(&draining(&settled_stores()));
    assert!(matches!(unknown, Verdict::Failed { message, .. } if message == "the backend does not know this pod"));
}

/// The stores under addresses as a `StatefulSet` gives them.
fn named(stores: &Value) -> Value {
    (1..=5_u64).fold(stores.clone(), |stores, id| {
        set(stores, id, "store.address", &json!(format!("tikv-{id}.peer.db.svc:20160")))
    })
}

#[test]
fn removal_takes_the_store_off_and_waits_for_its_tombstone() {
    let removal = || Case { mode: Mode::Removal, ..case(Some("2"), Task::Prepare) };
    assert_eq!(removal().act(&settled(&settled_stores())), format!("DELETE {PD}/pd/api/v1/store/2"));
    let offline = set(settled_stores(), 2, "store.state_name", &json!("Offline"));
    let outcome = removal().run(&settled(&offline));
    assert_eq!(outcome.round.verdict, Verdict::Waiting);
    assert_eq!(outcome.round.progress, Some(Progress { remaining: 240, unit: "regions".to_owned() }));
    let back = Case { task: Task::Restore, ..removal() }.act(&settled(&offline));
    assert_eq!(back, format!("POST {PD}/pd/api/v1/store/2/state?state=Up"));
    let gone = set(settled_stores(), 2, "store.state_name", &json!("Tombstone"));
    assert_eq!(removal().verdict(&settled(&gone)), Verdict::Done);
    let dead = named(&set(settled_stores(), 2, "store.state_name", &json!("Tombstone")));
    let found = Case { member: None, ..removal() }.run(&settled(&dead)).round;
    assert_eq!((found.verdict, found.member.as_deref()), (Verdict::Done, Some("2")), "removed before it was asked");
    let restart = case(None, Task::Prepare).verdict(&settled(&dead));
    assert!(matches!(restart, Verdict::Failed { message, .. } if message == "the backend does not know this pod"));
    let forgotten = json!({"stores": [settled_stores()["stores"][1]]});
    assert_eq!(removal().verdict(&settled(&forgotten)), Verdict::Done);
}

#[test]
fn a_removal_follows_the_store_through_its_recorded_states() {
    // Recorded: Offline, Up again, Offline, Tombstone, and the record cleared away.
    let stores = |step: usize| {
        let mut store = body("pd-store-removal", step);
        store["store"]["address"] = json!("tikv-2.peer.db.svc:20160");
        json!({"count": 1, "stores": [store]})
    };
    let at = |step, task| Case { mode: Mode::Removal, ..case(Some("1"), task) }.run(&settled(&stores(step))).round;
    let left = |round: &castoff::plan::Round| round.progress.as_ref().map(|progress| progress.remaining);

    let offline = at(12, Task::Prepare);
    assert_eq!((&offline.verdict, left(&offline)), (&Verdict::Waiting, Some(240)));
    let Verdict::Act(back) = at(12, Task::Restore).verdict else { panic!("nothing to undo") };
    assert_eq!(castoff_test_support::plans::shown(&back), format!("POST {PD}/pd/api/v1/store/1/state?state=Up"));
    let Verdict::Act(again) = at(16, Task::Prepare).verdict else { panic!("nothing to do") };
    assert_eq!(castoff_test_support::plans::shown(&again), format!("DELETE {PD}/pd/api/v1/store/1"));
    assert!(!again.irreversible, "it is undone when the drain is given up");
    assert_eq!(at(16, Task::Restore).verdict, Verdict::Done);
    let buried = at(31, Task::Prepare);
    assert_eq!((&buried.verdict, left(&buried)), (&Verdict::Done, Some(0)));
    assert_eq!(at(31, Task::Restore).verdict, Verdict::Done);
}

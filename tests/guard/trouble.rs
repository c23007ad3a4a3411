//! What goes wrong, and that nothing is lost by it.

use std::time::Duration;

use castoff::simulation::pd::{Fault, SimulatedPd};

use crate::harness::{By, Guard, POLICY, address_of, pd, pod};

/// How long PD lies after a restart.
const WINDOW: Duration = Duration::from_secs(3);

fn policy(pd: &SimulatedPd) -> String {
    POLICY.replace("{pd}", &pd.url())
}

fn posts(pd: &SimulatedPd) -> usize {
    pd.requests().iter().filter(|request| request.method == "POST").count()
}

/// Brings a drain to its end, whatever phase it is in, and checks what is left.
async fn finish(guard: &Guard, pd: &SimulatedPd) {
    finish_with_entries(guard, pd, &[]).await;
}

/// The same; `others` are entries that are not the guard's.
async fn finish_with_entries(guard: &Guard, pd: &SimulatedPd, others: &[u64]) {
    if !guard.outcome(2).is_some_and(|drain| drain["status"]["left"] == true) {
        guard.ask_until_allowed(2, By::StatefulSet).await;
        pd.pod_ended(3);
        guard.remove_pod(2);
        pd.pod_started(3, &address_of(2));
    }
    guard.put_pod(&pod(2, "two", true));
    guard.until("the drain is over", || guard.phase(2) == "Completed").await;
    guard.until("nothing of the guard's is left at PD", || pd.evict_entries() == others).await;
    assert_eq!(pd.leaders_lost(), 0);
}

/// Brings a drain to a phase: the moment at which something is to go wrong.
async fn bring_to(guard: &Guard, pd: &SimulatedPd, phase: &str) {
    guard.ask(2, By::StatefulSet).await;
    match phase {
        "Queued" | "Draining" | "Drained" => guard.until(phase, || guard.phase(2) == phase).await,
        "Departing" => {
            guard.ask_until_allowed(2, By::StatefulSet).await;
        }
        _ => {
            guard.ask_until_allowed(2, By::StatefulSet).await;
            pd.pod_ended(3);
            guard.remove_pod(2);
            pd.pod_started(3, &address_of(2));
            guard.put_pod(&pod(2, "two", true));
            guard.until(phase, || guard.phase(2) == phase).await;
        }
    }
}

#[tokio::test]
async fn a_killed_guard_goes_on_where_it_was_and_prepares_nothing_twice() {
    let runs = ["Queued", "Draining", "Drained", "Departing", "Restoring"].map(|phase| {
        tokio::spawn(async move {
            let pd = pd().await;
            let mut guard = Guard::start(&policy(&pd));
            // What waits for PD stays Queued for as long as it takes to be killed.
            pd.set_fault((phase == "Queued").then_some(Fault::Refuse));
            bring_to(&guard, &pd, phase).await;
            guard.kill_and_restart();
            pd.set_fault(None);
            finish(&guard, &pd).await;
            assert_eq!(posts(&pd), 1, "killed in {phase}");
        })
    });
    for run in runs {
        run.await.unwrap();
    }
}

#[tokio::test]
async fn a_guard_killed_between_the_intent_and_the_act_neither_forgets_nor_repeats_it() {
    for act_arrives in [false, true] {
        let pd = pd().await;
        // The act hangs or is refused: the intent is written, and what became of the act is not.
        let guard_policy = policy(&pd);
        let mut guard = Guard::start(&guard_policy);
        guard.ask(2, By::StatefulSet).await;
        guard
            .until("the intent is written", || {
                let drain = guard.outcome(2).unwrap_or_default();
                drain.pointer("/status/steps/0/ownership").is_some_and(|owned| owned == "Intent" || owned == "Acted")
            })
            .await;
        if act_arrives {
            guard.until("the act has arrived", || posts(&pd) == 1).await;
        }
        guard.kill_and_restart();
        finish(&guard, &pd).await;
        assert_eq!(posts(&pd), 1, "act arrived before the kill: {act_arrives}");
    }
}

#[tokio::test]
async fn a_pd_that_restarts_and_lies_for_a_while_costs_no_leader_and_no_entry() {
    let runs = ["Queued", "Draining", "Drained", "Departing", "Restoring"].map(|phase| {
        tokio::spawn(async move {
            let pd = pd().await;
            // Somebody else's entry must come through all of it.
            pd.with_state(|state| state.set_entry(1));
            let guard = Guard::start(&policy(&pd));
            if phase == "Queued" {
                pd.restart(WINDOW);
            }
            bring_to(&guard, &pd, phase).await;
            if phase != "Queued" {
                pd.restart(WINDOW);
            }
            finish_with_entries(&guard, &pd, &[1]).await;
        })
    });
    for run in runs {
        run.await.unwrap();
    }
}

#[tokio::test]
async fn a_backend_in_trouble_denies_in_time_says_so_and_goes_on_when_it_is_back() {
    let faults = [
        (Fault::Refuse, "does not answer"),
        (Fault::Hang, "does not answer"),
        (Fault::Status500, "answers 500"),
        (Fault::Garbage, "gives no valid JSON"),
    ];
    let runs = faults.map(|(fault, text)| {
        tokio::spawn(async move {
            let pd = pd().await;
            let guard = Guard::start(&policy(&pd));
            pd.set_fault(Some(fault));
            let mut answer = guard.ask(2, By::StatefulSet).await;
            while !answer.message.contains(text) {
                assert!(!answer.allowed && answer.took < Duration::from_secs(5), "{answer:?}");
                answer = guard.ask(2, By::StatefulSet).await;
                tokio::task::yield_now().await;
            }
            assert!(answer.message.contains(&format!("{}/pd/api/v1/", pd.url())), "{}", answer.message);
            pd.set_fault(None);
            finish(&guard, &pd).await;
        })
    });
    for run in runs {
        run.await.unwrap();
    }
}

#[tokio::test]
async fn a_backend_that_fails_after_the_preparation_is_not_taken_on_trust() {
    let pd = pd().await;
    let guard = Guard::start(&policy(&pd));
    guard.ask(2, By::StatefulSet).await;
    guard.until("prepared", || guard.phase(2) == "Drained").await;
    pd.set_fault(Some(Fault::Hang));
    let answers =
        guard.ask_until(2, By::StatefulSet, "told", |answer| answer.message.contains("does not answer")).await;
    for answer in answers {
        assert!(!answer.allowed && answer.took < Duration::from_secs(9), "{answer:?}");
    }
    pd.set_fault(None);
    finish(&guard, &pd).await;
}

#[tokio::test]
async fn leaders_that_come_back_after_the_preparation_are_moved_again() {
    let pd = pd().await;
    let guard = Guard::start(&policy(&pd));
    guard.ask(2, By::StatefulSet).await;
    guard.until("prepared", || guard.phase(2) == "Drained").await;
    pd.with_state(|state| state.remove_entry(3));
    guard.until("seen to be no longer done", || guard.phase(2) != "Drained").await;
    finish(&guard, &pd).await;
}

#[tokio::test]
async fn a_pod_that_leaves_without_our_yes_is_restored_counted_and_told() {
    let pd = pd().await;
    let guard = Guard::start(&policy(&pd));
    guard.ask(2, By::StatefulSet).await;
    guard.until("an entry is set", || !pd.evict_entries().is_empty()).await;
    guard.remove_pod(2);
    guard.until("its leaving is seen", || guard.phase(2) == "Departing").await;
    guard.put_pod(&pod(2, "two", true));
    guard.until("restored", || guard.phase(2) == "Completed" && pd.evict_entries().is_empty()).await;
    assert_eq!(guard.metric("castoff_outcomes_total{outcome=\"unprepared\"}").await, 1);
    guard.until("told", || guard.log().contains("LeftUnprepared")).await;
}

#[tokio::test]
async fn leaders_that_do_not_move_hold_the_pod_and_are_called_stalled() {
    let pd = pd().await;
    pd.set_fault(Some(Fault::StuckLeaders));
    let guard = Guard::start(&(policy(&pd) + "  progressDeadlineSeconds: 2\n"));
    guard.ask_until(2, By::StatefulSet, "stalled", |answer| answer.reason == "Stalled").await;
    pd.set_fault(None);
    finish(&guard, &pd).await;
}

#[tokio::test]
async fn another_store_that_is_away_blocks_the_departure_before_anything_is_set() {
    let pd = pd().await;
    let guard = Guard::start(&policy(&pd));
    pd.pod_ended(1);
    let answers = guard.ask_until(2, By::StatefulSet, "blocked", |answer| answer.reason == "Blocked").await;
    let answer = answers.last().unwrap();
    assert!(answer.message.contains("another store is away: basic-tikv-0"), "{}", answer.message);
    assert_eq!(posts(&pd), 0);
    pd.pod_started(1, &address_of(0));
    let lost_before = pd.leaders_lost();
    guard.ask_until_allowed(2, By::StatefulSet).await;
    assert_eq!(pd.leaders_lost(), lost_before);
}

#[tokio::test]
async fn a_denial_that_is_asked_for_again_and_again_is_logged_once() {
    let guard = Guard::start(&POLICY.replace("{pd}", "http://127.0.0.1:1"));
    for _ in 0..5 {
        assert!(!guard.ask(2, By::StatefulSet).await.allowed);
    }
    let log = guard.log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("\"answered\"")).collect();
    let again = |line: &&str| told.iter().filter(|other| reason(other) == reason(line)).count();
    assert!(!told.is_empty() && told.iter().all(|line| again(line) == 1), "{told:#?}");
    assert!(told[0].contains("tidb/basic-tikv-2") && told[0].contains("\"decision\":\"deny\""), "{told:#?}");
}

fn reason(line: &str) -> String {
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    line["reason"].as_str().unwrap().to_owned()
}

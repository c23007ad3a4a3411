//! A drain that goes well, and those that are asked for in other ways.

use castoff::simulation::pd::SimulatedPd;
use serde_json::json;

use crate::harness::{Answer, By, Guard, POLICY, address_of, pd, pod, set};

fn policy(pd: &SimulatedPd) -> String {
    POLICY.replace("{pd}", &pd.url())
}

/// The pod ends and comes back, and the guard restores.
async fn replace(guard: &Guard, pd: &SimulatedPd, ordinal: u64) {
    pd.pod_ended(ordinal + 1);
    guard.remove_pod(ordinal);
    guard.put_pod(&pod(ordinal, "two", false));
    pd.pod_started(ordinal + 1, &address_of(ordinal));
    guard.put_pod(&pod(ordinal, "two", true));
    guard.until("the drain is over", || guard.phase(ordinal) == "Completed").await;
}

#[tokio::test]
async fn denies_until_the_last_leader_has_left_then_allows_and_restores() {
    let pd = pd().await;
    let guard = Guard::start(&policy(&pd));
    let answers = guard.ask_until_allowed(2, By::StatefulSet).await;

    assert_eq!(pd.leaders(3), 0, "allowed while leaders were there");
    assert_eq!(pd.evict_entries(), [3]);
    let (allowed, denials) = answers.split_last().unwrap();
    assert_eq!(allowed.reason, "Drained");
    assert!(!denials.is_empty());
    assert!(denials.iter().all(|denial| denial.message.starts_with("tidb/basic-tikv-2 ")), "{denials:#?}");

    replace(&guard, &pd, 2).await;
    assert_eq!((pd.leaders_lost(), pd.evict_entries()), (0, vec![]));
    assert_eq!(guard.metric("castoff_outcomes_total{outcome=\"prepared\"}").await, 1);
}

#[tokio::test]
async fn tells_how_much_is_left_in_a_warning_and_never_in_the_message() {
    let pd = pd().await;
    let guard = Guard::start(&policy(&pd));
    let answers = guard.ask_until_allowed(2, By::StatefulSet).await;
    let draining: Vec<&Answer> = answers.iter().filter(|answer| answer.reason == "Draining").collect();
    assert!(draining.iter().any(|answer| answer.warnings.iter().any(|warning| warning.contains("leaders left"))));
    let mut messages: Vec<&str> = draining.iter().map(|answer| answer.message.as_str()).collect();
    messages.dedup();
    assert!(messages.len() <= 2, "one message a state: {messages:#?}");
}

#[tokio::test]
async fn leaves_an_entry_alone_that_a_person_set_before() {
    let pd = pd().await;
    pd.with_state(|state| state.set_entry(3));
    let guard = Guard::start(&policy(&pd));
    guard.ask_until_allowed(2, By::StatefulSet).await;
    replace(&guard, &pd, 2).await;
    assert_eq!((pd.leaders_lost(), pd.evict_entries()), (0, vec![3]));
}

#[tokio::test]
async fn one_pod_waits_while_another_is_away() {
    let pd = pd().await;
    let guard = Guard::start(&policy(&pd));
    guard.ask_until_allowed(2, By::StatefulSet).await;
    guard.ask(1, By::StatefulSet).await;
    guard
        .until("the second pod is told what it waits for", || {
            let drain = guard.outcome(1).unwrap_or_default();
            drain["status"]["message"].as_str().is_some_and(|message| message.contains("waits for basic-tikv-2"))
        })
        .await;
    let denied = guard.ask(1, By::StatefulSet).await;
    assert_eq!((denied.allowed, denied.reason.as_str()), (false, "Queued"));

    replace(&guard, &pd, 2).await;
    guard.ask_until_allowed(1, By::StatefulSet).await;
    assert_eq!(pd.leaders(2), 0);
}

#[tokio::test]
async fn a_pod_that_the_last_of_many_owners_misses_takes_the_place() {
    let pd = pd().await;
    let of_another = |number: u64, ordinal: u64| {
        let (name, uid) = (format!("more-{number}-{ordinal}"), format!("more-{number}"));
        let mut pod = pod(ordinal, "one", true);
        (pod["metadata"]["name"], pod["metadata"]["uid"]) = (json!(name), json!(name));
        pod["metadata"]["ownerReferences"][0]["name"] = json!(uid);
        pod["metadata"]["ownerReferences"][0]["uid"] = json!(uid);
        pod
    };
    let set_of = |number: u64, replicas: u32| {
        let mut set = set(replicas);
        (set["metadata"]["name"], set["metadata"]["uid"]) =
            (json!(format!("more-{number}")), json!(format!("more-{number}")));
        set
    };
    let mut objects = vec![set(3)];
    for number in 0..12 {
        objects.extend([set_of(number, 1 + u32::from(number == 11)), of_another(number, 0)]);
    }
    let guard = Guard::start_with(&policy(&pd), &objects);
    let waits = |answer: &Answer| answer.message.contains("waits for more-11-1");
    guard.ask_until(2, By::StatefulSet, "told whom it waits for", waits).await;
    guard.put_pod(&of_another(11, 1));
    guard.ask_until_allowed(2, By::StatefulSet).await;
}

#[tokio::test]
async fn an_eviction_is_prepared_and_let_through() {
    let pd = pd().await;
    let guard = Guard::start(&policy(&pd));
    let answers = guard.ask_until_allowed(0, By::Eviction).await;
    assert!(answers.len() > 1);
    assert_eq!(pd.leaders(1), 0);
}

#[tokio::test]
async fn an_eviction_of_a_pod_that_nobody_knows_is_denied_where_there_are_policies() {
    let pd = pd().await;
    let guard = Guard::start(&policy(&pd));
    let answer = guard.ask(7, By::Eviction).await;
    assert_eq!((answer.allowed, answer.reason.as_str()), (false, "UnknownPod"));
    assert!(answer.message.contains("--pods"), "{}", answer.message);
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_answers_as_the_real_call() {
    let pd = pd().await;
    let guard = Guard::start(&policy(&pd));
    for by in [By::DryRun, By::EvictionDryRun] {
        let answer = guard.ask(2, by).await;
        assert_eq!((answer.allowed, answer.reason.as_str()), (false, "Queued"));
    }
    assert!(guard.outcome(2).is_none());
    // It looks, so as to tell how things stand, and does nothing.
    assert!(pd.requests().iter().all(|request| request.method == "GET"), "{:?}", pd.requests());

    guard.ask(2, By::StatefulSet).await;
    guard.until("prepared", || guard.phase(2) == "Drained").await;
    for by in [By::DryRun, By::EvictionDryRun] {
        let answers = guard.ask_until_allowed(2, by).await;
        assert_eq!(answers.last().unwrap().reason, "Drained");
    }
    assert_eq!(guard.phase(2), "Drained");
    assert!(guard.ask(2, By::StatefulSet).await.allowed);
}

#[tokio::test]
async fn the_log_has_a_span_for_each_request_and_nothing_of_its_body() {
    let pd = pd().await;
    let guard = Guard::start(&policy(&pd));
    guard.ask(2, By::Person).await;
    guard.until("the answer is logged", || guard.log().contains("answered")).await;
    let log = guard.log();
    let line = log.lines().find(|line| line.contains("answered")).unwrap();
    let span = &serde_json::from_str::<serde_json::Value>(line).unwrap()["span"];
    assert_eq!(span["name"], "review");
    assert_eq!(span["pod"], "tidb/basic-tikv-2");
    assert_eq!(span["decision"], "deny");
    assert!(span["uid"].as_str().is_some_and(|uid| uid.len() == 36));
    assert!(!log.contains("gracePeriodSeconds") && !log.contains("PRIVATE KEY"));
}

#[tokio::test]
async fn a_person_is_told_that_the_delete_is_not_kept() {
    let pd = pd().await;
    let guard = Guard::start(&policy(&pd));
    assert!(guard.ask(2, By::Person).await.message.contains("not kept"));
    assert!(!guard.ask(2, By::StatefulSet).await.message.contains("not kept"));
}

#[tokio::test]
async fn a_departure_that_nobody_wants_any_more_is_given_up_and_can_be_asked_for_again() {
    let pd = pd().await;
    let hasty = policy(&pd) + "  abandonAfterSeconds: 2\n";
    let guard = Guard::start(&hasty);
    guard.ask(2, By::Person).await;
    guard.until("prepared", || !pd.evict_entries().is_empty()).await;
    guard.until("given up and restored", || guard.phase(2) == "Completed" && pd.evict_entries().is_empty()).await;
    guard.ask_until(2, By::Person, "told", |answer| answer.reason == "Completed").await;
    guard.until("begun anew", || !pd.evict_entries().is_empty()).await;
}

#[tokio::test]
async fn the_repeated_calls_of_one_delete_are_all_allowed() {
    let pd = pd().await;
    let guard = Guard::start(&policy(&pd));
    guard.ask_until_allowed(2, By::StatefulSet).await;
    for _ in 0..3 {
        assert!(guard.ask(2, By::StatefulSet).await.allowed);
    }
    let mut terminating = pod(2, "one", true);
    terminating["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    guard.put_pod(&terminating);
    assert_eq!(guard.ask(2, By::StatefulSet).await.reason, "Terminating");
}

#[tokio::test]
async fn a_pod_with_the_break_glass_annotation_leaves_and_is_counted_as_bypassed() {
    let pd = pd().await;
    let guard = Guard::start(&policy(&pd));
    let mut bypassed = pod(2, "one", true);
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    bypassed["metadata"]["annotations"] =
        serde_json::json!({"castoff.dev/bypass": "INC-4711", "castoff.dev/bypass-until": soon.to_string()});
    guard.put_pod(&bypassed);
    let answer = guard.ask(2, By::Person).await;
    assert_eq!((answer.allowed, answer.reason.as_str()), (true, "Bypassed"));
    assert_eq!(guard.metric("castoff_outcomes_total{outcome=\"bypassed\"}").await, 1);
}

#[tokio::test]
async fn metrics_and_log_tell_of_requests_departures_and_backends_and_of_no_body() {
    let pd = pd().await;
    let guard = Guard::start(&policy(&pd));
    let mut secretive = pod(2, "one", true);
    secretive["metadata"]["annotations"] = serde_json::json!({"note": "not-for-the-log"});
    guard.put_pod(&secretive);
    let answers = guard.ask_until_allowed(2, By::StatefulSet).await;

    let denied = u64::try_from(answers.len() - 1).unwrap();
    let reasons = ["Queued", "Draining", "Blocked", "Stalled", "NotClaimed"];
    let mut counted = 0;
    for reason in reasons {
        counted += guard.metric(&format!("castoff_requests_total{{decision=\"deny\",reason=\"{reason}\"}}")).await;
    }
    assert_eq!(counted, denied);
    assert_eq!(guard.metric("castoff_requests_total{decision=\"allow\",reason=\"Drained\"}").await, 1);
    assert_eq!(guard.metric("castoff_drains{phase=\"Departing\"}").await, 1);
    assert!(guard.metric("castoff_backend_requests_total{outcome=\"ok\",plan=\"tikv\"}").await > 5);
    assert!(guard.metric("castoff_backend_request_duration_seconds_count{plan=\"tikv\"}").await > 5);
    let build = format!("castoff_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(guard.metric(&build).await, 1);

    assert!(guard.log().contains("tidb/basic-tikv-2") && !guard.log().contains("not-for-the-log"));
}

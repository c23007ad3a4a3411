//! Every captured review, in every state, against the table.

use std::collections::BTreeSet;
use std::sync::Arc;

use castoff::admission::{
    Answer, Case, Decision, Facts, NotVerified, Reason, Stage, What, allowed, decide, first_questions, not_verified,
    request,
};
use castoff::lifecycle::{Drain, Phase};
use castoff::pod::Pod;
use castoff::policy::PolicyIndex;

use super::fixtures::{self, NOW};
use super::table::{Does, Outcome, Row, STATES, State, TABLE};

fn review(version: &str, case: &str) -> Vec<u8> {
    let path = format!("{}/tests/reviews/{version}/{case}.json", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What the gate does with a review, and the denial if there is one.
fn gate(bytes: &[u8], state: State) -> (Outcome, Option<Answer>) {
    let request = request::parse(bytes).unwrap();
    let live = matches!(request.what, What::Eviction { .. }).then(|| fixtures::pod(&request.namespace, &request.name));
    let pod = request.pod().or(live.as_ref()).unwrap();
    let policies =
        PolicyIndex::new((state != State::NoPolicy).then(|| fixtures::policy(&request.namespace, "tikv", |_| {})));
    let guard = match first_questions(&request, live.as_ref(), &policies, None) {
        Stage::Guarded(guard) => guard,
        Stage::Answer(answer) => return of_answer(&answer, Does::Denies),
    };
    let drain = drain_in(state, pod, &guard.policy);
    let facts = Facts::default();
    let now = NOW.parse().unwrap();
    let case = Case { request: &request, pod, guard: &guard, facts: &facts, drain: drain.as_ref(), now };
    match decide(&case) {
        Decision::Answer(answer) => of_answer(&answer, Does::Denies),
        Decision::Create(answer) => of_answer(&answer, Does::Creates),
        Decision::Again(answer) => of_answer(&answer, Does::BeginsAnew),
        Decision::Verify => {
            let (yes, no) = (allowed(&case), not_verified(&case, &NotVerified::NotDone { step: "evict-leaders" }));
            assert!(yes.allowed && !no.allowed && no.reason == Reason::Draining);
            ((yes.reason, Does::Verifies), Some(no))
        }
    }
}

fn of_answer(answer: &Answer, denial: Does) -> (Outcome, Option<Answer>) {
    let denied = (!answer.allowed).then(|| answer.clone());
    ((answer.reason, if answer.allowed { Does::Allows } else { denial }), denied)
}

fn drain_in(state: State, pod: &Pod<'_>, policy: &Arc<castoff::policy::Policy>) -> Option<Drain> {
    let phase = match state {
        State::NoPolicy | State::NoDrain => return None,
        State::Queued => Phase::Queued,
        State::Draining | State::Blocked | State::Stalled => Phase::Draining,
        State::Drained => Phase::Drained,
        State::Departing => Phase::Departing,
        State::Restoring => Phase::Restoring,
        State::Completed => Phase::Completed,
    };
    Some(fixtures::drain(&pod.clone().into_owned(), policy, |drain| {
        drain.status.phase = phase;
        drain.status.blocked = state == State::Blocked;
        drain.status.stalled = state == State::Stalled;
        drain.status.allowed = state == State::Departing;
    }))
}

/// What is wrong with one cell of the table; nothing if the gate does as it says.
fn mismatch(version: &str, row: &Row, state: State, expected: Outcome, told_to_wait: bool) -> Option<String> {
    let (seen, denial) = gate(&review(version, row.case), state);
    let place = format!("{version}/{} in {state:?} ({})", row.case, row.fact);
    if seen != expected {
        return Some(format!("{place}: {seen:?} instead of {expected:?}"));
    }
    let told = denial?.retry_after_seconds;
    let wanted = told_to_wait.then_some(5);
    (told != wanted).then(|| format!("{place}: told to wait {told:?} instead of {wanted:?}"))
}

fn cells() -> impl Iterator<Item = (&'static str, &'static Row, State, Outcome)> {
    TABLE.iter().flat_map(|row| {
        row.versions
            .iter()
            .flat_map(move |version| STATES.into_iter().zip(row.outcomes).map(move |(s, o)| (*version, row, s, o)))
    })
}

#[test]
fn every_captured_review_gets_its_answer_in_every_state() {
    let wrong: Vec<String> = cells()
        .filter_map(|(version, row, state, expected)| mismatch(version, row, state, expected, row.told_to_wait))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_row_turned_round_fails() {
    for (version, row, state, (reason, does)) in cells() {
        let turned = if does == Does::Allows { Does::Denies } else { Does::Allows };
        assert!(mismatch(version, row, state, (reason, turned), row.told_to_wait).is_some(), "{version}/{}", row.case);
        for other in Reason::ALL.into_iter().filter(|other| *other != reason) {
            assert!(mismatch(version, row, state, (other, does), row.told_to_wait).is_some(), "{version}/{}", row.case);
        }
        if does != Does::Allows {
            let waits = !row.told_to_wait;
            assert!(mismatch(version, row, state, (reason, does), waits).is_some(), "{version}/{}", row.case);
        }
    }
}

#[test]
fn every_captured_review_is_in_the_table() {
    let there: BTreeSet<String> = fixtures::captured().into_iter().map(|(name, _)| name).collect();
    let listed: BTreeSet<String> = TABLE
        .iter()
        .flat_map(|row| row.versions.iter().map(|version| format!("{version}/{}.json", row.case)))
        .collect();
    assert_eq!(there, listed);
    assert_eq!(listed.len(), TABLE.iter().map(|row| row.versions.len()).sum::<usize>(), "a review is listed twice");
}

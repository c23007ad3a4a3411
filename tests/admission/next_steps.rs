//! What a denial tells whom to do: one next step at the most, the right one for that caller, and how to undo.

use std::sync::Arc;

use castoff::admission::{Decision, NotVerified, Reason, not_verified};
use castoff::lifecycle::{Drain, Ownership, Phase};
use castoff_test_support::drains;

use super::fixtures::{Scene, invalid_policy, policy};

const PERSON: &str = "alice";
const CALLERS: [&str; 5] = [
    PERSON,
    "system:kube-scheduler",
    "system:serviceaccount:kube-system:statefulset-controller",
    "system:serviceaccount:kube-system:node-controller",
    "system:serviceaccount:operators:tidb-operator",
];

/// How messages name a next step, each in one word.
const STEPS: [(&str, &str); 6] = [
    ("repeat", "repeat it until it is allowed"),
    ("look", "To mend it, see: castoff check-pod basic-tikv-2 -n tidb."),
    ("edit", "To mend it: kubectl edit drainpolicy"),
    ("bypass", "annotates it with castoff.dev/bypass"),
    ("exempt", "may leave at once"),
    ("delete", "delete it: kubectl delete poddrain"),
];

/// How a case came about.
type Change = fn(&mut Scene);

fn drain(scene: &mut Scene, phase: Phase, change: impl FnOnce(&mut Drain)) {
    let policy = Arc::clone(&scene.guard.policy);
    scene.drain = Some(super::fixtures::drain(&scene.pod, &policy, |drain| {
        drain.status.phase = phase;
        change(drain);
    }));
}

/// Its backend can't be asked.
fn refused(drain: &mut Drain) {
    drain.status.message = "http://10.0.0.7:80/ does not answer: it refuses connections".into();
    drain.status.cause = castoff::remedy::Kind::AddressRefused.into();
}

/// Reason, how it came about, the next step of a person and of a program, and whether a person is told how to undo.
const TABLE: [(Reason, Change, &str, &str, bool); 15] = [
    (Reason::Queued, |_| {}, "repeat", "", true),
    (
        Reason::Queued,
        |scene| drain(scene, Phase::Queued, |it| it.status.message = "waits for a-1 (maxUnavailable 1)".into()),
        "repeat",
        "",
        true,
    ),
    (Reason::Queued, |scene| drain(scene, Phase::Queued, refused), "look", "", true),
    (Reason::Draining, |scene| drain(scene, Phase::Draining, |_| {}), "repeat", "", true),
    (Reason::Draining, |scene| drain(scene, Phase::Draining, refused), "look", "", true),
    (Reason::Stalled, |scene| drain(scene, Phase::Draining, |it| it.status.stalled = true), "look", "", true),
    (Reason::Blocked, |scene| drain(scene, Phase::Queued, |it| it.status.blocked = true), "bypass", "bypass", false),
    (
        Reason::Blocked,
        |scene| {
            drain(scene, Phase::Draining, |it| {
                it.status.blocked = true;
                it.status.steps = vec![serde_json::from_value(drains::step("evict")).unwrap()];
                it.status.steps[0].ownership = Ownership::Acted;
            });
        },
        "bypass",
        "bypass",
        true,
    ),
    (Reason::Restoring, |scene| drain(scene, Phase::Restoring, |_| {}), "repeat", "", false),
    (Reason::Completed, |scene| drain(scene, Phase::Completed, |_| {}), "repeat", "", true),
    (Reason::UnknownPhase, |scene| drain(scene, Phase::Unknown, |_| {}), "delete", "delete", false),
    (
        Reason::Conflict,
        |scene| scene.guard.rival = Some(Arc::new(policy("tidb", "other", |_| {}))),
        "edit",
        "edit",
        false,
    ),
    (
        Reason::InvalidPolicy,
        |scene| scene.guard.policy = Arc::new(invalid_policy("tidb", "tikv")),
        "edit",
        "edit",
        false,
    ),
    // Nothing runs in it, so that it is not worth waiting.
    (Reason::Queued, |scene| scene.pod.status.container_statuses.clear(), "exempt", "exempt", true),
    (
        Reason::Draining,
        |scene| {
            drain(scene, Phase::Draining, refused);
            scene.pod.status.conditions.clear();
        },
        "exempt",
        "exempt",
        true,
    ),
];

fn steps_in(message: &str) -> Vec<&'static str> {
    STEPS.iter().filter(|(_, words)| message.contains(words)).map(|(step, _)| *step).collect()
}

fn undoes(message: &str) -> bool {
    message.contains("To undo: castoff cancel basic-tikv-2 -n tidb.")
}

fn scene(change: Change, username: &'static str) -> Scene {
    let mut scene = Scene::new(|spec| spec.exempt.clear());
    scene.facts.node = node_that_is_ready();
    change(&mut scene);
    scene.username = username;
    scene
}

fn node_that_is_ready() -> castoff::facts::NodeSeen {
    castoff::facts::NodeSeen::Known(castoff::facts::NodeFacts { ready: Some(true), ..Default::default() })
}

#[test]
fn each_caller_is_told_one_next_step_at_the_most_and_a_person_how_to_undo() {
    for (number, (reason, change, of_person, of_program, is_undone)) in TABLE.into_iter().enumerate() {
        for caller in CALLERS {
            let answer = scene(change, caller).answer();
            let (expected, undo) = if caller == PERSON { (of_person, is_undone) } else { (of_program, false) };
            let message = &answer.message;
            assert_eq!(answer.reason, reason, "{number}, {caller}: {message}");
            let expected: Vec<&str> = Some(expected).filter(|step| !step.is_empty()).into_iter().collect();
            assert_eq!(steps_in(message), expected, "{number}, {caller}: {message}");
            assert_eq!(undoes(message), undo, "{number}, {caller}: {message}");
        }
    }
}

#[test]
fn what_was_prepared_and_stays_is_told_like_that_too() {
    for caller in CALLERS {
        let is_person = caller == PERSON;
        let prepared = scene(|scene| drain(scene, Phase::Drained, |_| {}), caller);
        assert_eq!(prepared.decide(), Decision::Verify);
        let answer = prepared.case(|case| not_verified(case, &NotVerified::NotClaimed));
        assert_eq!(
            (steps_in(&answer.message), undoes(&answer.message)),
            (if is_person { vec!["repeat"] } else { vec![] }, is_person)
        );
    }
}

#[test]
fn a_drain_loop_of_a_person_goes_on_by_itself_and_is_told_what_to_mend() {
    let mut looped = scene(|scene| drain(scene, Phase::Draining, refused), PERSON);
    looped.eviction = true;
    assert_eq!(steps_in(&looped.answer().message), ["look"]);
    let mut waiting = scene(|scene| drain(scene, Phase::Draining, |_| {}), PERSON);
    waiting.eviction = true;
    assert_eq!(steps_in(&waiting.answer().message), [""; 0], "{}", waiting.answer().message);
}

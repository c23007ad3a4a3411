//! What holds a pod, and the first questions that need no captured review.

use std::sync::Arc;

use castoff::admission::{Decision, NotVerified, Reason, Stage, What, allowed, first_questions, not_verified};
use castoff::lifecycle::{Outcome, Phase};
use castoff::policy::PolicyIndex;
use castoff::policy::spec::PolicyMode;

use super::fixtures::{Scene, delete, invalid_policy, pod, policy};

fn first(what: What<'static>, live: bool, guarded: bool) -> castoff::admission::Answer {
    let pod = pod("tidb", "basic-tikv-2");
    let mut request = delete(&pod, "alice", None);
    request.what = what;
    let policies = PolicyIndex::new(guarded.then(|| policy("tidb", "tikv", |_| {})));
    match first_questions(&request, live.then_some(&pod), &policies, None) {
        Stage::Answer(answer) => answer,
        Stage::Guarded(_) => panic!("guarded"),
    }
}

fn eviction(uid_precondition: Option<&'static str>) -> What<'static> {
    What::Eviction { uid_precondition: uid_precondition.map(Into::into), grace_period_seconds: None }
}

#[test]
fn an_eviction_of_a_pod_that_nobody_knows_is_denied_where_policies_are() {
    let answer = first(eviction(None), false, true);
    assert_eq!((answer.reason, answer.allowed), (Reason::UnknownPod, false));
    assert!(answer.message.contains("an eviction does not bring its pod along"), "{}", answer.message);
    assert_eq!(first(eviction(None), false, false).reason, Reason::NotGuarded);
}

#[test]
fn an_eviction_meant_for_another_pod_is_allowed_without_effect() {
    let answer = first(eviction(Some("somebody-else")), true, true);
    assert_eq!((answer.reason, answer.allowed, answer.outcome), (Reason::OtherUid, true, None));
}

#[test]
fn a_review_that_lacks_its_pod_is_denied_where_policies_are_and_says_what_it_lacks() {
    let answer = first(What::Incomplete { missing: "request.oldObject" }, false, true);
    assert_eq!((answer.reason, answer.allowed), (Reason::UnknownPod, false));
    assert!(answer.message.contains("lacks request.oldObject"), "{}", answer.message);
    assert!(first(What::Incomplete { missing: "request.oldObject" }, false, false).allowed);
}

#[test]
fn what_nobody_guards_is_allowed_with_a_warning() {
    let answer = first(What::Other { described: "DELETE deployments.apps".into() }, false, true);
    assert_eq!((answer.reason, answer.allowed), (Reason::NotForUs, true));
    assert!(answer.warnings[0].contains("DELETE deployments.apps is not guarded"), "{:?}", answer.warnings);
}

#[test]
fn a_mirror_of_a_file_on_the_node_is_not_held() {
    let mut pod = pod("tidb", "basic-tikv-2");
    pod.metadata.annotations.insert("kubernetes.io/config.mirror".into(), "x".into());
    let policies = PolicyIndex::new([policy("tidb", "tikv", |_| {})]);
    let stage = first_questions(&delete(&pod, "alice", None), None, &policies, None);
    assert!(matches!(stage, Stage::Answer(answer) if answer.reason == Reason::MirrorPod && answer.allowed));
}

#[test]
fn two_policies_are_denied_naming_both_unless_both_only_audit() {
    let mut scene = Scene::new(|spec| spec.mode = PolicyMode::Audit);
    scene.guard.rival = Some(Arc::new(policy("tidb", "other", |_| {})));
    let answer = scene.answer();
    assert_eq!((answer.reason, answer.allowed), (Reason::Conflict, false));
    assert!(answer.message.contains("tikv and other"), "{}", answer.message);
    scene.guard.rival = Some(Arc::new(policy("tidb", "other", |spec| spec.mode = PolicyMode::Audit)));
    assert_eq!(scene.answer().reason, Reason::Audited);
}

#[test]
fn both_policies_that_select_a_pod_are_found() {
    let pod = pod("tidb", "basic-tikv-2");
    let policies = PolicyIndex::new(["b", "a", "c"].map(|name| policy("tidb", name, |_| {})));
    let Stage::Guarded(guard) = first_questions(&delete(&pod, "alice", None), None, &policies, None) else {
        panic!("not guarded")
    };
    assert_eq!((guard.policy.name.as_str(), guard.rival.unwrap().name.as_str()), ("a", "b"));
}

#[test]
fn a_policy_that_is_not_valid_guards_all_the_same_and_names_its_first_mistake() {
    let mut scene = Scene::new(|_| {});
    scene.guard.policy = Arc::new(invalid_policy("tidb", "tikv"));
    let Decision::Create(answer) = scene.decide() else { panic!("people are told by its drain") };
    assert_eq!((answer.reason, answer.allowed), (Reason::InvalidPolicy, false));
    assert!(answer.message.contains("spec.steps[0].plan: there is no such plan"), "{}", answer.message);
}

#[test]
fn a_phase_of_a_newer_version_is_denied() {
    let answer = Scene::new(|_| {}).with_drain(|drain| drain.status.phase = Phase::Unknown).answer();
    assert_eq!((answer.reason, answer.allowed), (Reason::UnknownPhase, false));
}

#[test]
fn a_departure_of_another_uid_counts_as_none() {
    let mut scene = Scene::new(|_| {}).with_drain(|drain| drain.status.phase = Phase::Drained);
    scene.pod.metadata.uid = "the-replacement".into();
    assert!(matches!(scene.decide(), Decision::Create(_)));
}

#[test]
fn a_pod_seen_to_leave_without_our_yes_is_not_allowed_on_the_word_of_its_departure() {
    let answer = Scene::new(|_| {}).with_drain(|drain| drain.status.phase = Phase::Departing).answer();
    assert_eq!((answer.reason, answer.allowed), (Reason::Departing, false));
}

#[test]
fn blocked_and_stalled_hold_only_while_the_departure_is_under_way() {
    for (phase, reason) in [(Phase::Queued, Reason::Blocked), (Phase::Restoring, Reason::Restoring)] {
        let answer = Scene::new(|_| {})
            .with_drain(|drain| {
                drain.status.phase = phase;
                drain.status.blocked = true;
                drain.status.stalled = true;
            })
            .answer();
        assert_eq!((answer.reason, answer.allowed), (reason, false));
    }
}

#[test]
fn a_prepared_pod_goes_only_once_seen_done_and_claimed() {
    let scene = Scene::new(|_| {}).with_drain(|drain| drain.status.phase = Phase::Drained);
    assert_eq!(scene.decide(), Decision::Verify);
    let yes = scene.case(allowed);
    assert_eq!((yes.reason, yes.allowed, yes.outcome), (Reason::Drained, true, Some(Outcome::Prepared)));
    let step = "evict-leaders";
    for (why, reason, says) in [
        (NotVerified::NotDone { step }, Reason::Draining, "is being prepared (policy tikv, step evict-leaders)"),
        (NotVerified::Blocked { step, reason: "another store is away." }, Reason::Blocked, "another store is away. "),
        (NotVerified::Failed { step, reason: "pd does not answer" }, Reason::Draining, ": pd does not answer."),
        (NotVerified::NotClaimed, Reason::NotClaimed, "could not be confirmed and written down just now."),
    ] {
        let no = scene.case(|case| not_verified(case, &why));
        assert_eq!((no.reason, no.allowed, no.outcome), (reason, false, None));
        assert!(no.message.contains(says), "{}", no.message);
    }
}

#[test]
fn only_callers_that_wait_when_told_are_told_to() {
    for (username, told) in [
        ("system:kube-scheduler", Some(5)),
        ("system:serviceaccount:kube-system:node-controller", Some(5)),
        ("system:serviceaccount:kube-system:statefulset-controller", None),
        ("alice", None),
    ] {
        let mut scene = Scene::new(|_| {});
        scene.username = username;
        assert_eq!(scene.answer().retry_after_seconds, told, "{username}");
    }
}

#[test]
fn a_dry_run_makes_nothing_and_answers_as_the_real_call_would() {
    for phase in [None, Some(Phase::Completed), Some(Phase::Queued), Some(Phase::Restoring)] {
        let mut scene = Scene::new(|_| {});
        if let Some(phase) = phase {
            scene = scene.with_drain(|drain| drain.status.phase = phase);
        }
        let real = scene.answer();
        scene.dry_run = true;
        assert_eq!(scene.decide(), Decision::Answer(real));
    }
}

#[test]
fn the_first_of_the_first_questions_decides() {
    let policies = PolicyIndex::new([policy("tidb", "tikv", |_| {})]);
    let ask = |pod: &castoff::pod::Pod<'_>| match first_questions(&delete(pod, "alice", None), None, &policies, None) {
        Stage::Answer(answer) => Some(answer.reason),
        Stage::Guarded(_) => None,
    };
    let mut pod = pod("tidb", "basic-tikv-2");
    pod.metadata.deletion_timestamp = Some("2030-01-31T11:00:00Z".into());
    pod.status.phase = "Failed".into();
    pod.spec.node_name = "".into();
    pod.metadata.annotations.insert("kubernetes.io/config.mirror".into(), "x".into());
    assert_eq!(ask(&pod), Some(Reason::Terminating));
    pod.metadata.deletion_timestamp = None;
    assert_eq!(ask(&pod), Some(Reason::Finished));
    pod.status.phase = "Running".into();
    assert_eq!(ask(&pod), Some(Reason::Unscheduled));
    pod.spec.node_name = "node-7".into();
    assert_eq!(ask(&pod), Some(Reason::MirrorPod));
    pod.metadata.annotations.clear();
    assert_eq!(ask(&pod), None);
}

/// The scene's policy, frozen until then.
fn freeze(scene: &mut Scene, until: &str) {
    let annotations = [("freeze", "INC-4711"), ("freeze-by", "alice"), ("freeze-until", until)];
    let annotations = annotations.map(|(key, value)| (format!("castoff.dev/{key}"), value.to_owned())).into();
    scene.guard.policy = Arc::new(policy("tidb", "tikv", |_| {}).annotated(&annotations));
}

#[test]
fn a_frozen_policy_holds_whatever_is_prepared_and_says_who_why_and_until_when() {
    for phase in [Phase::Queued, Phase::Draining, Phase::Drained, Phase::Departing] {
        let mut scene = Scene::new(|_| {}).with_drain(|drain| {
            (drain.status.phase, drain.status.allowed) = (phase, phase == Phase::Departing);
        });
        freeze(&mut scene, "2030-01-31T12:30:00Z");
        let answer = scene.answer();
        assert_eq!((answer.reason, answer.allowed), (Reason::Frozen, false), "{phase}");
        assert_eq!(
            answer.message,
            "tidb/basic-tikv-2 may not leave: its policy tikv is frozen by alice until 2030-01-31T12:30:00Z: INC-4711."
        );
    }
}

#[test]
fn a_pod_asked_for_under_a_freeze_is_written_down_and_an_exempt_one_goes() {
    let mut scene = Scene::new(|_| {});
    freeze(&mut scene, "2030-01-31T12:30:00Z");
    assert!(matches!(scene.decide(), Decision::Create(answer) if answer.reason == Reason::Frozen));
    scene.facts.owner = castoff::facts::OwnerSeen::DeletingOrGone;
    assert_eq!(scene.answer().reason, Reason::OwnerDeleted);
}

#[test]
fn a_freeze_that_is_past_or_too_long_holds_nothing() {
    for until in ["2030-01-31T12:00:00Z", "2030-02-08T12:00:00Z", "tomorrow"] {
        let mut scene = Scene::new(|_| {}).with_drain(|drain| drain.status.phase = Phase::Drained);
        freeze(&mut scene, until);
        assert_eq!(scene.decide(), Decision::Verify, "{until}");
    }
}

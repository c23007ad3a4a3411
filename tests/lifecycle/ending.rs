//! The end: a person has a way to it in every phase, and nothing stays behind unseen.

use std::time::Duration;

use castoff::lifecycle::{Effect, Ownership, Phase, PodSeen, PolicySeen, claim};
use castoff::plan::Verdict;

use crate::case::{Case, SECOND, act, act_for, case, failed, present, reasons, round, sends, told};

const A_MINUTE: Duration = Duration::from_mins(1);

/// The PodDrain is deleted now; turns follow, every second, in which every backend shows `verdict`. What people were
/// told until the PodDrain was let go, and after how long that was.
fn delete(case: &mut Case, verdict: &Verdict) -> (Vec<String>, Duration) {
    delete_where(case, verdict, |_| false)
}

/// The same, where the API server refuses some effects: then the turn is at its end, and what it remembers is lost.
fn delete_where(case: &mut Case, verdict: &Verdict, refused: fn(&Effect) -> bool) -> (Vec<String>, Duration) {
    case.drain.metadata.kept.deleting = true;
    case.drain.metadata.kept.finalizer = true;
    let (begun, mut said) = (case.world.now, Vec::new());
    while case.world.now <= begun + 2 * A_MINUTE {
        case.world.rounds = (0..case.drain.status.steps.len()).map(|step| (step, round(verdict.clone()))).collect();
        case.memory.notice(&case.drain, case.world.now);
        let remembered = case.memory.clone();
        let mut effects = case.turn();
        let failed = effects.iter().position(refused);
        effects.truncate(failed.unwrap_or(effects.len()));
        said.extend(told(&effects).iter().map(|event| format!("{}: {}", event.reason, event.message)));
        if failed.is_some() {
            case.memory = remembered;
            case.after(2 * SECOND);
            continue;
        }
        if effects.contains(&Effect::GiveSlot) {
            case.world.listed = false;
        }
        if effects.contains(&Effect::Release) {
            return (said, case.world.now.saturating_sub(begun));
        }
        case.after(SECOND);
    }
    panic!("{:?} after two minutes", case.phase());
}

const OPEN: [&str; 5] = ["Queued", "Draining", "Drained", "Departing", "Restoring"];

#[test]
fn deleting_ends_it_in_every_phase_within_a_minute_and_says_what_may_be_left() {
    for phase in OPEN {
        for pod in [present(None), PodSeen::Terminating, PodSeen::Gone, PodSeen::Unseen] {
            for verdict in [act(), failed()] {
                let mut case = case(phase, 2).owning(&[0, 1]);
                case.world.pod = pod.clone();
                let (said, after) = delete(&mut case, &verdict);
                let what = format!("{phase}, {pod:?}, {verdict:?}: {after:?}, {said:?}");
                assert!(after <= A_MINUTE, "{what}");
                let left: Vec<_> = said.iter().filter(|said| said.starts_with("NotRestored")).collect();
                assert_eq!(left.len(), 2, "{what}");
                assert!(left.iter().all(|said| said.contains("may be left")), "{what}");
            }
        }
    }
}

#[test]
fn deleting_undoes_first_what_can_be_undone() {
    for phase in OPEN {
        for pod in [PodSeen::Terminating, PodSeen::Gone, present(None)] {
            let mut case = case(phase, 1).owning(&[0]);
            // What an allow may still bring about is waited for.
            let patience = if phase == "Departing" && pod == present(None) { A_MINUTE } else { 10 * SECOND };
            case.world.pod = pod;
            let (said, after) = delete(&mut case, &Verdict::Done);
            assert!(after < patience, "{phase}: {after:?}");
            assert!(said.iter().any(|said| said.starts_with("Restored")), "{phase}: {said:?}");
            assert!(!said.iter().any(|said| said.starts_with("NotRestored")), "{phase}: {said:?}");
        }
    }
}

#[test]
fn what_an_allow_has_kept_waiting_is_undone_all_the_same() {
    let mut case = case("Departing", 1).owning(&[0]);
    (case.drain.metadata.kept.deleting, case.drain.metadata.kept.finalizer) = (true, true);
    let (mut is_set, mut said) = (true, Vec::new());
    for _ in 0..60 {
        let effects = case.see(&[if is_set { act() } else { Verdict::Done }]);
        is_set &= sends(&effects) == 0;
        case.world.listed &= !effects.contains(&Effect::GiveSlot);
        said.extend(reasons(&effects));
        case.after(SECOND);
    }
    assert!(!is_set && case.phase() == Phase::Completed);
    assert!(said.contains(&"Restored") && !said.contains(&"NotRestored"), "{said:?}");
}

#[test]
fn deleting_ends_it_though_an_act_may_still_be_going_on_at_the_backend() {
    let mut case = case("Draining", 1).owning(&[0]);
    let hours = act_for(Duration::from_hours(1), true, false);
    case.see(std::slice::from_ref(&hours));
    case.see(&[hours]);
    let (said, after) = delete(&mut case, &Verdict::Done);
    assert!(after <= A_MINUTE, "{after:?}");
    assert!(said.iter().any(|said| said.starts_with("NotRestored")), "{said:?}");
}

#[test]
fn deleting_ends_it_in_every_phase_though_the_api_server_refuses_what_is_left_to_do() {
    type Refused = fn(&Effect) -> bool;
    let refusals: [(Refused, &str); 2] = [
        (|effect| matches!(effect, Effect::Unmark), "the marks"),
        (|effect| matches!(effect, Effect::GiveSlot), "its place"),
    ];
    for phase in OPEN {
        for (refused, left) in refusals {
            for verdict in [act(), Verdict::Done] {
                let mut case = case(phase, 2).owning(&[0, 1]);
                case.world.pod = present(Some("a.1"));
                let (said, after) = delete_where(&mut case, &verdict, refused);
                let what = format!("{phase}, {verdict:?}: {after:?}, {said:?}");
                assert!(after <= A_MINUTE, "{what}");
                let told: Vec<_> = said.iter().map(|said| (said.contains(left), said.contains("step s0"))).collect();
                let (behind, first) = (told.iter().position(|told| told.0), told.iter().position(|told| told.1));
                assert!(first.is_some() && first < behind, "what was set comes first: {what}");
            }
        }
    }
}

#[test]
fn what_is_being_deleted_is_allowed_to_leave_no_more_however_often_it_is_asked_for() {
    let mut case = case("Departing", 1);
    case.drain = claim::claimed(case.drain.clone());
    assert!(claim::may_be_claimed(&case.drain));
    case.drain.metadata.kept.deleting = true;
    assert!(!claim::may_be_claimed(&case.drain), "or each claim would put its end off");
    case.drain.status.phase = Phase::Drained;
    assert!(!claim::may_be_claimed(&case.drain));
}

#[test]
fn deleting_or_cancelling_ends_a_departure_without_waiting_for_its_hole() {
    for (cancel, deleting) in [(true, false), (false, true)] {
        for pod in [PodSeen::Gone, PodSeen::Unseen] {
            let mut case = case("Departing", 1).owning(&[0]);
            case.world.pod = pod;
            (case.drain.spec.cancel, case.drain.metadata.kept.deleting) = (cancel, deleting);
            case.turn();
            assert_eq!(case.phase(), Phase::Restoring);
        }
    }
}

#[test]
fn one_that_is_over_is_released_whenever_it_is_seen() {
    for deleting in [true, false] {
        let mut case = case("Completed", 1).without_a_place();
        (case.drain.metadata.kept.finalizer, case.drain.metadata.kept.deleting) = (true, deleting);
        assert_eq!(case.turn(), [Effect::Release], "the writer of Completed may have died before");
        case.after(SECOND).new_leader(10 * SECOND);
        assert_eq!(case.turn(), [Effect::Release], "again, until it is off");
        case.drain.metadata.kept.finalizer = false;
        assert_eq!(case.turn(), []);
    }
}

#[test]
fn one_that_is_over_is_removed_after_a_while_or_when_it_is_in_the_way_of_a_new_one() {
    let mut kept = case("Completed", 1).without_a_place();
    kept.after(Duration::from_mins(59));
    assert_eq!(kept.turn(), []);
    kept.after(Duration::from_mins(1));
    assert_eq!(kept.turn(), [Effect::Remove]);
    let mut older = case("Completed", 1).without_a_place();
    older.drain.metadata.kept.older = true;
    assert_eq!(older.turn(), [Effect::Remove]);
    let mut other = case("Completed", 1).without_a_place();
    other.world.policy = PolicySeen::Other;
    assert_eq!(other.turn(), [Effect::Remove]);
    other.world.pod = PodSeen::Gone;
    assert_eq!(other.turn(), [], "nobody is to come: people may read it");
}

#[test]
fn what_can_not_be_read_is_left_alone_until_it_is_deleted() {
    let mut case = case("Pondering", 1).owning(&[0]);
    assert_eq!(case.phase(), Phase::Unknown);
    for pod in [present(None), PodSeen::Terminating, PodSeen::Gone] {
        case.world.pod = pod;
        let before = case.drain.clone();
        let is_held = case.world.pod == present(None);
        let effects = case.after(Duration::from_hours(1)).see(&[act()]);
        assert_eq!(reasons(&effects), if is_held { vec!["DrainNotKnown"] } else { vec![] });
        assert_eq!(effects.len(), usize::from(is_held), "{effects:?}");
        assert_eq!(case.drain, before);
    }
    let (said, after) = delete_where(&mut case, &act(), |effect| matches!(effect, Effect::GiveSlot));
    assert!(after <= A_MINUTE && case.phase() == Phase::Completed);
    assert!(matches!(&said[..], [said] if said.starts_with("NotRestored")), "{said:?}");
}

#[test]
fn a_namespace_that_ends_is_not_held_up_by_a_restore_that_does_not_succeed() {
    let mut case = case("Restoring", 1).owning(&[0]);
    case.world.namespace_ending = true;
    case.see(&[failed()]);
    assert_eq!(case.after(29 * SECOND).see(&[failed()]), []);
    assert_eq!(reasons(&case.after(SECOND).see(&[failed()])), ["NotRestored"]);
    assert_eq!(case.ownership(), [Ownership::None]);
}

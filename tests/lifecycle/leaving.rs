//! Departing: until the hole that the pod leaves is closed, or a person ends it.

use std::sync::Arc;

use std::time::Duration;

use castoff::lifecycle::{Drain, Hole, Outcome, Ownership, Phase, PodSeen, claim};

use crate::case::{Case, SECOND, act, case, counts, reasons};

#[test]
fn a_pod_that_goes_by_any_path_takes_its_drain_along_and_is_counted_once() {
    for gone in [PodSeen::Gone, PodSeen::Terminating] {
        for phase in ["Draining", "Drained"] {
            let mut case = case(phase, 1).owning(&[0]);
            case.world.pod = gone.clone();
            assert_eq!(counts(&case.turn()), [Outcome::Unprepared]);
            assert_eq!(case.phase(), Phase::Departing);
            assert!(counts(&case.turn()).is_empty());
        }
    }
    let mut queued = case("Queued", 1).without_a_place();
    queued.world.pod = PodSeen::Gone;
    queued.turn();
    assert_eq!(queued.phase(), Phase::Completed);
}

#[test]
fn a_pod_that_goes_while_it_is_given_up_is_counted_too() {
    let mut case = case("Restoring", 1).owning(&[0]);
    case.world.pod = PodSeen::Gone;
    assert_eq!(counts(&case.see(&[act()])), [Outcome::Unprepared]);
    assert!(counts(&case.see(&[act()])).is_empty());
    assert_eq!(case.phase(), Phase::Restoring);
}

#[test]
fn the_way_that_a_pod_left_is_told_apart() {
    for (drain, outcome) in [
        (claim::claimed(case("Drained", 1).drain), Outcome::Prepared),
        (claim::let_go(case("Draining", 1).drain, Outcome::Bypassed), Outcome::Bypassed),
        (claim::let_go(case("Draining", 1).drain, Outcome::Exempt), Outcome::Exempt),
    ] {
        let mut case = case("Draining", 1);
        case.drain = drain;
        case.world.pod = PodSeen::Gone;
        // That a prepared pod has left is written with the next phase.
        assert_eq!(counts(&case.turn()).len(), usize::from(outcome != Outcome::Prepared));
        case.drain.status.phase = Phase::Departing;
        case.world.hole = Hole::Closed;
        let later = counts(&case.turn());
        assert_eq!((later.is_empty(), case.drain.status.outcome), (outcome != Outcome::Prepared, Some(outcome)));
        assert!(case.drain.status.left);
    }
}

fn departed() -> Case {
    let mut case = case("Departing", 1).owning(&[0]);
    case.drain.status.outcome = Some(Outcome::Prepared);
    case.world.pod = PodSeen::Gone;
    case
}

#[test]
fn what_was_set_for_a_pod_that_left_is_undone_once_its_hole_is_closed() {
    for (hole, expected) in
        [(Hole::Open, Phase::Departing), (Hole::Quiet(7), Phase::Departing), (Hole::Closed, Phase::Restoring)]
    {
        let mut case = departed();
        case.world.hole = hole;
        case.turn();
        assert_eq!(case.phase(), expected, "{hole:?}");
    }
}

#[test]
fn a_hole_of_which_nothing_is_told_closes_after_ten_unchanged_minutes_and_tells() {
    let mut case = departed();
    let minutes = |case: &mut Case, minutes: u64, hole| {
        case.world.hole = hole;
        case.after(Duration::from_mins(minutes)).turn()
    };
    minutes(&mut case, 0, Hole::Quiet(1));
    minutes(&mut case, 9, Hole::Quiet(1));
    minutes(&mut case, 1, Hole::Quiet(2));
    minutes(&mut case, 9, Hole::Quiet(2));
    assert_eq!(case.phase(), Phase::Departing, "they were others meanwhile");
    minutes(&mut case, 0, Hole::Open);
    minutes(&mut case, 1, Hole::Quiet(2));
    minutes(&mut case, 9, Hole::Quiet(2));
    assert_eq!(case.phase(), Phase::Departing, "one was not Ready meanwhile");
    let effects = minutes(&mut case, 1, Hole::Quiet(2));
    assert_eq!(case.phase(), Phase::Restoring);
    assert_eq!(reasons(&effects), ["ReplacedByAllAppearance"]);
}

#[test]
fn a_new_leader_measures_the_ten_minutes_itself() {
    let mut case = departed();
    case.world.hole = Hole::Quiet(1);
    case.turn();
    case.after(Duration::from_mins(9)).new_leader(SECOND);
    case.turn();
    case.after(Duration::from_mins(9)).turn();
    assert_eq!(case.phase(), Phase::Departing);
    case.after(Duration::from_mins(1)).turn();
    assert_eq!(case.phase(), Phase::Restoring);
}

/// A drain that has left three steps behind, and the one of its seat's next pod, whose policy was edited meanwhile:
/// the first is gone, the second has other parameters, the third has another place.
fn before_and_after_an_edit() -> (Case, Case) {
    let mut before = case("Departing", 3).owning(&[0, 1, 2]);
    before.drain.metadata.name = "db-0-before".into();
    before.world.pod = PodSeen::Gone;
    for (step, member) in before.drain.status.steps.iter_mut().zip(["4", "5", "6"]) {
        step.member = Some(member.into());
    }
    let mut after = case("Queued", 3);
    after.drain.status.steps.remove(0);
    after.drain.status.steps.swap(0, 1);
    after.drain.status.steps[1].parameters.insert("port".into(), 81.into());
    after.world.predecessor = Some(Box::new(before.drain.clone()));
    (before, after)
}

fn members(drain: &Drain) -> Vec<Option<&str>> {
    drain.status.steps.iter().map(|step| step.member.as_deref()).collect()
}

#[test]
fn a_replacement_takes_over_its_predecessors_steps_by_name_plan_and_parameters() {
    let (_, mut after) = before_and_after_an_edit();
    after.see(&[]);
    assert_eq!(after.phase(), Phase::Draining);
    assert_eq!(after.drain.status.predecessor.as_deref(), Some("db-0-before"));
    assert_eq!(after.ownership(), [Ownership::Acted, Ownership::None]);
    assert_eq!(members(&after.drain), [Some("6"), None]);
}

#[test]
fn what_a_replacement_did_not_take_over_is_undone_by_its_predecessor() {
    let (mut before, mut after) = before_and_after_an_edit();
    after.see(&[]);
    before.world.successor = Some(Box::new(after.drain));
    before.turn();
    assert_eq!(before.phase(), Phase::Restoring, "though no other pod is Ready");
    assert_eq!(before.ownership(), [Ownership::Acted, Ownership::Acted, Ownership::None]);
}

#[test]
fn a_plan_that_was_mended_since_is_the_same_step() {
    let (before, mut after) = before_and_after_an_edit();
    Arc::make_mut(&mut after.drain.status.steps[0].plan_spec).summary = "mended".into();
    after.drain.status.steps[0].hash = "another".into();
    after.world.predecessor = Some(Box::new(before.drain));
    after.see(&[]);
    assert_eq!(after.ownership(), [Ownership::Acted, Ownership::None]);
}

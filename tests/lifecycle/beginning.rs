//! Queued: until a place is free and the backend does not object.

use std::time::Duration;

use castoff::lifecycle::{
    Caller, Effect, Explanation, Ownership, Phase, PodSeen, PolicySeen, Room, Slot, Slots, claim, look, must_be_written,
};
use castoff::plan::{Task, Verdict};

use crate::case::{SECOND, act, blocked, case, failed, reasons, sends, told, unknown};

#[test]
fn a_slot_is_taken_before_anything_is_prepared() {
    let mut case = case("Queued", 1).without_a_place();
    let slots = Slots { departing: vec![Slot { seat: "db-0".into(), drain: "db-0-a".into() }] };
    case.world.room = Room::Take(slots.clone());
    assert_eq!(case.see(&[act()]), [Effect::TakeSlot(slots)]);
    assert_eq!((case.phase(), case.ownership()), (Phase::Queued, vec![Ownership::None]));
    (case.world.room, case.world.listed) = (Room::Held, true);
    assert_eq!(sends(&case.see(&[act()])), 0, "the intent is written before the act");
    assert_eq!((case.phase(), case.ownership()), (Phase::Draining, vec![Ownership::Intent]));
    assert_eq!(sends(&case.see(&[act()])), 1);
}

#[test]
fn what_waits_for_a_slot_says_for_whom_and_asks_no_backend() {
    let mut case = case("Queued", 2).without_a_place();
    let why = Explanation::from("waits for db-2 (maxUnavailable 1)").waiting_for(["db-2"]);
    case.world.room = Room::Wait(why);
    assert!(look(&case.drain, &case.memory, &case.world.room).steps.is_empty());
    assert_eq!(case.see(&[]), []);
    assert_eq!((case.phase(), case.message()), (Phase::Queued, "waits for db-2 (maxUnavailable 1)"));
    assert_eq!(case.drain.status.waits_for.pods, ["db-2"]);
    for room in [Room::Take(Slots::default()), Room::Held, Room::NoLimit] {
        let next = look(&case.drain, &case.memory, &room);
        assert_eq!((next.task, next.steps), (Task::Prepare, vec![0, 1]), "{room:?}");
    }
}

#[test]
fn the_backends_no_is_asked_for_before_a_slot_is_taken_and_gives_one_back() {
    let mut case = case("Queued", 2).without_a_place();
    case.world.room = Room::Take(Slots::default());
    let effects = case.see(&[act(), blocked()]);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::TakeSlot(_))), "{effects:?}");
    assert!(case.drain.status.blocked);
    (case.world.room, case.world.listed) = (Room::Held, true);
    assert!(case.see(&[act(), blocked()]).contains(&Effect::GiveSlot));
}

#[test]
fn a_drain_that_is_blocked_goes_back_to_the_queue_only_if_it_owns_nothing() {
    let mut nothing = case("Draining", 1);
    nothing.see(&[blocked()]);
    assert_eq!(nothing.phase(), Phase::Queued);
    let mut something = case("Draining", 2).owning(&[0]);
    something.see(&[blocked()]);
    assert!(something.phase() == Phase::Draining && something.drain.status.blocked);
}

#[test]
fn a_backend_that_fails_from_the_start_is_called_stalled_while_its_drain_waits() {
    let mut case = case("Queued", 1);
    case.see(&[failed()]);
    let effects = case.after(60 * SECOND).see(&[failed()]);
    assert!(
        matches!(&effects[..], [Effect::GiveSlot, Effect::Tell(event)] if event.reason == "DrainStalled"),
        "{effects:?}"
    );
    assert!(case.drain.status.stalled && case.phase() == Phase::Queued);
    assert!(told(&case.after(SECOND).see(&[failed()])).is_empty(), "told once");
    case.see(&[blocked()]);
    assert!(!case.drain.status.stalled, "a plan that says \"not now\" is obeyed");
    case.see(&[failed()]);
    case.after(60 * SECOND).see(&[failed()]);
    (case.world.room, case.world.listed) = (Room::Wait("waits for db-1".into()), false);
    case.see(&[]);
    assert!(!case.drain.status.stalled, "it waits for another pod");
}

#[test]
fn without_steps_that_can_be_followed_it_waits_and_says_so() {
    let mut case = case("Queued", 0);
    case.see(&[]);
    assert_eq!((case.phase(), case.message()), (Phase::Queued, "its policy can't be followed now"));
}

#[test]
fn a_slot_that_was_on_its_way_when_the_process_changed_is_waited_for() {
    let mut case = case("Queued", 1).without_a_place();
    case.new_leader(10 * SECOND);
    case.world.pod = PodSeen::Gone;
    case.world.room = Room::Take(Slots::default());
    case.turn();
    assert_eq!(case.phase(), Phase::Queued);
    (case.world.room, case.world.listed) = (Room::Held, true);
    case.turn();
    assert_eq!(case.phase(), Phase::Departing, "the slot is given back on the way");
}

#[test]
fn a_new_process_says_nothing_outward_while_the_old_one_may_still_be_heard() {
    for (phase, verdict) in [("Queued", act()), ("Draining", act()), ("Drained", Verdict::Done), ("Restoring", act())] {
        let mut case = case(phase, 1).owning(&[0]);
        case.new_leader(10 * SECOND);
        assert!(case.see(std::slice::from_ref(&verdict)).is_empty(), "{phase}");
        assert!(!case.after(10 * SECOND).see(&[verdict]).is_empty(), "{phase}");
    }
}

#[test]
fn a_state_that_was_there_before_we_acted_is_not_ours() {
    let mut before = case("Queued", 1);
    before.see(&[Verdict::Waiting]);
    before.see(&[Verdict::Waiting]);
    assert_eq!(before.ownership(), [Ownership::None]);
    let mut between = case("Queued", 1);
    between.see(&[act()]);
    assert_eq!(between.ownership(), [Ownership::Intent]);
    between.see(&[Verdict::Waiting]);
    assert_eq!(between.ownership(), [Ownership::None], "it came between the intent and the act");
}

#[test]
fn what_we_sent_is_ours_and_so_is_what_an_intent_of_another_process_has_become() {
    let mut sent = case("Queued", 1);
    sent.see(&[act()]);
    sent.see(&[act()]);
    sent.see(&[Verdict::Waiting]);
    assert_eq!(sent.ownership(), [Ownership::Acted]);
    let mut found = case("Draining", 1);
    found.drain.status.steps[0].ownership = Ownership::Intent;
    found.new_leader(Duration::ZERO);
    found.see(&[Verdict::Done]);
    assert_eq!(found.ownership(), [Ownership::Acted]);
}

#[test]
fn that_an_intent_was_acted_on_is_no_reason_to_write() {
    let mut before = case("Draining", 1).drain;
    before.status.steps[0].ownership = Ownership::Intent;
    let mut after = before.clone();
    after.status.steps[0].ownership = Ownership::Acted;
    after.status.longest_pause_seconds = 300;
    assert!(!must_be_written(&before, &after));
    after.status.phase = Phase::Drained;
    assert!(must_be_written(&before, &after));
    after = before.clone();
    after.status.steps[0].ownership = Ownership::None;
    assert!(must_be_written(&before, &after), "that it is not ours is");
}

#[test]
fn a_policy_that_changes_or_vanishes_is_told_once_and_changes_nothing() {
    for seen in [PolicySeen::Changed, PolicySeen::Gone] {
        let mut case = case("Draining", 1).owning(&[0]);
        case.world.policy = seen;
        assert_eq!(reasons(&case.see(&[Verdict::Waiting])), ["PolicyChanged"]);
        assert_eq!(case.see(&[Verdict::Waiting]), []);
        assert_eq!(case.phase(), Phase::Draining);
    }
}

#[test]
fn a_pod_that_is_tried_again_begins_anew_in_a_cycle_of_its_own() {
    let mut before = case("Completed", 1).owning(&[0]).drain;
    (before.status.cycle, before.spec.cancel) = (4, true);
    let anew = claim::begun_anew(before, Caller::Person);
    assert_eq!((anew.status.phase, anew.status.cycle, anew.spec.cancel), (Phase::Queued, 5, false));
    assert!(anew.status.steps.is_empty(), "it follows its policy again");
}

#[test]
fn nothing_is_taken_or_begun_while_the_answers_can_not_be_believed() {
    let mut case = case("Queued", 1).without_a_place();
    case.world.room = Room::Take(Slots::default());
    assert_eq!(case.see(&[unknown()]), []);
    assert_eq!((case.phase(), case.message()), (Phase::Queued, "it has just started"));
}

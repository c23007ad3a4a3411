//! Draining: one step after the other.

use std::sync::Arc;

use castoff::lifecycle::{Ownership, Phase, Room, Wish, look};
use castoff::plan::{Mode, Verdict};

use crate::case::{SECOND, act, act_with, case, left, present, reasons, sends, unknown, wakes};

#[test]
fn a_step_is_done_once_it_was_seen_so_on_as_many_rounds_as_its_plan_wants() {
    for (rounds, needed) in [(serde_json::json!(null), 2), (serde_json::json!(4), 4), (serde_json::json!("quiet"), 5)] {
        let mut case = case("Draining", 2);
        Arc::make_mut(&mut case.drain.status.steps[0].plan_spec).rounds = serde_json::from_value(rounds).unwrap();
        case.drain.status.steps[0].parameters.insert("quiet".to_owned(), 5.into());
        let next = |case: &crate::case::Case| look(&case.drain, &case.memory, &Room::Held).steps;
        for round in 1..needed {
            case.see(&[Verdict::Done]);
            assert_eq!(next(&case), [0], "after {round} of {needed}");
        }
        // One round that finds it busy, and counting begins anew.
        case.see(&[Verdict::Waiting]);
        for _ in 0..needed {
            assert_eq!(next(&case), [0], "of {needed}");
            case.see(&[Verdict::Done]);
        }
        assert_eq!(next(&case), [0, 1], "after {needed}");
        case.see(&[Verdict::Done, Verdict::Done]);
        assert_eq!(case.phase(), Phase::Draining);
        case.see(&[Verdict::Done, Verdict::Done]);
        assert_eq!(case.phase(), Phase::Drained);
    }
}

#[test]
fn done_counts_on_two_rounds_running() {
    let mut case = case("Draining", 1);
    case.see(&[Verdict::Done]);
    case.see(&[unknown()]);
    case.see(&[Verdict::Done]);
    assert_eq!(case.phase(), Phase::Draining);
    case.see(&[Verdict::Done]);
    assert_eq!((case.phase(), case.drain.status.cycle), (Phase::Drained, 1));
}

#[test]
fn steps_are_prepared_in_order_and_one_that_is_no_longer_done_comes_first() {
    let mut case = case("Draining", 2);
    assert_eq!(look(&case.drain, &case.memory, &Room::Held).steps, [0]);
    case.see(&[Verdict::Done]);
    case.see(&[Verdict::Done]);
    assert_eq!(look(&case.drain, &case.memory, &Room::Held).steps, [0, 1]);
    case.see(&[act(), act()]);
    assert_eq!(case.ownership(), [Ownership::Intent, Ownership::None]);
}

#[test]
fn an_act_that_may_go_on_holds_up_its_repeat_and_being_done() {
    let mut case = case("Queued", 1);
    case.see(&[act_with(true, false)]);
    assert_eq!(case.drain.status.steps[0].act_seconds, 30, "written with the intent");
    assert_eq!(sends(&case.see(&[act_with(true, false)])), 1);
    assert_eq!(sends(&case.after(10 * SECOND).see(&[act_with(true, false)])), 0);
    for _ in 0..3 {
        case.after(SECOND).see(&[Verdict::Done]);
    }
    assert_eq!(case.phase(), Phase::Draining);
    case.after(30 * SECOND).see(&[Verdict::Done]);
    case.after(SECOND).see(&[Verdict::Done]);
    assert_eq!(case.phase(), Phase::Drained);
}

#[test]
fn what_can_not_be_undone_is_sent_only_while_the_owner_is_seen_to_want_it() {
    let mut case = case("Draining", 1).owning(&[0]);
    assert_eq!(sends(&case.see(&[act_with(false, true)])), 0);
    assert!(case.message().contains("can't be undone"));
    case.drain.status.mode = Mode::Removal;
    case.world.mode = Some(Mode::Removal);
    case.world.wish = Wish::Asks;
    assert_eq!(sends(&case.see(&[act_with(false, true)])), 1);
}

#[test]
fn an_owner_that_can_not_be_read_keeps_what_was_known_of_the_pods_return() {
    for phase in ["Draining", "Drained"] {
        let mut case = case(phase, 1).owning(&[0]);
        case.drain.status.mode = Mode::Removal;
        case.world.mode = None;
        case.see(&[Verdict::Done]);
        case.see(&[Verdict::Done]);
        assert_eq!((case.phase(), case.drain.status.mode), (Phase::Drained, Mode::Removal), "{phase}");
    }
}

#[test]
fn a_pod_that_is_to_stay_after_all_is_undone_queued_again_by_itself_and_woken() {
    let mut case = case("Drained", 1).owning(&[0]);
    (case.drain.status.mode, case.drain.status.cycle) = (Mode::Removal, 1);
    // As where a roll-out wants it gone that is to come back.
    case.world.wish = Wish::Asks;
    assert_eq!(reasons(&case.see(&[Verdict::Done])), ["Reconsidered"]);
    assert_eq!(case.phase(), Phase::Restoring);
    case.see(&[Verdict::Done]);
    case.see(&[Verdict::Done]);
    case.world.listed = false;
    case.see(&[Verdict::Done]);
    assert_eq!((case.phase(), case.ownership()), (Phase::Queued, vec![Ownership::None]), "nobody need ask again");
    case.world.listed = true;
    case.see(&[Verdict::Done]);
    assert_eq!((case.phase(), case.drain.status.mode), (Phase::Draining, Mode::Restart));
    case.see(&[Verdict::Done]);
    case.see(&[Verdict::Done]);
    assert_eq!(case.phase(), Phase::Drained);
    case.world.pod = present(Some("a.1"));
    assert_eq!(wakes(&case.see(&[Verdict::Done])).len(), 1, "with a mark of its own");
}

#[test]
fn no_progress_is_called_stalled_and_a_fall_ends_it() {
    let mut case = case("Draining", 1).owning(&[0]);
    case.world.rounds = [(0, left(12))].into();
    case.turn();
    case.after(59 * SECOND).turn();
    assert!(!case.drain.status.stalled);
    case.after(SECOND).turn();
    assert!(case.drain.status.stalled && case.phase() == Phase::Draining, "the pod stays");
    case.world.rounds = [(0, left(11))].into();
    case.turn();
    assert!(!case.drain.status.stalled);
}

#[test]
fn progress_alone_is_written_at_most_once_in_its_interval() {
    let mut case = case("Draining", 1).owning(&[0]);
    let mut writes = 0;
    for remaining in (0..60).rev() {
        case.world.rounds = [(0, left(remaining))].into();
        let before = case.drain.clone();
        case.after(2 * SECOND).turn();
        writes += usize::from(before != case.drain);
    }
    assert_eq!(writes, 2, "in two minutes");
}

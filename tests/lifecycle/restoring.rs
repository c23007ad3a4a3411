//! Restoring: what is ours is undone, the last step first, and the place given back before the end.

use castoff::lifecycle::{Effect, Ownership, Phase, PodSeen, Room, look};
use castoff::plan::{Mode, Task, Verdict};

use crate::case::{SECOND, act, act_with, case, present, reasons, round, sends, unknown};

#[test]
fn only_what_is_owned_is_restored_the_last_step_first_and_seen_twice() {
    let mut case = case("Restoring", 3).owning(&[0, 2]);
    let wanted = look(&case.drain, &case.memory, &Room::Held);
    assert_eq!((wanted.task, wanted.steps), (Task::Restore, vec![2]));
    case.world.rounds = [(2, round(act()))].into();
    assert_eq!(sends(&case.turn()), 1);
    case.world.rounds = [(2, round(Verdict::Done))].into();
    case.turn();
    assert_eq!(case.ownership()[2], Ownership::Acted);
    case.turn();
    assert_eq!(case.ownership(), [Ownership::Acted, Ownership::None, Ownership::None]);
    assert_eq!(look(&case.drain, &case.memory, &Room::Held).steps, [0]);
}

#[test]
fn nothing_is_concluded_from_a_backend_that_lies() {
    let mut case = case("Restoring", 1).owning(&[0]);
    for _ in 0..5 {
        assert_eq!(sends(&case.see(&[unknown()])), 0);
    }
    assert_eq!((case.phase(), case.ownership()), (Phase::Restoring, vec![Ownership::Acted]));
    assert_eq!(case.message(), "it has just started");
}

#[test]
fn the_slot_is_given_back_before_the_drain_is_over() {
    let mut case = case("Restoring", 1);
    assert_eq!(case.turn(), [Effect::GiveSlot]);
    assert_eq!(case.phase(), Phase::Restoring);
    case.world.listed = false;
    case.turn();
    assert_eq!(case.phase(), Phase::Completed);
}

#[test]
fn what_was_restored_last_is_written_with_the_end_and_after_the_slot_is_given_back() {
    let mut case = case("Restoring", 1).owning(&[0]);
    case.see(&[Verdict::Done]);
    assert_eq!(case.see(&[Verdict::Done]), [Effect::GiveSlot]);
    assert_eq!((case.phase(), case.ownership()), (Phase::Restoring, vec![Ownership::Acted]), "nothing to write yet");
    case.world.listed = false;
    assert_eq!(reasons(&case.see(&[Verdict::Done])), ["Restored"]);
    assert_eq!((case.phase(), case.ownership()), (Phase::Completed, vec![Ownership::None]));
}

#[test]
fn an_act_that_was_cut_off_may_land_late_and_holds_up_its_repeat_and_its_restore() {
    let mut case = case("Draining", 1).owning(&[0]);
    assert_eq!(sends(&case.see(&[act()])), 1);
    case.memory.sent(0, true, None, case.world.now);
    assert_eq!(sends(&case.after(9 * SECOND).see(&[act()])), 0);
    case.drain.spec.cancel = true;
    case.see(&[Verdict::Done]);
    assert_eq!(case.phase(), Phase::Restoring);
    for _ in 0..4 {
        case.see(&[Verdict::Done]);
    }
    assert_eq!(case.ownership(), [Ownership::Acted], "what may land yet can't be seen to be undone");
    assert_eq!(sends(&case.after(2 * SECOND).see(&[act()])), 1);
}

#[test]
fn what_a_backend_refuses_is_told_in_its_own_words() {
    for phase in ["Draining", "Restoring"] {
        let mut case = case(phase, 1).owning(&[0]);
        case.see(&[act()]);
        case.memory.sent(0, false, Some("412 no synchronous standby".into()), case.world.now);
        case.see(&[act()]);
        assert_eq!(case.message(), "412 no synchronous standby", "{phase}");
    }
}

#[test]
fn what_a_plan_says_is_not_ours_is_left_alone() {
    let mut case = case("Restoring", 1).owning(&[0]).without_a_place();
    case.world.rounds = [(0, castoff::plan::Round { ours: Some(false), ..round(act()) })].into();
    assert_eq!(sends(&case.turn()) + sends(&case.turn()), 0);
    assert_eq!((case.phase(), case.ownership()), (Phase::Completed, vec![Ownership::None]));
}

#[test]
fn an_intent_that_was_never_acted_on_is_nothing_to_undo() {
    let mut case = case("Queued", 1);
    case.see(&[act()]);
    assert_eq!(case.ownership(), [Ownership::Intent]);
    case.drain.spec.cancel = true;
    case.see(&[act()]);
    case.world.listed = false;
    assert_eq!(sends(&case.see(&[act()])), 0);
    assert_eq!((case.phase(), case.ownership()), (Phase::Completed, vec![Ownership::None]));
}

#[test]
fn an_intent_of_a_leader_that_died_is_undone() {
    let mut case = case("Queued", 1);
    case.see(&[act_with(true, false)]);
    case.new_leader(SECOND);
    case.drain.spec.cancel = true;
    case.see(&[act()]);
    assert_eq!((case.phase(), case.ownership()), (Phase::Restoring, vec![Ownership::Intent]));
    assert_eq!(sends(&case.after(10 * SECOND).see(&[act()])), 0, "it may still land");
    assert_eq!(sends(&case.after(21 * SECOND).see(&[act()])), 1, "once it can no longer land");
}

#[test]
fn a_mark_is_taken_off_a_pod_that_stays() {
    let mut case = case("Restoring", 1).without_a_place();
    case.world.pod = present(Some("a.1"));
    assert_eq!(case.turn(), [Effect::Unmark]);
    case.world.pod = present(None);
    case.turn();
    assert_eq!(case.phase(), Phase::Completed);
}

#[test]
fn a_pod_that_has_left_for_good_leaves_nothing_to_undo() {
    let mut case = case("Restoring", 1).owning(&[0]).without_a_place();
    case.drain.status.mode = Mode::Removal;
    case.world.pod = PodSeen::Gone;
    assert_eq!(sends(&case.see(&[act()])), 0);
    assert_eq!(case.phase(), Phase::Completed);
}

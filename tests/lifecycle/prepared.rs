//! Drained: the next try is allowed, as long as it stays so.

use castoff::lifecycle::{Caller, Effect, Phase, PodSeen, Room, Wish, claim};
use castoff::plan::Verdict;

use crate::case::{CLAIM_PATIENCE, SECOND, act, case, present, reasons, told, unknown, wakes};

/// Why the limit lets nobody go: a peer is not Ready.
fn peer_is_down() -> Room {
    Room::HeldBut("waits for db-2, which is not Ready (maxUnavailable 1)".into())
}

#[test]
fn a_controller_is_woken_with_the_same_mark_until_it_is_there() {
    let mut case = case("Drained", 1);
    case.drain.status.cycle = 3;
    assert_eq!(wakes(&case.see(&[Verdict::Done])), ["a.3"]);
    case.new_leader(std::time::Duration::ZERO);
    assert_eq!(wakes(&case.see(&[Verdict::Done])), ["a.3"], "after a crash the same");
    case.world.pod = present(Some("a.3"));
    assert!(wakes(&case.see(&[Verdict::Done])).is_empty());
}

#[test]
fn every_pod_with_a_controller_is_woken_and_none_that_the_gate_would_deny() {
    for caller in [Caller::Person, Caller::Program, Caller::Scheduler, Caller::Owner, Caller::TaintEviction] {
        let mut case = case("Drained", 1);
        case.drain.status.caller = caller;
        assert_eq!(wakes(&case.see(&[Verdict::Done])).len(), 1, "{caller:?}");
    }
    assert!(wakes(&case("Drained", 1).see(&[unknown()])).is_empty());
    let mut alone = case("Drained", 1);
    alone.world.pod = PodSeen::Present { wake_mark: None, controlled: false };
    assert!(wakes(&alone.see(&[Verdict::Done])).is_empty(), "there is nobody to wake");
}

#[test]
fn one_whose_limit_no_longer_holds_is_draining_again_and_says_for_whom_it_waits() {
    let mut case = case("Drained", 1).owning(&[0]);
    case.drain.status.cycle = 1;
    case.world.room = peer_is_down();
    assert!(wakes(&case.see(&[Verdict::Done])).is_empty());
    let why = "waits for db-2, which is not Ready (maxUnavailable 1)";
    for _ in 0..5 {
        assert_eq!((case.phase(), case.message()), (Phase::Draining, why));
        assert!(wakes(&case.see(&[Verdict::Done])).is_empty());
    }
    assert!(!claim::may_be_claimed(&case.drain));
    case.world.room = Room::Held;
    case.see(&[Verdict::Done]);
    assert_eq!((case.phase(), case.drain.status.cycle), (Phase::Drained, 2), "what was prepared stays");
    case.world.pod = present(Some("a.1"));
    assert_eq!(wakes(&case.see(&[Verdict::Done])), ["a.2"], "woken once more");
    case.world.pod = present(Some("a.2"));
    assert!(wakes(&case.see(&[Verdict::Done])).is_empty());
}

#[test]
fn one_that_is_done_while_a_peer_is_down_is_not_called_prepared() {
    let mut case = case("Draining", 1);
    case.world.room = peer_is_down();
    for _ in 0..4 {
        assert!(told(&case.see(&[Verdict::Done])).is_empty());
    }
    assert_eq!((case.phase(), case.drain.status.cycle), (Phase::Draining, 0));
}

#[test]
fn what_is_no_longer_done_is_prepared_again_and_wakes_anew() {
    let mut case = case("Drained", 1).owning(&[0]);
    case.see(&[act()]);
    assert_eq!(case.phase(), Phase::Draining);
    case.see(&[Verdict::Done]);
    case.see(&[Verdict::Done]);
    assert_eq!((case.phase(), case.drain.status.cycle), (Phase::Drained, 1));
}

#[test]
fn only_prepared_and_allowed_drains_can_be_claimed() {
    for (phase, may) in
        [("Queued", false), ("Draining", false), ("Drained", true), ("Restoring", false), ("Completed", false)]
    {
        assert_eq!(claim::may_be_claimed(&case(phase, 1).drain), may, "{phase}");
    }
    let claimed = claim::claimed(case("Drained", 1).drain);
    assert!(claim::may_be_claimed(&claimed), "the repeated calls of one delete");
    let mut unprepared = case("Departing", 1).drain;
    assert!(!claim::may_be_claimed(&unprepared));
    unprepared.status.cycle = 7;
    assert!(!claim::may_be_claimed_anew(&claimed, &unprepared));
    let mut later = claimed.clone();
    assert!(claim::may_be_claimed_anew(&claimed, &later), "after a lost race");
    later.status.cycle += 1;
    assert!(!claim::may_be_claimed_anew(&claimed, &later), "it was seen done in another cycle");
}

#[test]
fn what_a_gate_finds_no_longer_prepared_is_draining_and_says_why() {
    let drained = case("Drained", 2).drain;
    let step = claim::no_longer_prepared(drained.clone(), Some(1), "the backend says no".into());
    assert_eq!((step.status.phase, step.status.step.as_deref()), (Phase::Draining, Some("s1")));
    assert_eq!(step.status.message, "the backend says no");
    let limit = claim::no_longer_prepared(drained, None, "waits for db-2 (maxUnavailable 1)".into());
    assert_eq!((limit.status.phase, limit.status.step), (Phase::Draining, None));
    assert_eq!(limit.status.message, "waits for db-2 (maxUnavailable 1)");
}

#[test]
fn an_allow_that_is_not_carried_out_is_drained_again_and_wakes_once_more() {
    let mut case = case("Drained", 1);
    case.drain = claim::claimed(case.drain.clone());
    case.after(SECOND).turn();
    case.after(CLAIM_PATIENCE.saturating_sub(SECOND)).turn();
    assert_eq!(case.phase(), Phase::Departing);
    case.after(SECOND).turn();
    assert_eq!((case.phase(), case.drain.status.cycle), (Phase::Drained, 1));
    case.drain = claim::claimed(case.drain.clone());
    case.after(SECOND).turn();
    case.after(CLAIM_PATIENCE).turn();
    assert_eq!((case.phase(), case.drain.status.cycle), (Phase::Drained, 1));
}

#[test]
fn who_does_not_ask_again_has_it_done_once_it_is_prepared_and_within_the_limit() {
    for (phase, verdict, room, deleted) in [
        ("Draining", Verdict::Done, Room::Held, false),
        ("Drained", act(), Room::Held, false),
        ("Drained", unknown(), Room::Held, false),
        ("Drained", Verdict::Done, peer_is_down(), false),
        ("Departing", Verdict::Done, Room::Held, false),
        ("Drained", Verdict::Done, Room::Held, true),
    ] {
        let mut case = case(phase, 1).owning(&[0]);
        case.world.wish = Wish::MustBeDone;
        case.world.room = room;
        let effects = case.see(&[verdict]);
        assert_eq!(effects.contains(&Effect::Delete), deleted, "{phase}: {effects:?}");
    }
}

#[test]
fn that_nobody_asks_for_what_is_prepared_is_told_once_after_a_minute() {
    let mut case = case("Drained", 1);
    assert!(told(&case.after(59 * SECOND).see(&[Verdict::Done])).is_empty());
    let effects = case.after(SECOND).see(&[Verdict::Done]);
    assert_eq!(reasons(&effects), ["DrainUnasked"]);
    assert!(case.drain.status.unasked);
    assert!(told(&case.after(60 * SECOND).see(&[Verdict::Done])).is_empty(), "once");
    case.new_leader(SECOND);
    for _ in 0..10 {
        assert!(told(&case.after(30 * SECOND).see(&[Verdict::Done])).is_empty(), "by one leader");
        assert!(case.drain.status.unasked);
    }
    case.drain.status.tries += 1;
    case.see(&[Verdict::Done]);
    assert!(!case.drain.status.unasked, "somebody asks");
}

#[test]
fn a_try_ends_that_nobody_asks_whichever_process_leads_then() {
    let mut case = case("Drained", 1);
    case.drain.status.unasked = true;
    case.drain = claim::tried(&case.drain, case.drain.status.caller, std::time::Duration::ZERO).unwrap();
    case.new_leader(SECOND);
    case.after(SECOND).see(&[Verdict::Done]);
    assert!(!case.drain.status.unasked);
    assert_eq!(reasons(&case.after(60 * SECOND).see(&[Verdict::Done])), ["DrainUnasked"]);
}

//! Given up: nobody asks any more, or a person says so, or it is to begin anew.

use std::time::Duration;

use castoff::lifecycle::{Caller, Phase, PolicySeen, Wish, claim};
use castoff::plan::Verdict;

use crate::case::{Case, SECOND, case, reasons, told};

/// Looks every half minute until it is given up; after how many seconds.
fn given_up_after(case: &mut Case) -> u64 {
    let begun = case.world.now;
    while case.phase() != Phase::Restoring {
        assert!(case.world.now < begun + Duration::from_hours(24), "never given up");
        case.after(30 * SECOND).see(&[Verdict::Done]);
    }
    case.world.now.saturating_sub(begun).as_secs()
}

/// A try that comes soon after one that was written down is not written itself: so much is waited for besides.
fn with_unwritten(patience: u64, abandon_after: u64) -> std::ops::RangeInclusive<u64> {
    patience..=patience + abandon_after / 4 + 60
}

#[test]
fn nobody_is_given_up_sooner_than_whoever_asked_may_be_silent() {
    for (caller, abandon_after, pause, patience) in [
        (Caller::Person, 600, 0, 600),
        (Caller::Person, 600, 400, 800),
        (Caller::Program, 600, 0, 1060),
        (Caller::Scheduler, 60, 0, 1060),
        (Caller::Owner, 60, 0, 1060),
        (Caller::TaintEviction, 60, 0, 1060),
        (Caller::Program, 60, 700, 1400),
        (Caller::Program, 3600, 700, 3600),
    ] {
        let mut case = case("Drained", 1);
        case.drain.status.caller = caller;
        case.drain.status.limits.abandon_after_seconds = abandon_after;
        case.drain.status.longest_pause_seconds = pause;
        let after = given_up_after(&mut case);
        let expected = with_unwritten(patience, abandon_after.into());
        assert!(expected.contains(&after), "{caller:?}, pause {pause}: {after} of {expected:?}");
    }
}

#[test]
fn the_longest_pause_is_measured_and_known_to_the_next_leader() {
    let mut case = case("Draining", 1);
    case.see(&[Verdict::Waiting]);
    for pause in [200, 900, 300] {
        case.after(pause * SECOND).drain.status.tries += 1;
        case.see(&[Verdict::Waiting]);
    }
    assert_eq!(case.drain.status.longest_pause_seconds, 900);
    case.drain.status.phase = Phase::Drained;
    case.new_leader(Duration::ZERO);
    let after = given_up_after(&mut case);
    assert!(with_unwritten(1800, 600).contains(&after), "{after}");
}

#[test]
fn a_drain_that_nobody_asks_for_is_given_up_but_not_while_its_owner_wants_it() {
    for wish in [Wish::Asks, Wish::MustBeDone] {
        let mut case = case("Drained", 1);
        case.drain.status.caller = Caller::Person;
        case.world.wish = wish;
        case.after(Duration::from_hours(10)).see(&[Verdict::Done]);
        assert_eq!(case.phase(), Phase::Drained);
        case.world.wish = Wish::None;
        case.see(&[Verdict::Done]);
        assert_eq!(case.phase(), Phase::Restoring);
    }
}

#[test]
fn what_is_asked_for_ahead_is_kept_and_has_the_usual_patience_from_then_on() {
    let mut case = case("Drained", 1);
    case.drain.status.caller = Caller::Program;
    case.world.ahead = true;
    case.after(Duration::from_hours(10)).see(&[Verdict::Done]);
    assert_eq!((case.phase(), case.drain.status.unasked), (Phase::Drained, false));
    case.world.ahead = false;
    let after = given_up_after(&mut case);
    assert!(with_unwritten(1060, 600).contains(&after), "{after}");
}

#[test]
fn a_pod_that_its_owner_keeps_is_given_up_but_not_where_somebody_else_asked() {
    for phase in ["Queued", "Draining", "Drained"] {
        for (caller, wish, kept) in [
            (Caller::Owner, Wish::Keeps, true),
            (Caller::Owner, Wish::None, false),
            (Caller::Owner, Wish::Asks, false),
            (Caller::Program, Wish::Keeps, false),
            (Caller::Person, Wish::Keeps, false),
            (Caller::TaintEviction, Wish::Keeps, false),
        ] {
            let mut case = case(phase, 1);
            (case.drain.status.caller, case.world.wish) = (caller, wish);
            case.see(&[Verdict::Waiting]);
            let begun = phase != "Queued" || !kept;
            assert_eq!(case.phase() == Phase::Queued, !begun, "{phase}: what is given up in a moment is not begun");
            assert_ne!(case.phase(), Phase::Restoring, "{phase}: what is seen may be older than the try");
            case.after(10 * SECOND).see(&[Verdict::Waiting]);
            assert_eq!(case.phase() == Phase::Restoring, kept, "{phase}, asked for by {caller:?}, {wish:?}");
        }
    }
}

/// When a workload controller tries, in seconds, left alone: measured on a real control plane up to 328 s.
const TRIES: [f64; 20] = [
    0.0, 0.02, 0.04, 0.07, 0.12, 0.21, 0.38, 0.71, 1.4, 2.6, 5.2, 10.4, 20.6, 41.0, 82.0, 164.0, 328.0, 656.0, 1312.0,
    2312.0,
];

#[test]
fn a_preparation_of_forty_minutes_is_not_given_up_between_a_controllers_tries() {
    for caller in [Caller::Program, Caller::Owner, Caller::Scheduler] {
        // Nothing but its tries shows that the pod is to go; and the leader changes in the longest gap.
        for new_leader_at in [None, Some(700), Some(1311), Some(2000)] {
            let mut case = case("Draining", 1).owning(&[0]);
            case.drain.status.caller = caller;
            case.drain.status.limits.abandon_after_seconds = 60;
            let (mut tries, mut written) = (TRIES.iter().copied().peekable(), None);
            for second in 0..2400_u32 {
                while let Some(at) = tries.next_if(|at| *at <= f64::from(second)) {
                    let now = Duration::from_secs_f64(at);
                    let last = written.map_or(Duration::MAX, |written: Duration| now.saturating_sub(written));
                    if let Some(tried) = claim::tried(&case.drain, caller, last) {
                        (case.drain, written) = (tried, Some(now));
                    }
                }
                if new_leader_at == Some(second) {
                    case.new_leader(10 * SECOND);
                }
                case.after(SECOND).see(&[Verdict::Waiting]);
                assert_eq!(case.phase(), Phase::Draining, "{caller:?}: given up after {second} s");
            }
        }
    }
}

#[test]
fn a_try_is_written_down_once_in_a_while_and_at_once_where_the_caller_counts_more() {
    let person = {
        let mut drain = case("Drained", 1).drain;
        drain.status.caller = Caller::Person;
        drain
    };
    assert_eq!(claim::tried(&person, Caller::Person, 149 * SECOND), None);
    let tried = claim::tried(&person, Caller::Person, 150 * SECOND).unwrap();
    assert_eq!(tried.status.tries, person.status.tries + 1);
    let counts_more = claim::tried(&person, Caller::TaintEviction, Duration::ZERO).unwrap();
    assert_eq!(counts_more.status.caller, Caller::TaintEviction);
    let after = claim::tried(&counts_more, Caller::Person, Duration::MAX).unwrap();
    assert_eq!(after.status.caller, Caller::TaintEviction, "it is not forgotten because a person asks too");
}

#[test]
fn a_person_who_cancels_is_heard_at_once() {
    for phase in ["Queued", "Draining", "Drained"] {
        let mut case = case(phase, 1);
        case.drain.spec.cancel = true;
        case.see(&[Verdict::Done]);
        assert_eq!(case.phase(), Phase::Restoring, "{phase}");
    }
}

#[test]
fn one_whose_pod_another_policy_guards_now_is_given_up_to_begin_anew() {
    for phase in ["Queued", "Draining", "Drained"] {
        let mut case = case(phase, 1).owning(&[0]);
        case.world.policy = PolicySeen::Other;
        let effects = case.see(&[Verdict::Done]);
        assert_eq!(case.phase(), Phase::Restoring, "{phase}");
        let given_up = told(&effects).into_iter().find(|event| event.reason == "GivenUp").cloned();
        assert_eq!(given_up.unwrap().message, "given up: another policy guards the pod now. Restoring");
        assert!(!case.drain.status.again, "the next try begins it, under the other policy");
    }
}

#[test]
fn one_that_waits_and_that_no_policy_guards_any_more_is_given_up() {
    let mut case = case("Queued", 1);
    case.world.policy = PolicySeen::Gone;
    assert_eq!(reasons(&case.see(&[Verdict::Done])), ["GivenUp"]);
    assert_eq!(case.phase(), Phase::Restoring);
}

#[test]
fn one_that_an_older_version_began_is_undone_and_begun_anew() {
    for phase in ["Queued", "Draining", "Drained"] {
        let mut case = case(phase, 1).owning(&[0]);
        case.drain.metadata.kept.older = true;
        assert_eq!(reasons(&case.see(&[Verdict::Done])), ["GivenUp"]);
        assert_eq!(case.phase(), Phase::Restoring, "{phase}");
    }
}

//! Of what people are told while a pod is held, and how often.

use std::time::Duration;

use castoff::lifecycle::{Effect, Explanation, Phase, Room, Wrong};
use castoff::plan::Verdict;
use castoff::remedy::Kind;

use crate::case::{Case, SECOND, act, blocked, case, failed, left, reasons, told, unknown};

/// What is told in a look now, and in the next one.
fn told_within_15_s(case: &mut Case, verdict: &Verdict) -> Vec<&'static str> {
    case.drain.status.limits.poll_period_seconds = 60;
    let mut all = reasons(&case.see(std::slice::from_ref(verdict)));
    let again = castoff::lifecycle::reconcile(&case.drain, &case.memory, &case.world).again;
    // A backend that does not answer is left alone for twice as long.
    assert!(2 * again <= 8 * SECOND, "looks again after {again:?}");
    all.extend(reasons(&case.after(4 * SECOND).see(std::slice::from_ref(verdict))));
    all
}

fn says(message: &str, kind: Kind) -> Verdict {
    Verdict::Failed { message: message.into(), detail: String::new(), cause: kind.into() }
}

#[test]
fn whoever_must_mend_something_is_told_what_within_15_s() {
    for phase in ["Queued", "Draining", "Restoring"] {
        let owning = |case: Case| if phase == "Queued" { case } else { case.owning(&[0]) };
        for (verdict, reason) in
            [(failed(), "BackendNotReached"), (unknown(), "BackendNotBelieved"), (blocked(), "DrainBlocked")]
        {
            let mut case = owning(case(phase, 1));
            assert_eq!(told_within_15_s(&mut case, &verdict), [reason], "{phase}");
        }
    }
    let mut prepared = case("Drained", 1).owning(&[0]);
    assert_eq!(told_within_15_s(&mut prepared, &failed()), ["BackendNotReached"]);
}

#[test]
fn what_passes_in_a_moment_is_not_told() {
    let mut case = case("Draining", 1).owning(&[0]);
    for verdict in [failed(), act(), unknown(), Verdict::Waiting, blocked(), Verdict::Done] {
        assert!(told(&case.after(5 * SECOND).see(&[verdict])).iter().all(|event| !event.warning));
    }
}

#[test]
fn the_message_says_where_and_what_to_ask_oneself() {
    let mut case = case("Queued", 1);
    let refused = says("http://10.1.2.3:9090/ does not answer: it refuses connections", Kind::AddressRefused);
    case.see(std::slice::from_ref(&refused));
    let effects = case.after(4 * SECOND).see(&[refused]);
    assert_eq!(
        told(&effects)[0].message,
        "policy p, step s0: http://10.1.2.3:9090/ does not answer: it refuses connections: is the port right, and does \
         anything listen there?"
    );
}

#[test]
fn a_cause_that_comes_back_is_told_again_after_ten_minutes_and_another_at_once() {
    let refused = || says("http://a/ does not answer: it refuses connections", Kind::Refused);
    let no_role = || says("Castoff (a) may not read the Secret n/x", Kind::NoRole);
    let mut case = case("Draining", 1).owning(&[0]);
    let mut times = Vec::new();
    let end = 21 * 60;
    for second in (0..end).step_by(4) {
        // It is away for a while in each minute.
        let verdict = if second % 60 < 40 { refused() } else { Verdict::Waiting };
        let warned =
            |effects: Vec<_>| told(&effects).iter().filter(|event| event.reason == "BackendNotReached").count();
        if warned(case.after(4 * SECOND).see(&[verdict])) > 0 {
            times.push(second);
        }
        // It goes on, so that nothing is stalled.
        case.memory.stuck = None;
    }
    assert_eq!(times.len(), 3, "{times:?}");
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 600), "{times:?}");
    case.see(&[no_role()]);
    assert_eq!(
        reasons(&case.after(4 * SECOND).see(&[no_role()])),
        ["BackendNotReached"],
        "it is another thing to mend"
    );
}

#[test]
fn a_new_leader_does_not_tell_what_the_one_before_has_told() {
    let mut case = case("Draining", 1).owning(&[0]);
    assert_eq!(told_within_15_s(&mut case, &failed()), ["BackendNotReached"]);
    case.new_leader(SECOND);
    for _ in 0..10 {
        assert!(told(&case.after(5 * SECOND).see(&[failed()])).is_empty());
    }
    case.new_leader(SECOND);
    case.after(2 * SECOND).see(&[Verdict::Waiting]);
    assert_eq!(told_within_15_s(&mut case, &failed()), ["BackendNotReached"], "it was away meanwhile");
}

#[test]
fn whoever_waits_for_another_pod_or_for_progress_has_nothing_to_mend() {
    let mut waits = case("Queued", 1).without_a_place();
    waits.world.room = Room::Wait("waits for db-1 (maxUnavailable 1)".into());
    let mut goes_on = case("Draining", 1).owning(&[0]);
    for number in (0..20).rev() {
        goes_on.world.rounds = [(0, left(number))].into();
        assert!(
            told(&waits.after(5 * SECOND).see(&[])).is_empty() && told(&goes_on.after(5 * SECOND).turn()).is_empty()
        );
    }
}

#[test]
fn a_pod_that_its_policies_hold_says_so_at_once_and_goes_on_once_they_are_mended() {
    let mut case = case("Queued", 1);
    let message = "the policies p and q both select the pod".to_owned();
    case.world.wrong = Some(Wrong { reason: "PolicyConflict", message: message.clone() });
    let effects = case.see(&[act()]);
    assert_eq!(reasons(&effects), ["PolicyConflict"]);
    assert!(effects.contains(&Effect::GiveSlot), "another pod may begin meanwhile: {effects:?}");
    assert_eq!((case.phase(), case.message()), (Phase::Queued, message.as_str()), "nothing begins");
    assert!(told(&case.after(Duration::from_mins(9)).see(&[act()])).is_empty());
    assert_eq!(reasons(&case.after(Duration::from_mins(2)).see(&[act()])), ["PolicyConflict"]);
    case.world.wrong = None;
    case.see(&[act()]);
    assert_eq!(case.phase(), Phase::Draining);
}

#[test]
fn a_backend_that_refuses_what_is_to_be_done_is_told() {
    let mut case = case("Draining", 1).owning(&[0]);
    let refuse = |case: &mut Case| {
        let effects = case.after(4 * SECOND).see(&[act()]);
        let said = "http://pd/ answers 403: you may not";
        let refused = Explanation { cause: Kind::Unauthorized.into(), ..Explanation::from(said) };
        case.memory.sent(0, false, Some(refused), case.world.now);
        reasons(&effects)
    };
    assert!(refuse(&mut case).is_empty() && refuse(&mut case).is_empty());
    assert_eq!(refuse(&mut case), ["BackendRefuses"]);
    assert_eq!(case.drain.status.cause, Kind::Unauthorized.into());
    case.see(&[Verdict::Waiting]);
    assert!(case.drain.status.cause.is_other(), "it takes it after all");
}

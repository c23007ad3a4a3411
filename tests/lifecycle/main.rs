//! What must always hold of drains, under random interleavings of everything that can happen.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod promises;
mod world;

use proptest::prelude::*;
use world::{Broken, Step, World};

/// Steps, those that bring a drain on more often than those that get in its way.
fn step() -> impl Strategy<Value = Step> {
    let seat = 0..2_u8;
    let gate = 0..2_u8;
    prop_oneof![
        6 => seat.clone().prop_map(Step::Turn),
        12 => Just(Step::Do),
        5 => (gate.clone(), seat.clone(), prop::bool::weighted(0.1))
            .prop_map(|(gate, seat, person)| Step::Try { gate, seat, person }),
        3 => gate.clone().prop_map(Step::Observe),
        3 => gate.clone().prop_map(Step::Claim),
        3 => (gate.clone(), prop::bool::weighted(0.8)).prop_map(|(gate, really)| Step::CarryOut { gate, really }),
        3 => gate.prop_map(Step::Sync),
        3 => seat.clone().prop_map(Step::Kubelet),
        4 => seat.clone().prop_map(Step::Leaders),
        2 => prop_oneof![Just(2_u8), Just(5), Just(11), Just(60), Just(200)].prop_map(Step::Pass),
        1 => Just(Step::Crash),
        2 => Just(Step::HandOver),
        2 => Just(Step::Land),
        1 => prop::bool::ANY.prop_map(Step::Lie),
        1 => seat.clone().prop_map(Step::Person),
        1 => seat.clone().prop_map(Step::PastTheGate),
        1 => seat.prop_map(Step::Cancel),
    ]
}

/// Plays the steps, then lets everything settle; what was violated, if anything.
fn play(broken: Broken, steps: &[Step]) -> Option<String> {
    let mut world = World::new(broken);
    for step in steps {
        world.step(*step);
        if world.violation.is_some() {
            return world.violation;
        }
    }
    world.settle();
    world.violation
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_interleaving_breaks_what_must_always_hold(steps in prop::collection::vec(step(), 1..160)) {
        let violation = play(Broken::Nothing, &steps);
        prop_assert!(violation.is_none(), "{}", violation.unwrap_or_default());
    }
}

#[test]
fn a_slot_on_its_way_to_a_cancelled_departure_is_given_back() {
    let asked = Step::Try { gate: 0, seat: 1, person: false };
    let steps = [asked, Step::Turn(1), Step::Cancel(1), Step::HandOver, Step::Turn(1), Step::Do, Step::Do];
    for later in
        [&[Step::Land, Step::Pass(11)][..], &[Step::Pass(5), Step::Land, Step::Pass(5)], &[Step::Pass(11), Step::Land]]
    {
        let steps: Vec<Step> = steps.iter().chain(later).copied().chain([Step::Turn(1), Step::Turn(0)]).collect();
        assert_eq!(play(Broken::Nothing, &steps), None, "{later:?}");
    }
}

/// Whether some interleaving shows that `broken` is broken.
fn is_noticed(broken: Broken) -> Option<String> {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    let steps = prop::collection::vec(step(), 20..200);
    (0..30_000).find_map(|_| play(broken, &steps.new_tree(&mut runner).unwrap().current()))
}

/// The leader looks at a seat's drain and does all that follows; then leaders move.
fn work(seat: u8) -> [Step; 6] {
    [Step::Turn(seat), Step::Do, Step::Do, Step::Do, Step::Do, Step::Leaders(seat)]
}

/// A gate has seen every step done; then the drain is cancelled, and what was set is undone before it claims. By
/// chance that comes about too rarely to wait for.
#[test]
fn a_claim_that_is_not_conditional_is_noticed() {
    let asked = Step::Try { gate: 0, seat: 1, person: false };
    let steps = [
        vec![asked],
        work(1).repeat(6),
        vec![Step::Sync(0), asked, Step::Observe(0), Step::Cancel(1)],
        work(1).repeat(6),
        vec![Step::Claim(0), Step::CarryOut { gate: 0, really: true }],
    ]
    .concat();
    let noticed = play(Broken::ClaimUnconditional, &steps);
    assert_eq!(noticed.as_deref(), Some("1: allowed while leaders were on the store"));
    assert_eq!(play(Broken::Nothing, &steps), None);
}

/// A slot that an old process takes lands after a new one has given the same one out to a drain of its own; as
/// rare by chance.
#[test]
fn slots_that_are_not_written_conditionally_are_noticed() {
    let leave = |gate, seat| {
        let (attempt, really) = (Step::Try { gate, seat, person: false }, true);
        [Step::Sync(gate), attempt, Step::Observe(gate), Step::Claim(gate), Step::CarryOut { gate, really }]
    };
    let mut steps = vec![Step::Try { gate: 0, seat: 1, person: false }, Step::Turn(1), Step::HandOver];
    steps.push(Step::Try { gate: 1, seat: 0, person: false });
    steps.extend([work(0), work(0)].concat());
    steps.extend([Step::Land, Step::Pass(11)]);
    for _ in 0..6 {
        steps.extend([work(0), work(1)].concat());
    }
    steps.extend([leave(0, 1), leave(1, 0)].concat());
    let noticed = play(Broken::SlotsUnconditional, &steps);
    assert_eq!(noticed.as_deref(), Some("2: two pods are away by our yes"));
    assert_eq!(play(Broken::Nothing, &steps), None);
}

#[test]
fn an_intent_that_a_new_process_does_not_find_is_noticed() {
    assert!(is_noticed(Broken::IntentForgotten).is_some());
}

/// What the old process had sent lands after the new one has seen that there is nothing to undo.
#[test]
fn a_new_process_that_acts_at_once_is_noticed() {
    let steps = [
        vec![Step::Try { gate: 0, seat: 1, person: false }],
        work(1).repeat(2),
        vec![Step::Turn(1), Step::HandOver, Step::Cancel(1)],
        work(1).repeat(6),
        vec![Step::Land],
    ]
    .concat();
    let noticed = play(Broken::NoQuiet, &steps);
    assert_eq!(noticed.as_deref(), Some("3: our entry of store 1 is left behind"));
    assert_eq!(play(Broken::Nothing, &steps), None);
}

//! What must always hold of departures, under random interleavings of everything that can happen.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod promises;
mod world;

use proptest::prelude::*;
use world::{Broken, Step, World};

/// Steps, those that bring a departure on more often than those that get in its way.
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
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_interleaving_breaks_what_must_always_hold(steps in prop::collection::vec(step(), 1..160)) {
        let violation = play(Broken::Nothing, &steps);
        prop_assert!(violation.is_none(), "{}", violation.unwrap_or_default());
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

#[test]
fn a_claim_that_is_not_conditional_is_noticed() {
    assert!(is_noticed(Broken::ClaimUnconditional).is_some());
}

#[test]
fn slots_that_are_not_written_conditionally_are_noticed() {
    assert!(is_noticed(Broken::SlotsUnconditional).is_some());
}

#[test]
fn an_intent_that_a_new_process_does_not_find_is_noticed() {
    assert!(is_noticed(Broken::IntentForgotten).is_some());
}

#[test]
fn a_new_process_that_acts_at_once_is_noticed() {
    assert!(is_noticed(Broken::NoQuiet).is_some());
}

//! Random interleavings of everything that can happen, and mistakes made on purpose, which must be noticed.

use proptest::prelude::*;

use castoff::lifecycle::Caller;

use crate::world::{Broken, Step, World};

/// Steps, those that bring a drain on more often than those that get in its way.
fn step() -> impl Strategy<Value = Step> {
    let seat = 0..3_u8;
    let gate = 0..2_u8;
    prop_oneof![
        6 => seat.clone().prop_map(Step::Turn),
        12 => Just(Step::Do),
        5 => (gate.clone(), seat.clone(), caller()).prop_map(|(gate, seat, caller)| Step::Try { gate, seat, caller }),
        3 => gate.clone().prop_map(Step::Observe),
        3 => gate.clone().prop_map(Step::Claim),
        3 => (gate.clone(), prop::bool::weighted(0.8)).prop_map(|(gate, really)| Step::CarryOut { gate, really }),
        3 => gate.prop_map(Step::Sync),
        3 => seat.clone().prop_map(Step::Kubelet),
        4 => seat.clone().prop_map(Step::Leaders),
        2 => prop_oneof![Just(2_u16), Just(5), Just(11), Just(60), Just(200)].prop_map(Step::Pass),
        1 => Just(Step::Crash),
        2 => Just(Step::HandOver),
        2 => Just(Step::Land),
        1 => Just(Step::CutOff),
        1 => prop::bool::ANY.prop_map(Step::Lie),
        1 => prop::bool::ANY.prop_map(Step::Refuse),
        1 => seat.clone().prop_map(Step::Person),
        1 => seat.clone().prop_map(Step::PastTheGate),
        1 => seat.clone().prop_map(Step::Cancel),
        1 => seat.clone().prop_map(Step::Delete),
        2 => seat.clone().prop_map(Step::Flap),
        1 => seat.prop_map(Step::End),
        1 => prop_oneof![Just(Step::Renew), Just(Step::Rename)],
        1 => (0..4_u8).prop_map(Step::Edit),
        1 => prop::bool::ANY.prop_map(Step::ScaledIn),
        1 => prop::bool::ANY.prop_map(Step::Limit),
        1 => prop::bool::ANY.prop_map(Step::Owner),
        1 => prop::bool::ANY.prop_map(Step::Freeze),
        1 => prop::bool::ANY.prop_map(Step::Zoned),
    ]
}

fn caller() -> impl Strategy<Value = Caller> {
    prop_oneof![1 => Just(Caller::Person), 5 => Just(Caller::Program), 4 => Just(Caller::Owner)]
}

/// Plays the steps, then lets everything settle; what was violated, if anything.
fn play(broken: Broken, steps: &[Step]) -> Option<String> {
    [false, true].into_iter().find_map(|foreign| play_with(broken, foreign, steps))
}

/// The same, where the pods' owner is of a kind that nobody knows, or is a StatefulSet.
fn play_with(broken: Broken, foreign: bool, steps: &[Step]) -> Option<String> {
    let mut world = World::new(3, broken, foreign);
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
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_interleaving_breaks_what_must_always_hold(steps in prop::collection::vec(step(), 1..160)) {
        let violation = play_with(Broken::Nothing, false, &steps);
        prop_assert!(violation.is_none(), "{}", violation.unwrap_or_default());
    }

    #[test]
    fn none_does_where_nobody_knows_the_owners_kind(steps in prop::collection::vec(step(), 1..160)) {
        let violation = play_with(Broken::Nothing, true, &steps);
        prop_assert!(violation.is_none(), "{}", violation.unwrap_or_default());
    }
}

fn asks(gate: u8, seat: u8) -> Step {
    Step::Try { gate, seat, caller: Caller::Program }
}

#[test]
fn a_slot_on_its_way_to_a_cancelled_departure_is_given_back() {
    let asked = asks(0, 1);
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
    (0..1_000).find_map(|_| play(broken, &steps.new_tree(&mut runner).unwrap().current()))
}

/// The leader looks at a seat's drain and does all that follows; then leaders move.
fn work(seat: u8) -> [Step; 6] {
    [Step::Turn(seat), Step::Do, Step::Do, Step::Do, Step::Do, Step::Leaders(seat)]
}

/// A gate has seen every step done; then the drain is cancelled, and what was set is undone before it claims. By
/// chance that comes about too rarely to wait for.
#[test]
fn a_claim_that_is_not_conditional_is_noticed() {
    let asked = asks(0, 1);
    let steps = [
        vec![asked],
        work(1).repeat(12),
        vec![Step::Sync(0), asked, Step::Observe(0), Step::Cancel(1)],
        work(1).repeat(12),
        vec![Step::Claim(0), Step::CarryOut { gate: 0, really: true }],
    ]
    .concat();
    let noticed = play(Broken::ClaimUnconditional, &steps);
    assert_eq!(noticed.as_deref(), Some("1: allowed while leaders were on the store"));
    assert_eq!(play(Broken::Nothing, &steps), None);
}

/// A slot that an old process takes lands after a new one has given the same one out to a drain of its own. Were it not
/// for the lock, both would begin; the limit that is asked in the call that allows keeps the second all the same.
#[test]
fn two_that_began_on_one_slot_do_not_both_leave() {
    let leave = |gate, seat| {
        let really = true;
        [Step::Sync(gate), asks(gate, seat), Step::Observe(gate), Step::Claim(gate), Step::CarryOut { gate, really }]
    };
    let mut steps = vec![asks(0, 1), Step::Turn(1), Step::HandOver];
    steps.push(asks(1, 0));
    steps.extend([work(0), work(0)].concat());
    steps.extend([Step::Land, Step::Pass(11)]);
    for _ in 0..12 {
        steps.extend([work(0), work(1)].concat());
    }
    steps.extend([leave(0, 1), leave(1, 0)].concat());
    assert_eq!(play(Broken::SlotsUnconditional, &steps), None);
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
        vec![asks(0, 1)],
        work(1).repeat(2),
        vec![Step::Turn(1), Step::HandOver, Step::Cancel(1)],
        work(1).repeat(12),
        vec![Step::Land],
    ]
    .concat();
    let noticed = play(Broken::NoQuiet, &steps);
    assert_eq!(noticed.as_deref(), Some("3: our entry of store 1 is left behind"));
    assert_eq!(play(Broken::Nothing, &steps), None);
}

/// What the old leader had sent lands after the new one, whose copies were behind, has heard of the drain at last, and has
/// seen that there is nothing to undo.
#[test]
fn a_new_leader_that_is_not_quiet_about_what_it_hears_of_late_is_noticed() {
    let act = |broken| {
        let mut world = World::new(2, broken, false);
        world.let_leader_lag();
        let mut play = |steps: &[Step]| steps.iter().for_each(|step| world.step(*step));
        let works = [Step::SyncLeader, Step::Turn(1), Step::Do, Step::Do, Step::Do];
        play(&[asks(0, 1)]);
        play(&works.repeat(2));
        play(&[Step::Turn(1), Step::HandOver, Step::Cancel(1)]);
        play(&works.repeat(12));
        play(&[Step::Land, Step::SyncLeader]);
        world.settle();
        world.violation
    };
    let noticed = act(Broken::QuietOnlyAtFirst);
    assert_eq!(noticed.as_deref(), Some("3: our entry of store 1 is left behind"));
    assert_eq!(act(Broken::Nothing), None);
}

/// A gate that has seen every step done, up to its claim.
fn claims(gate: u8, seat: u8) -> [Step; 4] {
    [Step::Sync(gate), asks(gate, seat), Step::Observe(gate), Step::Claim(gate)]
}

/// One pod is prepared; then another is no longer Ready.
#[test]
fn a_limit_that_is_asked_only_once_is_noticed() {
    let asked = vec![asks(0, 1)];
    let steps = [asked, work(1).repeat(12), vec![Step::Flap(0)], claims(0, 1).to_vec()].concat();
    let noticed = play(Broken::LimitAskedOnlyOnce, &steps);
    assert_eq!(noticed.as_deref(), Some("2: allowed while others are away"));
    assert_eq!(play(Broken::Nothing, &steps), None);
}

/// One pod is prepared; then the policy is made anew, and another pod asked for.
#[test]
fn places_that_follow_from_the_list_alone_are_noticed() {
    let asked = |seat| vec![asks(0, seat)];
    let steps = [
        asked(1),
        work(1).repeat(12),
        vec![Step::Renew],
        asked(0),
        work(0).repeat(12),
        claims(0, 1).to_vec(),
        claims(1, 0).to_vec(),
    ]
    .concat();
    let noticed = play(Broken::SlotsFromListOnly, &steps);
    assert_eq!(noticed.as_deref(), Some("2: allowed while others are away"));
    assert_eq!(play(Broken::Nothing, &steps), None);
}

#[test]
fn a_hole_that_is_told_by_the_owners_kind_is_noticed() {
    assert!(is_noticed(Broken::HoleByKind).is_some());
}

/// A pod that is prepared in two steps leaves; its replacement is not Ready and is to go too, by other steps.
#[test]
fn a_takeover_by_the_places_of_steps_is_noticed() {
    let steps = [
        vec![asks(0, 1)],
        work(1).repeat(12),
        claims(0, 1).to_vec(),
        vec![Step::CarryOut { gate: 0, really: true }],
        vec![Step::Kubelet(1), Step::Kubelet(1), Step::Kubelet(1), Step::Flap(1), Step::Edit(2), asks(0, 1)],
        work(1).repeat(12),
    ]
    .concat();
    let noticed = play(Broken::TakeoverByPlace, &steps);
    assert_eq!(noticed.as_deref(), Some("3: our entry of store 1 is left behind"));
    assert_eq!(play(Broken::Nothing, &steps), None);
}

/// A pod is prepared to go for good; then its owner can't be read.
#[test]
fn an_owner_that_can_not_be_read_taken_for_content_is_noticed() {
    let steps = [
        vec![Step::ScaledIn(true), Step::Try { gate: 0, seat: 2, caller: Caller::Owner }],
        work(2).repeat(12),
        vec![Step::Owner(false)],
        work(2).to_vec(),
    ]
    .concat();
    let noticed = play_with(Broken::UnknownIsDefault, false, &steps);
    assert_eq!(noticed.as_deref(), Some("undone though the owner's wish has not changed"));
    assert_eq!(play(Broken::Nothing, &steps), None);
}

#[test]
fn a_deletion_that_changes_nothing_is_noticed() {
    let steps = [vec![asks(0, 1)], work(1).repeat(12), vec![Step::Delete(1)]].concat();
    let noticed = play(Broken::DeleteChangesNothing, &steps);
    assert_eq!(noticed.as_deref(), Some("a PodDrain that was deleted two minutes ago is still there"));
    assert_eq!(play(Broken::Nothing, &steps), None);
}

/// A PodDrain was deleted so long ago that it is written down as over before its slot is given back; the process ends in
/// between.
#[test]
fn a_slot_that_a_process_was_about_to_give_back_is_given_back_by_the_next() {
    let by_a_person = |seat| Step::Try { gate: 0, seat, caller: Caller::Person };
    let steps = [
        vec![by_a_person(0), Step::Delete(0), Step::Turn(0), by_a_person(2), Step::Flap(2), Step::Pass(60)],
        vec![Step::Edit(0), Step::Do, Step::Do, Step::Turn(2), Step::Do, Step::Turn(0), Step::Do, Step::Crash],
    ]
    .concat();
    assert_eq!(play(Broken::Nothing, &steps), None);
}

#[test]
fn a_leader_that_goes_on_while_a_policy_is_frozen_is_noticed() {
    let steps = [vec![asks(0, 1), Step::Freeze(true)], work(1).repeat(2)].concat();
    let noticed = play(Broken::FreezeOfGatesOnly, &steps);
    assert_eq!(noticed.as_deref(), Some("begun, or called prepared, while the policy is frozen"));
    assert_eq!(play(Broken::Nothing, &steps), None);
}

/// A pod of one zone leaves while one of another does.
#[test]
fn pods_taken_for_pods_of_one_zone_are_noticed() {
    let steps = [
        vec![Step::Zoned(true), asks(0, 0), asks(0, 2)],
        [work(0), work(2)].concat().repeat(12),
        claims(0, 0).to_vec(),
        vec![Step::CarryOut { gate: 0, really: true }],
        claims(0, 2).to_vec(),
    ]
    .concat();
    let noticed = play(Broken::OneZoneForAll, &steps);
    assert_eq!(noticed.as_deref(), Some("2: allowed while others are away in another zone"));
    assert_eq!(play(Broken::Nothing, &steps), None);
}

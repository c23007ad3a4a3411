//! The arrows of the diagram and the rules along them, one by one.

use std::collections::BTreeMap;
use std::time::Duration;

use castoff::lifecycle::slots::{Answer, Slot, Slots};
use castoff::lifecycle::{
    Caller, Drain, Effect, Memory, Outcome, Ownership, Phase, PodSeen, PolicySeen, Settings, StepStatus, Successor,
    Turn, World, claim, look, must_be_written, reconcile,
};
use castoff::plan::{Act, Mode, Progress, Request, Round, Task, Verdict, spec::Accept};

/// A drain under test, with the leader of it.
struct Case {
    drain: Drain,
    memory: Memory,
    world: World,
}

const SECOND: Duration = Duration::from_secs(1);

fn case(phase: &str, steps: usize) -> Case {
    let step = |number| serde_json::json!({"name": format!("s{number}"), "plan": "p", "hash": "", "planSpec": {"summary": "", "done": "true"}, "parameters": {}});
    let json = serde_json::json!({
        "metadata": {"name": "db-0-a", "namespace": "n"},
        "spec": {
            "pod": {"metadata": {"name": "db-0", "namespace": "n", "uid": "a"}}, "seat": "db-0", "policy": "p",
            "steps": (0..steps).map(step).collect::<Vec<_>>(), "requester": "x", "caller": "StatefulSet",
            "limits": {"maxUnavailable": 1, "pollPeriodSeconds": 2, "progressDeadlineSeconds": 60, "abandonAfterSeconds": 600},
        },
        "status": {"phase": phase, "caller": "StatefulSet", "tries": 1, "steps": vec![serde_json::json!({}); steps]},
    });
    let drain: Drain = serde_json::from_value(json).unwrap();
    let memory = Memory::new(&drain, Duration::ZERO, Duration::ZERO);
    let world = World {
        now: Duration::ZERO,
        pod: PodSeen::Present { terminating: false, wake_mark: None },
        successor: Successor::Awaited,
        owner_wants: false,
        owner_has_enough: false,
        mode: Mode::Restart,
        slot: Answer::Held,
        rounds: BTreeMap::new(),
        predecessor: None,
        superseded: false,
        namespace_ending: false,
        policy: PolicySeen::AsBegun,
        settings: Settings {
            claim_patience: Duration::from_secs(50),
            progress_every: Duration::from_mins(1),
            completed_ttl: Duration::from_hours(1),
        },
    };
    Case { drain, memory, world }
}

impl Case {
    /// One turn, written; what it asked for.
    fn turn(&mut self) -> Vec<Effect> {
        let Turn { drain, memory, effects, .. } = reconcile(&self.drain, &self.memory, &self.world);
        (self.drain, self.memory) = (drain, memory);
        effects
    }

    fn see(&mut self, verdicts: &[Verdict]) -> Vec<Effect> {
        let round = |verdict: &Verdict| Round {
            verdict: verdict.clone(),
            member: Some("m".into()),
            progress: None,
            ours: None,
        };
        self.world.rounds = verdicts.iter().map(round).enumerate().collect();
        self.turn()
    }

    fn after(&mut self, time: Duration) -> &mut Self {
        self.world.now += time;
        self
    }

    fn phase(&self) -> Phase {
        self.drain.status.phase
    }

    fn ownership(&self) -> Vec<Ownership> {
        self.drain.status.steps.iter().map(|step| step.ownership).collect()
    }

    fn owning(mut self, steps: &[usize]) -> Self {
        for step in steps {
            self.drain.status.steps[*step].ownership = Ownership::Acted;
        }
        self
    }
}

fn act() -> Verdict {
    act_with(false, false)
}

fn act_with(background: bool, irreversible: bool) -> Verdict {
    let request = Request {
        method: "POST".into(),
        url: "http://pd/".into(),
        body: None,
        ok: Accept::None,
        timeout: 30 * SECOND,
        tls_secret: String::new(),
        auth_secret: String::new(),
    };
    Verdict::Act(Box::new(Act { index: 0, request, background, irreversible }))
}

fn blocked() -> Verdict {
    Verdict::Blocked { message: "another store is away".into() }
}

fn unknown() -> Verdict {
    Verdict::Unknown { message: "it has just started".into() }
}

fn sends(effects: &[Effect]) -> usize {
    effects.iter().filter(|effect| matches!(effect, Effect::Send(..))).count()
}

fn wakes(effects: &[Effect]) -> Vec<&str> {
    let marks = effects.iter().map(|effect| if let Effect::Wake(mark) = effect { Some(mark.as_str()) } else { None });
    marks.flatten().collect()
}

fn counts(effects: &[Effect]) -> Vec<Outcome> {
    effects
        .iter()
        .filter_map(|effect| if let Effect::Count(outcome) = effect { Some(*outcome) } else { None })
        .collect()
}

#[test]
fn a_step_is_done_only_once_it_was_seen_so_on_as_many_rounds_running_as_its_plan_wants() {
    for (rounds, needed) in [(serde_json::json!(null), 2), (serde_json::json!(4), 4), (serde_json::json!("quiet"), 5)] {
        let mut case = case("Draining", 2);
        case.drain.spec.steps[0].plan_spec.rounds = serde_json::from_value(rounds).unwrap();
        case.drain.spec.steps[0].parameters.insert("quiet".to_owned(), 5.into());
        for round in 1..needed {
            case.see(&[Verdict::Done]);
            assert_eq!(look(&case.drain, &case.memory).steps, [0], "after {round} of {needed}");
        }
        // One round that finds it busy, and counting begins anew.
        case.see(&[Verdict::Waiting]);
        for _ in 0..needed {
            assert_eq!(look(&case.drain, &case.memory).steps, [0], "of {needed}");
            case.see(&[Verdict::Done]);
        }
        assert_eq!(look(&case.drain, &case.memory).steps, [0, 1], "after {needed}");
        case.see(&[Verdict::Done, Verdict::Done]);
        assert_eq!(case.phase(), Phase::Draining);
        case.see(&[Verdict::Done, Verdict::Done]);
        assert_eq!(case.phase(), Phase::Drained);
    }
}

#[test]
fn a_slot_is_taken_before_anything_is_prepared() {
    let mut case = case("Queued", 1);
    let slots = Slots { departing: vec![Slot { seat: "db-0".into(), drain: "db-0-a".into() }] };
    case.world.slot = Answer::Take(slots.clone());
    assert_eq!(case.see(&[act()]), [Effect::TakeSlot(slots)]);
    assert_eq!((case.phase(), case.ownership()), (Phase::Queued, vec![Ownership::None]));
    case.world.slot = Answer::Held;
    assert_eq!(sends(&case.see(&[act()])), 0, "the intent is written before the act");
    assert_eq!((case.phase(), case.ownership()), (Phase::Draining, vec![Ownership::Intent]));
    assert_eq!(sends(&case.see(&[act()])), 1);
}

#[test]
fn what_waits_for_a_slot_says_for_whom() {
    let mut case = case("Queued", 1);
    case.world.slot = Answer::Wait(vec!["db-2".into()]);
    case.see(&[act()]);
    assert_eq!(case.drain.status.message, "waits for db-2 (maxUnavailable 1)");
    assert_eq!(case.phase(), Phase::Queued);
}

#[test]
fn the_backends_no_is_asked_for_before_a_slot_is_taken_and_gives_one_back() {
    let mut case = case("Queued", 2);
    case.world.slot = Answer::Take(Slots::default());
    let effects = case.see(&[act(), blocked()]);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::TakeSlot(_))), "{effects:?}");
    assert!(case.drain.status.blocked);
    case.world.slot = Answer::Held;
    assert!(case.see(&[act(), blocked()]).contains(&Effect::GiveSlot));
}

#[test]
fn a_departure_that_is_blocked_goes_back_to_the_queue_only_if_it_owns_nothing() {
    let mut nothing = case("Draining", 1);
    nothing.see(&[blocked()]);
    assert_eq!(nothing.phase(), Phase::Queued);
    let mut something = case("Draining", 2).owning(&[0]);
    something.see(&[blocked()]);
    assert!(something.phase() == Phase::Draining && something.drain.status.blocked);
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
    found.memory = Memory::new(&found.drain, Duration::ZERO, Duration::ZERO);
    found.see(&[Verdict::Done]);
    assert_eq!(found.ownership(), [Ownership::Acted]);
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
    assert_eq!(look(&case.drain, &case.memory).steps, [0]);
    case.see(&[Verdict::Done]);
    case.see(&[Verdict::Done]);
    assert_eq!(look(&case.drain, &case.memory).steps, [0, 1]);
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
    assert!(case.drain.status.message.contains("can't be undone"));
    case.drain.status.mode = Mode::Removal;
    case.world.mode = Mode::Removal;
    case.world.owner_wants = true;
    assert_eq!(sends(&case.see(&[act_with(false, true)])), 1);
}

#[test]
fn a_retrying_controller_is_woken_with_the_same_mark_until_it_is_there() {
    let mut case = case("Drained", 1);
    case.drain.status.cycle = 3;
    assert_eq!(wakes(&case.see(&[Verdict::Done])), ["a.3"]);
    case.memory = Memory::new(&case.drain, Duration::ZERO, Duration::ZERO);
    assert_eq!(wakes(&case.see(&[Verdict::Done])), ["a.3"], "after a crash the same");
    case.world.pod = PodSeen::Present { terminating: false, wake_mark: Some("a.3".into()) };
    assert!(wakes(&case.see(&[Verdict::Done])).is_empty());
}

#[test]
fn nobody_is_woken_who_would_not_try_or_whom_the_gate_would_deny() {
    for caller in [Caller::Person, Caller::Eviction, Caller::Scheduler, Caller::GarbageCollector] {
        let mut case = case("Drained", 1);
        case.drain.status.caller = caller;
        assert!(wakes(&case.see(&[Verdict::Done])).is_empty(), "{caller:?}");
    }
    assert!(wakes(&case("Drained", 1).see(&[unknown()])).is_empty());
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
fn only_prepared_and_allowed_departures_can_be_claimed() {
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
}

#[test]
fn an_allow_that_is_not_carried_out_is_prepared_again_and_wakes_once_more_the_first_time() {
    let mut case = case("Drained", 1);
    case.drain = claim::claimed(case.drain.clone());
    case.after(SECOND).turn();
    case.after(49 * SECOND).turn();
    assert_eq!(case.phase(), Phase::Departing);
    case.after(SECOND).turn();
    assert_eq!((case.phase(), case.drain.status.cycle), (Phase::Drained, 1));
    case.drain = claim::claimed(case.drain.clone());
    case.after(SECOND).turn();
    case.after(50 * SECOND).turn();
    assert_eq!((case.phase(), case.drain.status.cycle), (Phase::Drained, 1));
}

#[test]
fn a_pod_that_goes_by_any_path_takes_its_departure_along_and_is_counted_once() {
    for gone in [PodSeen::Gone, PodSeen::Present { terminating: true, wake_mark: None }] {
        for phase in ["Draining", "Drained"] {
            let mut case = case(phase, 1).owning(&[0]);
            case.world.pod = gone.clone();
            assert_eq!(counts(&case.turn()), [Outcome::Unprepared]);
            assert_eq!(case.phase(), Phase::Departing);
            assert!(counts(&case.turn()).is_empty());
        }
    }
    let mut queued = case("Queued", 1);
    queued.world.pod = PodSeen::Gone;
    queued.world.slot = Answer::Wait(vec![]);
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
        case.world.successor = Successor::Ready;
        let later = counts(&case.turn());
        assert_eq!((later.is_empty(), case.drain.status.outcome), (outcome != Outcome::Prepared, Some(outcome)));
        assert!(case.drain.status.left);
    }
}

#[test]
fn a_departed_pod_is_restored_once_another_is_ready_or_none_is_to_come() {
    for (successor, expected) in [
        (Successor::Awaited, Phase::Departing),
        (Successor::Ready, Phase::Restoring),
        (Successor::NoneToCome, Phase::Restoring),
    ] {
        let mut case = case("Departing", 1);
        case.world.pod = PodSeen::Gone;
        case.world.successor = successor;
        case.turn();
        assert_eq!(case.phase(), expected);
    }
}

#[test]
fn only_what_is_owned_is_restored_the_last_step_first_and_seen_twice() {
    let mut case = case("Restoring", 3).owning(&[0, 2]);
    let wanted = look(&case.drain, &case.memory);
    assert_eq!((wanted.task, wanted.steps), (Task::Restore, vec![2]));
    case.world.rounds = [(2, Round { verdict: act(), member: None, progress: None, ours: None })].into();
    assert_eq!(sends(&case.turn()), 1);
    let done = Round { verdict: Verdict::Done, member: None, progress: None, ours: None };
    case.world.rounds = [(2, done.clone())].into();
    case.turn();
    assert_eq!(case.ownership()[2], Ownership::Acted);
    case.turn();
    assert_eq!(case.ownership(), [Ownership::Acted, Ownership::None, Ownership::None]);
    assert_eq!(look(&case.drain, &case.memory).steps, [0]);
}

#[test]
fn nothing_is_concluded_from_a_backend_that_lies() {
    let mut case = case("Restoring", 1).owning(&[0]);
    for _ in 0..5 {
        assert_eq!(sends(&case.see(&[unknown()])), 0);
    }
    assert_eq!((case.phase(), case.ownership()), (Phase::Restoring, vec![Ownership::Acted]));
    assert_eq!(case.drain.status.message, "it has just started");
}

#[test]
fn the_slot_is_given_back_before_the_departure_is_over() {
    let mut case = case("Restoring", 1);
    assert_eq!(case.turn(), [Effect::GiveSlot]);
    assert_eq!(case.phase(), Phase::Restoring);
    case.world.slot = Answer::Wait(vec![]);
    case.turn();
    assert_eq!(case.phase(), Phase::Completed);
}

#[test]
fn what_was_restored_last_is_written_with_the_end_and_after_the_slot_is_given_back() {
    let mut case = case("Restoring", 1).owning(&[0]);
    case.see(&[Verdict::Done]);
    assert_eq!(case.see(&[Verdict::Done]), [Effect::GiveSlot]);
    assert_eq!((case.phase(), case.ownership()), (Phase::Restoring, vec![Ownership::Acted]), "nothing to write yet");
    case.world.slot = Answer::Wait(vec![]);
    let told = case.see(&[Verdict::Done]);
    assert!(matches!(&told[..], [Effect::Tell(event)] if event.reason == "Restored"), "{told:?}");
    assert_eq!((case.phase(), case.ownership()), (Phase::Completed, vec![Ownership::None]));
}

#[test]
fn that_an_intent_was_acted_on_is_no_reason_to_write() {
    let mut before = case("Draining", 1).drain;
    before.status.steps[0].ownership = Ownership::Intent;
    let mut after = before.clone();
    after.status.steps[0].ownership = Ownership::Acted;
    assert!(!must_be_written(&before, &after));
    after.status.phase = Phase::Drained;
    assert!(must_be_written(&before, &after));
    after = before.clone();
    after.status.steps[0].ownership = Ownership::None;
    assert!(must_be_written(&before, &after), "that it is not ours is");
}

#[test]
fn an_act_that_was_cut_off_may_land_late_and_holds_up_its_repeat_and_its_restore() {
    let mut case = case("Draining", 1).owning(&[0]);
    assert_eq!(sends(&case.see(&[act()])), 1);
    case.memory.cut_off(0, case.world.now);
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
fn a_backend_that_fails_from_the_start_is_called_stalled_while_the_departure_waits_in_the_queue() {
    let failed = || Verdict::Failed { message: "http://pd/ does not answer".into(), detail: String::new() };
    let mut case = case("Queued", 1);
    case.see(&[failed()]);
    let effects = case.after(60 * SECOND).see(&[failed()]);
    assert!(
        matches!(&effects[..], [Effect::Tell(event), Effect::GiveSlot] if event.reason == "DrainStalled"),
        "{effects:?}"
    );
    assert!(case.drain.status.stalled && case.phase() == Phase::Queued);
    assert!(case.after(SECOND).see(&[failed()]).iter().all(|effect| !matches!(effect, Effect::Tell(_))), "told once");
    case.see(&[blocked()]);
    assert!(!case.drain.status.stalled, "a plan that says \"not now\" is obeyed");
    case.see(&[failed()]);
    case.after(60 * SECOND).see(&[failed()]);
    case.world.slot = Answer::Wait(vec![]);
    case.see(&[act()]);
    assert!(!case.drain.status.stalled, "it waits for another pod");
}

#[test]
fn a_controller_that_is_to_be_woken_is_woken_although_a_person_asked_after_it() {
    let mut case = case("Drained", 1);
    let tried = claim::tried(&case.drain, Caller::Person, Duration::MAX, Duration::ZERO).unwrap();
    case.drain = tried;
    assert_eq!(wakes(&case.see(&[Verdict::Done])).len(), 1);
    let mut other_way_round = case.drain.clone();
    other_way_round.status.caller = Caller::Person;
    let tried = claim::tried(&other_way_round, Caller::DaemonSet, Duration::ZERO, Duration::ZERO).unwrap();
    assert_eq!(tried.status.caller, Caller::DaemonSet, "written at once");
    let two_drains = claim::tried(&other_way_round, Caller::Eviction, Duration::ZERO, Duration::ZERO);
    assert_eq!(two_drains, None, "whichever of the two asked makes no difference, so it is not written each time");
}

#[test]
fn a_departure_that_nobody_asks_for_is_given_up_but_not_while_its_owner_wants_it() {
    let mut wanted = case("Drained", 1);
    wanted.drain.status.caller = Caller::Person;
    wanted.world.owner_wants = true;
    wanted.after(Duration::from_hours(10)).see(&[Verdict::Done]);
    assert_eq!(wanted.phase(), Phase::Drained);
    wanted.world.owner_wants = false;
    wanted.see(&[Verdict::Done]);
    assert_eq!(wanted.phase(), Phase::Restoring);
    let mut early = case("Drained", 1);
    early.after(600 * SECOND).see(&[Verdict::Done]);
    assert_eq!(early.phase(), Phase::Drained);
}

/// When a workload controller tries, in seconds, left alone: measured on a real control plane up to 328 s.
const TRIES: [f64; 19] =
    [0.0, 0.02, 0.04, 0.07, 0.12, 0.21, 0.38, 0.71, 1.4, 2.6, 5.2, 10.4, 20.6, 41.0, 82.0, 164.0, 328.0, 656.0, 1312.0];

#[test]
fn a_pod_that_its_owner_keeps_after_all_is_given_up_at_once_but_not_one_that_somebody_else_asked_for() {
    for phase in ["Queued", "Draining", "Drained"] {
        for (caller, kept) in [(Caller::ReplicaSet, true), (Caller::Job, true), (Caller::Eviction, false)] {
            let mut case = case(phase, 1);
            (case.drain.status.caller, case.world.owner_has_enough) = (caller, true);
            case.see(&[Verdict::Done]);
            assert_eq!(case.phase() == Phase::Restoring, kept, "{phase}, asked for by {caller:?}");
            case.world.owner_has_enough = false;
        }
    }
}

#[test]
fn a_policy_that_changes_or_vanishes_is_told_once_and_changes_nothing() {
    for seen in [PolicySeen::Changed, PolicySeen::Gone] {
        let mut case = case("Draining", 1).owning(&[0]);
        case.world.policy = seen;
        let told = case.see(&[Verdict::Waiting]);
        assert!(matches!(&told[..], [Effect::Tell(event)] if event.reason == "PolicyChanged"), "{told:?}");
        assert_eq!(case.see(&[Verdict::Waiting]), []);
        assert_eq!(case.phase(), Phase::Draining);
    }
}

#[test]
fn a_preparation_of_forty_minutes_is_not_given_up_between_a_controllers_tries() {
    for caller in [Caller::StatefulSet, Caller::Job, Caller::GarbageCollector] {
        // Nothing but its tries shows that the pod is to go; and the leader changes in the longest gap.
        for new_leader_at in [None, Some(700), Some(1311), Some(2000)] {
            let mut case = case("Draining", 1).owning(&[0]);
            case.drain.spec.limits.abandon_after_seconds = 60;
            let (mut tries, mut written) = (TRIES.iter().copied().chain([2312.0]).peekable(), None);
            for second in 0..2400_u32 {
                while let Some(at) = tries.next_if(|at| *at <= f64::from(second)) {
                    let now = Duration::from_secs_f64(at);
                    let last = written.map_or(Duration::MAX, |written: Duration| now.saturating_sub(written));
                    if let Some(tried) = claim::tried(&case.drain, caller, last, now) {
                        (case.drain, written) = (tried, Some(now));
                    }
                }
                if new_leader_at == Some(second) {
                    case.memory = Memory::new(&case.drain, case.world.now, 10 * SECOND);
                }
                case.after(SECOND).see(&[Verdict::Waiting]);
                assert_eq!(case.phase(), Phase::Draining, "{caller:?}: given up after {second} s");
            }
        }
    }
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
fn a_pod_that_is_tried_again_begins_anew_in_a_cycle_of_its_own() {
    let mut before = case("Completed", 1).owning(&[0]).drain;
    (before.status.cycle, before.spec.cancel) = (4, true);
    let anew = claim::begun_anew(before, Caller::Person);
    assert_eq!((anew.status.phase, anew.status.cycle, anew.spec.cancel), (Phase::Queued, 5, false));
    assert_eq!(anew.status.steps, [StepStatus::default()]);
}

#[test]
fn a_replacement_that_never_gets_ready_takes_over_seat_member_and_ownership() {
    let mut before = case("Departing", 1).owning(&[0]);
    before.drain.metadata.name = "db-0-before".into();
    before.drain.status.steps[0].member = Some("store 4".into());
    let mut case = case("Queued", 1);
    case.world.predecessor = Some(Box::new(before.drain.clone()));
    case.see(&[Verdict::Waiting]);
    assert_eq!(case.drain.status.predecessor.as_deref(), Some("db-0-before"));
    assert_eq!(case.drain.status.steps, before.drain.status.steps);
    before.world.superseded = true;
    before.world.pod = PodSeen::Gone;
    before.turn();
    assert_eq!((before.phase(), before.ownership()), (Phase::Completed, vec![Ownership::None]));
}

#[test]
fn no_progress_is_called_stalled_and_a_fall_ends_it() {
    let mut case = case("Draining", 1).owning(&[0]);
    let left = |remaining| Round {
        verdict: Verdict::Waiting,
        member: Some("m".into()),
        progress: Some(Progress { remaining, unit: "leaders".into() }),
        ours: None,
    };
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
        let progress = Some(Progress { remaining, unit: "leaders".into() });
        case.world.rounds =
            [(0, Round { verdict: Verdict::Waiting, member: Some("m".into()), progress, ours: None })].into();
        let before = case.drain.clone();
        case.after(2 * SECOND).turn();
        writes += usize::from(before != case.drain);
    }
    assert_eq!(writes, 2, "in two minutes");
}

#[test]
fn a_new_process_says_nothing_outward_while_the_old_one_may_still_be_heard() {
    for (phase, verdict) in [("Draining", act()), ("Drained", Verdict::Done), ("Restoring", act())] {
        let mut case = case(phase, 1).owning(&[0]);
        case.memory = Memory::new(&case.drain, Duration::ZERO, 10 * SECOND);
        assert!(case.see(std::slice::from_ref(&verdict)).is_empty(), "{phase}");
        assert!(!case.after(10 * SECOND).see(&[verdict]).is_empty(), "{phase}");
    }
}

#[test]
fn a_slot_that_was_on_its_way_when_the_process_changed_is_waited_for() {
    let mut case = case("Queued", 1);
    case.memory = Memory::new(&case.drain, Duration::ZERO, 10 * SECOND);
    case.world.pod = PodSeen::Gone;
    case.world.slot = Answer::Take(Slots::default());
    case.turn();
    assert_eq!(case.phase(), Phase::Queued);
    case.world.slot = Answer::Held;
    case.turn();
    assert_eq!(case.phase(), Phase::Departing, "the slot is given back on the way");
}

#[test]
fn a_phase_that_a_newer_version_wrote_is_left_alone() {
    let mut case = case("Pondering", 1);
    assert_eq!(case.phase(), Phase::Unknown);
    let before = case.drain.clone();
    assert!(case.see(&[act()]).is_empty());
    assert_eq!(case.drain, before);
}

#![allow(clippy::unwrap_used)]
mod zones;

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::facts::{OwnerFacts, OwnerKind, read};
use crate::lifecycle::Phase;
use crate::policy::NoPlans;

fn policy(name: &str, more: &serde_json::Value) -> Policy {
    let mut spec = json!({"selector": {"matchLabels": {"app": "db"}}, "steps": []});
    spec.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    Policy::new("n", name, serde_json::from_value(spec).unwrap(), &NoPlans)
}

fn pod_of(kind: &str, owner: &str, name: &str, node: &str, ready: bool) -> Arc<Pod<'static>> {
    let pod = json!({
        "metadata": {"name": name, "namespace": "n", "uid": format!("uid-of-{name}"), "labels": {"app": "db"},
            "ownerReferences": [{"kind": kind, "name": owner, "uid": owner, "controller": true}]},
        "spec": {"nodeName": node},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]},
    });
    Arc::new(crate::pod::deserialize_owned(&pod).unwrap())
}

/// Pods of the StatefulSet `db`, on nodes of the same numbers.
fn pods(ready: &[bool]) -> Vec<Arc<Pod<'static>>> {
    let pod = |(number, ready): (usize, &bool)| {
        pod_of("StatefulSet", "db", &format!("db-{number}"), &format!("n{number}"), *ready)
    };
    ready.iter().enumerate().map(pod).collect()
}

fn set(replicas: u32) -> OwnerSeen {
    read::owner(&json!({"kind": "StatefulSet", "metadata": {}, "spec": {"replicas": replicas}})).unwrap()
}

fn counted(wanted: u32) -> OwnerSeen {
    OwnerSeen::Known(OwnerFacts { wanted: Some(wanted), ..OwnerFacts::default() })
}

fn agents(wanted: u32) -> OwnerSeen {
    let kind = OwnerKind::DaemonSet { rolls: true, revision: None };
    OwnerSeen::Known(OwnerFacts { wanted: Some(wanted), observed: true, kind })
}

fn drain(pod: &Pod<'static>, phase: Phase) -> Arc<Drain> {
    let mut drain = Drain::new(pod, "p", "someone").following(Some(&Arc::new(pod.clone())), None);
    drain.status.phase = phase;
    Arc::new(drain)
}

fn owned((key, value): (&str, &str)) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

/// What is to be seen around a policy.
struct Scene {
    policy: Policy,
    pods: Vec<Arc<Pod<'static>>>,
    owners: BTreeMap<String, OwnerSeen>,
    drains: Vec<Arc<Drain>>,
    slots: Slots,
}

fn scene(limit: impl Into<serde_json::Value>, pods: Vec<Arc<Pod<'static>>>, owner: OwnerSeen) -> Scene {
    let policy = policy("p", &json!({"maxUnavailable": limit.into()}));
    let name = pods[0].controller().unwrap().uid.to_string();
    Scene { policy, pods, owners: [(name, owner)].into(), drains: Vec::new(), slots: Slots::default() }
}

impl Scene {
    fn and(mut self, pod: usize, phase: Phase) -> Self {
        self.drains.push(drain(&self.pods[pod], phase));
        self
    }

    fn within<T>(&self, ask: impl FnOnce(&Neighbourhood<'_>) -> T) -> T {
        let labels = |node: &str| match node {
            "n0" => Some([("canary", "yes"), ("zone", "a")].map(owned).into()),
            "n1" => Some([("zone", "a")].map(owned).into()),
            "unknown" => None,
            _ => Some([("zone", "b")].map(owned).into()),
        };
        ask(&Neighbourhood {
            policy: &self.policy,
            pods: &self.pods,
            owners: &self.owners,
            drains: &self.drains,
            slots: &self.slots,
            node_labels: &labels,
        })
    }

    /// Why a drain of the pod of this number, which is there or else only waits, may not go.
    fn why_not(&self, pod: usize) -> Option<String> {
        let pod = &self.pods[pod];
        let known = self.drains.iter().find(|drain| *drain.pod_uid() == *pod.metadata.uid.as_str()).cloned();
        let drain = known.unwrap_or_else(|| drain(pod, Phase::Queued));
        Some(self.why(&drain)?.message)
    }

    fn why(&self, drain: &Drain) -> Option<Explanation> {
        self.within(|all| all.why_not(drain))
    }

    fn ask(&self, pod: usize, predecessor: Option<&str>, over: &[String]) -> Room {
        let waiting = drain(&self.pods[pod], Phase::Queued);
        self.within(|all| all.ask(&waiting, predecessor, over))
    }
}

#[allow(clippy::unnecessary_wraps)] // As `why_not` answers.
fn waits_for(whom: &str) -> Option<String> {
    Some(format!("waits for {whom} (maxUnavailable 1)"))
}

fn slot(seat: &str, drain: &str) -> Slot {
    Slot { seat: seat.to_owned(), drain: drain.to_owned() }
}

/// The same as it is told of one that waits for this pod alone.
fn waiting_for(whom: &str) -> Explanation {
    Explanation::from(waits_for(whom).unwrap()).waiting_for([whom])
}

fn seats(room: &Room) -> Vec<&str> {
    let Room::Take(slots) = room else { return vec![] };
    slots.departing.iter().map(|slot| slot.seat.as_str()).collect()
}

#[test]
fn whom_one_waits_for_stands_beside_the_sentence() {
    let named = |scene: &Scene, pod: usize| {
        let drain = drain(&scene.pods[pod], Phase::Queued);
        scene.why(&drain).unwrap().awaited.pods
    };
    let of_two = scene(2, pods(&[true, false, true, true]), set(4)).and(2, Phase::Departing);
    assert_eq!(of_two.why_not(0).unwrap(), "waits for db-2 and db-1, which is not Ready (maxUnavailable 2)");
    assert_eq!(named(&of_two, 0), ["db-2", "db-1"]);
    let of_unnamed = scene(1, pods(&[true]), counted(3));
    assert!(of_unnamed.why_not(0).unwrap().contains("missing") && named(&of_unnamed, 0).is_empty());
}

#[test]
fn a_peer_that_is_not_ready_counts_and_a_pod_that_is_not_ready_itself_may_go() {
    let scene = scene(1, pods(&[true, true, false]), set(3));
    assert_eq!(scene.why_not(0), waits_for("db-2, which is not Ready"));
    assert_eq!(scene.why_not(2), None, "it is away already");
}

#[test]
fn drains_that_hold_a_place_count_and_others_do_not() {
    for (phase, counts) in [
        (Phase::Queued, false),
        (Phase::Draining, true),
        (Phase::Drained, true),
        (Phase::Departing, true),
        (Phase::Restoring, true),
        (Phase::Completed, false),
        (Phase::Unknown, false),
    ] {
        let scene = scene(1, pods(&[true; 3]), set(3)).and(1, phase);
        assert_eq!(scene.why_not(0), counts.then(|| waits_for("db-1")).flatten(), "{phase}");
    }
}

#[test]
fn one_that_has_taken_its_slot_and_is_about_to_begin_counts() {
    let mut scene = scene(1, pods(&[true; 3]), set(3)).and(1, Phase::Queued);
    scene.slots.departing.push(slot("db-1", &scene.drains[0].metadata.name));
    assert_eq!(scene.why_not(0), waits_for("db-1"));
    assert_eq!(scene.within(|all| all.ask(&scene.drains[0], None, &[])), Room::Held);
}

#[test]
fn a_drain_counts_for_every_policy_that_selects_its_pod_whichever_it_began_under() {
    let mut scene = scene(1, pods(&[true; 3]), set(3)).and(1, Phase::Drained);
    scene.policy = policy("new", &json!({}));
    assert_eq!(scene.why_not(0), waits_for("db-1"));
    scene.policy = policy("another", &json!({"ordinals": "2-"}));
    assert_eq!(scene.why_not(2), None, "that selects neither of the two");
    scene.policy = policy("p", &json!({"ordinals": "2-"}));
    assert_eq!(scene.why_not(2), waits_for("db-1"), "it began under this one, which was narrowed since");
}

#[test]
fn a_policy_that_was_made_anew_counts_open_drains_and_lists_them_with_the_next() {
    let mut scene = scene(1, pods(&[true; 3]), set(3)).and(1, Phase::Draining);
    assert_eq!(scene.ask(0, None, &[]), Room::Wait(waiting_for("db-1")));
    scene.policy = policy("p", &json!({"maxUnavailable": 2}));
    assert_eq!(seats(&scene.ask(0, None, &[])), ["db-1", "db-0"]);
}

#[test]
fn an_entry_of_a_drain_that_is_over_is_dropped_with_the_next_that_is_taken() {
    let mut scene = scene(1, pods(&[true; 3]), set(3));
    scene.slots.departing = vec![slot("db-1", "gone")];
    let dropped = Scene { slots: scene.slots.mended(&["gone".to_owned()], std::iter::empty()), ..scene };
    assert_eq!(seats(&dropped.ask(0, None, &["gone".to_owned()])), ["db-0"]);
}

#[test]
fn an_entry_whose_drain_is_not_seen_yet_is_a_place_that_is_taken() {
    let mut scene = scene(1, pods(&[true; 3]), set(3)).and(2, Phase::Drained);
    scene.slots.departing = vec![slot("db-1", "made-a-moment-ago"), slot("db-2", "db-2-uidofdb2")];
    assert_eq!(scene.why_not(0), waits_for("db-1 and db-2"));
    assert_eq!(scene.why_not(2), None, "an entry that nobody cleans up holds up none that has its place");
}

#[test]
fn pods_that_are_missing_are_counted_and_one_of_them_is_named() {
    let two = |replicas| scene(1, pods(&[true, true]), set(replicas)).why_not(0);
    assert_eq!((two(2), two(3)), (None, waits_for("db-2, which is not Ready")));
    assert_eq!(two(2_000_000_000), waits_for("db-2, which is not Ready and others"));
}

#[test]
fn ordinals_far_away_are_counted_without_being_looked_for() {
    let mut scene = scene(1, pods(&[true; 2]), set(2_000_000_000));
    scene.policy = policy("p", &json!({"ordinals": "0-1,1900000000-"}));
    assert_eq!(scene.why_not(0), waits_for("pods that are missing or not Ready"));
    scene.policy = policy("p", &json!({"ordinals": "0-1"}));
    assert_eq!(scene.why_not(0), None);
}

#[test]
fn a_pod_of_a_replicaset_that_has_left_counts_once() {
    let pods = ["a", "b"].map(|name| pod_of("ReplicaSet", "web", name, "n1", true)).to_vec();
    let left = pod_of("ReplicaSet", "web", "c", "n1", true);
    let of = |limit: u32| {
        let mut scene = scene(limit, pods.clone(), counted(3));
        scene.drains.push(drain(&left, Phase::Departing));
        scene.why_not(0)
    };
    assert_eq!(of(1), waits_for("pods that are missing or not Ready"));
    assert_eq!(of(2), None, "missed by its owner, and by its drain: one pod");
    let prepared = scene(1, pods.clone(), counted(2)).and(1, Phase::Drained);
    assert_eq!(prepared.why_not(0), waits_for("b"), "one that still serves is missed by nobody yet");
}

#[test]
fn an_agents_place_is_its_node_and_its_set() {
    let on = |set: &str, node: &str, ready| pod_of("DaemonSet", set, &format!("{set}-{node}"), node, ready);
    let of = |pods: Vec<Arc<Pod<'static>>>, wanted| scene(1, pods, agents(wanted)).why_not(0);
    assert_eq!(of(vec![on("shm", "n1", true), on("shm", "n2", true)], 2), None);
    let down = vec![on("shm", "n1", true), on("shm", "n2", false)];
    assert_eq!(of(down, 2), waits_for("shm on n2, which is not Ready"));
    let other_set = vec![on("shm", "n1", true), on("log", "n1", false)];
    assert_eq!(of(other_set, 1), waits_for("log on n1, which is not Ready"));
    assert_eq!(of(vec![on("shm", "n1", true)], 2), waits_for("pods that are missing or not Ready"));
}

#[test]
fn per_cent_are_of_the_pods_that_there_should_be() {
    let of = |limit: &str, ready: &[bool], replicas| scene(limit, pods(ready), set(replicas)).why_not(0).is_none();
    assert!(of("50%", &[true, true, true, false], 4), "two of four");
    assert!(!of("50%", &[true, true, false, false], 4));
    assert!(!of("50%", &[true, true], 4), "the missing are among the four");
    assert!(of("1%", &[true, true, true], 3), "one pod at least, or none could ever go");
}

#[test]
fn after_the_limit_was_lowered_the_first_of_two_prepared_goes_and_never_both() {
    for (first, second) in [
        (Phase::Drained, Phase::Drained),
        (Phase::Draining, Phase::Drained),
        (Phase::Drained, Phase::Draining),
        (Phase::Departing, Phase::Drained),
    ] {
        let scene = scene(1, pods(&[true; 3]), set(3)).and(0, first).and(1, second);
        assert_eq!(scene.why_not(0), None, "{first}, {second}");
        assert_eq!(scene.why_not(1), waits_for("db-0"), "{first}, {second}");
    }
    let second_is_off = scene(1, pods(&[true; 3]), set(3)).and(0, Phase::Drained).and(1, Phase::Departing);
    assert_eq!(second_is_off.why_not(0), waits_for("db-1"));
}

#[test]
fn one_that_was_not_ready_when_it_took_its_place_counts_once_it_is() {
    let of = |ready| {
        let scene = scene(1, pods(&[ready, true, true]), set(3)).and(0, Phase::Draining).and(1, Phase::Departing);
        scene.within(|all| all.ask(&scene.drains[0], None, &[]))
    };
    assert_eq!(of(false), Room::Held);
    assert_eq!(of(true), Room::HeldBut(waiting_for("db-1")));
}

#[test]
fn while_its_policy_is_frozen_nothing_begins_and_what_is_prepared_is_held() {
    let until = "2030-01-31T18:00:00Z".parse().unwrap();
    let frozen = Frozen { reason: "INC-4711".to_owned(), by: "alice".to_owned(), until };
    let scene = scene(1, pods(&[true; 2]), set(2)).and(0, Phase::Queued).and(1, Phase::Drained);
    let why = Explanation::from("its policy is frozen by alice until 2030-01-31T18:00:00Z: INC-4711");
    assert_eq!(Room::frozen(&scene.drains[0], &frozen), Room::Wait(why.clone()));
    assert_eq!(Room::frozen(&scene.drains[1], &frozen), Room::HeldBut(why));
}

#[test]
fn a_policy_that_selects_by_node_counts_the_pods_on_its_nodes_only() {
    let on = |number: usize, node: &str, ready| pod_of("StatefulSet", "db", &format!("db-{number}"), node, ready);
    let of = |second: Arc<Pod<'static>>| {
        let mut scene = scene(1, vec![on(0, "n0", true), second], set(9));
        scene.policy = policy("p", &json!({"nodeSelector": {"canary": "yes"}}));
        scene.why_not(0)
    };
    assert_eq!(of(on(1, "n7", false)), None, "not on such a node, as the missing may not be");
    assert_eq!(of(on(1, "n0", false)), waits_for("db-1, which is not Ready"));
    assert_eq!(of(on(1, "unknown", false)), waits_for("db-1, which is not Ready"));
}

#[test]
fn an_owner_that_could_not_be_read_keeps_pods_that_serve() {
    let unread = Some("waits until StatefulSet db can be read: others of its pods may be missing".to_owned());
    assert_eq!(scene(1, pods(&[true; 2]), OwnerSeen::Unread).why_not(0), unread);
    assert_eq!(scene(1, pods(&[true, false]), OwnerSeen::Unread).why_not(1), None, "it is away already");
    let mut of_nodes = scene(1, pods(&[true]), OwnerSeen::Unread);
    of_nodes.policy = policy("p", &json!({"nodeSelector": {"canary": "yes"}}));
    assert_eq!(of_nodes.why_not(0), None, "of which nodes those are that are missing nobody could tell anyway");
    assert_eq!(scene(1, pods(&[true; 2]), OwnerSeen::Unknown).why_not(0), None);
}

#[test]
fn an_owner_of_which_nothing_is_to_be_known_misses_nobody_that_can_be_seen() {
    assert_eq!(scene(1, pods(&[true; 2]), OwnerSeen::Unknown).why_not(0), None);
    assert_eq!(scene(1, pods(&[true, false]), OwnerSeen::Unknown).why_not(0), waits_for("db-1, which is not Ready"));
}

#[test]
fn pods_that_have_ended_or_are_on_their_way_out() {
    let mut scene = scene(1, pods(&[true; 3]), OwnerSeen::Unknown);
    Arc::make_mut(&mut scene.pods[1]).status.phase = "Succeeded".into();
    assert_eq!(scene.why_not(0), None, "an ended pod is nobody's peer");
    Arc::make_mut(&mut scene.pods[2]).metadata.deletion_timestamp = Some("2030-01-01T00:00:00Z".into());
    assert_eq!(scene.why_not(0), waits_for("db-2, which is not Ready"));
}

#[test]
fn the_next_pod_of_a_place_waits_for_the_drain_before_it_or_takes_it_over() {
    let mut scene = scene(1, pods(&[false, true, true]), set(3));
    let mut before = drain(&scene.pods[0], Phase::Departing);
    let drain = Arc::make_mut(&mut before);
    (drain.metadata.name, drain.spec.pod.uid) = ("db-0-before".to_owned(), "before".to_owned());
    scene.drains.push(before);
    scene.slots.departing = vec![slot("db-0", "db-0-before")];
    let waits = "waits until the drain of the pod before it, db-0-before, is over";
    assert_eq!(scene.ask(0, None, &[]), Room::Wait(waits.into()));
    let Room::Take(slots) = scene.ask(0, Some("db-0-before"), &[]) else { unreachable!("a place is free") };
    assert_eq!(slots.departing, [slot("db-0", "db-0-uidofdb0")]);
}

#[test]
fn three_are_named_and_the_rest_are_others() {
    let mut ready = [true; 9];
    assert_eq!(
        scene(1, pods(&ready), set(9)).and(1, Phase::Drained).and(2, Phase::Drained).why_not(0),
        waits_for("db-1 and db-2")
    );
    ready[3..8].fill(false);
    let many = scene(1, pods(&ready), set(9)).and(1, Phase::Departing);
    assert_eq!(many.why_not(0), waits_for("db-1 and db-3, db-4, db-5, which are not Ready and others"));
}

#[test]
fn so_many_stay_whatever_is_missing_or_too_many() {
    let of = |least: u32, ready: &[bool], replicas| {
        let mut scene = scene(1, pods(ready), set(replicas));
        scene.policy = policy("p", &json!({"minAvailable": least}));
        scene.why_not(0)
    };
    assert_eq!(of(3, &[true; 5], 5), None);
    assert_eq!(of(3, &[true, true, true, true], 5), None, "four are left of five, and one of them may go");
    assert_eq!(
        of(3, &[true, true, true, false], 5).as_deref(),
        Some("waits for db-3, db-4, which are not Ready (minAvailable 3)")
    );
    assert_eq!(of(3, &[true; 3], 3).as_deref(), Some("minAvailable 3 leaves none of 3 pods to go"));
    // A Deployment counts by its number: one of its pods too many that is not Ready makes no room.
    let web = |ready: bool| {
        let pods = ["a", "b", "c"].map(|name| pod_of("ReplicaSet", "web", name, "n1", name != "c" || ready)).to_vec();
        let mut scene = scene(1, pods, counted(2));
        scene.policy = policy("p", &json!({"minAvailable": 2}));
        scene.why_not(0).is_none()
    };
    assert!(web(true) && !web(false));
}

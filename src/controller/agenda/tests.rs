#![allow(clippy::unwrap_used)]
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::controller::report::{Done, End};

const PERIOD: Duration = Duration::from_secs(2);

/// An agenda, and a clock of its own.
struct Scene {
    agenda: Agenda,
    now: Instant,
}

fn drain(policy: &str, name: &str, version: u64, phase: Phase) -> Arc<Drain> {
    let pod = json!({"metadata": {"name": name, "namespace": "n", "uid": format!("uid-of-{name}"),
        "ownerReferences": [{"kind": "StatefulSet", "name": "db", "uid": "set", "controller": true}]}});
    let pod = crate::pod::deserialize_owned(&pod).unwrap();
    let mut drain = Drain::new(&pod, policy, "someone");
    drain.metadata.resource_version = version.to_string();
    (drain.status.pod, drain.status.phase) = (Some(Arc::new(pod)), phase);
    Arc::new(drain)
}

fn done(silent: bool, hindered: bool) -> Box<dyn Fn(Memory) -> End> {
    Box::new(move |memory| End::Done(Box::new(Done { memory, again: PERIOD, silent, hindered, held: false })))
}

impl Scene {
    fn new() -> Scene {
        Scene { agenda: Agenda::default(), now: Instant::now() }
    }

    fn put(&mut self, drain: &Arc<Drain>) {
        self.agenda.take_up(drain, (Duration::ZERO, Duration::ZERO), self.now);
    }

    /// The turns that begin now.
    fn begin(&mut self) -> Vec<Begun> {
        std::iter::from_fn(|| self.agenda.begin(self.now)).collect()
    }

    fn settle(&mut self, begun: Begun, end: &dyn Fn(Memory) -> End) {
        let Begun { key, drain, memory, .. } = begun;
        self.agenda.settle(Report { key, drain, end: end(memory) }, self.now);
    }

    /// The backend of this policy has answered before.
    fn known(&mut self, policy: &str) {
        self.agenda.groups.entry(format!("n/{policy}").into()).or_default().went = Some(Went::Promptly);
    }

    /// How long until the next turn, and that turn.
    fn next(&mut self) -> (Duration, Begun) {
        let waited = self.agenda.next().unwrap() - self.now;
        self.now += waited;
        (waited, self.agenda.begin(self.now).unwrap())
    }
}

fn names(begun: &[Begun]) -> Vec<String> {
    begun.iter().map(|begun| begun.drain.spec.pod.name.clone()).collect()
}

#[test]
fn a_backend_that_does_not_answer_is_asked_less_and_less_and_at_once_when_it_does() {
    let mut scene = Scene::new();
    scene.put(&drain("p", "a", 1, Phase::Draining));
    let mut waits = Vec::new();
    for _ in 0..7 {
        let (waited, begun) = scene.next();
        waits.push(waited.as_secs());
        scene.settle(begun, &*done(true, false));
    }
    assert_eq!(waits, [0, 4, 8, 16, 30, 30, 30]);
    scene.put(&drain("p", "b", 1, Phase::Draining));
    scene.put(&drain("other", "c", 1, Phase::Draining));
    let begun = scene.begin();
    assert_eq!(names(&begun), ["b", "c"], "while a pauses");
    for begun in begun {
        scene.settle(begun, &*done(true, false));
    }
    scene.agenda.pod_changed("uid-of-b", scene.now);
    let mut begun = scene.begin();
    assert_eq!(names(&begun), ["b"], "its pod has changed");
    scene.settle(begun.remove(0), &*done(true, false));
    let (_, begun) = scene.next();
    scene.settle(begun, &*done(false, false));
    let (waited, begun) = scene.next();
    assert_eq!(
        (waited, begun.drain.spec.policy.as_str()),
        (Duration::ZERO, "p"),
        "the other one of the policy, at once"
    );
}

#[test]
fn a_policy_with_many_turns_under_way_delays_its_own_alone() {
    let mut scene = Scene::new();
    scene.known("slow");
    for number in 0..20 {
        scene.put(&drain("slow", &format!("s{number:02}"), 1, Phase::Draining));
    }
    let mut slow = scene.begin();
    assert_eq!(slow.len(), OF_A_POLICY);
    scene.put(&drain("quick", "q", 1, Phase::Draining));
    assert_eq!(names(&scene.begin()), ["q"]);
    scene.settle(slow.remove(0), &*done(false, false));
    assert_eq!(scene.begin().len(), 1, "one has ended, and one begins");
    // One that is forgotten while its turn is under way makes room as well.
    let gone = Arc::clone(&slow[0].key);
    scene.agenda.forget(&gone, scene.now);
    assert_eq!(scene.begin().len(), 1);
    scene.settle(slow.remove(0), &*done(false, false));
    assert!(scene.begin().is_empty(), "what a forgotten one brings is nobody's");
}

#[test]
fn a_line_goes_by_arrival_and_whose_backend_is_in_the_way_lets_others_go_first() {
    let mut scene = Scene::new();
    scene.known("p");
    for name in ["a", "b", "c"] {
        scene.put(&drain("p", name, 1, Phase::Queued));
    }
    let places = |begun: &[Begun]| begun.iter().map(|begun| begun.before).collect::<Vec<_>>();
    let mut begun = scene.begin();
    assert_eq!((names(&begun), places(&begun)), (vec!["a".to_owned(), "b".into(), "c".into()], vec![0, 1, 2]));
    scene.settle(begun.remove(0), &*done(false, true));
    for begun in begun {
        scene.settle(begun, &*done(false, false));
    }
    scene.agenda.limit_changed("n", "p", scene.now);
    let begun = scene.begin();
    let before = |begun: &[Begun]| {
        let of = |begun: &Begun| format!("{} {}", begun.drain.spec.pod.name, begun.before);
        begun.iter().map(of).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(before(&begun), "a 3, b 1, c 2", "one has looked in this period");
    for begun in begun {
        scene.settle(begun, &*done(false, false));
    }
    scene.now += PERIOD;
    let begun = scene.begin();
    assert_eq!(before(&begun), "a 2, b 0, c 1");
    for begun in begun {
        scene.settle(begun, &*done(false, false));
    }
    scene.put(&drain("p", "b", 2, Phase::Draining));
    scene.agenda.limit_changed("n", "p", scene.now);
    let begun = scene.begin();
    assert_eq!(names(&begun).len(), 3, "the next ones are told");
    assert_eq!(begun.iter().find(|begun| begun.drain.spec.pod.name == "c").unwrap().before, 0);
}

#[test]
fn what_its_own_turn_has_written_is_no_news_and_what_another_wrote_is() {
    let mut scene = Scene::new();
    scene.put(&drain("p", "a", 1, Phase::Draining));
    let mut begun = scene.begin().remove(0);
    let own = drain("p", "a", 2, Phase::Drained);
    scene.put(&own);
    begun.drain = own;
    scene.settle(begun, &*done(false, false));
    assert!(scene.begin().is_empty());
    let (waited, begun) = scene.next();
    assert_eq!((waited, begun.drain.metadata.resource_version.as_str()), (PERIOD, "2"));
    scene.put(&drain("p", "a", 3, Phase::Departing));
    scene.settle(begun, &*done(false, false));
    let begun = scene.begin().remove(0);
    assert_eq!(begun.drain.status.phase, Phase::Departing);
    scene.settle(begun, &*done(false, false));
    scene.put(&drain("p", "a", 2, Phase::Drained));
    assert!(scene.begin().is_empty(), "an older copy");
}

#[test]
fn after_a_failure_only_time_counts() {
    let mut scene = Scene::new();
    scene.put(&drain("p", "a", 1, Phase::Draining));
    let begun = scene.begin().remove(0);
    scene.settle(begun, &|_| End::Failed);
    scene.agenda.pod_changed("uid-of-a", scene.now);
    scene.agenda.anything_changed(scene.now);
    assert!(scene.begin().is_empty());
    assert!(scene.next().0 >= Duration::from_secs(1));
}

#[test]
fn a_pod_that_may_fill_a_hole_wakes_those_who_left_one() {
    let mut scene = Scene::new();
    for number in 0..20 {
        scene.put(&drain("p", &format!("db-{number}"), 1, Phase::Departing));
    }
    while let Some(begun) = scene.agenda.begin(scene.now) {
        scene.settle(begun, &*done(false, false));
    }
    scene.agenda.owner_changed("set", "db-7", scene.now);
    assert_eq!(names(&scene.begin()), ["db-7"]);
    scene.agenda.owner_changed("another", "db-8", scene.now);
    assert!(scene.begin().is_empty());
}

#[test]
fn of_a_backend_of_which_nothing_is_known_one_drain_is_looked_at_for_all() {
    let mut scene = Scene::new();
    for number in 0..6 {
        scene.put(&drain("p", &format!("d{number}"), 1, Phase::Draining));
    }
    let mut begun = scene.begin();
    assert_eq!(begun.len(), 1);
    scene.settle(begun.remove(0), &*done(false, false));
    assert_eq!(scene.begin().len(), OF_A_POLICY);
}

#[test]
fn however_many_are_slow_those_that_are_not_begin_at_once() {
    let mut scene = Scene::new();
    scene.known("well");
    // Dead, and slow: of policies of their own, so that no policy's own limit keeps them apart.
    for (number, took) in [Duration::ZERO, Duration::from_secs(2)].into_iter().cycle().take(200).enumerate() {
        scene.put(&drain(&format!("bad-{number}"), &format!("b{number:03}"), 1, Phase::Draining));
        let begun = scene.begin().remove(0);
        let before = scene.now;
        scene.now += took;
        scene.settle(begun, &*done(took.is_zero(), false));
        scene.now = before;
    }
    scene.now += 10 * PERIOD;
    assert_eq!(scene.begin().len(), AT_ONCE[1]);
    for number in 0..OF_A_POLICY {
        scene.put(&drain("well", &format!("w{number}"), 1, Phase::Draining));
    }
    assert_eq!(scene.begin().len(), OF_A_POLICY, "as if the others were not there");
    for number in 0..100 {
        scene.put(&drain(&format!("new-{number}"), &format!("n{number:03}"), 1, Phase::Draining));
    }
    assert_eq!(scene.begin().len(), AT_ONCE[2], "and so are those of which nothing is known");
}

/// Its copies were behind: of one drain it hears late, of another that the leader before had begun to act for it.
#[test]
fn a_new_leader_is_quiet_also_about_a_drain_that_it_hears_of_late() {
    let mut scene = Scene::new();
    scene.agenda.quiet_until = Duration::from_secs(10);
    let owning = |name: &str, version| {
        let mut drain = Drain::clone(&drain("p", name, version, Phase::Draining));
        let step = json!({"name": "s", "plan": "p", "planSpec": {"summary": "", "done": "true"}, "parameters": {},
            "ownership": "Intent"});
        drain.status.steps = vec![serde_json::from_value(step).unwrap()];
        Arc::new(drain)
    };
    let mut quiet_of = |drain: &Arc<Drain>, since| {
        scene.agenda.take_up(drain, (Duration::from_secs(since), Duration::ZERO), scene.now);
        scene.agenda.all[&key_of(drain)].memory.quiet_until
    };
    let ten = Duration::from_secs(10);
    assert_eq!(quiet_of(&owning("late", 1), 4), ten);
    assert_eq!(quiet_of(&drain("p", "stale", 1, Phase::Queued), 4), Duration::from_secs(4), "nothing of it is ours");
    assert_eq!(quiet_of(&owning("stale", 2), 5), ten, "another has brought it on meanwhile");
    assert_eq!(quiet_of(&owning("new", 1), 11), Duration::from_secs(11), "no other leader is heard any more");
}

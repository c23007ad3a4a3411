//! An Eviction of `lifecycle.k8s.io`, as far as it concerns Castoff, and what Castoff says in its own entry there. Pure.

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::core::DynamicObject;
use serde::{Deserialize, Serialize};

use crate::kubernetes::resources::part;
use crate::lifecycle::drain::PodReference;

/// As whom Castoff stands among the responders of a pod and of an Eviction.
pub const RESPONDER: &str = "castoff.dev/guard";

/// More often nobody is to write.
const BETWEEN_HEARTBEATS: SignedDuration = SignedDuration::from_secs(20);

/// So often it is written that all goes on, where nothing is new. After 20 minutes the next responder has its turn.
const SIGN_OF_LIFE: SignedDuration = SignedDuration::from_mins(5);

/// The longest message, in characters.
const LONGEST_MESSAGE: usize = 4000;

/// How far a responder is, as the controller of Evictions says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
pub enum State {
    /// Its turn has not come.
    #[default]
    Inactive,
    /// It is its turn.
    Active,
    /// It did not tell that it goes on, and lost its turn.
    Interrupted,
    /// Nobody wants the pod gone any more.
    Canceled,
    /// It has said that it is done.
    Completed,
    /// A word that this version does not know.
    #[serde(other)]
    Unknown,
}

/// What a responder says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Entry {
    /// Since when it is its turn: the controller's word.
    #[serde(skip_serializing)]
    pub start_time: Option<Timestamp>,
    /// When it last said that it goes on.
    pub heartbeat_time: Option<Timestamp>,
    /// When it will be done, where that can be told.
    pub expected_completion_time: Option<Timestamp>,
    /// When it was done.
    pub completion_time: Option<Timestamp>,
    /// For people.
    pub message: String,
}

impl Entry {
    /// Whether it was said lately that it goes on.
    #[must_use]
    pub fn is_of_late(&self, now: Timestamp) -> bool {
        let since = |last| now.duration_since(last);
        self.completion_time.is_none() && self.heartbeat_time.is_some_and(|last| since(last) < SIGN_OF_LIFE * 2)
    }
}

/// An Eviction that Castoff is a responder of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eviction {
    /// Its namespace, and its pod's.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What tells it from another of the same name.
    pub uid: String,
    /// The pod.
    pub pod: PodReference,
    /// Who wants the pod gone.
    pub requesters: Vec<String>,
    /// How far Castoff is.
    pub state: State,
    /// What Castoff has said.
    pub told: Entry,
}

#[derive(Deserialize)]
struct Spec {
    target: Target,
}

#[derive(Deserialize)]
struct Target {
    pod: PodReference,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    requesters: Vec<Requester>,
    target_responders: Vec<TargetResponder>,
    responders: Vec<Responder>,
}

#[derive(Deserialize)]
struct Requester {
    name: String,
    intent: String,
}

#[derive(Deserialize)]
struct TargetResponder {
    name: String,
    state: State,
}

#[derive(Deserialize)]
struct Responder {
    name: String,
    #[serde(flatten)]
    entry: Entry,
}

/// The Eviction that this object is; `None` where it has no pod, or Castoff is none of its responders.
#[must_use]
pub fn read(object: &DynamicObject) -> Option<Eviction> {
    let spec: Spec = serde_json::from_value(part(object, "spec")).ok()?;
    let status: Status = serde_json::from_value(part(object, "status")).ok()?;
    let own = status.target_responders.iter().find(|responder| responder.name == RESPONDER)?;
    let told = status.responders.into_iter().find(|responder| responder.name == RESPONDER);
    let wants = status.requesters.into_iter().filter(|requester| requester.intent == "Eviction");
    Some(Eviction {
        namespace: object.namespace()?,
        name: object.name_any(),
        uid: object.uid()?,
        pod: spec.target.pod,
        requesters: wants.map(|requester| requester.name).collect(),
        state: own.state,
        told: told.map(|responder| responder.entry).unwrap_or_default(),
    })
}

/// What is to be done about an Eviction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// It is Castoff's turn.
    Respond,
    /// Nobody wants the pod gone any more: undo what was begun for it.
    GiveUp,
    /// Its turn was taken from Castoff: people are to know.
    TellOfInterruption,
    /// Nothing.
    Nothing,
}

/// The same: `before` is how far Castoff was at the last look, and `is_wanted` says that there is another Eviction by
/// which the pod is to go.
#[must_use]
pub fn task(eviction: &Eviction, before: Option<State>, is_wanted: bool, now: Timestamp) -> Task {
    // What nobody has seen to be Castoff's turn is over for long: nobody is to be undone for it now.
    let was_its_turn = match before {
        Some(before) => before == State::Active,
        None => eviction.told.is_of_late(now),
    };
    match eviction.state {
        State::Active => Task::Respond,
        State::Canceled if was_its_turn && !is_wanted => Task::GiveUp,
        State::Interrupted if was_its_turn => Task::TellOfInterruption,
        _ => Task::Nothing,
    }
}

/// How things stand with the pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It stays for now; why, and when it may be done.
    Held(String, Option<Timestamp>),
    /// Castoff has done its part: the pod is gone, or nothing of Castoff holds it.
    Done(String),
}

/// What is to be written into Castoff's entry now; `None` where nothing is. No time is before one that stands there.
#[must_use]
pub fn next(told: &Entry, standing: &Standing, now: Timestamp) -> Option<Entry> {
    if told.completion_time.is_some() {
        return None;
    }
    let now = now.max(told.start_time.unwrap_or(now)).max(told.heartbeat_time.unwrap_or(now));
    let entry = Entry { heartbeat_time: Some(now), expected_completion_time: None, ..told.clone() };
    match standing {
        Standing::Done(message) => Some(Entry { completion_time: Some(now), message: cut(message), ..entry }),
        Standing::Held(message, expected) => {
            let since = told.heartbeat_time.map(|last| now.duration_since(last));
            let entry = Entry { message: cut(message), expected_completion_time: *expected, ..entry };
            let is_news = entry.message != told.message || *expected != told.expected_completion_time;
            let due = since.is_none_or(|since| since >= if is_news { BETWEEN_HEARTBEATS } else { SIGN_OF_LIFE });
            due.then_some(entry)
        }
    }
}

/// When nothing will be left, if it goes on as since `first`; `None` where it has not become less.
#[must_use]
pub fn expected(first: (Timestamp, i64), now: (Timestamp, i64)) -> Option<Timestamp> {
    let ((begun, all), (now, left)) = (first, now);
    let (took, done) = (now.duration_since(begun).as_secs(), all - left);
    if done <= 0 || took <= 0 {
        return None;
    }
    let seconds = took.checked_mul(left)? / done;
    now.checked_add(SignedDuration::from_secs(seconds)).ok().map(whole_seconds)
}

/// As the API keeps times.
#[must_use]
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

fn cut(message: &str) -> String {
    message.chars().take(LONGEST_MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_900_000_000 + seconds).unwrap()
    }

    fn told(heartbeat: Option<i64>, message: &str) -> Entry {
        Entry {
            start_time: Some(at(0)),
            heartbeat_time: heartbeat.map(at),
            message: message.to_owned(),
            ..Entry::default()
        }
    }

    fn held(message: &str) -> Standing {
        Standing::Held(message.to_owned(), None)
    }

    #[test]
    fn it_is_written_at_once_then_every_20_seconds_at_most_and_5_minutes_at_least() {
        assert_eq!(next(&told(None, ""), &held("a"), at(1)).unwrap().heartbeat_time, Some(at(1)));
        for (after, message, is_written) in
            [(19, "b", false), (20, "b", true), (20, "a", false), (299, "a", false), (300, "a", true)]
        {
            let entry = next(&told(Some(0), "a"), &held(message), at(after));
            assert_eq!(entry.is_some(), is_written, "{message} after {after} s");
        }
        let estimated = Standing::Held("a".to_owned(), Some(at(90)));
        let entry = next(&told(Some(0), "a"), &estimated, at(20)).unwrap();
        assert_eq!(entry.expected_completion_time, Some(at(90)), "a new estimate is news");
    }

    #[test]
    fn what_is_done_is_told_at_once_and_never_again() {
        let done = Standing::Done("has left prepared".to_owned());
        let entry = next(&told(Some(0), "a"), &done, at(1)).unwrap();
        assert_eq!((entry.completion_time, entry.heartbeat_time), (Some(at(1)), Some(at(1))));
        assert_eq!(next(&entry, &done, at(100)), None);
        assert_eq!(next(&entry, &held("b"), at(10_000)), None);
    }

    #[test]
    fn a_turn_counts_as_lately_castoffs_while_signs_of_life_are_due() {
        assert!(told(Some(0), "a").is_of_late(at(599)) && !told(Some(0), "a").is_of_late(at(600)));
        assert!(!told(None, "").is_of_late(at(0)));
        let done = next(&told(Some(0), "a"), &Standing::Done(String::new()), at(1)).unwrap();
        assert!(!done.is_of_late(at(2)));
    }

    #[test]
    fn no_time_is_before_one_that_the_api_server_has_whatever_this_clock_says() {
        assert_eq!(next(&told(None, ""), &held("a"), at(-7)).unwrap().heartbeat_time, Some(at(0)));
        let entry = next(&told(Some(30), "a"), &Standing::Done(String::new()), at(20)).unwrap();
        assert_eq!((entry.heartbeat_time, entry.completion_time), (Some(at(30)), Some(at(30))));
    }

    #[test]
    fn what_castoffs_turn_has_become_is_acted_on_once_and_by_the_next_leader_too() {
        let at_state = |state| Eviction {
            namespace: "n".to_owned(),
            name: "e".to_owned(),
            uid: "u".to_owned(),
            pod: PodReference::default(),
            requesters: Vec::new(),
            state,
            told: told(Some(0), "a"),
        };
        let of = |state, before| task(&at_state(state), before, false, at(60));
        assert_eq!(of(State::Active, None), Task::Respond);
        for (state, wanted) in [(State::Canceled, Task::GiveUp), (State::Interrupted, Task::TellOfInterruption)] {
            assert_eq!(of(state, Some(State::Active)), wanted);
            assert_eq!(of(state, None), wanted, "by the next leader");
            assert_eq!(of(state, Some(state)), Task::Nothing, "once");
            assert_eq!(task(&at_state(state), None, false, at(6000)), Task::Nothing, "it is over for long");
        }
        let again = task(&at_state(State::Canceled), Some(State::Active), true, at(60));
        assert_eq!(again, Task::Nothing, "another Eviction has its turn");
        for state in [State::Inactive, State::Completed, State::Unknown] {
            assert_eq!(of(state, Some(State::Active)), Task::Nothing);
        }
    }

    #[test]
    fn an_estimate_goes_by_what_was_done_since_it_was_first_looked_at() {
        assert_eq!(expected((at(0), 40), (at(60), 10)), Some(at(80)));
        assert_eq!(expected((at(0), 40), (at(60), 40)), None);
        assert_eq!(expected((at(0), 40), (at(60), 50)), None);
        assert_eq!(expected((at(0), 40), (at(0), 10)), None);
    }

    #[test]
    fn an_eviction_is_read_where_castoff_is_one_of_its_responders() {
        let object = |name: &str| {
            serde_json::from_value::<DynamicObject>(json!({
                "apiVersion": "lifecycle.k8s.io/v1alpha1", "kind": "Eviction",
                "metadata": {"name": "e", "namespace": "n", "uid": "u"},
                "spec": {"target": {"pod": {"name": "db-0", "uid": "p"}}},
                "status": {
                    "requesters": [{"name": "a.io/x", "intent": "Eviction"}, {"name": "b.io/x", "intent": "Withdrawn"}],
                    "targetResponders": [
                        {"name": "first.io/r", "priority": 30000, "state": "Completed"},
                        {"name": name, "priority": 20000, "state": "Active"},
                    ],
                    "responders": [{"name": "first.io/r", "message": "not ours"},
                        {"name": name, "startTime": "2030-03-17T17:46:40Z"}],
                },
            }))
            .unwrap()
        };
        let eviction = read(&object(RESPONDER)).unwrap();
        assert_eq!((eviction.pod.uid.as_str(), eviction.state), ("p", State::Active));
        assert_eq!((eviction.requesters, eviction.told), (vec!["a.io/x".to_owned()], told(None, "")));
        assert_eq!(read(&object("other.io/r")), None);
    }
}

//! A pod's application that somebody outside plays: what is asked of it waits until that one fetches it and brings the
//! answer. How the pod itself behaves is in its annotations.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

/// A request that waits for its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// By which the answer finds it.
    pub id: u64,
    /// The name that it was sent to.
    pub host: String,
    /// Its method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Its body.
    pub body: String,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// Of the request.
    pub id: u64,
    /// Its status; `None` cuts the connection off.
    pub status: Option<u16>,
    /// Its body.
    pub body: String,
}

/// Carries requests out, and answers back.
#[derive(Debug)]
pub struct Relay {
    queue: mpsc::UnboundedSender<Asked>,
    queued: tokio::sync::Mutex<mpsc::UnboundedReceiver<Asked>>,
    open: Mutex<BTreeMap<u64, oneshot::Sender<Answered>>>,
    last: AtomicU64,
    is_attended: AtomicBool,
}

/// A request that somebody waits for, until this is dropped.
struct Open<'a>(&'a Relay, u64);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open().remove(&self.1);
    }
}

impl Relay {
    /// One that nobody has asked anything yet.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let (queue, queued) = mpsc::unbounded_channel();
        let (open, last, is_attended) = Default::default();
        Arc::new(Relay { queue, queued: queued.into(), open, last, is_attended })
    }

    /// Asks, under an id of this relay's own, and waits for the answer.
    pub async fn ask(&self, mut asked: Asked) -> Option<Answered> {
        let (answer, answered) = oneshot::channel();
        asked.id = self.last.fetch_add(1, Ordering::Relaxed);
        self.open().insert(asked.id, answer);
        let _open = Open(self, asked.id);
        self.queue.send(asked).ok()?;
        answered.await.ok()
    }

    /// Waits for the next request. One whose caller has gone meanwhile is as if it had never come.
    pub async fn next(&self) -> Option<Asked> {
        self.is_attended.store(true, Ordering::Relaxed);
        let mut queued = self.queued.lock().await;
        loop {
            let asked = queued.recv().await?;
            if self.open().contains_key(&asked.id) {
                return Some(asked);
            }
        }
    }

    /// Brings an answer.
    pub fn answer(&self, answered: Answered) {
        if let Some(answer) = self.open().remove(&answered.id) {
            // Whoever asked may have gone at this very moment.
            let _ = answer.send(answered);
        }
    }

    /// Whether anybody has come for requests.
    #[must_use]
    pub fn is_attended(&self) -> bool {
        self.is_attended.load(Ordering::Relaxed)
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<u64, oneshot::Sender<Answered>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a pod does by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Course {
    /// Runs until it is told to end.
    Runs,
    /// Runs, and is never Ready.
    NeverReady,
    /// Ends with an error as soon as it has begun, each time.
    Crashes,
    /// Runs for a while, then ends well.
    Completes(Duration),
    /// Runs for a while, then fails.
    Fails(Duration),
}

/// How a pod behaves, by the annotations `test.castoff.dev/...` that simulated pods know too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// What it does.
    pub course: Course,
    /// How long from running to Ready.
    pub ready_after: Duration,
    /// How long it takes to end when it is told to.
    pub ends_after: Duration,
}

impl Behaviour {
    /// Reads a pod's annotations as a volume of the downward API holds them: `KEY="VALUE"`, one a line.
    #[must_use]
    pub fn read(annotations: &str) -> Self {
        let word = |key: &str| {
            let prefix = format!("test.castoff.dev/{key}=");
            let line = annotations.lines().find_map(|line| line.strip_prefix(&prefix));
            line.map(|value| value.trim_matches('"').to_owned())
        };
        let time = |key: &str| {
            let span: Option<SignedDuration> = word(key).and_then(|text| text.parse().ok());
            span.and_then(|span| Duration::try_from(span).ok())
        };
        let runs_for = time("runs-for").unwrap_or(Duration::from_secs(1));
        let course = match word("behave").as_deref() {
            Some("never-ready") => Course::NeverReady,
            Some("crash-loop") => Course::Crashes,
            Some("complete") => Course::Completes(runs_for),
            Some("fail") => Course::Fails(runs_for),
            _ => Course::Runs,
        };
        Behaviour {
            course,
            ready_after: time("ready-after").unwrap_or_default(),
            ends_after: time("ends-after").unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn question(path: &str) -> Asked {
        Asked { id: 0, host: "pod".to_owned(), method: "GET".to_owned(), path: path.to_owned(), body: String::new() }
    }

    fn answer(id: u64, body: &str) -> Answered {
        Answered { id, status: Some(200), body: body.to_owned() }
    }

    #[tokio::test]
    async fn each_request_gets_the_answer_that_was_brought_for_it() {
        let relay = Relay::new();
        assert!(!relay.is_attended());
        let ask = |path: &'static str| {
            let relay = Arc::clone(&relay);
            tokio::spawn(async move { relay.ask(question(path)).await.unwrap().body })
        };
        let (one, two) = (ask("/one"), ask("/two"));
        let (first, second) = (relay.next().await.unwrap(), relay.next().await.unwrap());
        for asked in [second, first] {
            relay.answer(answer(asked.id, &asked.path));
        }
        assert_eq!((one.await.unwrap().as_str(), two.await.unwrap().as_str()), ("/one", "/two"));
        assert!(relay.is_attended());
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_is_not_carried_out() {
        let relay = Relay::new();
        let waits = Duration::from_millis(1);
        assert!(tokio::time::timeout(waits, relay.ask(question("/gone"))).await.is_err());
        let asked = Arc::clone(&relay);
        let waiting = tokio::spawn(async move { asked.ask(question("/here")).await });
        assert_eq!(relay.next().await.unwrap().path, "/here");
        waiting.abort();
    }

    #[test]
    fn a_pod_behaves_as_its_annotations_say() {
        let text = "kubernetes.io/config.seen=\"2026\"\ntest.castoff.dev/behave=\"fail\"\n\
                    test.castoff.dev/runs-for=\"100ms\"\ntest.castoff.dev/ends-after=\"2m\"\n";
        let behaviour = Behaviour::read(text);
        assert_eq!(behaviour.course, Course::Fails(Duration::from_millis(100)));
        assert_eq!((behaviour.ready_after, behaviour.ends_after), (Duration::ZERO, Duration::from_mins(2)));
        assert_eq!(Behaviour::read("").course, Course::Runs);
    }
}

//! Somebody who watches the pods of a scenario and takes the guard's word for nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::{self, Event};
use kube::{Api, ResourceExt};
use tokio::task::JoinHandle;

use crate::backends::{App, is_ready};
use crate::installation::Installation;
use crate::scene::Scene;

/// Watches the pods of an application.
pub struct Witness {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

/// A pod that has left, with what its application was like at that moment.
#[derive(Clone, Debug)]
pub struct Left {
    pub pod: String,
    pub uid: String,
    pub app: App,
}

#[derive(Default)]
struct Seen {
    /// Whether each pod that is there serves.
    serving: BTreeMap<String, bool>,
    /// Those that are terminating.
    leaving: BTreeSet<String>,
    expected: usize,
    most_away: usize,
    most_leaving: usize,
    left: Vec<Left>,
    began: bool,
}

impl Witness {
    /// Begins to watch; `expected` pods are to serve when nobody is away.
    pub async fn of(scene: &Arc<Scene>, app: &str, expected: usize) -> Witness {
        let seen = Arc::new(Mutex::new(Seen { expected, ..Seen::default() }));
        let api: Api<Pod> = Api::namespaced(scene.client.clone(), &scene.namespace);
        let config = watcher::Config::default().labels(&format!("app={app}"));
        let task = tokio::spawn(watch(api, config, Arc::clone(&seen), Arc::clone(&scene.installation)));
        let witness = Witness { seen, task };
        scene
            .until("the witness sees the pods", 20, || async { witness.seen.lock().unwrap().began.then_some(()) })
            .await;
        witness
    }

    /// The most pods that were away at the same moment.
    pub fn most_away(&self) -> usize {
        self.seen.lock().unwrap().most_away
    }

    /// The most pods that were on their way out at the same moment.
    pub fn most_leaving(&self) -> usize {
        self.seen.lock().unwrap().most_leaving
    }

    /// The pods that have left, in their order.
    pub fn left(&self) -> Vec<Left> {
        self.seen.lock().unwrap().left.clone()
    }

    /// Every pod that left was prepared, exactly once.
    pub fn all_left_prepared_once(&self) {
        for left in self.left() {
            assert_eq!(left.app.state, "Prepared", "{} left unprepared: {left:?}", left.pod);
            assert_eq!(left.app.prepared_times(), 1, "{} was prepared more than once: {left:?}", left.pod);
        }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(api: Api<Pod>, config: watcher::Config, seen: Arc<Mutex<Seen>>, installation: Arc<Installation>) {
    let mut events = Box::pin(watcher::watcher(api, config));
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => seen.lock().unwrap().begin_anew(),
            Ok(Event::InitDone) => seen.lock().unwrap().begin(),
            Ok(Event::InitApply(pod) | Event::Apply(pod)) => note(&seen, &installation, &pod, false),
            Ok(Event::Delete(pod)) => note(&seen, &installation, &pod, true),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

fn note(seen: &Mutex<Seen>, installation: &Installation, pod: &Pod, gone: bool) {
    let mut seen = seen.lock().unwrap();
    let uid = pod.uid().unwrap_or_default();
    let leaves = gone || pod.metadata.deletion_timestamp.is_some();
    // One that was replaced before it had started served nobody.
    let started = pod.status.as_ref().is_some_and(|status| status.pod_ip.is_some());
    if leaves && started && !seen.left.iter().any(|left| left.uid == uid) {
        seen.left.push(Left { pod: pod.name_any(), uid: uid.clone(), app: installation.hooks.of(pod) });
    }
    if gone {
        seen.serving.remove(&uid);
        seen.leaving.remove(&uid);
    } else {
        if leaves {
            seen.leaving.insert(uid.clone());
        }
        seen.serving.insert(uid, is_ready(pod) && !leaves);
    }
    if seen.began {
        seen.count();
    }
}

impl Seen {
    /// A list begins: until it is whole, what is missing says nothing.
    fn begin_anew(&mut self) {
        self.began = false;
        self.serving.clear();
        self.leaving.clear();
    }

    fn begin(&mut self) {
        self.began = true;
        self.count();
    }

    fn count(&mut self) {
        let serving = self.serving.values().filter(|serving| **serving).count();
        self.most_leaving = self.most_leaving.max(self.leaving.len());
        self.most_away = self.most_away.max(self.expected.saturating_sub(serving));
    }
}

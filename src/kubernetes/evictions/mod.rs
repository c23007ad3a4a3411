//! Castoff as a responder to Evictions of `lifecycle.k8s.io` (KEP-4563): a pod that names it among its
//! `evictionResponders` is prepared when its turn comes, by the same questions as for every other caller, and evicted.
//! Where the API server does not know these, nothing is done.

pub mod entry;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject};
use serde_json::json;
use tokio::time::Instant;

use crate::controller::IsLeader;
use crate::lifecycle::{Drain, Event, Outcome, Phase};
use crate::pod::Pod;
use crate::ports::{Asks, Cluster, Events, Store};

use super::cache::{Cache, Source, chain, key_of};
use super::is_not_found;
use super::resources::pod_drains;
use entry::{Eviction, RESPONDER, Standing, State, Task, next, whole_seconds};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(5);

/// After a write that was refused, until the next.
const AFTER_A_REFUSAL: Duration = Duration::from_secs(20);

/// Before it is asked again whether the API server knows Evictions.
const NOT_SERVED: Duration = Duration::from_mins(5);

/// As whom requesters ask for a pod: as programs.
const REQUESTER: &str = "system:eviction-request:";

/// The responder.
pub struct Responder {
    /// The API server.
    pub client: Client,
    /// The gate, which is asked as by every other caller.
    pub gate: Arc<dyn Asks>,
    /// Drains.
    pub store: Arc<dyn Store>,
    /// Pods.
    pub cluster: Arc<dyn Cluster>,
    /// People.
    pub events: Arc<dyn Events>,
    /// Whether this process leads: one replica responds.
    pub is_leader: IsLeader,
    /// The Evictions that Castoff is a responder of.
    pub found: Arc<Cache<Eviction>>,
}

/// What this process remembers of an Eviction.
#[derive(Default)]
struct Remembered {
    /// How far Castoff was at the last look; `None` before the first.
    state: Option<State>,
    /// When a write was refused last.
    refused: Option<Instant>,
    /// How much was left when it was first looked at, and when.
    first: Option<(Timestamp, i64)>,
}

fn evictions() -> ApiResource {
    ApiResource {
        group: "lifecycle.k8s.io".to_owned(),
        version: "v1alpha1".to_owned(),
        api_version: "lifecycle.k8s.io/v1alpha1".to_owned(),
        kind: "Eviction".to_owned(),
        plural: "evictions".to_owned(),
    }
}

/// As an entry of the copy: those that Castoff is a responder of.
fn read(object: &DynamicObject) -> Option<(String, Eviction)> {
    Some((key_of(object), entry::read(object)?))
}

/// Waits until the API server knows Evictions. Whatever else is wrong is told when they are followed.
async fn until_served(all: &Api<DynamicObject>) {
    let one = ListParams::default().limit(1);
    while all.list_metadata(&one).await.is_err_and(|error| is_not_found(&error)) {
        tokio::time::sleep(NOT_SERVED).await;
    }
}

impl Responder {
    /// Responds while this process leads, for ever.
    pub async fn run(self) {
        let all: Api<DynamicObject> = Api::all_with(self.client.clone(), &evictions());
        until_served(&all).await;
        let followed = Arc::clone(&self.found).follow(Source::new(all, "evictions.lifecycle.k8s.io", read));
        tokio::join!(followed, self.respond_to_all());
    }

    /// Responds whenever an Eviction changes, and from time to time: how far a pod is changes without one.
    async fn respond_to_all(&self) {
        let mut changes = self.found.changes();
        let mut remembered: HashMap<String, Remembered> = HashMap::new();
        loop {
            changes.mark_unchanged();
            let found = self.found.all();
            let there: HashSet<&str> = found.iter().map(|eviction| eviction.uid.as_str()).collect();
            remembered.retain(|uid, _| there.contains(uid.as_str()));
            let active = found.iter().filter(|eviction| eviction.state == State::Active);
            let wanted: HashSet<&str> = active.map(|eviction| eviction.pod.uid.as_str()).collect();
            for eviction in &found {
                let is_wanted = wanted.contains(eviction.pod.uid.as_str());
                if (self.is_leader)() {
                    self.respond(eviction, is_wanted, remembered.entry(eviction.uid.clone()).or_default()).await;
                }
            }
            let _ = tokio::time::timeout(LOOK, changes.changed()).await;
        }
    }

    /// Responds to one; whether its pod is wanted gone is told by all of them.
    async fn respond(&self, eviction: &Eviction, is_wanted: bool, remembered: &mut Remembered) {
        let before = remembered.state.replace(eviction.state);
        match entry::task(eviction, before, is_wanted, Timestamp::now()) {
            Task::Respond => {
                if let Some(standing) = self.standing(eviction, remembered).await {
                    self.write(eviction, &standing, remembered).await;
                }
            }
            Task::GiveUp => {
                if let Err(error) = self.give_up(eviction).await {
                    let (namespace, pod, error) = (&eviction.namespace, &eviction.pod.name, chain(&error));
                    tracing::warn!(%namespace, %pod, %error, "a canceled Eviction could not be given up; trying again");
                    remembered.state = before;
                }
            }
            Task::TellOfInterruption => self.tell_of_interruption(eviction),
            Task::Nothing => {}
        }
    }

    /// How things stand with the pod; `None` where that can't be told now.
    async fn standing(&self, eviction: &Eviction, remembered: &mut Remembered) -> Option<Standing> {
        let live = match self.cluster.pod(&eviction.namespace, &eviction.pod.name).await {
            Ok(live) => live.filter(|pod| pod.metadata.uid == *eviction.pod.uid && !pod.is_finished()),
            Err(error) => {
                tracing::warn!(pod = %eviction.pod.name, %error, "a pod that is to be evicted could not be read");
                return None;
            }
        };
        let Some(pod) = live else { return Some(Standing::Done(self.how_it_left(eviction).to_owned())) };
        if pod.is_terminating() {
            return Some(Standing::Held("it is on its way out".to_owned(), None));
        }
        let user = format!("{REQUESTER}{}", eviction.requesters.join(","));
        let answered = self.gate.ask_for(&pod, &user).await;
        match (answered.allowed, answered.prepared) {
            (true, true) => Some(self.evict(&pod).await),
            (true, false) => Some(Standing::Done(answered.message)),
            (false, _) => {
                let left = self.drain(eviction).and_then(|drain| Some(drain.status.progress.as_ref()?.left.remaining));
                let now = Timestamp::now();
                let expected = left.and_then(|left| {
                    let first = *remembered.first.get_or_insert((now, left));
                    entry::expected(first, (now, left))
                });
                Some(Standing::Held(answered.message, expected))
            }
        }
    }

    /// Prepared: asks for its eviction, which a PodDisruptionBudget may still refuse.
    async fn evict(&self, pod: &Pod<'static>) -> Standing {
        match self.cluster.evict(pod).await {
            Ok(()) => Standing::Held("it was prepared, and is evicted".to_owned(), None),
            Err(error) => Standing::Held(format!("it is prepared, and its eviction waits: {error}"), None),
        }
    }

    fn drain(&self, eviction: &Eviction) -> Option<Arc<Drain>> {
        self.store.by_pod(&eviction.pod.uid)
    }

    fn how_it_left(&self, eviction: &Eviction) -> &'static str {
        match self.drain(eviction).and_then(|drain| drain.status.outcome) {
            Some(Outcome::Prepared) => "it has left, prepared",
            _ => "it is gone, without having been prepared by Castoff",
        }
    }

    async fn write(&self, eviction: &Eviction, standing: &Standing, remembered: &mut Remembered) {
        let Some(entry) = next(&eviction.told, standing, whole_seconds(Timestamp::now())) else { return };
        if remembered.refused.is_some_and(|refused| refused.elapsed() < AFTER_A_REFUSAL) {
            return;
        }
        let mut own = json!(entry);
        own["name"] = json!(RESPONDER);
        let change = json!({"status": {"responders": [own]}});
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &eviction.namespace, &evictions());
        // Merged by name: what others say of themselves meanwhile stays.
        match api.patch_status(&eviction.name, &PatchParams::default(), &Patch::Strategic(&change)).await {
            Ok(written) => {
                if let Some((key, now)) = read(&written) {
                    self.found.put(&key, written.metadata.resource_version.as_deref().unwrap_or_default(), now);
                }
            }
            Err(error) => {
                remembered.refused = Some(Instant::now());
                let (pod, error) = (&eviction.pod.name, chain(&error));
                tracing::warn!(namespace = %eviction.namespace, %pod, %error, "an Eviction's status could not be written");
            }
        }
    }

    /// Nobody wants the pod gone any more: what was begun for that is undone.
    async fn give_up(&self, eviction: &Eviction) -> kube::Result<()> {
        let is_open = |drain: &Drain| !matches!(drain.status.phase, Phase::Restoring | Phase::Completed);
        let is_ours = |drain: &Drain| drain.spec.requester.starts_with(REQUESTER);
        let Some(drain) = self.drain(eviction).filter(|drain| is_ours(drain) && is_open(drain)) else { return Ok(()) };
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &eviction.namespace, &pod_drains());
        let change = Patch::Merge(json!({"spec": {"cancel": true}}));
        api.patch(&drain.metadata.name, &PatchParams::default(), &change).await.map(drop)
    }

    fn tell_of_interruption(&self, eviction: &Eviction) {
        let Some(drain) = self.drain(eviction) else { return };
        let message = "its Eviction has gone on to the next responder: Castoff's last word was too long ago";
        let event = Event { reason: "EvictionInterrupted", warning: true, message: message.to_owned() };
        self.events.tell(&drain, &event);
    }
}

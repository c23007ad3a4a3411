//! Writes the status of policies.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::SignedDuration;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use kube::core::DynamicObject;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::facts::NodeFacts;
use crate::kubernetes::cache::{Cache, chain};
use crate::kubernetes::drains::Kept;
use crate::kubernetes::history::Summary;
use crate::kubernetes::lease::Leadership;
use crate::kubernetes::pods::Pods;
use crate::kubernetes::policies::PolicyObject;
use crate::kubernetes::registration::{Proofs, Registration, Seen, Sent, prove};
use crate::kubernetes::resources::drain_policies;
use crate::pod::Pod;
use crate::policy::{Policy, PolicyIndex};
use crate::runbook::Links;

use super::{Known, NodeLabels, Probes, Shown, away, is_selected, selected_elsewhere};

/// Changes that come quickly one after the other are told together.
const TOGETHER: Duration = Duration::from_millis(500);

/// How often the status is looked at where nothing has changed.
const AGAIN: Duration = Duration::from_secs(30);

/// A drain that is over is remembered by its policy some time later, so that those of a roll-out are written together.
/// Until then its PodDrain tells all of it.
const REMEMBERED: SignedDuration = SignedDuration::from_secs(60);

/// For how long it is believed what a policy would select in other namespaces.
const ELSEWHERE: Duration = Duration::from_mins(5);

/// Writes the status of policies while this process leads.
pub struct Writer {
    pub client: Client,
    pub objects: Arc<Cache<PolicyObject>>,
    pub index: Arc<ArcSwap<PolicyIndex>>,
    /// Changes once others are in force.
    pub in_force: watch::Receiver<()>,
    pub pods: Arc<Pods>,
    pub drains: Arc<Cache<Kept>>,
    pub nodes: Arc<Cache<NodeFacts>>,
    pub registration: Arc<Registration>,
    pub seen: watch::Receiver<Seen>,
    pub leadership: Leadership,
    pub runbook: Links,
    /// What is seen of backends.
    pub probes: Arc<Probes>,
    /// What policies without pods select elsewhere.
    pub elsewhere: Elsewhere,
}

/// What policies without pods would select in other namespaces, as of a while ago: all pods of the cluster are looked at
/// for that.
#[derive(Default)]
pub struct Elsewhere(Mutex<HashMap<String, Looked>>);

/// For which policy, when, and how many pods in which namespace.
type Looked = (Weak<Policy>, Instant, BTreeMap<String, usize>);

impl Elsewhere {
    fn of(&self, policy: &Arc<Policy>, pods: &Pods, nodes: &dyn NodeLabels) -> BTreeMap<String, usize> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (policy, looked, _)| policy.strong_count() > 0 && looked.elapsed() < ELSEWHERE);
        let key = format!("{}/{}", policy.namespace, policy.name);
        let now =
            || (Arc::downgrade(policy), Instant::now(), selected_elsewhere(policy, &pods.find(None, None), nodes));
        known.entry(key).or_insert_with(now).2.clone()
    }
}

impl Writer {
    /// Writes whenever something has changed, for ever.
    pub async fn run(self) {
        let (proofs, mut seen) = (Proofs::default(), self.seen.clone());
        let (mut pods, mut objects) = (self.pods.cache.changes(), self.objects.changes());
        let mut in_force = self.in_force.clone();
        let (mut drains, mut probes) = (self.drains.changes(), self.probes.changes());
        self.pods.cache.filled().await;
        self.objects.filled().await;
        self.drains.filled().await;
        loop {
            pods.mark_unchanged();
            objects.mark_unchanged();
            in_force.mark_unchanged();
            drains.mark_unchanged();
            seen.mark_unchanged();
            probes.mark_unchanged();
            for object in self.objects.all() {
                if self.leadership.holds() {
                    self.write(&object, &proofs).await;
                }
            }
            tokio::select! {
                _ = pods.changed() => {}
                _ = objects.changed() => {}
                // A policy that was not compiled yet was passed over.
                Ok(()) = in_force.changed() => {}
                _ = drains.changed() => {}
                _ = seen.changed() => {}
                _ = probes.changed() => {}
                () = tokio::time::sleep(AGAIN) => {}
            }
            tokio::time::sleep(TOGETHER).await;
        }
    }

    /// Why the API server is not known to send the deletes of the policy's namespace; `None` where a dry run of our own
    /// has proven that it does.
    async fn not_called(&self, policy: &Policy, pods: &[Arc<Pod<'static>>], proofs: &Proofs) -> Option<String> {
        let namespace = &policy.namespace;
        if let Some(refusal) = self.registration.refusal(namespace) {
            return Some(refusal.to_owned());
        }
        let seen = self.seen.borrow().clone();
        if proofs.hold(namespace, &seen) {
            return None;
        }
        if seen.covers(namespace) == Some(false) {
            return Some("the registration with the API server does not name this namespace (yet)".to_owned());
        }
        // One whose delete the gate would deny shows most.
        let shows_most = |pod: &&Arc<Pod<'static>>| {
            pod.is_ready() && !pod.is_terminating() && !pod.is_mirror() && is_selected(policy, pod, &*self.nodes)
        };
        let pod = pods.iter().find(shows_most)?;
        match prove(&self.client, namespace, &pod.metadata.name, &pod.metadata.uid).await {
            Sent::Yes => {
                proofs.note(namespace, &seen);
                None
            }
            Sent::Failing(error) => Some(format!("the API server can't ask Castoff: {error}")),
            Sent::NotDenied => {
                Some(format!("a dry run of the delete of {} was not sent to Castoff", pod.metadata.name))
            }
            Sent::Unclear(error) => Some(format!("it is not known yet whether deletes are sent to Castoff: {error}")),
        }
    }

    async fn write(&self, object: &PolicyObject, proofs: &Proofs) {
        let index = self.index.load();
        let Some(policy) = index.get(&object.namespace, &object.name) else { return };
        let pods = self.pods.of_namespace(&object.namespace);
        let not_called = self.not_called(policy, &pods, proofs).await;
        let (policies, backend) = (index.of_namespace(&object.namespace), self.probes.of(policy));
        let nodes = &*self.nodes;
        let is_empty = !pods.iter().any(|pod| is_selected(policy, pod, nodes));
        let elsewhere = if is_empty { self.elsewhere.of(policy, &self.pods, nodes) } else { BTreeMap::default() };
        let now = jiff::Timestamp::now();
        let known = Known { pods: &pods, nodes, policies, not_called, backend, elsewhere, now };
        let drains = self.drains.of_place(&object.namespace);
        let its = drains.iter().filter(|kept| kept.drain.spec.policy == object.name);
        let is_past = |kept: &&Arc<Kept>| kept.times.since.is_some_and(|since| now.duration_since(since) >= REMEMBERED);
        let over = its.filter(is_past).filter_map(|kept| Summary::of(&kept.drain, &kept.times)).collect();
        let drains =
            drains.iter().filter_map(|kept| Some((kept.drain.status.phase, kept.drain.status.pod.as_deref()?)));
        let away = away(policy, drains, &*self.nodes);
        let now = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let shown = Shown::of(policy, object, &known, (away, over), &self.runbook, &now);
        let Some(change) = shown.change(object) else { return };
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &object.namespace, &drain_policies());
        if let Err(error) = api.patch_status(&object.name, &PatchParams::default(), &Patch::Merge(&change)).await {
            let (namespace, name) = (&object.namespace, &object.name);
            tracing::debug!(%namespace, %name, error = %chain(&error), "a policy's status could not be written");
        }
    }
}

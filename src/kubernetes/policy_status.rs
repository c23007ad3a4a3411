//! What a policy's status says: whether it guards anything, and if not, why.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use kube::core::DynamicObject;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::facts::NodeFacts;
use crate::lifecycle::limit::Slot;
use crate::pod::Pod;
use crate::policy::spec::PolicyMode;
use crate::policy::{Policy, PolicyIndex};
use crate::runbook::Links;

use super::cache::{Cache, chain};
use super::conditions::Condition;
use super::lease::Leadership;
use super::policies::{PolicyObject, said};
use super::registration::{Proofs, Registration, Seen, Sent, prove};
use super::resources::drain_policies;

/// Changes that come quickly one after the other are told together.
const TOGETHER: Duration = Duration::from_millis(500);

/// How often the status is looked at where nothing has changed.
const AGAIN: Duration = Duration::from_secs(30);

/// The longest message of a condition, in bytes: the most that the API's own conditions take.
const LONGEST_MESSAGE: usize = 32 * 1024;

/// A DrainPolicy's status.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyStatus {
    /// How many pods it guards now.
    pub pods: usize,
    /// How many of them may be away at once.
    pub slots: usize,
    /// How many are departing.
    pub away: usize,
    /// Which places are departing, and by which PodDrain. Written by Castoff alone.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["seat"]))]
    pub departing: Vec<Slot>,
    /// `Ready`: reasons `Guarding`, `NoPods`, `NotCompiled`, `Conflict`, `NotCalled`.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// What a status is made from.
#[derive(Debug)]
pub struct Known<'a> {
    /// The pods of the policy's namespace.
    pub pods: &'a [Arc<Pod<'static>>],
    /// Labels of nodes.
    pub nodes: &'a dyn NodeLabels,
    /// All policies of the namespace.
    pub policies: &'a [Arc<Policy>],
    /// Whether the API server sends this namespace's deletes; the sentence says why it is not known to.
    pub called: Result<(), String>,
}

/// Where a node's labels are found.
pub trait NodeLabels: std::fmt::Debug + Sync {
    /// The node's labels; `None` where they are not known.
    fn labels(&self, node: &str) -> Option<BTreeMap<String, String>>;
}

impl NodeLabels for Cache<NodeFacts> {
    fn labels(&self, node: &str) -> Option<BTreeMap<String, String>> {
        self.get(node).map(|node| node.labels.clone())
    }
}

/// What `Ready` says of a policy, with the number of pods that it guards: holds, reason, message.
#[must_use]
pub fn judge(policy: &Policy, known: &Known<'_>) -> (usize, bool, &'static str, String) {
    let selected: Vec<&Arc<Pod<'static>>> =
        known.pods.iter().filter(|pod| !pod.is_finished() && is_selected(policy, pod, known.nodes)).collect();
    let count = selected.len();
    if let Err(mistakes) = &policy.steps {
        let message = format!("its pods may not leave until this is mended: {}", said(mistakes));
        return (count, false, "NotCompiled", message);
    }
    let rivals: BTreeSet<&str> = known
        .policies
        .iter()
        .filter(|other| other.name != policy.name)
        .filter(|other| {
            other.surely_overlaps(policy) || selected.iter().any(|pod| is_selected(other, pod, known.nodes))
        })
        .map(|other| other.name.as_str())
        .collect();
    if !rivals.is_empty() {
        let names = rivals.into_iter().collect::<Vec<_>>().join(", ");
        let message = format!("{names} selects the same pods: they may not leave until one of the two is narrowed");
        return (count, false, "Conflict", message);
    }
    if count == 0 {
        let message = "no pod of this namespace is selected: nothing is guarded".to_owned();
        return (count, false, "NoPods", message);
    }
    if let Err(why) = &known.called {
        return (count, false, "NotCalled", why.clone());
    }
    let message = match policy.spec.mode {
        PolicyMode::Enforce => format!("guards {count} pods"),
        PolicyMode::Audit => format!("watches {count} pods, and lets all of them leave (mode Audit)"),
    };
    (count, true, "Guarding", message)
}

fn is_selected(policy: &Policy, pod: &Pod<'_>, nodes: &dyn NodeLabels) -> bool {
    let labels = if policy.spec.node_selector.is_empty() { None } else { nodes.labels(&pod.spec.node_name) };
    policy.selects(pod, labels.as_ref())
}

/// Writes the status of policies while this process leads.
pub struct Writer {
    /// The API.
    pub client: Client,
    /// Policies as they are stored.
    pub objects: Arc<Cache<PolicyObject>>,
    /// Policies in force.
    pub index: Arc<ArcSwap<PolicyIndex>>,
    /// Pods.
    pub pods: Arc<Cache<Pod<'static>>>,
    /// Nodes.
    pub nodes: Arc<Cache<NodeFacts>>,
    /// The registration with the API server.
    pub registration: Arc<Registration>,
    /// What is seen of it.
    pub seen: watch::Receiver<Seen>,
    /// Whether this process leads.
    pub leadership: Leadership,
    /// Where people read on.
    pub runbook: Links,
}

/// Whether the pods that are missing are those that are departing. Their next ones are about to come: it is not worth
/// two writes a drain to say so, and no policy without pods.
fn is_only_away(object: &PolicyObject, count: usize) -> bool {
    let told = object.status.get("pods").and_then(Value::as_u64).and_then(|pods| usize::try_from(pods).ok());
    let is_current = |condition: &Condition| condition.observed_generation == Some(object.generation);
    told.is_some_and(|told| count < told && count + object.slots.slots.departing.len() >= told)
        && object.conditions.iter().any(is_current)
}

impl Writer {
    /// Writes whenever something has changed, for ever.
    pub async fn run(self) {
        let (proofs, mut seen) = (Proofs::default(), self.seen.clone());
        let (mut pods, mut objects) = (self.pods.changes(), self.objects.changes());
        self.pods.filled().await;
        self.objects.filled().await;
        loop {
            pods.mark_unchanged();
            objects.mark_unchanged();
            seen.mark_unchanged();
            for object in self.objects.all() {
                if self.leadership.holds() {
                    self.write(&object, &proofs).await;
                }
            }
            tokio::select! {
                _ = pods.changed() => {}
                _ = objects.changed() => {}
                _ = seen.changed() => {}
                () = tokio::time::sleep(AGAIN) => {}
            }
            tokio::time::sleep(TOGETHER).await;
        }
    }

    /// Whether the API server really sends the deletes of the policy's namespace: proven by a dry run of our own.
    async fn is_called(&self, policy: &Policy, pods: &[Arc<Pod<'static>>], proofs: &Proofs) -> Result<(), String> {
        let namespace = &policy.namespace;
        if let Some(refusal) = self.registration.refusal(namespace) {
            return Err(refusal.to_owned());
        }
        let seen = self.seen.borrow().clone();
        if proofs.hold(namespace, &seen) {
            return Ok(());
        }
        if seen.covers(namespace) == Some(false) {
            return Err("the registration with the API server does not name this namespace (yet)".to_owned());
        }
        // One whose delete the gate would deny shows most.
        let shows_most = |pod: &&Arc<Pod<'static>>| {
            pod.is_ready() && !pod.is_terminating() && !pod.is_mirror() && is_selected(policy, pod, &*self.nodes)
        };
        let Some(pod) = pods.iter().find(shows_most) else { return Ok(()) };
        match prove(&self.client, namespace, &pod.metadata.name, &pod.metadata.uid).await {
            Sent::Yes => {
                proofs.note(namespace, &seen);
                Ok(())
            }
            Sent::Failing(error) => Err(format!("the API server can't ask Castoff: {error}")),
            Sent::NotDenied => Err(format!("a dry run of the delete of {} was not sent to Castoff", pod.metadata.name)),
            Sent::Unclear(error) => Err(format!("it is not known yet whether deletes are sent to Castoff: {error}")),
        }
    }

    async fn write(&self, object: &PolicyObject, proofs: &Proofs) {
        let index = self.index.load();
        let Some(policy) = index.get(&object.namespace, &object.name) else { return };
        let pods = self.pods.pick(|pod| pod.metadata.namespace == *object.namespace);
        let called = self.is_called(policy, &pods, proofs).await;
        let known = Known { pods: &pods, nodes: &*self.nodes, policies: index.of_namespace(&object.namespace), called };
        let (count, holds, reason, message) = judge(policy, &known);
        let slots = policy.spec.max_unavailable.of(count).unwrap_or(1);
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let message = self.runbook.message(&message, reason, LONGEST_MESSAGE);
        let mut ready = Condition::new("Ready", holds, reason, &message, &object.conditions, &now);
        ready.observed_generation = Some(object.generation);
        let change = json!({"status": {"pods": count, "slots": slots, "conditions": [ready]}});
        let same =
            ["pods", "slots", "conditions"].iter().all(|field| object.status.get(field) == change["status"].get(field));
        if same || is_only_away(object, count) {
            return;
        }
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &object.namespace, &drain_policies());
        if let Err(error) = api.patch_status(&object.name, &PatchParams::default(), &Patch::Merge(&change)).await {
            let (namespace, name) = (&object.namespace, &object.name);
            tracing::debug!(%namespace, %name, error = %chain(&error), "a policy's status could not be written");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::kubernetes::policies::read_policy;

    #[test]
    fn pods_that_are_away_for_a_moment_are_no_news_but_those_that_stay_away_are() {
        let policy = |departing: Value, observed: i64| {
            let object: DynamicObject = serde_json::from_value(json!({
                "metadata": {"name": "p", "namespace": "n", "generation": 2},
                "status": {
                    "pods": 3,
                    "departing": departing,
                    "conditions": [{"type": "Ready", "status": "True", "reason": "Guarding", "message": "",
                        "lastTransitionTime": "", "observedGeneration": observed}],
                },
            }))
            .unwrap();
            read_policy(&object).unwrap().1
        };
        let one = json!([{"seat": "a", "drain": "a"}]);
        assert!(is_only_away(&policy(one.clone(), 2), 2));
        assert!(!is_only_away(&policy(one.clone(), 2), 1), "one more is missing");
        assert!(!is_only_away(&policy(one.clone(), 2), 4), "one has come");
        assert!(!is_only_away(&policy(json!([]), 2), 2), "the drain is over, and it did not come back");
        assert!(!is_only_away(&policy(one, 1), 2), "the policy was changed");
    }
}

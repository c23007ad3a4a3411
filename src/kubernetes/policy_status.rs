//! What a policy's status says: whether it guards anything, and if not, why.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use kube::core::DynamicObject;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::controller::interfaces::NodeFacts;
use crate::lifecycle::slots::Slot;
use crate::pod::Pod;
use crate::policy::spec::PolicyMode;
use crate::policy::{Policy, PolicyIndex};

use super::cache::{Cache, chain};
use super::conditions::Condition;
use super::lease::Charge;
use super::policies::{PolicyObject, said};
use super::resources::drain_policies;

/// Changes that come quickly one after the other are told together.
const TOGETHER: Duration = Duration::from_millis(500);

/// How often the status is looked at where nothing has changed.
const AGAIN: Duration = Duration::from_secs(30);

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
    /// `Ready`: reasons Guarding, NoPods, NotCompiled, Conflict, NotCalled.
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
        known.pods.iter().filter(|pod| !pod.is_finished() && is_selected(policy, pod, known)).collect();
    let count = selected.len();
    if let Err(mistakes) = &policy.steps {
        let message = format!("its pods may not leave until this is mended: {}", said(mistakes));
        return (count, false, "NotCompiled", message);
    }
    let rivals: BTreeSet<&str> = known
        .policies
        .iter()
        .filter(|other| other.name != policy.name)
        .filter(|other| other.surely_overlaps(policy) || selected.iter().any(|pod| is_selected(other, pod, known)))
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

fn is_selected(policy: &Policy, pod: &Pod<'_>, known: &Known<'_>) -> bool {
    let labels = if policy.spec.node_selector.is_empty() { None } else { known.nodes.labels(&pod.spec.node_name) };
    policy.selects(pod, labels.as_ref())
}

/// Tells whether the API server sends a namespace's deletes here; the sentence says why that is not known.
pub type Called = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// Writes the status of policies while this process is in charge.
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
    /// Whether the API server sends a namespace's deletes here.
    pub called: Called,
    /// Whether this process is in charge.
    pub charge: Charge,
}

impl Writer {
    /// Writes whenever something has changed, for ever.
    pub async fn run(self) {
        let (mut pods, mut objects) = (self.pods.changes(), self.objects.changes());
        self.pods.filled().await;
        self.objects.filled().await;
        loop {
            pods.mark_unchanged();
            objects.mark_unchanged();
            for object in self.objects.all() {
                if self.charge.holds() {
                    self.write(&object).await;
                }
            }
            tokio::select! {
                _ = pods.changed() => {}
                _ = objects.changed() => {}
                () = tokio::time::sleep(AGAIN) => {}
            }
            tokio::time::sleep(TOGETHER).await;
        }
    }

    async fn write(&self, object: &PolicyObject) {
        let index = self.index.load();
        let Some(policy) = index.get(&object.namespace, &object.name) else { return };
        let pods = self.pods.pick(|pod| pod.metadata.namespace == *object.namespace);
        let known = Known {
            pods: &pods,
            nodes: &*self.nodes,
            policies: index.of_namespace(&object.namespace),
            called: (self.called)(&object.namespace),
        };
        let (count, holds, reason, message) = judge(policy, &known);
        let slots = policy.spec.max_unavailable.of(count).unwrap_or(1);
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let mut ready = Condition::new("Ready", holds, reason, &message, &object.conditions, &now);
        ready.observed_generation = Some(object.generation);
        let change = json!({"status": {"pods": count, "slots": slots, "conditions": [ready]}});
        let same =
            ["pods", "slots", "conditions"].iter().all(|field| object.status.get(field) == change["status"].get(field));
        if same {
            return;
        }
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &object.namespace, &drain_policies());
        if let Err(error) = api.patch_status(&object.name, &PatchParams::default(), &Patch::Merge(&change)).await {
            let (namespace, name) = (&object.namespace, &object.name);
            tracing::debug!(%namespace, %name, error = %chain(&error), "a policy's status could not be written");
        }
    }
}

/// The namespaces that have policies, or departures that are still open.
#[must_use]
pub fn namespaces<'a>(policies: &'a [Arc<PolicyObject>], open: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let with_policies: HashSet<&str> = policies.iter().map(|policy| policy.namespace.as_str()).collect();
    with_policies.into_iter().chain(open).map(str::to_owned).collect()
}

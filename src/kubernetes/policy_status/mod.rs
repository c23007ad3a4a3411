//! What a policy's status says: whether it guards anything, and if not, why. Pure; [`Writer`] writes it.

mod backend;
mod probes;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::facts::NodeFacts;
use crate::lifecycle::Phase;
use crate::lifecycle::limit::Slot;
use crate::pod::Pod;
use crate::policy::Policy;
use crate::policy::freeze::Freeze;
use crate::policy::spec::PolicyMode;
use crate::runbook::Links;

use super::cache::Cache;
use super::conditions::Condition;
use super::history::{Summary, remembered};
use super::policies::{PolicyObject, said};

pub use probes::Probes;
pub use writer::{Elsewhere, Writer};

/// The longest message of a condition, in bytes: the most that the API's own conditions take.
const LONGEST_MESSAGE: usize = 32 * 1024;

/// The condition that tells of backends.
pub const BACKEND_SEEN: &str = "BackendSeen";
/// The condition that tells of a freeze.
pub const FROZEN: &str = "Frozen";
const NO_PODS: &str = "no pod of this namespace is selected: nothing is guarded";

/// A DrainPolicy's status.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyStatus {
    /// Of which generation of the policy all of this speaks.
    pub observed_generation: Option<i64>,
    /// How many pods it guards now.
    pub pods: usize,
    /// How many of them may be away at once.
    pub slots: usize,
    /// How many are being drained, or away.
    pub away: usize,
    /// The lock by which the last place is given to one alone. Written by Castoff alone.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["seat"]))]
    pub departing: Vec<Slot>,
    /// `True` where every condition is, `False` where one is not: what `kubectl get` shows.
    pub ready: String,
    /// The reason of the first condition that is not true, else that of `Ready`.
    pub reason: String,
    /// Its message.
    pub message: String,
    /// The last ten drains that are over, the oldest first.
    #[schemars(extend("maxItems" = 10))]
    pub history: Vec<Summary>,
    /// `Ready`: reasons `Guarding`, `NoPods` (there is nothing to guard yet), `NotCompiled`, `Conflict`, `NotCalled`.
    /// `BackendSeen`: `Seen`, `BackendNotReached`, `BackendNotBelieved`, `NothingSelected`. `NoPods`: whether no pod is
    /// selected. `Stalled`: whether the policy must be mended, `NotCompiled` or `Conflict`. `Frozen`: whether a person
    /// has frozen it, and who, why and until when.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

#[derive(Debug)]
pub struct Known<'a> {
    pub pods: &'a [Arc<Pod<'static>>],
    pub nodes: &'a dyn NodeLabels,
    pub policies: &'a [Arc<Policy>],
    /// Why the API server is not known to send this namespace's deletes; `None` where it is.
    pub not_called: Option<String>,
    /// What the last look at the policy's backends has shown.
    pub backend: Option<Verdict>,
    /// How many pods of other namespaces the policy would select, where it selects none of its own.
    pub elsewhere: BTreeMap<String, usize>,
    /// To which a freeze is held.
    pub now: Timestamp,
}

pub trait NodeLabels: std::fmt::Debug + Sync {
    fn labels(&self, node: &str) -> Option<BTreeMap<String, String>>;
}

impl NodeLabels for Cache<NodeFacts> {
    fn labels(&self, node: &str) -> Option<BTreeMap<String, String>> {
        self.get(node).map(|node| node.labels.clone())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub kind: &'static str,
    pub holds: bool,
    pub reason: &'static str,
    pub message: String,
}

fn guarded<'a>(policy: &Policy, known: &Known<'a>) -> Vec<&'a Arc<Pod<'static>>> {
    known.pods.iter().filter(|pod| !pod.is_finished() && is_selected(policy, pod, known.nodes)).collect()
}

/// What `Ready` says of a policy.
pub fn ready(policy: &Policy, known: &Known<'_>) -> Verdict {
    let says = |holds, reason, message| Verdict { kind: "Ready", holds, reason, message };
    let selected = guarded(policy, known);
    if let Err(mistakes) = &policy.steps {
        let message = format!("its pods may not leave until this is mended: {}", said(mistakes));
        return says(false, "NotCompiled", message);
    }
    let rivals = rivals(policy, &selected, known);
    if !rivals.is_empty() {
        let names = rivals.into_iter().collect::<Vec<_>>().join(", ");
        let message = format!("{names} selects the same pods: they may not leave until one of the two is narrowed");
        return says(false, "Conflict", message);
    }
    if let Some(why) = &known.not_called {
        return says(false, "NotCalled", why.clone());
    }
    // A policy may come before its workload: it is ready, and has nothing to do.
    if selected.is_empty() {
        return says(true, "NoPods", format!("{NO_PODS}{}", counted(&known.elsewhere)));
    }
    let count = selected.len();
    let message = match policy.spec.mode {
        PolicyMode::Enforce => format!("guards {count} pods"),
        PolicyMode::Audit => format!("watches {count} pods, and lets all of them leave (mode Audit)"),
    };
    says(true, "Guarding", message)
}

/// What is told besides `Ready`. `Stalled` is what kstatus and those who follow it call failed.
fn besides(ready: &Verdict, pods: usize, freeze: &Freeze, now: Timestamp) -> [Verdict; 3] {
    let stalled = ["NotCompiled", "Conflict"].contains(&ready.reason);
    let (reason, message) = if pods == 0 { ("NoPods", NO_PODS) } else { ("Selected", "pods are selected") };
    [
        Verdict { kind: "NoPods", holds: pods == 0, reason, message: message.to_owned() },
        Verdict { kind: "Stalled", holds: stalled, ..ready.clone() },
        frozen(freeze, now),
    ]
}

/// Whether a person has frozen the policy.
fn frozen(freeze: &Freeze, now: Timestamp) -> Verdict {
    let says = |holds, reason, message| Verdict { kind: FROZEN, holds, reason, message };
    match freeze.now(now) {
        Ok(Some(frozen)) => says(true, "Frozen", frozen.to_string()),
        Ok(None) => says(false, "NotFrozen", "pods are prepared when they are asked for".to_owned()),
        Err(why) => says(false, "DoesNotCount", why),
    }
}

/// ` (0 here, 2 in web)`: where such pods are, in a few namespaces.
fn counted(elsewhere: &BTreeMap<String, usize>) -> String {
    let named: Vec<String> =
        elsewhere.iter().take(3).map(|(namespace, count)| format!("{count} in {namespace}")).collect();
    if named.is_empty() { String::new() } else { format!(" (0 here, {})", named.join(", ")) }
}

/// How many pods outside its namespace the policy would select.
fn selected_elsewhere(policy: &Policy, pods: &[Arc<Pod<'static>>], nodes: &dyn NodeLabels) -> BTreeMap<String, usize> {
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| !pod.is_finished() && is_selected(policy, pod, nodes)) {
        *found.entry(pod.metadata.namespace.to_string()).or_default() += 1;
    }
    found.remove(&policy.namespace);
    found
}

/// The policies that select pods of this one too.
fn rivals<'a>(policy: &Policy, selected: &[&Arc<Pod<'static>>], known: &Known<'a>) -> BTreeSet<&'a str> {
    let others = known.policies.iter().filter(|other| other.name != policy.name);
    let meets = |other: &Policy| {
        other.surely_overlaps(policy) || selected.iter().any(|pod| is_selected(other, pod, known.nodes))
    };
    others.filter(|other| meets(other)).map(|other| other.name.as_str()).collect()
}

/// How many of these drains, each with its pod, have a pod of the policy being drained or away, under whichever policy
/// that began.
pub fn away<'a>(
    policy: &Policy,
    drains: impl IntoIterator<Item = (Phase, &'a Pod<'static>)>,
    nodes: &dyn NodeLabels,
) -> usize {
    let is_away = |phase| matches!(phase, Phase::Draining | Phase::Drained | Phase::Departing | Phase::Restoring);
    drains.into_iter().filter(|(phase, pod)| is_away(*phase) && is_selected(policy, pod, nodes)).count()
}

/// What is to be written into a policy's status; `departing` is left as it is.
#[derive(Debug)]
struct Shown {
    observed_generation: i64,
    pods: usize,
    slots: usize,
    away: usize,
    conditions: Vec<Condition>,
    history: Vec<Summary>,
}

/// The condition that people are to see first: one that is not true, else that the policy is frozen, else the first.
#[must_use]
pub fn worst(conditions: &[Condition]) -> Option<&Condition> {
    let of_ours = |condition: &&Condition| ["Ready", BACKEND_SEEN].contains(&condition.kind.as_str());
    let untrue = conditions.iter().filter(of_ours).find(|condition| condition.status != "True");
    let frozen = || conditions.iter().find(|condition| condition.kind == FROZEN && condition.status == "True");
    untrue.or_else(frozen).or_else(|| conditions.iter().find(of_ours))
}

impl Shown {
    /// The status of `policy`, stored as `object`; `over` are its drains that are over.
    fn of(
        policy: &Policy,
        object: &PolicyObject,
        known: &Known<'_>,
        (away, over): (usize, Vec<Summary>),
        runbook: &Links,
        now: &str,
    ) -> Self {
        let condition = |verdict: Verdict| {
            let message = runbook.message(&verdict.message, verdict.reason, LONGEST_MESSAGE);
            let before = &object.conditions;
            let mut condition = Condition::new(verdict.kind, verdict.holds, verdict.reason, &message, before, now);
            condition.observed_generation = Some(object.generation);
            condition
        };
        let pods = guarded(policy, known).len();
        let slots = policy.spec.limit().most(pods);
        let ready = ready(policy, known);
        let besides = besides(&ready, pods, &policy.freeze, known.now);
        let verdicts = [ready].into_iter().chain(known.backend.clone()).chain(besides);
        let kept = object.status.get("history").cloned().map(serde_json::from_value);
        let kept: Vec<Summary> = kept.and_then(Result::ok).unwrap_or_default();
        Shown {
            observed_generation: object.generation,
            pods,
            slots,
            away,
            conditions: verdicts.map(condition).collect(),
            history: remembered(&kept, over),
        }
    }

    /// The patch that writes it; `None` where it says nothing new.
    fn change(&self, object: &PolicyObject) -> Option<Value> {
        let Shown { observed_generation, pods, slots, away, conditions, history } = self;
        let (ready, reason, message) = worst(conditions)
            .map_or(("", "", ""), |worst| (worst.status.as_str(), worst.reason.as_str(), worst.message.as_str()));
        let status = json!({
            "observedGeneration": observed_generation, "pods": pods, "slots": slots, "away": away,
            "conditions": conditions, "history": history, "ready": ready, "reason": reason, "message": message,
        });
        let told = |field: &str| object.status.get(field).unwrap_or(&Value::Null) == &status[field];
        let same =
            ["observedGeneration", "pods", "slots", "conditions", "ready", "message"].iter().all(|field| told(field));
        let has_history = history.is_empty() || told("history");
        ((!same && !self.is_only_away(object)) || !told("away") || !has_history).then(|| json!({"status": status}))
    }

    /// Whether the pods that are missing are those that are away. Their next ones are about to come: it is not worth
    /// two writes a drain to say so, and no policy without pods.
    fn is_only_away(&self, object: &PolicyObject) -> bool {
        let told = object.status.get("pods").and_then(Value::as_u64).and_then(|pods| usize::try_from(pods).ok());
        let is_current = |condition: &Condition| condition.observed_generation == Some(object.generation);
        told.is_some_and(|told| self.pods < told && self.pods + self.away >= told)
            && object.conditions.iter().any(is_current)
    }
}

fn is_selected(policy: &Policy, pod: &Pod<'_>, nodes: &dyn NodeLabels) -> bool {
    policy.selects_by(pod, &|node| nodes.labels(node))
}

#[cfg(test)]
mod tests;

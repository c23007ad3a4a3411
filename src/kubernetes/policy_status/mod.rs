//! What a policy's status says: whether it guards anything, and if not, why. Pure; [`Writer`] writes it.

mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::facts::NodeFacts;
use crate::lifecycle::Phase;
use crate::lifecycle::limit::Slot;
use crate::pod::Pod;
use crate::policy::Policy;
use crate::policy::spec::PolicyMode;
use crate::runbook::Links;

use super::cache::Cache;
use super::conditions::Condition;
use super::policies::{PolicyObject, said};

pub use writer::Writer;

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
    /// How many are being drained, or away.
    pub away: usize,
    /// The lock by which the last place is given to one alone. Written by Castoff alone.
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

/// What a condition is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What it is about.
    pub kind: &'static str,
    /// Whether it holds.
    pub holds: bool,
    /// In one word.
    pub reason: &'static str,
    /// In a sentence.
    pub message: String,
}

/// The pods that the policy guards.
fn guarded<'a>(policy: &Policy, known: &Known<'a>) -> Vec<&'a Arc<Pod<'static>>> {
    known.pods.iter().filter(|pod| !pod.is_finished() && is_selected(policy, pod, known.nodes)).collect()
}

/// What `Ready` says of a policy.
#[must_use]
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
    if selected.is_empty() {
        return says(false, "NoPods", "no pod of this namespace is selected: nothing is guarded".to_owned());
    }
    if let Err(why) = &known.called {
        return says(false, "NotCalled", why.clone());
    }
    let count = selected.len();
    let message = match policy.spec.mode {
        PolicyMode::Enforce => format!("guards {count} pods"),
        PolicyMode::Audit => format!("watches {count} pods, and lets all of them leave (mode Audit)"),
    };
    says(true, "Guarding", message)
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
#[must_use]
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
    pods: usize,
    slots: usize,
    away: usize,
    conditions: Vec<Condition>,
}

impl Shown {
    /// The status of `policy`, stored as `object`.
    fn of(policy: &Policy, object: &PolicyObject, known: &Known<'_>, away: usize, runbook: &Links, now: &str) -> Self {
        let condition = |verdict: Verdict| {
            let message = runbook.message(&verdict.message, verdict.reason, LONGEST_MESSAGE);
            let before = &object.conditions;
            let mut condition = Condition::new(verdict.kind, verdict.holds, verdict.reason, &message, before, now);
            condition.observed_generation = Some(object.generation);
            condition
        };
        let pods = guarded(policy, known).len();
        let slots = policy.spec.max_unavailable.of(pods).unwrap_or(1);
        Shown { pods, slots, away, conditions: vec![condition(ready(policy, known))] }
    }

    /// The patch that writes it; `None` where it says nothing new.
    fn change(&self, object: &PolicyObject) -> Option<Value> {
        let Shown { pods, slots, away, conditions } = self;
        let status = json!({"pods": pods, "slots": slots, "away": away, "conditions": conditions});
        let told = |field: &str| object.status.get(field).unwrap_or(&Value::Null) == &status[field];
        let same = ["pods", "slots", "conditions"].iter().all(|field| told(field));
        ((!same && !self.is_only_away(object)) || !told("away")).then(|| json!({"status": status}))
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
mod tests {
    #![allow(clippy::unwrap_used)]
    use kube::core::DynamicObject;

    use super::*;
    use crate::kubernetes::policies::read_policy;

    /// A policy's object whose status tells of three pods, and this of how many are away.
    fn object(away: usize, observed: i64) -> PolicyObject {
        let ready = json!({
            "type": "Ready", "status": "True", "reason": "Guarding", "message": "",
            "lastTransitionTime": "", "observedGeneration": observed,
        });
        let object: DynamicObject = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n", "generation": 2},
            "status": {"pods": 3, "slots": 1, "away": away, "conditions": [ready]},
        }))
        .unwrap();
        read_policy(&object).unwrap().1
    }

    fn shown(pods: usize, away: usize) -> Shown {
        Shown { pods, slots: 1, away, conditions: Vec::new() }
    }

    #[test]
    fn pods_that_are_away_for_a_moment_are_no_news_but_those_that_stay_away_are() {
        let object = |observed| object(1, observed);
        assert!(shown(2, 1).change(&object(2)).is_none());
        assert!(shown(1, 1).change(&object(2)).is_some(), "one more is missing");
        assert!(shown(4, 1).change(&object(2)).is_some(), "one has come");
        assert!(shown(2, 0).change(&object(2)).is_some(), "the drain is over, and it did not come back");
        assert!(shown(2, 1).change(&object(1)).is_some(), "the policy was changed");
    }

    #[test]
    fn how_many_are_away_is_told_when_it_changes() {
        let change = shown(3, 1).change(&object(0, 2)).unwrap();
        assert_eq!(change["status"]["away"], 1);
        assert!(change["status"].get("departing").is_none(), "the lock is not the writer's");
    }

    #[test]
    fn whoever_is_past_waiting_and_not_over_is_away_under_whichever_policy_that_began() {
        let plans: Vec<Arc<crate::kubernetes::policies::PlanObject>> = Vec::new();
        let (_, policy) = read_policy(
            &serde_json::from_value(json!({
                "metadata": {"name": "p", "namespace": "n"},
                "spec": {"selector": {"matchLabels": {"app": "db"}}, "steps": []},
            }))
            .unwrap(),
        )
        .unwrap();
        let index = crate::kubernetes::policies::compile(&[Arc::new(policy)], &plans);
        let policy = index.get("n", "p").unwrap();
        let pod = |app: &str| {
            let mut pod = Pod::default();
            pod.metadata.labels.insert("app".into(), app.to_owned().into());
            pod
        };
        let (ours, others) = (pod("db"), pod("web"));
        let phases = [
            Phase::Queued,
            Phase::Draining,
            Phase::Drained,
            Phase::Departing,
            Phase::Restoring,
            Phase::Completed,
            Phase::Unknown,
        ];
        let nodes = Cache::<NodeFacts>::default();
        let drains = phases.iter().flat_map(|phase| [(*phase, &ours), (*phase, &others)]);
        assert_eq!(away(policy, drains, &nodes), 4);
    }
}

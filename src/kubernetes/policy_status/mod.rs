//! What a policy's status says: whether it guards anything, and if not, why. Pure; [`Writer`] writes it.

mod backend;
mod probes;
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
use super::history::{Summary, remembered};
use super::policies::{PolicyObject, said};

pub use probes::Probes;
pub use writer::{Elsewhere, Writer};

/// The longest message of a condition, in bytes: the most that the API's own conditions take.
const LONGEST_MESSAGE: usize = 32 * 1024;

/// The condition that tells of backends.
pub const BACKEND_SEEN: &str = "BackendSeen";
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
    /// selected. `Stalled`: whether the policy must be mended, `NotCompiled` or `Conflict`.
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
    /// What the last look at the policy's backends has shown.
    pub backend: Option<Verdict>,
    /// How many pods of other namespaces the policy would select, where it selects none of its own.
    pub elsewhere: BTreeMap<String, usize>,
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
    if let Err(why) = &known.called {
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
fn besides(ready: &Verdict, pods: usize) -> [Verdict; 2] {
    let stalled = ["NotCompiled", "Conflict"].contains(&ready.reason);
    let (reason, message) = if pods == 0 { ("NoPods", NO_PODS) } else { ("Selected", "pods are selected") };
    [
        Verdict { kind: "NoPods", holds: pods == 0, reason, message: message.to_owned() },
        Verdict { kind: "Stalled", holds: stalled, ..ready.clone() },
    ]
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
    observed_generation: i64,
    pods: usize,
    slots: usize,
    away: usize,
    conditions: Vec<Condition>,
    history: Vec<Summary>,
}

/// The condition that people are to see first: one that is not true, else the first.
#[must_use]
pub fn worst(conditions: &[Condition]) -> Option<&Condition> {
    let of_ours = |condition: &&Condition| ["Ready", BACKEND_SEEN].contains(&condition.kind.as_str());
    let untrue = conditions.iter().filter(of_ours).find(|condition| condition.status != "True");
    untrue.or_else(|| conditions.iter().find(of_ours))
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
        let slots = policy.spec.max_unavailable.of(pods).unwrap_or(1);
        let ready = ready(policy, known);
        let besides = besides(&ready, pods);
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
    let labels = if policy.spec.node_selector.is_empty() { None } else { nodes.labels(&pod.spec.node_name) };
    policy.selects(pod, labels.as_ref())
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
            "status": {"observedGeneration": observed, "pods": 3, "slots": 1, "away": away, "conditions": [ready]},
        }))
        .unwrap();
        read_policy(&object).unwrap().1
    }

    fn shown(pods: usize, away: usize) -> Shown {
        Shown { observed_generation: 2, pods, slots: 1, away, conditions: Vec::new(), history: Vec::new() }
    }

    /// A policy with these parameters of its one step, and what is said of it: conditions by kind, as status and reason.
    fn told(parameters: &Value, pods: &[Arc<Pod<'static>>]) -> BTreeMap<String, (String, String)> {
        let object: DynamicObject = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n", "generation": 7},
            "spec": {
                "selector": {"matchLabels": {"app": "db"}},
                "steps": [{"name": "a", "plan": {"builtIn": "http-hook"}, "parameters": parameters}],
            },
        }))
        .unwrap();
        let object = Arc::new(read_policy(&object).unwrap().1);
        let index = crate::kubernetes::policies::compile(std::slice::from_ref(&object), &[]);
        let nodes = Cache::<NodeFacts>::default();
        let policies = index.of_namespace("n");
        let elsewhere = BTreeMap::new();
        let known = Known { pods, nodes: &nodes, policies, called: Ok(()), backend: None, elsewhere };
        let shown = Shown::of(index.get("n", "p").unwrap(), &object, &known, (0, Vec::new()), &Links::default(), "now");
        assert_eq!(shown.change(&object).unwrap()["status"]["observedGeneration"], 7);
        assert!(shown.conditions.iter().all(|condition| condition.observed_generation == Some(7)));
        shown.conditions.into_iter().map(|it| (it.kind, (it.status, it.reason))).collect()
    }

    fn is(status: &str, reason: &str) -> (String, String) {
        (status.to_owned(), reason.to_owned())
    }

    #[test]
    fn a_policy_that_comes_before_its_pods_is_ready_and_says_that_there_are_none() {
        let before = told(&json!({"port": 80}), &[]);
        assert_eq!(before["Ready"], is("True", "NoPods"));
        assert_eq!(before["NoPods"], is("True", "NoPods"));
        assert_eq!(before["Stalled"], is("False", "NoPods"));
        let mut pod = Pod::default();
        pod.metadata.labels.insert("app".into(), "db".into());
        let later = told(&json!({"port": 80}), &[Arc::new(pod)]);
        assert_eq!(later["Ready"], is("True", "Guarding"));
        assert_eq!(later["NoPods"].0, "False");
    }

    #[test]
    fn a_policy_that_must_be_mended_is_stalled() {
        let wrong = told(&json!({"port": "no"}), &[]);
        assert_eq!(wrong["Ready"], is("False", "NotCompiled"));
        assert_eq!(wrong["Stalled"], is("True", "NotCompiled"));
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
    fn a_policy_without_pods_says_where_such_pods_are() {
        let (_, policy) = read_policy(
            &serde_json::from_value(json!({
                "metadata": {"name": "p", "namespace": "n"},
                "spec": {"selector": {"matchLabels": {"app": "db"}},
                    "steps": [{"name": "a", "plan": {"builtIn": "http-hook"}}]},
            }))
            .unwrap(),
        )
        .unwrap();
        let index = crate::kubernetes::policies::compile(&[Arc::new(policy)], &[]);
        let policy = index.get("n", "p").unwrap();
        let pod = |namespace: &str, app: &str| {
            let pod = json!({"metadata": {"name": "a", "namespace": namespace, "labels": {"app": app}}});
            Arc::new(crate::pod::deserialize_owned(&pod).unwrap())
        };
        let nodes = Cache::<NodeFacts>::default();
        let elsewhere = selected_elsewhere(policy, &[pod("web", "db"), pod("web", "db"), pod("n", "web")], &nodes);
        let known = Known { pods: &[], nodes: &nodes, policies: &[], called: Ok(()), backend: None, elsewhere };
        let told = ready(policy, &known);
        assert_eq!(told.message, "no pod of this namespace is selected: nothing is guarded (0 here, 2 in web)");
    }

    #[test]
    fn the_worst_condition_is_shown() {
        let condition = |kind: &str, status: &str| Condition {
            kind: kind.to_owned(),
            status: status.to_owned(),
            ..Condition::default()
        };
        let of = |ready: &str, seen: &str| {
            let all = [condition("Ready", ready), condition(BACKEND_SEEN, seen)];
            worst(&all).map(|worst| (worst.kind.clone(), worst.status.clone())).unwrap()
        };
        assert_eq!(of("True", "True"), ("Ready".to_owned(), "True".to_owned()));
        assert_eq!(of("True", "False"), (BACKEND_SEEN.to_owned(), "False".to_owned()));
        assert_eq!(of("False", "False"), ("Ready".to_owned(), "False".to_owned()));
        assert_eq!(worst(&[]), None);
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

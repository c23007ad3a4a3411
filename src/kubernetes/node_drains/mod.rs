//! NodeDrain: while it is there, everything guarded on a node is prepared, and its status says how far that is. Pure;
//! [`Writer`] writes it, and the controller begins the drains.

mod writer;

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::core::DynamicObject;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::controller::sight;
use crate::lifecycle::{Awaited, Drain, Explanation, Phase, Prepared};
use crate::policy::Policy;
use crate::policy::spec::PolicyMode;

use super::cache::key_of;
use super::conditions::Condition;
use super::resources::part;

pub use writer::Writer;

/// So many pods are listed.
const MOST: usize = 250;

/// The longest message of a pod, in characters.
const LONGEST_MESSAGE: usize = 300;

/// The node that will go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeDrainSpec {
    /// The node. While the NodeDrain is there, every guarded pod on it is prepared, as far as the policies' limits let
    /// it, and kept so.
    pub node_name: String,
}

/// How far the node's pods are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeDrainStatus {
    /// How many guarded pods are on the node.
    pub guarded: usize,
    /// How many of them are prepared.
    pub prepared: usize,
    /// At most 250 of them, those that are not prepared first.
    pub pods: Vec<PodOnNode>,
    /// How many more there are than `pods` has.
    pub more: usize,
    /// `Prepared`, with reasons that it is so: `AllPrepared`, `NothingGuarded`, `LimitReached` (the rest has its turn once
    /// those that are prepared have left); and that it is not: `Preparing`, `Held` (a person must do something, as the
    /// pods' messages say), `NoSuchNode`.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// A guarded pod of the node.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PodOnNode {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The phase of its PodDrain; in its place `Blocked` or `Stalled` where that is so, and where nothing begins, why:
    /// `Frozen`, `PolicyConflict`, `PolicyNotValid`, `GivenUp`.
    pub phase: String,
    /// What it waits for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Which pods those are.
    #[serde(skip_serializing_if = "Awaited::is_nobody")]
    pub waits_for: Awaited,
}

/// A NodeDrain, as far as it is followed.
#[derive(Clone, Debug)]
pub struct NodeDrain {
    /// Its name.
    pub name: String,
    /// Its generation.
    pub generation: Option<i64>,
    /// What was asked for.
    pub spec: NodeDrainSpec,
    /// What was told.
    pub status: NodeDrainStatus,
}

/// How a NodeDrain becomes an entry of the cache.
#[must_use]
pub fn read(object: &DynamicObject) -> Option<(String, NodeDrain)> {
    let drain = NodeDrain {
        name: object.name_any(),
        generation: object.metadata.generation,
        spec: serde_json::from_value(part(object, "spec")).ok()?,
        status: serde_json::from_value(part(object, "status")).unwrap_or_default(),
    };
    Some((key_of(object), drain))
}

/// Where it lives in the cache: with its node.
#[must_use]
pub fn place_of<'a>(_key: &'a str, drain: &'a NodeDrain) -> &'a str {
    &drain.spec.node_name
}

/// How far one of the node's pods is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// A person must do something.
    Held,
    /// It goes on by itself.
    Preparing,
    /// It may leave.
    Prepared,
}

/// How far a guarded pod is; `None` where no policy holds it.
fn standing(
    selecting: &[&Arc<Policy>],
    drain: Option<&Drain>,
    now: Timestamp,
) -> Option<(Standing, String, Explanation)> {
    let policy = selecting.first()?;
    if selecting.iter().all(|policy| policy.spec.mode == PolicyMode::Audit) {
        return None;
    }
    if let Some(wrong) = sight::wrong(selecting) {
        return Some((Standing::Held, wrong.reason.to_owned(), wrong.message.into()));
    }
    if let Some(frozen) = policy.freeze.in_force(now) {
        return Some((Standing::Held, "Frozen".to_owned(), format!("policy {} is {frozen}", policy.name).into()));
    }
    // One that is over is begun anew, unless a person has given it up.
    let Some(drain) = drain.filter(|drain| drain.status.phase != Phase::Completed || drain.spec.cancel) else {
        return Some((Standing::Preparing, Phase::Queued.to_string(), Explanation::default()));
    };
    let status = &drain.status;
    let says = |standing| Some((standing, status.stands_at().to_owned(), status.explanation()));
    match status.phase {
        Phase::Drained => says(Standing::Prepared),
        Phase::Departing if status.allowed => says(Standing::Prepared),
        Phase::Completed => {
            let message = "its preparation was given up; make the NodeDrain anew to begin it again";
            Some((Standing::Held, "GivenUp".to_owned(), message.into()))
        }
        _ if status.blocked || status.stalled => says(Standing::Held),
        _ => says(Standing::Preparing),
    }
}

/// How far all guarded pods of a node are.
#[derive(Default)]
struct Node(Vec<(Standing, PodOnNode)>);

impl Node {
    fn count(&self, standing: Standing) -> usize {
        self.0.iter().filter(|(one, _)| *one == standing).count()
    }

    /// Whether all that are not prepared have their turn once those that are have left.
    fn is_at_its_limits(&self) -> bool {
        let prepared = self.0.iter().filter(|(standing, _)| *standing == Standing::Prepared);
        let prepared: Prepared<'_> = prepared.map(|(_, pod)| (pod.namespace.as_str(), pod.name.as_str())).collect();
        self.0.iter().all(|(standing, pod)| {
            let is_queued = pod.phase == Phase::Queued.as_str();
            *standing == Standing::Prepared || is_queued && prepared.go_before(&pod.namespace, &pod.waits_for)
        })
    }

    /// Whether the node's pods are prepared, as a condition says it: with a reason and a sentence.
    fn verdict(&self, node: &str, is_there: bool) -> (bool, &'static str, String) {
        let (all, prepared, held) = (self.0.len(), self.count(Standing::Prepared), self.count(Standing::Held));
        let rest = all - prepared;
        match () {
            () if !is_there => (false, "NoSuchNode", format!("there is no node {node}")),
            () if all == 0 => (true, "NothingGuarded", format!("nothing on {node} is guarded: all of it may leave")),
            () if rest == 0 => (true, "AllPrepared", format!("{prepared} of {all} guarded pods are prepared")),
            () if self.is_at_its_limits() => {
                let later = "of their turn once those that are prepared have left";
                (true, "LimitReached", format!("{prepared} of {all} guarded pods are prepared; {rest} have {later}"))
            }
            () if held > 0 => {
                let must = "for which a person must do something";
                (false, "Held", format!("{prepared} of {all} guarded pods are prepared; {held} are held, {must}"))
            }
            () => (false, "Preparing", format!("{prepared} of {all} guarded pods are prepared")),
        }
    }

    /// The status that says so; `None` where it is told already.
    fn news(mut self, of: &NodeDrain, is_there: bool, now: &str) -> Option<NodeDrainStatus> {
        self.0.sort();
        let (holds, reason, message) = self.verdict(&of.spec.node_name, is_there);
        let mut condition = Condition::new("Prepared", holds, reason, &message, &of.status.conditions, now);
        condition.observed_generation = of.generation;
        let (guarded, prepared) = (self.0.len(), self.count(Standing::Prepared));
        let status = NodeDrainStatus {
            guarded,
            prepared,
            pods: self.0.into_iter().take(MOST).map(|(_, pod)| pod).collect(),
            more: guarded.saturating_sub(MOST),
            conditions: vec![condition],
        };
        (status != of.status).then_some(status)
    }
}

#[cfg(test)]
mod tests;

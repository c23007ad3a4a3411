//! What is known of the things around a pod: its node, its namespace, its owner. One vocabulary for whoever sees them
//! and whoever decides by them. What is not known says so, and is never a default.

pub mod read;

use std::collections::{BTreeMap, BTreeSet};

use crate::pod::Pod;

/// What is seen of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NodeSeen {
    /// It is there.
    Known(NodeFacts),
    /// There is no such node.
    Gone,
    /// It can't be told.
    #[default]
    Unknown,
}

/// A node, as far as decisions need it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// Its condition `Ready`; `None` where the node does not answer.
    pub ready: Option<bool>,
    /// Its taints that evict pods (effect `NoExecute`).
    pub evicting: Vec<Taint>,
    /// The keys of all its taints.
    pub taints: BTreeSet<String>,
    /// The types of its conditions that are True.
    pub conditions: BTreeSet<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

/// A taint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// Its value; may be empty.
    pub value: String,
}

/// For how long a pod bears a node's taints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tolerance {
    /// For ever, or there is none that evicts.
    Forever,
    /// For a while, by `tolerationSeconds`.
    AWhile,
    /// Not at all: the node's controller evicts it now.
    None,
}

/// What is seen of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceFacts {
    /// It is being deleted.
    pub deleting: bool,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

/// What is seen of the owner that controls a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OwnerSeen {
    /// It is there.
    Known(OwnerFacts),
    /// It is deleted, or being deleted.
    DeletingOrGone,
    /// The pod has none.
    None,
    /// It is there to be read, and could not be just now: by what it says, a pod may be missing.
    Unread,
    /// It can't be told, and need not be: nothing shows owners here, or nothing says how many pods its kind wants.
    #[default]
    Unknown,
}

/// A pod's owner, as far as decisions need it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnerFacts {
    /// How many pods it wants; `None` where its kind says nothing of that.
    pub wanted: Option<u32>,
    /// Its controller has seen the newest change of its spec: what it has not done by now it does not want.
    pub observed: bool,
    /// What is known of it as one of Kubernetes' own kinds.
    pub kind: OwnerKind,
}

/// A pod's owner, by how it keeps its pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OwnerKind {
    /// A StatefulSet.
    StatefulSet {
        /// The number of its first pod.
        first_ordinal: u32,
        /// It brings its pods to its newest revision by itself, those from `partition` on.
        rolls: bool,
        /// The first ordinal that a roll-out replaces.
        partition: u32,
        /// It waits with every delete until all its pods are Ready.
        ordered: bool,
        /// The revision that its pods are to have, as their label `controller-revision-hash` names it.
        revision: Option<String>,
    },
    /// A DaemonSet: one pod a node.
    DaemonSet {
        /// It brings its pods to its newest revision by itself.
        rolls: bool,
        /// The revision that its pods are to have.
        revision: Option<String>,
    },
    /// Any other: which of its pods is which can't be told by their names.
    #[default]
    Other,
}

impl OwnerSeen {
    /// Its facts, where they are known.
    #[must_use]
    pub fn facts(&self) -> Option<&OwnerFacts> {
        if let OwnerSeen::Known(facts) = self { Some(facts) } else { None }
    }

    /// How many pods it wants, where that is known.
    #[must_use]
    pub fn wanted(&self) -> Option<u32> {
        self.facts()?.wanted
    }

    /// The ordinals of a StatefulSet's pods: from the first on, so many. `None` for all others.
    #[must_use]
    pub fn ordinals(&self) -> Option<(u32, u32)> {
        let facts = self.facts()?;
        let OwnerKind::StatefulSet { first_ordinal, .. } = facts.kind else { return None };
        Some((first_ordinal, facts.wanted?))
    }

    /// Whether a StatefulSet wants a pod of this number; `None` where that can't be told.
    pub(crate) fn wants_ordinal(&self, ordinal: u32) -> Option<bool> {
        let (first, count) = self.ordinals()?;
        Some(ordinal >= first && ordinal - first < count)
    }
}

impl NodeSeen {
    /// Its labels, where they are known.
    #[must_use]
    pub fn labels(self) -> Option<BTreeMap<String, String>> {
        if let NodeSeen::Known(node) = self { Some(node.labels) } else { None }
    }
}

impl NodeFacts {
    /// For how long the pod bears the node's taints.
    /// <https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/>
    pub(crate) fn tolerated_by(&self, pod: &Pod<'_>) -> Tolerance {
        let of = |taint: &Taint| {
            let mut bearing =
                pod.spec.tolerations.iter().filter(|toleration| toleration.bears(&taint.key, &taint.value));
            match bearing.clone().count() {
                0 => Tolerance::None,
                _ if bearing.any(|toleration| toleration.toleration_seconds.is_some()) => Tolerance::AWhile,
                _ => Tolerance::Forever,
            }
        };
        let all: Vec<Tolerance> = self.evicting.iter().map(of).collect();
        let has = |tolerance| all.contains(&tolerance);
        if has(Tolerance::None) {
            Tolerance::None
        } else if has(Tolerance::AWhile) {
            Tolerance::AWhile
        } else {
            Tolerance::Forever
        }
    }
}

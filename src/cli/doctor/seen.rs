//! What the doctor has seen of an installation. `None` is what could not be looked at: nothing is concluded from it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::cli::drains::DrainView;
use crate::cli::operators::Operator;
use crate::cli::trial::Trial;
use crate::policy::spec::LabelSelector;

/// All that was seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Seen {
    pub now: Timestamp,
    /// The namespace that Castoff runs in.
    pub namespace: String,
    /// The webhook entries of the cluster, Castoff's and others'.
    pub hooks: Option<Vec<Hook>>,
    /// The mark that there was a registration: without one it was never made, with one it was deleted.
    pub was_registered: bool,
    /// The certificate in Castoff's own Secret (PEM).
    pub certificate: Option<String>,
    pub replicas: Option<Vec<Replica>>,
    /// A Lease that is not there has no holder.
    pub lease: Option<LeaseSeen>,
    /// The definitions of this version, with what is wrong with each.
    pub definitions: Option<Vec<(String, Definition)>>,
    /// Of which version the definitions that are there say they are, by name.
    pub defined: BTreeMap<String, String>,
    /// What Castoff needs and may not do, as `patch pods`.
    pub missing_rights: Option<Vec<String>>,
    /// Labels of the namespaces that have policies.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    pub policies: Vec<PolicySeen>,
    pub trials: Vec<TrialSeen>,
    pub budgets: Vec<Budget>,
    pub drains: Vec<DrainSeen>,
    /// Whose nodes these are, as `aws` or `gce`.
    pub provider: Option<String>,
    /// What could not be looked at, and why.
    pub unseen: Vec<(String, String)>,
}

/// One entry of a webhook configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Hook {
    pub configuration: String,
    pub name: String,
    /// What is sent, as `DELETE pods`; with `*` where the entry says so.
    pub sends: Vec<String>,
    pub fails_open: bool,
    pub timeout_seconds: i64,
    pub namespaces: LabelSelector,
    pub selects_objects: bool,
    /// Whom the API server trusts (PEM).
    pub bundle: String,
    /// The name that the certificate must be for; `None` where the entry has a URL.
    pub service: Option<String>,
    /// On which path it asks; empty where it does not say.
    pub path: String,
    /// The annotations of the whole configuration.
    pub annotations: BTreeMap<String, String>,
}

/// One pod of Castoff's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Replica {
    pub name: String,
    pub image: String,
    /// Of which version its manifests say it is; empty where they don't.
    pub version: String,
    pub ready: bool,
    /// What its `/readyz` says is missing.
    pub says: Vec<String>,
}

/// The Lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LeaseSeen {
    pub holder: String,
    pub renewed: Option<Timestamp>,
    pub duration_seconds: i64,
}

/// One of Castoff's definitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Definition {
    AsItShouldBe,
    Missing,
    /// The first place in which it differs from this version's.
    Differs(String),
}

/// One policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PolicySeen {
    pub namespace: String,
    pub name: String,
    pub enforced: bool,
    /// What its condition Ready should say, by this program's own look, and the sentence.
    pub reason: String,
    pub message: String,
    /// What Castoff itself says of it: reason and sentence; `None` where it has said nothing yet.
    pub told: Option<(String, String)>,
    /// How long its last preparations took, and whether that fits; `None` where there were none.
    pub took: Option<String>,
    /// Whose pods it guards, where they are an operator's.
    pub operator: Option<&'static Operator>,
    /// One of its pods that nobody who drains nodes for room will ever ask for.
    pub never_asked: Option<NeverAsked>,
}

/// A pod with an annotation that keeps its node where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NeverAsked {
    pub pod: String,
    pub by: &'static Keeps,
}

/// What keeps an autoscaler from ever asking for a pod: of whom, and the annotation with its value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Keeps {
    pub whom: &'static str,
    pub annotation: &'static str,
    pub value: &'static str,
}

/// <https://karpenter.sh/docs/concepts/disruption/#pod-level-controls>,
/// <https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md#what-types-of-pods-can-prevent-ca-from-removing-a-node>
pub(super) const KEEPS: [Keeps; 2] = [
    Keeps { whom: "Karpenter", annotation: "karpenter.sh/do-not-disrupt", value: "true" },
    Keeps { whom: "cluster-autoscaler", annotation: "cluster-autoscaler.kubernetes.io/safe-to-evict", value: "false" },
];

/// One delete, tried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TrialSeen {
    pub namespace: String,
    pub pod: String,
    pub policy: String,
    pub enforced: bool,
    pub trial: Trial,
    /// The Secrets that the policy's steps name, by step.
    pub secrets: BTreeMap<String, String>,
}

/// A PodDisruptionBudget, and one guarded pod that it selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Budget {
    pub namespace: String,
    pub name: String,
    pub pod: String,
    /// It allows no disruption, however well its pods are.
    pub never_allows: bool,
}

/// One drain.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DrainSeen {
    pub view: DrainView,
    /// For how many seconds the plan has said "not now".
    pub blocked_seconds: Option<i64>,
    /// For how many seconds it has been prepared, or was until it was.
    pub preparing_seconds: Option<i64>,
}

impl Seen {
    /// Whether what tells most could not be looked at: the registration, or the replicas.
    pub fn is_blind(&self) -> bool {
        self.hooks.is_none() && self.replicas.is_none()
    }

    /// What there was to look at, in words.
    pub fn looked(&self) -> Vec<String> {
        let count = |number: usize, word: &str| format!("{word}: {number}");
        let mut looked = vec![
            count(self.policies.len(), "policies"),
            count(self.drains.len(), "drains"),
            count(self.trials.len(), "deletes tried out"),
        ];
        looked.extend(self.hooks.as_ref().map(|hooks| count(hooks.len(), "webhooks on pods")));
        looked.extend(self.replicas.as_ref().map(|replicas| count(replicas.len(), "replicas")));
        looked
    }
}

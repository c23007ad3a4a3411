//! A DrainPolicy, as it is written in YAML.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plan::Parameters;

/// Which pods are guarded, which steps prepare them, and the limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicySpec {
    /// The pods' labels.
    pub selector: LabelSelector,
    /// A part of a StatefulSet: `0-2`, `3-`, `0,4-6`; inclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordinals: Option<String>,
    /// Only pods on nodes with these labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Whether pods are held back, or only told of.
    #[serde(default)]
    pub mode: PolicyMode,
    /// What prepares a pod, in order; 1 to 8.
    pub steps: Vec<StepSpec>,
    /// How many pods may be away at once.
    #[serde(default)]
    #[schemars(schema_with = "crate::schema::int_or_string")]
    pub max_unavailable: MaxUnavailable,
    /// Seconds between two looks at the backend.
    #[serde(default = "two")]
    pub poll_period_seconds: u32,
    /// Seconds without progress after which a drain is called stalled.
    #[serde(default = "ten_minutes")]
    pub progress_deadline_seconds: u32,
    /// Seconds without a try after which a drain is given up.
    #[serde(default = "ten_minutes")]
    pub abandon_after_seconds: u32,
    /// Which cases are let go unprepared.
    #[serde(default = "default_exemptions")]
    pub exempt: Vec<Exemption>,
}

impl Default for PolicySpec {
    fn default() -> Self {
        PolicySpec::selecting(LabelSelector::default())
    }
}

impl PolicySpec {
    /// A policy that selects, with all defaults and no step.
    #[must_use]
    pub fn selecting(selector: LabelSelector) -> Self {
        PolicySpec {
            selector,
            ordinals: None,
            node_selector: BTreeMap::new(),
            mode: PolicyMode::default(),
            steps: Vec::new(),
            max_unavailable: MaxUnavailable::default(),
            poll_period_seconds: two(),
            progress_deadline_seconds: ten_minutes(),
            abandon_after_seconds: ten_minutes(),
            exempt: default_exemptions(),
        }
    }
}

/// A label selector, as everywhere in Kubernetes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelSelector {
    /// Labels with their values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// Further conditions, all of which must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<LabelRequirement>,
}

/// One condition on a label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelRequirement {
    /// The label.
    pub key: String,
    /// How it is compared.
    pub operator: LabelOperator,
    /// What it is compared with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// How a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LabelOperator {
    /// Is one of the values.
    In,
    /// Is absent or none of the values.
    NotIn,
    /// Is there.
    Exists,
    /// Is not there.
    DoesNotExist,
}

/// Whether pods are held back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PolicyMode {
    /// Pods stay until they are prepared.
    #[default]
    Enforce,
    /// Pods leave; what would have happened is told.
    Audit,
}

impl std::fmt::Display for PolicyMode {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            PolicyMode::Enforce => "Enforce",
            PolicyMode::Audit => "Audit",
        })
    }
}

/// A plan with its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StepSpec {
    /// The step's name, as messages show it.
    pub name: String,
    /// Which plan.
    pub plan: PlanReference,
    /// The plan's parameters.
    #[serde(default, skip_serializing_if = "Parameters::is_empty")]
    #[schemars(schema_with = "crate::schema::object")]
    pub parameters: Parameters,
    /// How to authenticate at the backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<CredentialsReference>,
}

/// Which plan: exactly one of the two.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanReference {
    /// A plan that comes with Castoff.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built_in: Option<String>,
    /// A DrainPlan of one's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A Secret in the policy's namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CredentialsReference {
    /// Its name; keys: `ca.crt`, `tls.crt`, `tls.key`, `token`, `username`, `password`.
    pub secret_name: String,
}

/// How many pods may be away at once: a number, or per cent of the pods that the policy selects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum MaxUnavailable {
    /// So many pods.
    Pods(u32),
    /// As `25%`; rounded down, but at least one pod.
    Percent(String),
}

impl Default for MaxUnavailable {
    fn default() -> Self {
        MaxUnavailable::Pods(1)
    }
}

impl std::fmt::Display for MaxUnavailable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            MaxUnavailable::Pods(pods) => write!(formatter, "{pods}"),
            MaxUnavailable::Percent(percent) => formatter.write_str(percent),
        }
    }
}

impl MaxUnavailable {
    /// Whether it lets any pod go: no pods at a time, and no per cent, would hold all of them for ever.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        match self {
            MaxUnavailable::Pods(pods) => *pods > 0,
            MaxUnavailable::Percent(text) => {
                let percent = text.strip_suffix('%').and_then(|number| number.parse::<u32>().ok());
                percent.is_some_and(|percent| (1..=100).contains(&percent))
            }
        }
    }

    /// The number of pods, of `selected` in all; `None` where the text is no percentage.
    #[must_use]
    pub fn of(&self, selected: usize) -> Option<usize> {
        match self {
            MaxUnavailable::Pods(pods) => usize::try_from(*pods).ok(),
            MaxUnavailable::Percent(text) => {
                let percent: usize = text.strip_suffix('%')?.parse().ok().filter(|percent| *percent <= 100)?;
                Some((selected * percent / 100).max(1))
            }
        }
    }
}

/// A case in which a guarded pod is let go unprepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Exemption {
    /// The pod's owner is deleted or gone.
    OwnerDeleted,
    /// The pod's node is gone or does not answer.
    NodeLost,
    /// None of its containers runs, and its node is Ready: a crash loop must be replaceable.
    NotRunning,
    /// The pod is not Ready.
    Unready,
    /// A delete with grace 0.
    Force,
}

fn two() -> u32 {
    2
}

fn ten_minutes() -> u32 {
    600
}

fn default_exemptions() -> Vec<Exemption> {
    vec![Exemption::OwnerDeleted, Exemption::NodeLost, Exemption::NotRunning]
}

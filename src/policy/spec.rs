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
    /// How many pods may be away at once; 1 where nothing limits that. A percentage is rounded down, but lets one go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::int_or_string")]
    pub max_unavailable: Option<Amount>,
    /// In its place: how many pods must stay. A percentage is rounded up, as in a PodDisruptionBudget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::int_or_string")]
    pub min_available: Option<Amount>,
    /// Pods that are away at once must all be in one zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<Spread>,
    /// Seconds between two looks at the backend.
    #[serde(default = "two")]
    pub poll_period_seconds: u32,
    /// Seconds without progress after which a drain is called stalled.
    #[serde(default = "ten_minutes")]
    pub progress_deadline_seconds: u32,
    /// Seconds without a try after which a drain is given up.
    #[serde(default = "ten_minutes")]
    pub abandon_after_seconds: u32,
    /// What a node shows before its pods are asked for: they are prepared when it does, ahead of that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prepare_ahead: Vec<NodeSignal>,
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
            max_unavailable: None,
            min_available: None,
            spread: None,
            poll_period_seconds: two(),
            progress_deadline_seconds: ten_minutes(),
            abandon_after_seconds: ten_minutes(),
            prepare_ahead: Vec::new(),
            exempt: default_exemptions(),
        }
    }

    /// How many of its pods may be away at once, wherever they are.
    #[must_use]
    pub fn limit(&self) -> Limit {
        match (&self.max_unavailable, &self.min_available) {
            (Some(most), _) => Limit::MaxUnavailable(most.clone()),
            (None, Some(least)) => Limit::MinAvailable(least.clone()),
            (None, None) if self.spread.is_some() => Limit::None,
            (None, None) => Limit::MaxUnavailable(Amount::Number(1)),
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

/// A number of pods, or per cent of all that there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Amount {
    /// So many pods.
    Number(u32),
    /// As `25%`.
    Percent(String),
}

impl std::fmt::Display for Amount {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Amount::Number(pods) => write!(formatter, "{pods}"),
            Amount::Percent(percent) => formatter.write_str(percent),
        }
    }
}

impl Amount {
    /// As a limit of those that are away it lets some pod go: none at a time, and no per cent, would hold all of them
    /// for ever.
    #[must_use]
    pub fn lets_some_go(&self) -> bool {
        match self {
            Amount::Number(pods) => *pods > 0,
            Amount::Percent(_) => self.percent().is_some_and(|percent| percent > 0),
        }
    }

    /// As a limit of those that stay it lets some pod go.
    #[must_use]
    pub fn keeps_not_all(&self) -> bool {
        match self {
            Amount::Number(_) => true,
            Amount::Percent(_) => self.percent().is_some_and(|percent| percent < 100),
        }
    }

    /// So many of these at the most: rounded down, but at least one.
    #[must_use]
    pub fn at_most(&self, all: usize) -> usize {
        match self {
            Amount::Number(pods) => usize::try_from(*pods).unwrap_or(usize::MAX),
            Amount::Percent(_) => self.percent().map_or(1, |percent| (all * percent / 100).max(1)),
        }
    }

    /// So many of these at the least: rounded up.
    #[must_use]
    pub fn at_least(&self, all: usize) -> usize {
        match self {
            Amount::Number(pods) => usize::try_from(*pods).unwrap_or(usize::MAX),
            Amount::Percent(_) => self.percent().map_or(all, |percent| (all * percent).div_ceil(100)),
        }
    }

    fn percent(&self) -> Option<usize> {
        let Amount::Percent(text) = self else { return None };
        text.strip_suffix('%')?.parse().ok().filter(|percent| *percent <= 100)
    }
}

/// How many pods may be away at once, wherever they are: `maxUnavailable 1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Limit {
    /// So many.
    MaxUnavailable(Amount),
    /// All but so many.
    MinAvailable(Amount),
    /// All.
    None,
}

impl Limit {
    /// How many of these may be away at once.
    #[must_use]
    pub fn most(&self, expected: usize) -> usize {
        match self {
            Limit::MaxUnavailable(most) => most.at_most(expected),
            Limit::MinAvailable(least) => expected.saturating_sub(least.at_least(expected)),
            Limit::None => expected,
        }
    }
}

impl std::fmt::Display for Limit {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Limit::MaxUnavailable(most) => write!(formatter, "maxUnavailable {most}"),
            Limit::MinAvailable(least) => write!(formatter, "minAvailable {least}"),
            Limit::None => formatter.write_str("no limit"),
        }
    }
}

/// Pods that are away at once must all be in one zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spread {
    /// The label that names the zone, of the pod or else of its node: as topology.kubernetes.io/zone.
    pub topology_key: String,
    /// How many pods of one zone may be away at once: a number, or a percentage of its pods.
    #[serde(default = "all_of_a_zone")]
    #[schemars(schema_with = "crate::schema::int_or_string")]
    pub max_unavailable: Amount,
}

fn all_of_a_zone() -> Amount {
    Amount::Percent("100%".to_owned())
}

/// What a node shows: exactly one of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeSignal {
    /// A taint with this key, whatever its value and effect. Not node.kubernetes.io/unschedulable: a cordon alone says
    /// nothing of when pods leave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taint: Option<String>,
    /// A condition of this type that is True.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_condition: Option<String>,
}

/// The taint of a node that is only cordoned.
pub const CORDON: &str = "node.kubernetes.io/unschedulable";

/// `taint karpenter.sh/disrupted`.
impl std::fmt::Display for NodeSignal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.taint, &self.node_condition) {
            (Some(taint), _) => write!(formatter, "taint {taint}"),
            (None, condition) => write!(formatter, "condition {}", condition.as_deref().unwrap_or_default()),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// As a PodDisruptionBudget does with the same words: `k8s.io/apimachinery/pkg/util/intstr`, rounding up.
    #[test]
    fn a_percentage_of_pods_that_stay_is_rounded_up() {
        for (least, all, away) in
            [("50%", 7, 3), ("33%", 3, 2), ("34%", 3, 1), ("1%", 1, 0), ("0%", 4, 4), ("99%", 200, 2)]
        {
            let limit = Limit::MinAvailable(Amount::Percent(least.to_owned()));
            assert_eq!(limit.most(all), away, "{least} of {all}");
        }
        assert_eq!(Limit::MinAvailable(Amount::Number(3)).most(2), 0);
    }

    #[test]
    fn a_number_that_stays_is_the_rest_of_one_that_may_go() {
        for all in 0..20_u32 {
            for least in 0..=all {
                let (stays, goes) = (Amount::Number(least), Amount::Number(all - least));
                let all = all as usize;
                assert_eq!(Limit::MinAvailable(stays).most(all), Limit::MaxUnavailable(goes).most(all));
            }
        }
    }
}

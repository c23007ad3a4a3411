//! Which pods are guarded, and by which steps.

pub mod freeze;
pub mod ordinals;
pub mod selector;
pub mod spec;
pub mod temporary;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::nearest::did_you_mean;
use crate::plan::{Mistake, Parameters, Plan, catalogue};
use crate::pod::{Pod, TextMap};
use freeze::Freeze;
use ordinals::Ordinals;
use spec::{PlanReference, PolicySpec, StepSpec};

/// A policy, checked and with its plans compiled.
#[derive(Debug)]
pub struct Policy {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// As it was written.
    pub spec: PolicySpec,
    /// Whether a person has frozen it.
    pub freeze: Freeze,
    /// The part of a StatefulSet that it guards.
    ordinals: Option<Ordinals>,
    /// Its steps, or what is wrong with the policy. It guards its pods either way.
    pub steps: Result<Vec<Step>, Vec<Mistake>>,
}

/// A step, ready to be used.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// The plan's name.
    pub plan_name: String,
    /// The plan.
    pub plan: Arc<Plan>,
    /// Parameters, the plan's defaults filled in.
    pub parameters: Parameters,
    /// The Secret that its requests use by default.
    pub credentials: Option<String>,
}

/// Where a policy's plans are found.
pub trait Plans {
    /// The plan that `reference` names; `Err` says why there is none.
    ///
    /// # Errors
    /// A sentence for users.
    fn find(&self, reference: &PlanReference) -> Result<Arc<Plan>, NoPlan>;
}

/// Why there is no plan to follow: a sentence for users.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoPlan(pub String);

/// The most steps that a policy may have.
const MOST_STEPS: usize = 8;

impl Policy {
    /// Checks a policy and finds its plans.
    #[must_use]
    pub fn new(namespace: &str, name: &str, spec: PolicySpec, plans: &dyn Plans) -> Self {
        let mut mistakes = check_limits(&spec);
        mistakes.extend(selector::check(&spec.selector));
        let ordinals = spec.ordinals.as_deref().map(str::parse::<Ordinals>);
        if let Some(Err(error)) = &ordinals {
            mistakes.push(mistake("spec.ordinals", &error.to_string()));
        }
        let mut steps = Vec::with_capacity(spec.steps.len());
        for (index, step) in spec.steps.iter().enumerate() {
            match compile_step(index, step, plans) {
                Ok(step) => steps.push(step),
                Err(wrong) => mistakes.extend(wrong),
            }
        }
        Policy {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            freeze: Freeze::default(),
            ordinals: ordinals.and_then(Result::ok),
            steps: if mistakes.is_empty() { Ok(steps) } else { Err(mistakes) },
            spec,
        }
    }

    /// A policy whose spec can't be read: it guards what its selector selects, and says why nothing is prepared.
    #[must_use]
    pub fn unreadable(namespace: &str, name: &str, selector: spec::LabelSelector, why: &str) -> Self {
        let spec = PolicySpec::selecting(selector);
        let steps = Err(vec![mistake("spec", why)]);
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        Policy { namespace, name, freeze: Freeze::default(), ordinals: None, steps, spec }
    }

    /// The same with what its annotations say of a freeze.
    #[must_use]
    pub fn annotated(self, annotations: &BTreeMap<String, String>) -> Self {
        Policy { freeze: Freeze::of(annotations), ..self }
    }

    /// Whether this policy guards the pod. What can't be told (a node whose labels are not known) counts as guarded.
    #[must_use]
    pub fn selects(&self, pod: &Pod<'_>, node_labels: Option<&BTreeMap<String, String>>) -> bool {
        selector::matches(&self.spec.selector, &pod.metadata.labels)
            && (self.ordinals.is_none() || pod.ordinal().is_some_and(|ordinal| self.has_ordinal(ordinal)))
            && (self.spec.node_selector.is_empty()
                || node_labels.is_none_or(|labels| {
                    self.spec.node_selector.iter().all(|(key, value)| labels.get(key) == Some(value))
                }))
    }

    /// The same, where the labels of the pod's node are looked up only if the policy selects by them.
    #[must_use]
    pub fn selects_by(&self, pod: &Pod<'_>, labels_of: &dyn Fn(&str) -> Option<BTreeMap<String, String>>) -> bool {
        let by_node = !self.spec.node_selector.is_empty();
        self.selects(pod, by_node.then(|| labels_of(&pod.spec.node_name)).flatten().as_ref())
    }
}

impl Policy {
    /// Whether the policy guards the pod of this number, where it selects by number.
    #[must_use]
    pub fn has_ordinal(&self, ordinal: u32) -> bool {
        self.ordinals.as_ref().is_none_or(|part| part.contain(ordinal))
    }

    /// Whether what it says of a pod depends on the pod's node.
    #[must_use]
    pub fn goes_by_nodes(&self) -> bool {
        !self.spec.node_selector.is_empty() || self.spec.spread.is_some()
    }

    /// How many of `count` ordinals from `first` on the policy guards.
    #[must_use]
    pub fn ordinals_within(&self, first: u32, count: u32) -> u64 {
        self.ordinals.as_ref().map_or(u64::from(count), |part| part.within(first, count))
    }
}

/// What can be told of two policies without a pod.
impl Policy {
    /// Whether every pod that one of the two selects is surely selected by the other: the labels that one asks for are
    /// among those of the other, and neither is narrowed further.
    #[must_use]
    pub fn surely_overlaps(&self, other: &Policy) -> bool {
        let (one, two) = (&self.spec.selector, &other.spec.selector);
        let is_plain =
            |policy: &Policy| policy.spec.selector.match_expressions.is_empty() && policy.spec.node_selector.is_empty();
        let within = |small: &BTreeMap<String, String>, large: &BTreeMap<String, String>| {
            small.iter().all(|(key, value)| large.get(key) == Some(value))
        };
        let ordinals_meet = match (&self.ordinals, &other.ordinals) {
            (Some(one), Some(two)) => one.meet(two),
            _ => true,
        };
        self.namespace == other.namespace
            && is_plain(self)
            && is_plain(other)
            && ordinals_meet
            && (within(&one.match_labels, &two.match_labels) || within(&two.match_labels, &one.match_labels))
    }
}

/// All policies, by namespace.
#[derive(Debug, Default)]
pub struct PolicyIndex {
    by_namespace: HashMap<String, OfNamespace>,
}

/// The policies of a namespace, by name, and by a label that their pods must have.
#[derive(Debug, Default)]
struct OfNamespace {
    all: Vec<Arc<Policy>>,
    by_label: HashMap<String, HashMap<String, Vec<Arc<Policy>>>>,
    /// Those whose pods need have no label of one value.
    others: Vec<Arc<Policy>>,
}

impl OfNamespace {
    fn new(mut all: Vec<Arc<Policy>>) -> Self {
        all.sort_by(|one, other| one.name.cmp(&other.name));
        let mut sorted = OfNamespace::default();
        for policy in &all {
            // Of several labels the longest is likely the one that tells most apart.
            let labels = policy.spec.selector.match_labels.iter();
            match labels.max_by_key(|(key, value)| key.len() + value.len()) {
                Some((key, value)) => {
                    let of_key = sorted.by_label.entry(key.clone()).or_default();
                    of_key.entry(value.clone()).or_default().push(Arc::clone(policy));
                }
                None => sorted.others.push(Arc::clone(policy)),
            }
        }
        OfNamespace { all, ..sorted }
    }
}

impl PolicyIndex {
    /// An index of these policies.
    #[must_use]
    pub fn new(policies: impl IntoIterator<Item = Policy>) -> Self {
        let mut by_namespace: HashMap<String, Vec<Arc<Policy>>> = HashMap::new();
        for policy in policies {
            by_namespace.entry(policy.namespace.clone()).or_default().push(Arc::new(policy));
        }
        let sorted = by_namespace.into_iter().map(|(namespace, policies)| (namespace, OfNamespace::new(policies)));
        PolicyIndex { by_namespace: sorted.collect() }
    }

    /// The policies of a namespace, by name.
    #[must_use]
    pub fn of_namespace(&self, namespace: &str) -> &[Arc<Policy>] {
        self.by_namespace.get(namespace).map_or(&[], |policies| policies.all.as_slice())
    }

    /// The policies of a namespace that may select a pod with these labels, all that do among them, each once. How many
    /// others there are makes no difference.
    pub fn of_pod<'a>(&'a self, namespace: &str, labels: &'a TextMap<'_>) -> impl Iterator<Item = &'a Arc<Policy>> {
        let policies = self.by_namespace.get(namespace);
        let by_label = labels.iter().filter_map(move |(key, value)| policies?.by_label.get(&**key)?.get(&**value));
        by_label.flatten().chain(policies.into_iter().flat_map(|policies| &policies.others))
    }

    /// The policy of this name.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<&Arc<Policy>> {
        let policies = self.of_namespace(namespace);
        policies.binary_search_by(|policy| policy.name.as_str().cmp(name)).ok().map(|found| &policies[found])
    }

    /// All policies.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.by_namespace.values().flat_map(|policies| &policies.all)
    }
}

/// The plan that a reference names, if it names exactly one that is built in.
///
/// # Errors
/// A sentence for users.
pub fn find_built_in(reference: &PlanReference) -> Result<Arc<Plan>, NoPlan> {
    match (&reference.built_in, &reference.name) {
        (Some(name), None) => catalogue::builtin(name).cloned().ok_or_else(|| {
            let names = catalogue::names();
            let meant = did_you_mean(name, names.iter().copied()).map(|meant| format!("; {meant}"));
            let meant = meant.unwrap_or_else(|| format!("; there are {}", names.join(", ")));
            NoPlan(format!("there is no built-in plan {name}{meant}"))
        }),
        _ => Err(NoPlan("name exactly one of builtIn and name".to_owned())),
    }
}

fn compile_step(index: usize, step: &StepSpec, plans: &dyn Plans) -> Result<Step, Vec<Mistake>> {
    let place = format!("spec.steps[{index}]");
    if step.name.is_empty() {
        return Err(vec![mistake(&format!("{place}.name"), "a step needs a name")]);
    }
    let plan = plans.find(&step.plan).map_err(|error| vec![mistake(&format!("{place}.plan"), &error.to_string())])?;
    let parameters = plan.parameters(&step.parameters).map_err(|wrong| {
        let inside = |wrong: Mistake| Mistake { field: format!("{place}.parameters.{}", wrong.field), ..wrong };
        wrong.into_iter().map(inside).collect::<Vec<_>>()
    })?;
    let plan_name = step.plan.built_in.clone().or_else(|| step.plan.name.clone()).unwrap_or_default();
    let credentials = step.credentials.as_ref().map(|reference| reference.secret_name.clone());
    Ok(Step { name: step.name.clone(), plan_name, plan, parameters, credentials })
}

fn check_limits(spec: &PolicySpec) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    if spec.steps.is_empty() || spec.steps.len() > MOST_STEPS {
        mistakes
            .push(mistake("spec.steps", &format!("a policy has 1 to {MOST_STEPS} steps, not {}", spec.steps.len())));
    }
    for (index, step) in spec.steps.iter().enumerate() {
        if spec.steps.iter().take(index).any(|earlier| earlier.name == step.name) {
            let message = format!("two steps are named {}", step.name);
            mistakes.push(mistake(&format!("spec.steps[{index}].name"), &message));
        }
    }
    mistakes.extend(check_amounts(spec));
    for (index, signal) in spec.prepare_ahead.iter().enumerate() {
        if signal.taint.is_some() == signal.node_condition.is_some() {
            mistakes
                .push(mistake(&format!("spec.prepareAhead[{index}]"), "name exactly one of taint and nodeCondition"));
        }
        if signal.taint.as_deref() == Some(spec::CORDON) {
            let message = "a cordon alone says nothing of when pods leave: they are not prepared for it";
            mistakes.push(mistake(&format!("spec.prepareAhead[{index}].taint"), message));
        }
    }
    for (field, seconds) in [
        ("spec.pollPeriodSeconds", spec.poll_period_seconds),
        ("spec.progressDeadlineSeconds", spec.progress_deadline_seconds),
        ("spec.abandonAfterSeconds", spec.abandon_after_seconds),
    ] {
        if seconds == 0 {
            mistakes.push(mistake(field, "at least 1 second"));
        }
    }
    mistakes
}

/// What lets no pod go at all would hold each for ever.
fn check_amounts(spec: &PolicySpec) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let most = "a number of at least 1, or a percentage from \"1%\" to \"100%\"";
    if spec.max_unavailable.as_ref().is_some_and(|most| !most.lets_some_go()) {
        mistakes.push(mistake("spec.maxUnavailable", most));
    }
    if spec.min_available.as_ref().is_some_and(|least| !least.keeps_not_all()) {
        mistakes.push(mistake("spec.minAvailable", "a number, or a percentage from \"0%\" to \"99%\""));
    }
    if spec.max_unavailable.is_some() && spec.min_available.is_some() {
        mistakes.push(mistake("spec.minAvailable", "a policy has one of maxUnavailable and minAvailable, not both"));
    }
    if let Some(spread) = &spec.spread {
        if spread.topology_key.is_empty() {
            mistakes.push(mistake("spec.spread.topologyKey", "a label, as topology.kubernetes.io/zone"));
        }
        if !spread.max_unavailable.lets_some_go() {
            mistakes.push(mistake("spec.spread.maxUnavailable", most));
        }
    }
    mistakes
}

fn mistake(field: &str, message: &str) -> Mistake {
    Mistake { field: field.to_owned(), message: message.to_owned(), hint: None }
}

/// For tests of policies whose steps are none of their matter.
#[cfg(test)]
pub(crate) struct NoPlans;

#[cfg(test)]
impl Plans for NoPlans {
    fn find(&self, _: &PlanReference) -> Result<Arc<Plan>, NoPlan> {
        Err(NoPlan("there is none".to_owned()))
    }
}

/// For tests of policies with built-in plans.
#[cfg(test)]
pub(crate) struct BuiltIn;

#[cfg(test)]
impl Plans for BuiltIn {
    fn find(&self, reference: &PlanReference) -> Result<Arc<Plan>, NoPlan> {
        find_built_in(reference)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_pods_policies_are_found_by_its_labels_whatever_others_there_are() {
        let policy = |name: &str, selector: Value| {
            let spec = json!({"selector": selector, "steps": []});
            Policy::new("n", name, serde_json::from_value(spec).unwrap(), &NoPlans)
        };
        let expression = json!([{"key": "tier", "operator": "In", "values": ["a", "b"]}]);
        let others =
            (0..100).map(|number| policy(&format!("o{number}"), json!({"matchLabels": {"app": number.to_string()}})));
        let index = PolicyIndex::new(others.chain([
            policy("one", json!({"matchLabels": {"app": "db"}})),
            policy("two", json!({"matchLabels": {"app": "db", "tier": "a"}})),
            policy("by-expression", json!({"matchExpressions": expression})),
            policy("everything", json!({})),
        ]));
        let found = |labels: &[(&str, &str)]| {
            let labels: TextMap<'_> = labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
            let mut names: Vec<&str> = index.of_pod("n", &labels).map(|policy| policy.name.as_str()).collect();
            names.sort_unstable();
            names.join(" ")
        };
        assert_eq!(found(&[]), "by-expression everything");
        assert_eq!(found(&[("app", "db")]), "by-expression everything one", "and not those of other values");
        assert_eq!(found(&[("app", "db"), ("tier", "a")]), "by-expression everything one two");
        assert_eq!(index.of_pod("elsewhere", &TextMap::new()).count(), 0);
        assert_eq!(index.get("n", "o42").unwrap().name, "o42");
        assert!(index.get("n", "o420").is_none() && index.all().count() == 104);
    }
}

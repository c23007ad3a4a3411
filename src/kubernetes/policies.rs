//! Policies and plans of the cluster, compiled whenever one changes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use kube::api::{Api, ListParams};
use kube::core::DynamicObject;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::lifecycle::limit::Slots;
use crate::plan::{self, Mistake, Plan};
use crate::policy::freeze::Freeze;
use crate::policy::spec::{PlanReference, PolicySpec};
use crate::policy::{NoPlan, Plans, Policy, PolicyIndex, find_built_in};
use crate::ports::VersionedSlots;

use super::cache::{Cache, key_of};
use super::conditions::Condition;
use super::resources::{drain_plans, drain_policies, part};

/// A DrainPolicy as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct PolicyObject {
    pub namespace: String,
    pub name: String,
    /// Tells it from another of the same name before it.
    pub uid: String,
    pub generation: i64,
    /// What its annotations say of a freeze: of no generation.
    pub freeze: Freeze,
    pub spec: Value,
    pub slots: VersionedSlots,
    pub status: Value,
    pub conditions: Vec<Condition>,
}

/// A DrainPlan as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct PlanObject {
    pub name: String,
    /// Tells it from a later one of the same name.
    pub uid: String,
    pub generation: i64,
    pub spec: Value,
}

#[allow(clippy::unnecessary_wraps, reason = "of other kinds not every object becomes an entry")]
pub(crate) fn read_policy(object: &DynamicObject) -> Option<(String, PolicyObject)> {
    let status = part(object, "status");
    let list = |name: &str| status.get(name).cloned().unwrap_or_else(|| json!([]));
    let policy = PolicyObject {
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
        uid: object.uid().unwrap_or_default(),
        generation: object.metadata.generation.unwrap_or(0),
        freeze: Freeze::of(object.annotations()),
        spec: part(object, "spec"),
        slots: VersionedSlots {
            slots: Slots { departing: serde_json::from_value(list("departing")).unwrap_or_default() },
            version: object.resource_version().unwrap_or_default(),
        },
        conditions: serde_json::from_value(list("conditions")).unwrap_or_default(),
        status,
    };
    Some((key_of(object), policy))
}

#[allow(clippy::unnecessary_wraps, reason = "of other kinds not every object becomes an entry")]
pub(crate) fn read_plan(object: &DynamicObject) -> Option<(String, PlanObject)> {
    let plan = PlanObject {
        name: object.name_any(),
        uid: object.uid().unwrap_or_default(),
        generation: object.metadata.generation.unwrap_or(0),
        spec: part(object, "spec"),
    };
    Some((key_of(object), plan))
}

/// Keeps the index of policies in step with the caches, for ever.
pub(crate) async fn follow(
    policies: Arc<Cache<PolicyObject>>,
    plans: Arc<Cache<PlanObject>>,
    index: Arc<ArcSwap<PolicyIndex>>,
    compiled: impl Fn() + Send,
) {
    let (mut policy_changes, mut plan_changes) = (policies.changes(), plans.changes());
    policies.filled().await;
    plans.filled().await;
    let mut before = None;
    loop {
        policy_changes.mark_unchanged();
        plan_changes.mark_unchanged();
        let (all_policies, all_plans) = (policies.all(), plans.all());
        let now = generations(&all_policies, &all_plans);
        // A status changes more often than what is to be compiled.
        if before.as_ref() != Some(&now) {
            index.store(Arc::new(compile(&all_policies, &all_plans)));
            tracing::info!(policies = all_policies.len(), plans = all_plans.len(), "policies in force");
            before = Some(now);
            compiled();
        }
        tokio::select! {
            changed = policy_changes.changed() => if changed.is_err() { return },
            changed = plan_changes.changed() => if changed.is_err() { return },
        }
    }
}

/// The policies of one namespace as they are now, not from memory: for whoever has a reason to believe that the copies
/// are behind.
///
/// # Errors
/// When the API server can't tell.
pub async fn policies_now(client: &Client, namespace: &str) -> kube::Result<PolicyIndex> {
    let policies: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &drain_policies());
    let policies = policies.list(&ListParams::default()).await?.items;
    let policies: Vec<_> = policies.iter().filter_map(read_policy).map(|(_, policy)| Arc::new(policy)).collect();
    let plans = if policies.iter().any(|policy| names_a_plan(policy)) {
        let plans: Api<DynamicObject> = Api::all_with(client.clone(), &drain_plans());
        plans.list(&ListParams::default()).await?.items
    } else {
        Vec::new()
    };
    let plans: Vec<_> = plans.iter().filter_map(read_plan).map(|(_, plan)| Arc::new(plan)).collect();
    Ok(compile(&policies, &plans))
}

/// Whether one of its steps follows a DrainPlan.
fn names_a_plan(policy: &PolicyObject) -> bool {
    let steps = policy.spec.get("steps").and_then(Value::as_array);
    steps.into_iter().flatten().any(|step| step.pointer("/plan/name").is_some())
}

fn generations(policies: &[Arc<PolicyObject>], plans: &[Arc<PlanObject>]) -> BTreeMap<String, (String, i64, Freeze)> {
    let of_policy = |policy: &Arc<PolicyObject>| {
        let name = format!("{}/{}", policy.namespace, policy.name);
        (name, (policy.uid.clone(), policy.generation, policy.freeze.clone()))
    };
    let of_plan = |plan: &Arc<PlanObject>| (plan.name.clone(), (plan.uid.clone(), plan.generation, Freeze::default()));
    policies.iter().map(of_policy).chain(plans.iter().map(of_plan)).collect()
}

/// The index of all policies. One that can't be followed guards its pods all the same, and stops no other.
pub(crate) fn compile(policies: &[Arc<PolicyObject>], plans: &[Arc<PlanObject>]) -> PolicyIndex {
    let known = Known(plans.iter().map(|plan| (plan.name.as_str(), compile_plan(plan))).collect());
    PolicyIndex::new(policies.iter().map(|policy| compile_policy(policy, &known)))
}

/// Plans that are resources, or what is wrong with each.
struct Known<'a>(HashMap<&'a str, Result<Arc<Plan>, NoPlan>>);

impl Plans for Known<'_> {
    fn find(&self, reference: &PlanReference) -> Result<Arc<Plan>, NoPlan> {
        match (&reference.built_in, &reference.name) {
            (None, Some(name)) => {
                if let Some(plan) = self.0.get(name.as_str()) {
                    plan.clone()
                } else {
                    let why =
                        format!("there is no DrainPlan {name}; a plan that comes with Castoff is named by builtIn");
                    Err(NoPlan(why))
                }
            }
            _ => find_built_in(reference),
        }
    }
}

fn compile_plan(plan: &PlanObject) -> Result<Arc<Plan>, NoPlan> {
    let wrong = |what: String| NoPlan(format!("the DrainPlan {} can't be followed: {what}", plan.name));
    let spec = serde_json::from_value(plan.spec.clone()).map_err(|error| wrong(error.to_string()))?;
    match plan::compile(&spec) {
        Ok(compiled) => Ok(Arc::new(compiled.named(plan.name.as_str()))),
        Err(mistakes) => Err(wrong(said(&mistakes))),
    }
}

fn compile_policy(object: &PolicyObject, plans: &Known<'_>) -> Policy {
    let mut policy = compile_spec(object, plans);
    policy.freeze = object.freeze.clone();
    policy
}

fn compile_spec(object: &PolicyObject, plans: &Known<'_>) -> Policy {
    let mut spec = object.spec.clone();
    if let Value::Object(fields) = &mut spec {
        // Fields that a newer version knows are passed over; words that it knows are not.
        fields.retain(|field, _| known_fields().contains(field));
    }
    match serde_json::from_value::<PolicySpec>(spec) {
        Ok(spec) => Policy::new(&object.namespace, &object.name, spec, plans),
        Err(error) => {
            let selector = object.spec.get("selector").cloned().unwrap_or(Value::Null);
            // Where not even the selector can be read, every pod of the namespace counts as selected.
            let selector = serde_json::from_value(selector).unwrap_or_default();
            Policy::unreadable(&object.namespace, &object.name, selector, &error.to_string())
        }
    }
}

/// The fields of a policy's spec that this version knows.
fn known_fields() -> &'static [String] {
    static FIELDS: OnceLock<Vec<String>> = OnceLock::new();
    FIELDS.get_or_init(|| {
        let schema = schemars::schema_for!(PolicySpec).to_value();
        let properties = schema.get("properties").and_then(Value::as_object);
        properties.map(|properties| properties.keys().cloned().collect()).unwrap_or_default()
    })
}

/// The first mistake, and how many more there are.
pub(crate) fn said(mistakes: &[Mistake]) -> String {
    let Some(first) = mistakes.first() else { return String::new() };
    let more = if mistakes.len() > 1 { format!(" (and {} more)", mistakes.len() - 1) } else { String::new() };
    let field = if first.field.is_empty() { String::new() } else { format!("{}: ", first.field) };
    format!("{field}{}{more}", first.message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::Pod;

    fn object(spec: Value) -> Arc<PolicyObject> {
        Arc::new(PolicyObject {
            namespace: "n".to_owned(),
            name: "p".to_owned(),
            uid: String::new(),
            generation: 1,
            freeze: Freeze::default(),
            spec,
            slots: VersionedSlots::default(),
            status: Value::Null,
            conditions: Vec::new(),
        })
    }

    fn steps() -> Value {
        json!([{"name": "hook", "plan": {"builtIn": "http-hook"}}])
    }

    #[test]
    fn a_field_of_a_newer_version_is_passed_over() {
        let index = compile(
            &[object(json!({"selector": {"matchLabels": {"app": "db"}}, "steps": steps(), "newer": {"x": 1}}))],
            &[],
        );
        let policy = index.get("n", "p").map(|policy| policy.steps.is_ok());
        assert_eq!(policy, Some(true));
    }

    #[test]
    fn a_word_of_a_newer_version_makes_a_policy_that_guards_and_says_why() {
        let spec = json!({"selector": {"matchLabels": {"app": "db"}}, "steps": steps(), "exempt": ["NewerCase"]});
        let index = compile(&[object(spec)], &[]);
        let policy = index.get("n", "p").map(Arc::clone);
        let mut pod = Pod::default();
        pod.metadata.labels.insert("app".into(), "db".into());
        assert!(policy.as_ref().is_some_and(|policy| policy.selects(&pod, None)));
        let mistakes = policy.and_then(|policy| policy.steps.clone().err()).unwrap_or_default();
        assert!(said(&mistakes).contains("NewerCase"), "{mistakes:?}");
    }

    #[test]
    fn a_plan_that_was_made_anew_under_its_name_is_compiled_anew() {
        let plan = |uid: &str| {
            Arc::new(PlanObject { name: "mine".to_owned(), uid: uid.to_owned(), generation: 1, spec: Value::Null })
        };
        assert_ne!(generations(&[], &[plan("a")]), generations(&[], &[plan("b")]));
    }

    #[test]
    fn a_policy_that_was_frozen_or_thawed_is_compiled_anew() {
        let frozen = |until: &str| {
            let annotations = BTreeMap::from([("castoff.dev/freeze-until".to_owned(), until.to_owned())]);
            Arc::new(PolicyObject { freeze: Freeze::of(&annotations), ..PolicyObject::clone(&object(Value::Null)) })
        };
        assert_ne!(generations(&[frozen("a")], &[]), generations(&[frozen("b")], &[]));
        assert!(compile(&[frozen("a")], &[]).get("n", "p").is_some_and(|policy| policy.freeze != Freeze::default()));
    }

    #[test]
    fn a_plan_that_is_not_there_is_named() {
        let spec =
            json!({"selector": {"matchLabels": {"app": "db"}}, "steps": [{"name": "a", "plan": {"name": "mine"}}]});
        let index = compile(&[object(spec)], &[]);
        let mistakes = index.get("n", "p").and_then(|policy| policy.steps.clone().err()).unwrap_or_default();
        assert!(said(&mistakes).contains("there is no DrainPlan mine"), "{mistakes:?}");
    }
}

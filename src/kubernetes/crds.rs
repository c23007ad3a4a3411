//! The CustomResourceDefinitions, made from the types that read the objects.

use kube::core::schema::{OptionalEnum, StructuralSchemaRewriter};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::lifecycle::drain::DrainSpec;
use crate::plan::spec::PlanSpec;
use crate::policy::spec::PolicySpec;

use super::drains::ShownStatus;
use super::policy_status::PolicyStatus;
use super::resources::{GROUP, VERSION, drain_plans, drain_policies, pod_drains};

/// One printer column: name, type, JSON path, and 1 for those that only `-o wide` shows.
type Column = (&'static str, &'static str, &'static str, u8);

/// A rule in CEL, with what is said when it does not hold.
type Rule = (&'static str, &'static str);

/// All definitions.
#[must_use]
pub fn all() -> Vec<Value> {
    vec![policies(), drains(), plans()]
}

fn policies() -> Value {
    let columns: [Column; 6] = [
        ("Mode", "string", ".spec.mode", 0),
        ("Ready", "string", ".status.conditions[?(@.type==\"Ready\")].status", 0),
        ("Pods", "integer", ".status.pods", 0),
        ("Departing", "integer", ".status.away", 0),
        ("Reason", "string", ".status.conditions[?(@.type==\"Ready\")].reason", 0),
        ("Message", "string", ".status.conditions[?(@.type==\"Ready\")].message", 1),
    ];
    let mut spec = schema_of::<PolicySpec>();
    rules(
        &mut spec,
        "",
        &[
            ("self.steps.all(s, self.steps.exists_one(t, t.name == s.name))", "each step has a name of its own"),
            (
                "self.steps.all(s, has(s.plan.builtIn) != has(s.plan.name))",
                "a step names its plan by exactly one of builtIn and name",
            ),
        ],
    );
    rules(
        &mut spec,
        "/properties/maxUnavailable",
        &[(
            "type(self) == int ? self >= 1 : self.matches('^(100|[1-9]?[0-9])%$')",
            "a number of at least 1, or a percentage such as \"25%\"",
        )],
    );
    patch(
        &mut spec,
        "/properties/steps",
        &json!({
            "minItems": 1, "maxItems": 8, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
        }),
    );
    patch(&mut spec, "/properties/steps/items/properties/name", &json!({"minLength": 1, "maxLength": 63}));
    patch(&mut spec, "/properties/exempt", &json!({"x-kubernetes-list-type": "set", "maxItems": 8}));
    for seconds in ["pollPeriodSeconds", "progressDeadlineSeconds", "abandonAfterSeconds"] {
        patch(&mut spec, &format!("/properties/{seconds}"), &json!({"minimum": 1, "maximum": 604_800}));
    }
    definition(
        &drain_policies().kind,
        &drain_policies().plural,
        &json!({"singular": "drainpolicy", "shortNames": ["dpol"], "categories": ["castoff"]}),
        true,
        "Says which pods may leave only when their backend is ready for it, and what prepares it.",
        &spec,
        Some(schema_of::<PolicyStatus>()),
        &columns,
    )
}

fn drains() -> Value {
    let columns: [Column; 10] = [
        ("Pod", "string", ".spec.pod.name", 0),
        ("Policy", "string", ".spec.policy", 0),
        ("Phase", "string", ".status.state", 0),
        ("Step", "string", ".status.step", 0),
        ("Left", "string", ".status.remaining", 0),
        ("Message", "string", ".status.message", 0),
        ("Age", "date", ".metadata.creationTimestamp", 0),
        ("Node", "string", ".status.pod.spec.nodeName", 1),
        ("Requester", "string", ".spec.requester", 1),
        ("UID", "string", ".spec.pod.uid", 1),
    ];
    let mut spec = schema_of::<DrainSpec>();
    let fixed = "a drain stays as it was asked for; only cancel may be changed. Delete it to give it up";
    // One that an older version made holds its pod otherwise: it can be read, and changed no more than any other.
    rules(
        &mut spec,
        "",
        &[
            ("self.policy == oldSelf.policy && self.requester == oldSelf.requester", fixed),
            ("has(self.pod.uid) == has(oldSelf.pod.uid) && has(self.pod.name) == has(oldSelf.pod.name)", fixed),
            ("!has(oldSelf.pod.uid) || (self.pod.uid == oldSelf.pod.uid && self.pod.name == oldSelf.pod.name)", fixed),
        ],
    );
    let unknown = json!({"x-kubernetes-preserve-unknown-fields": true});
    patch(&mut spec, "", &unknown);
    patch(&mut spec, "/properties/pod", &unknown);
    definition(
        &pod_drains().kind,
        &pod_drains().plural,
        &json!({"singular": "poddrain", "shortNames": ["pdr"], "categories": ["castoff"]}),
        true,
        "One pod's drain: who asked for it, how far it is, and what it waits for. Made by Castoff; deleting it gives the drain up.",
        &spec,
        Some(schema_of::<ShownStatus>()),
        &columns,
    )
}

fn plans() -> Value {
    let columns: [Column; 2] =
        [("Summary", "string", ".spec.summary", 0), ("Age", "date", ".metadata.creationTimestamp", 0)];
    definition(
        &drain_plans().kind,
        &drain_plans().plural,
        &json!({"singular": "drainplan", "shortNames": ["dplan"], "categories": ["castoff"]}),
        false,
        "How one kind of backend is observed, prepared and restored. Whoever may write one decides what Castoff sends.",
        &schema_of::<PlanSpec>(),
        None,
        &columns,
    )
}

#[allow(clippy::too_many_arguments)] // Each is one part of a definition, named at its place.
fn definition(
    kind: &str,
    plural: &str,
    names: &Value,
    namespaced: bool,
    description: &str,
    spec: &Value,
    status: Option<Value>,
    columns: &[Column],
) -> Value {
    let mut all_names = json!({"kind": kind, "listKind": format!("{kind}List"), "plural": plural});
    merge(&mut all_names, names);
    let mut properties = json!({
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": spec,
    });
    let mut subresources = json!({});
    if let Some(status) = status {
        let mut status = status;
        without_defaults(&mut status);
        merge(&mut properties, &json!({"status": status}));
        subresources = json!({"status": {}});
    }
    let columns: Vec<Value> = columns
        .iter()
        .map(|(name, kind, path, priority)| json!({"name": name, "type": kind, "jsonPath": path, "priority": priority}))
        .collect();
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{GROUP}"), "labels": {"app.kubernetes.io/name": "castoff"}},
        "spec": {
            "group": GROUP,
            "scope": if namespaced { "Namespaced" } else { "Cluster" },
            "names": all_names,
            "versions": [{
                "name": VERSION,
                "served": true,
                "storage": true,
                "subresources": subresources,
                "additionalPrinterColumns": columns,
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "description": description,
                    "required": ["spec"],
                    "properties": properties,
                }},
            }],
        },
    })
}

/// The structural schema of a type.
fn schema_of<T: JsonSchema>() -> Value {
    let generator = SchemaSettings::openapi3()
        .with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        })
        .with_transform(OptionalEnum)
        .with_transform(StructuralSchemaRewriter)
        .into_generator();
    let mut schema = generator.into_root_schema_for::<T>().to_value();
    structural(&mut schema);
    schema
}

/// Takes out what Kubernetes does not accept in a structural schema, and what says nothing.
fn structural(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.get("additionalProperties") == Some(&Value::Bool(false)) {
                fields.remove("additionalProperties");
            }
            fields.remove("title");
            if fields.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) {
                // Kubernetes knows only signed integers.
                fields.insert("format".to_owned(), json!("int64"));
            }
            if fields.get("default").is_some_and(Value::is_null) {
                fields.remove("default");
            }
            if let Some(Value::String(text)) = fields.get_mut("description") {
                *text = text.replace('`', "").split_whitespace().collect::<Vec<_>>().join(" ");
            }
            fields.values_mut().for_each(structural);
        }
        Value::Array(items) => items.iter_mut().for_each(structural),
        _ => {}
    }
}

/// A status says what is so: nothing is filled in.
fn without_defaults(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.remove("default");
            fields.values_mut().for_each(without_defaults);
        }
        Value::Array(items) => items.iter_mut().for_each(without_defaults),
        _ => {}
    }
}

fn rules(schema: &mut Value, place: &str, rules: &[Rule]) {
    let rules: Vec<Value> = rules.iter().map(|(rule, message)| json!({"rule": rule, "message": message})).collect();
    patch(schema, place, &json!({"x-kubernetes-validations": rules}));
}

/// Adds fields to the schema at a place; a place that is not there is a mistake that the test of the manifests finds.
fn patch(schema: &mut Value, place: &str, fields: &Value) {
    if let Some(target) = schema.pointer_mut(place) {
        merge(target, fields);
    }
}

fn merge(target: &mut Value, fields: &Value) {
    if let (Some(target), Some(fields)) = (target.as_object_mut(), fields.as_object()) {
        target.extend(fields.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
}

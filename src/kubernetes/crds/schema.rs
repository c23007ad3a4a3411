//! Schemas as Kubernetes takes them: structural, made from types, with rules added.

use kube::core::schema::{OptionalEnum, StructuralSchemaRewriter};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

/// A rule in CEL, with what is said when it does not hold.
pub(super) type Rule = (&'static str, &'static str);

/// The structural schema of a type.
pub(super) fn schema_of<T: JsonSchema>() -> Value {
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
pub(super) fn without_defaults(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.remove("default");
            fields.values_mut().for_each(without_defaults);
        }
        Value::Array(items) => items.iter_mut().for_each(without_defaults),
        _ => {}
    }
}

/// Adds rules in CEL at a place.
pub(super) fn rules(schema: &mut Value, place: &str, rules: &[Rule]) {
    let rules: Vec<Value> = rules.iter().map(|(rule, message)| json!({"rule": rule, "message": message})).collect();
    patch(schema, place, &json!({"x-kubernetes-validations": rules}));
}

/// Adds fields to the schema at a place; a place that is not there is a mistake that the test of the manifests finds.
pub(super) fn patch(schema: &mut Value, place: &str, fields: &Value) {
    if let Some(target) = schema.pointer_mut(place) {
        merge(target, fields);
    }
}

pub(super) fn merge(target: &mut Value, fields: &Value) {
    if let (Some(target), Some(fields)) = (target.as_object_mut(), fields.as_object()) {
        target.extend(fields.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
}

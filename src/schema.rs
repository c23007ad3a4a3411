//! Schemas of values that a structural schema of Kubernetes has no type for.

use schemars::{Schema, SchemaGenerator, json_schema};

/// Any value.
#[must_use]
pub fn anything(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "x-kubernetes-preserve-unknown-fields": true })
}

/// Any object.
#[must_use]
pub fn object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// A number or a text, as for a percentage.
#[must_use]
pub fn int_or_string(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "x-kubernetes-int-or-string": true })
}

/// A pod: what tells it from others is typed, the rest is as it was.
#[must_use]
pub fn pod(_: &mut SchemaGenerator) -> Schema {
    let text = json_schema!({ "type": "string" });
    json_schema!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "required": ["metadata"],
        "properties": {
            "metadata": {
                "type": "object",
                "x-kubernetes-preserve-unknown-fields": true,
                "required": ["name", "namespace", "uid"],
                "properties": { "name": text, "namespace": text, "uid": text },
            },
        },
    })
}

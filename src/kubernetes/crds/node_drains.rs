//! NodeDrain: whoever may drain nodes writes it.

use serde_json::json;

use crate::kubernetes::node_drains::{NodeDrainSpec, NodeDrainStatus};

use super::definition::{Column, Schemas};
use super::schema::{patch, rules, schema_of};

pub(super) const COLUMNS: [Column; 7] = [
    ("Node", "string", ".spec.nodeName", 0),
    ("Prepared", "string", ".status.conditions[?(@.type==\"Prepared\")].status", 0),
    ("Reason", "string", ".status.conditions[?(@.type==\"Prepared\")].reason", 0),
    ("Done", "integer", ".status.prepared", 0),
    ("Of", "integer", ".status.guarded", 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Message", "string", ".status.conditions[?(@.type==\"Prepared\")].message", 1),
];

pub(super) fn schemas() -> Schemas {
    let mut spec = schema_of::<NodeDrainSpec>();
    patch(&mut spec, "/properties/nodeName", &json!({"minLength": 1, "maxLength": 253}));
    let fixed = "a NodeDrain is of one node for good; delete it, and make another";
    rules(&mut spec, "/properties/nodeName", &[("self == oldSelf", fixed)]);
    Schemas { spec, status: Some(schema_of::<NodeDrainStatus>()) }
}

//! PodDrain: Castoff writes it, and people may change one thing of it.

use serde_json::{Value, json};

use crate::kubernetes::drains::ShownStatus;
use crate::lifecycle::drain::DrainSpec;

use super::definition::{Column, Schemas};
use super::schema::{patch, rules, schema_of, without_defaults};

pub(super) const COLUMNS: [Column; 11] = [
    ("Pod", "string", ".spec.pod.name", 0),
    ("Policy", "string", ".spec.policy", 0),
    ("Phase", "string", ".status.state", 0),
    ("Step", "string", ".status.step", 0),
    ("Left", "string", ".status.remaining", 0),
    ("Message", "string", ".status.message", 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Node", "string", ".status.pod.spec.nodeName", 1),
    ("Requester", "string", ".spec.requester", 1),
    ("Outcome", "string", ".status.outcome", 1),
    ("UID", "string", ".spec.pod.uid", 1),
];

pub(super) fn schemas() -> Schemas {
    let mut status = schema_of::<ShownStatus>();
    // A step of the form before held less, and stays as it is until the whole status is written anew.
    patch(&mut status, "/properties/steps", &json!({"maxItems": 8}));
    if let Some(step) = status.pointer_mut("/properties/steps/items").and_then(Value::as_object_mut) {
        step.remove("required");
    }
    Schemas { spec: drain_spec(), status: Some(status) }
}

/// A drain stays as it was asked for. One of the form before, which held the whole pod and the steps in its spec, is
/// kept whole, since what it set at a backend is undone by them.
fn drain_spec() -> Value {
    let mut spec = schema_of::<DrainSpec>();
    patch(&mut spec, "", &json!({"x-kubernetes-preserve-unknown-fields": true}));
    let fixed = "a drain stays as it was asked for; only cancel may be changed. Delete it to give it up";
    // Field by field: what may be missing is equal where both are there, and is missing in both or in none.
    rules(&mut spec, "", &[("self.policy == oldSelf.policy && self.requester == oldSelf.requester", fixed)]);
    let name = json!({"type": "string", "maxLength": 253});
    if let Some(pod) = spec.pointer_mut("/properties/pod") {
        without_defaults(pod);
    }
    patch(&mut spec, "/properties/pod", &json!({"x-kubernetes-preserve-unknown-fields": true}));
    patch(
        &mut spec,
        "/properties/pod/properties",
        &json!({"metadata": {
            "type": "object",
            "description": "Of the form before, which held the whole pod.",
            "x-kubernetes-preserve-unknown-fields": true,
            "properties": {"name": name, "uid": name},
        }}),
    );
    let one_pod =
        ("has(self.metadata) || has(self.name) && has(self.uid)", "a drain is of one pod, by its name and UID");
    let same_fields = "has(self.name) == has(oldSelf.name) && has(self.uid) == has(oldSelf.uid)";
    let same_form = "has(self.metadata) == has(oldSelf.metadata)";
    rules(&mut spec, "/properties/pod", &[one_pod, (same_fields, fixed), (same_form, fixed)]);
    rules(&mut spec, "/properties/pod/properties/metadata", &[(same_fields, fixed)]);
    for object in ["/properties/pod", "/properties/pod/properties/metadata"] {
        for field in ["name", "uid"] {
            rules(&mut spec, &format!("{object}/properties/{field}"), &[("self == oldSelf", fixed)]);
        }
    }
    spec
}

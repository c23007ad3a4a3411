//! PodDrain: Castoff writes it, and people may change one thing of it.

use serde_json::{Value, json};

use crate::kubernetes::drains::ShownStatus;
use crate::kubernetes::resources::pod_drains;
use crate::lifecycle::drain::DrainSpec;

use super::definition::{Column, Definition};
use super::schema::{patch, rules, schema_of};

pub(super) fn definition() -> Value {
    let columns: [Column; 10] = [
        ("Pod", "string", ".spec.pod.metadata.name", 0),
        ("Policy", "string", ".spec.policy", 0),
        ("Phase", "string", ".status.state", 0),
        ("Step", "string", ".status.step", 0),
        ("Left", "string", ".status.remaining", 0),
        ("Message", "string", ".status.message", 0),
        ("Age", "date", ".metadata.creationTimestamp", 0),
        ("Node", "string", ".spec.pod.spec.nodeName", 1),
        ("Requester", "string", ".spec.requester", 1),
        ("UID", "string", ".spec.pod.metadata.uid", 1),
    ];
    let mut spec = schema_of::<DrainSpec>();
    let fixed = "a drain stays as it was asked for; only cancel may be changed. Delete it to give it up";
    rules(
        &mut spec,
        "",
        &[
            ("self.policy == oldSelf.policy && self.seat == oldSelf.seat", fixed),
            ("self.fingerprint == oldSelf.fingerprint", fixed),
            ("self.requester == oldSelf.requester && self.caller == oldSelf.caller", fixed),
            (
                "self.pod.metadata.uid == oldSelf.pod.metadata.uid && self.pod.metadata.name == oldSelf.pod.metadata.name",
                fixed,
            ),
            (
                "self.steps.size() == oldSelf.steps.size() && self.steps.all(s, oldSelf.steps.exists(o, o.name == s.name && o.hash == s.hash && o.plan == s.plan))",
                fixed,
            ),
        ],
    );
    patch(
        &mut spec,
        "/properties/steps",
        &json!({
            "maxItems": 8, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
        }),
    );
    patch(
        &mut spec,
        "/properties",
        &json!({"fingerprint": {
            "type": "string", "maxLength": 64, "description": "Of all that is fixed; Castoff follows no drain whose spec was changed.",
        }}),
    );
    if let Some(Value::Array(required)) = spec.get_mut("required") {
        required.push(json!("fingerprint"));
    }
    for text in ["name", "hash", "plan"] {
        patch(&mut spec, &format!("/properties/steps/items/properties/{text}"), &json!({"maxLength": 253}));
    }
    Definition {
        resource: pod_drains(),
        singular: "poddrain",
        short: "pdr",
        namespaced: true,
        description: "One pod's drain: who asked for it, how far it is, and what it waits for. Made by Castoff; deleting it gives the drain up.",
        spec,
        status: Some(schema_of::<ShownStatus>()),
        columns: &columns,
    }
    .build()
}

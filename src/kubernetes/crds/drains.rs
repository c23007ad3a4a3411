//! PodDrain: Castoff writes it, and people may change one thing of it.

use serde_json::{Value, json};

use crate::kubernetes::drains::ShownStatus;
use crate::kubernetes::resources::pod_drains;
use crate::lifecycle::drain::DrainSpec;

use super::definition::{Column, Definition};
use super::schema::{patch, rules, schema_of, without_defaults};

pub(super) fn definition() -> Value {
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
    let mut status = schema_of::<ShownStatus>();
    patch(&mut status, "/properties/steps", &json!({"maxItems": 8}));
    Definition {
        resource: pod_drains(),
        singular: "poddrain",
        short: "pdr",
        namespaced: true,
        description: "One pod's drain: who asked for it, how far it is, and what it waits for. Made by Castoff; deleting it gives the drain up.",
        spec: drain_spec(),
        status: Some(status),
        columns: &columns,
    }
    .build()
}

/// A drain stays as it was asked for. One of the form before, which held the whole pod and the steps in its spec, is
/// kept whole, since what it set at a backend is undone by them.
fn drain_spec() -> Value {
    let mut spec = schema_of::<DrainSpec>();
    patch(&mut spec, "", &json!({"x-kubernetes-preserve-unknown-fields": true}));
    let fixed = "a drain stays as it was asked for; only cancel may be changed. Delete it to give it up";
    rules(
        &mut spec,
        "",
        &[
            ("self.policy == oldSelf.policy && self.requester == oldSelf.requester", fixed),
            ("self.pod.?name == oldSelf.pod.?name && self.pod.?uid == oldSelf.pod.?uid", fixed),
            (
                "self.pod.?metadata.?name == oldSelf.pod.?metadata.?name && self.pod.?metadata.?uid == oldSelf.pod.?metadata.?uid",
                fixed,
            ),
        ],
    );
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
    rules(
        &mut spec,
        "/properties/pod",
        &[("has(self.metadata) || has(self.name) && has(self.uid)", "a drain is of one pod, by its name and UID")],
    );
    spec
}

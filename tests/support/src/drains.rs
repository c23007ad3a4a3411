//! PodDrains, as an API server holds them, and the pods that they are of: made in one place, so that a change of their
//! form is a change here.

use castoff::lifecycle::Drain;
use serde_json::{Value, json};

/// A pod of a StatefulSet `db`, as an API server shows it.
pub fn pod(name: &str, uid: &str, ready: bool) -> Value {
    let ready = if ready { "True" } else { "False" };
    json!({
        "metadata": {"name": name, "namespace": "n", "uid": uid, "labels": {"app": "db"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "db", "controller": true}]},
        "spec": {"nodeName": format!("node-of-{name}")},
        "status": {"phase": "Running", "podIP": "10.0.0.7", "conditions": [{"type": "Ready", "status": ready}]},
    })
}

/// A step as a drain holds it, of a plan that is done from the beginning.
pub fn step(name: &str) -> Value {
    json!({"name": name, "plan": "p", "hash": "", "planSpec": {"summary": "", "done": "true"}, "parameters": {}})
}

/// The PodDrain of this pod, under the policy `p`, as an API server holds it.
pub fn pod_drain(pod: &Value, phase: &str, steps: &[Value]) -> Value {
    let metadata = &pod["metadata"];
    let text = |field: &str| metadata[field].as_str().unwrap_or_default();
    json!({
        "apiVersion": "castoff.dev/v1alpha1",
        "kind": "PodDrain",
        "metadata": {"name": format!("{}-{}", text("name"), text("uid")), "namespace": text("namespace")},
        "spec": {
            "pod": {"name": text("name"), "uid": text("uid")},
            "policy": "p",
            "requester": "system:serviceaccount:kube-system:statefulset-controller",
            "cancel": false,
        },
        "status": {
            "phase": phase, "caller": "Program", "tries": 1, "pod": pod, "steps": steps,
            "limits": {"maxUnavailable": 1, "pollPeriodSeconds": 2, "progressDeadlineSeconds": 60, "abandonAfterSeconds": 600},
        },
    })
}

/// The same as the code holds it.
pub fn drain(pod: &Value, phase: &str, steps: &[Value]) -> Drain {
    serde_json::from_value(pod_drain(pod, phase, steps)).expect("a PodDrain")
}

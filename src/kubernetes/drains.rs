//! A drain as a PodDrain, and back. Pure.

use std::sync::Arc;

use kube::core::{DynamicObject, ObjectMeta};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::lifecycle::drain::{DrainMetadata, DrainSpec};
use crate::lifecycle::{Drain, DrainStatus, Phase};

use super::conditions::Condition;
use super::resources::{part, pod_drains};

/// Keeps a PodDrain until what was set at a backend is restored.
pub const FINALIZER: &str = "castoff.dev/restore";

/// A PodDrain's status: how far it is, and the same for people.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ShownStatus {
    /// How far the drain is.
    #[serde(flatten)]
    pub status: DrainStatus,
    /// The phase; in its place `Blocked` or `Stalled` where that is so.
    pub state: String,
    /// How much is left, as `12 of 40 leaders`. Not named as any field of the status that it is flattened with.
    pub remaining: String,
    /// `Prepared`, `Blocked`, `Stalled`.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// A drain with what the API server keeps of it besides.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The drain.
    pub drain: Arc<Drain>,
    /// Its conditions.
    pub conditions: Vec<Condition>,
    /// Its generation: the API server counts changes of the spec.
    pub generation: Option<i64>,
    /// Whether it bears our finalizer.
    pub finalizer: bool,
    /// Somebody is deleting it.
    pub deleting: bool,
    /// `spec.cancel` as it is stored.
    pub cancel: bool,
}

/// Reads a PodDrain.
///
/// # Errors
/// A sentence for the log: the object is none that this version can read.
pub fn read(object: &DynamicObject) -> Result<Kept, String> {
    let meta = &object.metadata;
    let name = meta.name.clone().unwrap_or_default();
    let said = |error: serde_json::Error| format!("PodDrain {name} can't be read: {error}");
    let spec: DrainSpec = serde_json::from_value(part(object, "spec")).map_err(said)?;
    if part(object, "spec").get("fingerprint").and_then(Value::as_str) != Some(&spec.fingerprint()) {
        return Err(format!("PodDrain {name} was changed after it was made: delete it, and the pod is prepared anew"));
    }
    let shown: Option<ShownStatus> = match part(object, "status") {
        Value::Null => None,
        status => Some(serde_json::from_value(status).map_err(said)?),
    };
    let deleting = meta.deletion_timestamp.is_some();
    let cancel = spec.cancel;
    let conditions = shown.as_ref().map(|shown| shown.conditions.clone()).unwrap_or_default();
    // The API server drops the status of an object that is created: its absence is the first one.
    let mut status = shown.map_or_else(|| DrainStatus::first(&spec), |shown| shown.status);
    status.steps.resize_with(spec.steps.len(), Default::default);
    let drain = Drain {
        metadata: DrainMetadata {
            name: name.clone(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            resource_version: meta.resource_version.clone().unwrap_or_default(),
        },
        // To delete a PodDrain is to give the drain up.
        spec: DrainSpec { cancel: cancel || deleting, ..spec },
        status,
    };
    let finalizer = meta.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER);
    Ok(Kept { drain: Arc::new(drain), conditions, generation: meta.generation, finalizer, deleting, cancel })
}

/// A PodDrain to be created: without a status, which the API server would drop.
///
/// # Errors
/// When it can't be put into JSON.
pub fn new_object(drain: &Drain) -> Result<DynamicObject, serde_json::Error> {
    let mut object = object_of(drain);
    object.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
    let mut spec = serde_json::to_value(&drain.spec)?;
    spec["fingerprint"] = json!(drain.spec.fingerprint());
    object.data = json!({ "spec": spec });
    Ok(object)
}

/// A PodDrain whose status is to be replaced: of its spec's `generation`, with the conditions that it had `before`.
///
/// # Errors
/// When it can't be put into JSON.
pub fn with_status(
    drain: &Drain,
    before: &[Condition],
    generation: Option<i64>,
    now: &str,
) -> Result<DynamicObject, serde_json::Error> {
    let mut shown = shown(&drain.status, before, now);
    shown.conditions.iter_mut().for_each(|condition| condition.observed_generation = generation);
    let mut object = object_of(drain);
    object.metadata.resource_version = Some(drain.metadata.resource_version.clone());
    object.data = json!({
        // Which the API server leaves as it is.
        "spec": serde_json::to_value(&drain.spec)?,
        "status": serde_json::to_value(shown)?,
    });
    Ok(object)
}

fn object_of(drain: &Drain) -> DynamicObject {
    let mut object = DynamicObject::new(&drain.metadata.name, &pod_drains());
    object.metadata =
        ObjectMeta { namespace: Some(drain.metadata.namespace.clone()), ..std::mem::take(&mut object.metadata) };
    object
}

fn shown(status: &DrainStatus, before: &[Condition], now: &str) -> ShownStatus {
    let prepared = matches!(status.phase, Phase::Drained | Phase::Departing);
    let state = state_of(status);
    let condition =
        |kind: &str, holds: bool, reason: &str| Condition::new(kind, holds, reason, &status.message, before, now);
    ShownStatus {
        remaining: left_of(status),
        conditions: vec![
            condition("Prepared", prepared, &format!("{:?}", status.phase)),
            condition("Blocked", status.blocked, if status.blocked { "PlanSaysNotNow" } else { "NotBlocked" }),
            condition("Stalled", status.stalled, if status.stalled { "NoProgress" } else { "Progressing" }),
        ],
        state,
        status: status.clone(),
    }
}

/// The word for people: the phase, or what keeps it from going on.
#[must_use]
pub fn state_of(status: &DrainStatus) -> String {
    match status.phase {
        _ if status.blocked => "Blocked".to_owned(),
        _ if status.stalled => "Stalled".to_owned(),
        phase => format!("{phase:?}"),
    }
}

/// How much is left, as `12 of 40 leaders`; empty where it is not known.
#[must_use]
pub fn left_of(status: &DrainStatus) -> String {
    let progress = status.progress.as_ref().filter(|_| matches!(status.phase, Phase::Draining | Phase::Departing));
    progress.map_or_else(String::new, |progress| {
        format!("{} of {} {}", progress.left.remaining, progress.total, progress.left.unit)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_is_shown_hides_nothing_of_the_status() -> Result<(), serde_json::Error> {
        let fields = |value: Value| serde_json::from_value::<BTreeMap<String, Value>>(value);
        let progress = json!({"phase": "Departing", "left": true, "progress":
            {"step": "a", "total": 2, "remaining": 1, "unit": "leaders"}});
        let status: DrainStatus = serde_json::from_value(progress)?;
        let stored = fields(serde_json::to_value(shown(&status, &[], "now"))?)?;
        for (name, value) in fields(serde_json::to_value(&status)?)? {
            assert_eq!(stored.get(&name), Some(&value), "{name}");
        }
        let read: ShownStatus = serde_json::from_value(json!(stored))?;
        assert_eq!(read.status, status);
        Ok(())
    }

    fn drain() -> Drain {
        let json = json!({
            "metadata": {"name": "db-0-a", "namespace": "n"},
            "spec": {
                "pod": {"metadata": {"name": "db-0", "namespace": "n", "uid": "a"}, "status": {"podIP": "10.0.0.7"}},
                "seat": "db-0", "policy": "p", "requester": "x", "caller": "Person",
                "steps": [{"name": "s", "plan": "mine", "hash": "h", "planSpec": {"summary": "x", "done": "false"},
                           "parameters": {"port": 80}}],
                "limits": {"maxUnavailable": "25%", "pollPeriodSeconds": 2, "progressDeadlineSeconds": 1, "abandonAfterSeconds": 1},
            },
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn what_was_written_is_read_again_with_its_first_status() {
        let kept = read(&new_object(&drain()).unwrap()).unwrap();
        assert_eq!(kept.drain.spec, drain().spec);
        assert_eq!((kept.drain.status.phase, kept.drain.status.tries, kept.finalizer), (Phase::Queued, 1, true));
    }

    #[test]
    fn a_departure_whose_spec_was_changed_is_not_followed() {
        let changes: [(&str, Value); 4] = [
            ("/spec/steps/0/planSpec/done", json!("true")),
            ("/spec/steps/0/parameters/port", json!(81)),
            ("/spec/pod/status/podIP", json!("10.0.0.8")),
            ("/spec/limits/maxUnavailable", json!(9)),
        ];
        for (place, value) in changes {
            let mut object = new_object(&drain()).unwrap();
            *object.data.pointer_mut(place).unwrap() = value;
            let refused = read(&object).unwrap_err();
            assert!(refused.contains("was changed after it was made"), "{place}: {refused}");
        }
        let mut cancelled = new_object(&drain()).unwrap();
        cancelled.data["spec"]["cancel"] = json!(true);
        assert!(read(&cancelled).unwrap().drain.spec.cancel);
    }
}

//! A drain as a PodDrain, and back. Pure.

use std::sync::Arc;

use jiff::Timestamp;
use kube::core::{DynamicObject, ObjectMeta};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::lifecycle::drain::{DrainMetadata, Keeping};
use crate::lifecycle::{Drain, DrainStatus, Phase, stored};

use super::conditions::Condition;
use super::history::Times;
use super::resources::{part, pod_drains};

/// Keeps a PodDrain until what was set at a backend is restored.
pub const FINALIZER: &str = "castoff.dev/restore";

/// The annotation by which a person who waits for a drain says so, from time to time: a number, another one each time.
pub const ASKED: &str = "castoff.dev/asked";

/// A PodDrain's status: how far it is, and the same for people.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ShownStatus {
    /// How far the drain is.
    #[serde(flatten)]
    pub status: DrainStatus,
    /// The phase; in its place `Blocked` or `Stalled` where that is so.
    pub state: String,
    /// The generation of the spec that all of this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How much is left, as `12 of 40 leaders`. Not named as any field of the status that it is flattened with.
    pub remaining: String,
    /// How long it has been in which phase.
    pub times: Times,
    /// `Prepared`, `Blocked`, `Stalled`, `Unasked`.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// A drain with what the API server keeps of it besides.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The drain.
    pub drain: Arc<Drain>,
    pub(crate) conditions: Vec<Condition>,
    /// Its generation: the API server counts changes of the spec.
    pub generation: Option<i64>,
    /// The spec as it is stored, whichever version wrote it.
    pub spec: Value,
    pub(crate) finalizers: Vec<String>,
    pub(crate) created: Option<Timestamp>,
    /// How long it has been in which phase.
    pub(crate) times: Times,
}

/// Reads a PodDrain, as far as it can be read.
#[must_use]
pub fn read(object: &DynamicObject) -> Kept {
    let meta = &object.metadata;
    let mut stored = stored::read(&part(object, "spec"), &part(object, "status"));
    if let (Some(pod), Some(namespace)) = (&mut stored.status.pod, &meta.namespace) {
        Arc::make_mut(pod).metadata.namespace = namespace.clone().into();
    }
    let conditions = part(object, "status").get("conditions").cloned().unwrap_or_else(|| json!([]));
    let times = part(object, "status").get("times").cloned().unwrap_or_else(|| json!({}));
    let finalizer = meta.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER);
    let annotation = meta.annotations.as_ref().and_then(|annotations| annotations.get(ASKED));
    let drain = Drain {
        metadata: DrainMetadata {
            name: meta.name.clone().unwrap_or_default(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            resource_version: meta.resource_version.clone().unwrap_or_default(),
            kept: Keeping {
                deleting: meta.deletion_timestamp.is_some(),
                finalizer,
                older: stored.older,
                asked: annotation.and_then(|asked| asked.parse().ok()).unwrap_or(0),
            },
        },
        spec: stored.spec,
        status: stored.status,
    };
    Kept {
        drain: Arc::new(drain),
        conditions: serde_json::from_value(conditions).unwrap_or_default(),
        generation: meta.generation,
        spec: part(object, "spec"),
        finalizers: meta.finalizers.clone().unwrap_or_default(),
        created: meta.creation_timestamp.as_ref().and_then(|created| created.0.to_string().parse().ok()),
        times: serde_json::from_value(times).unwrap_or_default(),
    }
}

/// A PodDrain to be created: without a status, which the API server would drop.
pub(crate) fn new_object(drain: &Drain) -> Result<DynamicObject, serde_json::Error> {
    let mut object = object_of(drain);
    object.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
    object.data = json!({ "spec": serde_json::to_value(&drain.spec)? });
    Ok(object)
}

/// A PodDrain whose status is to be replaced: of its spec's `generation`, with the conditions that it had `before`.
pub(crate) fn with_status(drain: &Drain, before: Option<&Kept>, now: &str) -> Result<DynamicObject, serde_json::Error> {
    let conditions = before.map(|before| before.conditions.as_slice()).unwrap_or_default();
    let generation = before.and_then(|before| before.generation);
    let mut shown = shown(&drain.status, conditions, now);
    shown.observed_generation = generation;
    if let (Some(before), Ok(now)) = (before, now.parse()) {
        shown.times = before.times.then(&before.drain, drain, before.created, now);
    }
    shown.conditions.iter_mut().for_each(|condition| condition.observed_generation = generation);
    let mut object = object_of(drain);
    object.metadata.resource_version = Some(drain.metadata.resource_version.clone());
    object.data = json!({
        // Which the API server leaves as it is, whichever version wrote it.
        "spec": before.map_or_else(|| serde_json::to_value(&drain.spec), |before| Ok(before.spec.clone()))?,
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
            condition("Prepared", prepared, status.phase.as_str()),
            condition("Blocked", status.blocked, if status.blocked { "PlanSaysNotNow" } else { "NotBlocked" }),
            condition("Stalled", status.stalled, if status.stalled { "NoProgress" } else { "Progressing" }),
            condition("Unasked", status.unasked, if status.unasked { "NobodyAsks" } else { "NotWaiting" }),
        ],
        observed_generation: None,
        times: Times::default(),
        state,
        status: status.clone(),
    }
}

/// The word for people: the phase, or what keeps it from going on.
pub(crate) fn state_of(status: &DrainStatus) -> String {
    match status.phase {
        _ if status.blocked => "Blocked".to_owned(),
        _ if status.stalled => "Stalled".to_owned(),
        Phase::Unknown => "Unreadable".to_owned(),
        phase => phase.as_str().to_owned(),
    }
}

/// How much is left, as `12 of 40 leaders`; empty where it is not known.
pub(crate) fn left_of(status: &DrainStatus) -> String {
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
            "spec": {"pod": {"name": "db-0", "uid": "a"}, "policy": "p", "requester": "alice"},
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn what_was_written_is_read_again_with_its_first_status() {
        let kept = read(&new_object(&drain()).unwrap());
        assert_eq!(kept.drain.spec, drain().spec);
        let Keeping { deleting, finalizer, older, .. } = kept.drain.metadata.kept;
        assert_eq!((kept.drain.status.phase, kept.drain.status.tries), (Phase::Queued, 1));
        assert_eq!((deleting, finalizer, older), (false, true, false));
    }

    #[test]
    fn the_spec_is_written_back_as_it_was_whichever_version_wrote_it() {
        let mut object = new_object(&drain()).unwrap();
        object.data["spec"]["newer"] = json!({"x": 1});
        let kept = read(&object);
        let written = with_status(&kept.drain, Some(&kept), "now").unwrap();
        assert_eq!(written.data["spec"], object.data["spec"]);
    }
}

//! Reads drains as they are stored, whichever version of Castoff wrote them, as far as they can be read. What can't is
//! a state of its own ([`Phase::Unknown`]): its pod is held, people are told, and deleting it ends it.

use serde_json::{Map, Value, json};

use super::drain::{DrainSpec, DrainStatus, Phase, PodReference};

/// A drain as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// What was asked for.
    pub spec: DrainSpec,
    /// How far it is.
    pub status: DrainStatus,
    /// It is of the form that drains had before their steps were in the status.
    pub older: bool,
}

/// Fields of a status without which nothing can be concluded.
const NEEDED: [&str; 3] = ["phase", "steps", "pod"];

/// Reads `spec` and `status`. Without a status it is one that was only just made.
#[must_use]
pub fn read(spec: &Value, status: &Value) -> Stored {
    let older = spec.pointer("/pod/metadata").is_some();
    let spec_read =
        if older { older_spec(spec) } else { serde_json::from_value(spec.clone()).unwrap_or_else(|_| some_spec(spec)) };
    let status = match status {
        Value::Null => DrainStatus::first(&spec_read.requester),
        Value::Object(fields) if older => lenient(older_status(spec, fields)),
        Value::Object(fields) => lenient(fields.clone()),
        _ => unreadable("its status is no object"),
    };
    let status = if spec_read.pod.uid.is_empty() { unreadable("it names no pod") } else { status };
    Stored { spec: spec_read, status, older }
}

/// What can be read of a spec that is not as it should be.
fn some_spec(spec: &Value) -> DrainSpec {
    let text = |place: &str| spec.pointer(place).and_then(Value::as_str).unwrap_or_default().to_owned();
    DrainSpec {
        pod: PodReference { name: text("/pod/name"), uid: text("/pod/uid") },
        policy: text("/policy"),
        requester: text("/requester"),
        cancel: spec.get("cancel").and_then(Value::as_bool).unwrap_or(false),
    }
}

/// The spec of the older form, which held the whole pod.
fn older_spec(spec: &Value) -> DrainSpec {
    let text = |place: &str| spec.pointer(place).and_then(Value::as_str).unwrap_or_default().to_owned();
    let pod = PodReference { name: text("/pod/metadata/name"), uid: text("/pod/metadata/uid") };
    DrainSpec { pod, ..some_spec(spec) }
}

/// The status of the older form: the steps, the limits and the pod were in the spec, and how the pod left had another
/// name. What this version has written into it since stays.
fn older_status(spec: &Value, status: &Map<String, Value>) -> Map<String, Value> {
    let mut status = status.clone();
    for field in ["limits", "pod"] {
        if let (Some(value), false) = (spec.get(field), status.contains_key(field)) {
            status.insert(field.to_owned(), value.clone());
        }
    }
    let written = status.get("steps").and_then(Value::as_array).cloned().unwrap_or_default();
    if !written.iter().any(|step| step.get("planSpec").is_some()) {
        let begun = spec.get("steps").and_then(Value::as_array).cloned().unwrap_or_default();
        let merged = begun.into_iter().enumerate().map(|(index, mut step)| {
            if let (Some(step), Some(Value::Object(known))) = (step.as_object_mut(), written.get(index)) {
                step.extend(known.clone());
            }
            step
        });
        status.insert("steps".to_owned(), merged.collect());
    }
    if let Some(outcome) = status.remove("departure") {
        status.insert("outcome".to_owned(), outcome);
    }
    status
}

/// Reads a status field by field: what another version wrote there in words that this one does not know is passed
/// over, unless nothing can be concluded without it.
fn lenient(mut fields: Map<String, Value>) -> DrainStatus {
    if let Ok(status) = serde_json::from_value::<DrainStatus>(Value::Object(fields.clone())) {
        return status;
    }
    let wrong: Vec<(String, String)> = fields
        .iter()
        .filter_map(|(name, value)| {
            let alone = json!({ name: value });
            serde_json::from_value::<DrainStatus>(alone).err().map(|error| (name.clone(), error.to_string()))
        })
        .collect();
    for (name, _) in &wrong {
        fields.remove(name);
    }
    let mut status = serde_json::from_value::<DrainStatus>(Value::Object(fields)).unwrap_or_default();
    if let Some((name, error)) = wrong.iter().find(|(name, _)| NEEDED.contains(&name.as_str())) {
        status.phase = Phase::Unknown;
        status.message = format!("its {name} can't be read by this version of Castoff: {error}");
    }
    status
}

fn unreadable(why: &str) -> DrainStatus {
    DrainStatus { phase: Phase::Unknown, message: format!("it can't be read: {why}"), ..DrainStatus::default() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::lifecycle::{Caller, Ownership};

    fn spec() -> Value {
        json!({"pod": {"name": "db-0", "uid": "a"}, "policy": "db", "requester": "alice", "newer": {"x": 1}})
    }

    #[test]
    fn one_that_was_only_just_made_waits_and_knows_who_asked() {
        let stored = read(&spec(), &Value::Null);
        assert_eq!((stored.status.phase, stored.status.tries), (Phase::Queued, 1));
        assert_eq!(stored.status.caller, Caller::Person);
    }

    #[test]
    fn what_a_newer_version_wrote_is_read_as_far_as_it_can_be() {
        let status =
            json!({"phase": "Draining", "newer": [1], "outcome": "Teleported", "caller": "Satellite", "cycle": 3});
        let stored = read(&spec(), &status);
        assert_eq!((stored.status.phase, stored.status.cycle), (Phase::Draining, 3));
        assert_eq!((stored.status.outcome, stored.status.caller), (None, Caller::Program));
    }

    #[test]
    fn without_what_is_needed_it_is_left_alone_and_says_why() {
        for (status, why) in [
            (json!({"phase": "Hovering"}), ""),
            (json!({"phase": "Draining", "steps": [{"name": "a"}]}), "its steps can't be read"),
            (json!({"phase": "Draining", "pod": 7}), "its pod can't be read"),
            (json!(7), "its status is no object"),
        ] {
            let stored = read(&spec(), &status);
            assert_eq!(stored.status.phase, Phase::Unknown, "{status}");
            assert!(stored.status.message.contains(why), "{}", stored.status.message);
        }
        assert_eq!(read(&json!({"policy": "db"}), &Value::Null).status.phase, Phase::Unknown);
        assert_eq!(read(&Value::Null, &Value::Null).status.phase, Phase::Unknown);
    }

    #[test]
    fn the_form_before_has_its_steps_and_limits_in_the_spec() {
        let spec = json!({
            "pod": {"metadata": {"name": "db-0", "namespace": "n", "uid": "a"}, "status": {"podIP": "10.0.0.7"}},
            "seat": "db-0", "policy": "db", "requester": "x", "asker": "StatefulSet", "fingerprint": "f",
            "steps": [{"name": "s", "plan": "tikv", "hash": "h", "planSpec": {"summary": "x", "done": "true"}, "parameters": {}}],
            "limits": {"maxUnavailable": 2, "pollPeriodSeconds": 7, "progressDeadlineSeconds": 1, "abandonAfterSeconds": 1},
        });
        let status = json!({"phase": "Departing", "asker": "StatefulSet", "departure": "Prepared", "allowed": true,
            "steps": [{"member": "4", "ownership": "Acted", "actSeconds": 0}]});
        let stored = read(&spec, &status);
        assert!(stored.older);
        assert_eq!((stored.spec.pod.name.as_str(), stored.spec.pod.uid.as_str()), ("db-0", "a"));
        let step = &stored.status.steps[0];
        assert_eq!((step.name.as_str(), step.member.as_deref(), step.ownership), ("s", Some("4"), Ownership::Acted));
        assert_eq!(stored.status.limits.poll_period_seconds, 7);
        assert_eq!(stored.status.outcome, Some(crate::lifecycle::Outcome::Prepared));
        let again = serde_json::to_value(&stored.status).unwrap();
        assert_eq!(read(&spec, &again).status, stored.status, "what is written since is not overtaken");
    }
}

//! Reads drains as they are stored, whichever version of Castoff wrote them, as far as they can be read. What can't is
//! a state of its own ([`Phase::Unknown`]): its pod is held, people are told, and deleting it ends it.

use serde_json::{Map, Value, json};

use super::drain::{DrainSpec, PodReference};
use super::status::{DrainStatus, Phase};

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

/// The status of the older form, which had the steps and the pod in its spec, and another name for how the pod left.
/// What this version has written into it since stays.
///
/// Whoever may write PodDrains could write any of that, and is not to decide what is sent: of the spec only names are
/// taken. A step's plan is its policy's, a pod's addresses are those that it is seen with.
fn older_status(spec: &Value, status: &Map<String, Value>) -> Map<String, Value> {
    let mut status = status.clone();
    if !status.contains_key("pod")
        && let Some(Value::Object(pod)) = spec.get("pod")
    {
        let pod =
            pod.iter().filter(|(field, _)| *field != "status").map(|(field, value)| (field.clone(), value.clone()));
        status.insert("pod".to_owned(), Value::Object(pod.collect()));
    }
    let written = status.get("steps").and_then(Value::as_array).cloned().unwrap_or_default();
    if !written.iter().any(|step| step.get("planSpec").is_some()) {
        let begun = spec.get("steps").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let known = written.into_iter().map(Some).chain(std::iter::repeat(None));
        let steps = begun.iter().zip(known).map(|(step, known)| older_step(step, known));
        status.insert("steps".to_owned(), steps.collect());
    }
    if let Some(outcome) = status.remove("departure") {
        status.insert("outcome".to_owned(), outcome);
    }
    status
}

/// A step of the older form, with what its status says of it.
fn older_step(begun: &Value, known: Option<Value>) -> Value {
    let message = "an older version began it, and its policy has no step of that name and plan any more";
    let unknown =
        json!({"summary": "Not known any more", "done": "false", "unknown": [{"when": "true", "message": message}]});
    let (name, plan) = (begun.get("name"), begun.get("plan"));
    let mut step = json!({"name": name, "plan": plan, "planSpec": unknown, "parameters": {}});
    if let (Some(step), Some(Value::Object(known))) = (step.as_object_mut(), known) {
        step.extend(known);
    }
    step
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

    /// As it was in the spec, and what of it is read.
    fn older(status: &Value) -> (Value, Stored) {
        let plan = json!({"summary": "x", "done": "true", "restore": [{"url": "http://elsewhere/"}]});
        let spec = json!({
            "pod": {"metadata": {"name": "db-0", "namespace": "n", "uid": "a"}, "status": {"podIP": "10.0.0.7"}},
            "seat": "db-0", "policy": "db", "requester": "x", "asker": "StatefulSet", "fingerprint": "f",
            "steps": [{"name": "s", "plan": "tikv", "hash": "h", "planSpec": plan, "credentials": "x",
                "parameters": {"pd": "http://elsewhere/"}, "ownership": "Acted", "member": "5"}],
        });
        let stored = read(&spec, status);
        (spec, stored)
    }

    #[test]
    fn the_form_before_has_its_steps_and_its_pod_in_the_spec() {
        let status = json!({"phase": "Departing", "asker": "StatefulSet", "departure": "Prepared", "allowed": true,
            "steps": [{"member": "4", "ownership": "Acted", "actSeconds": 0}]});
        let (spec, stored) = older(&status);
        assert!(stored.older);
        assert_eq!((stored.spec.pod.name.as_str(), stored.spec.pod.uid.as_str()), ("db-0", "a"));
        let step = &stored.status.steps[0];
        assert_eq!((step.name.as_str(), step.member.as_deref(), step.ownership), ("s", Some("4"), Ownership::Acted));
        assert_eq!(stored.status.outcome, Some(crate::lifecycle::Outcome::Prepared));
        let again = serde_json::to_value(&stored.status).unwrap();
        assert_eq!(read(&spec, &again).status, stored.status, "what is written since is not overtaken");
    }

    #[test]
    fn whoever_can_edit_the_spec_of_the_form_before_decides_nothing_of_what_is_sent() {
        let stored = older(&json!({"phase": "Restoring"})).1;
        let step = &stored.status.steps[0];
        assert_eq!(
            (step.ownership, step.member.as_deref(), step.credentials.as_deref()),
            (Ownership::None, None, None)
        );
        assert!(step.parameters.is_empty() && step.plan_spec.restore.is_empty() && step.plan_spec.done == "false");
        crate::plan::compile(&step.plan_spec).unwrap();
        assert!(stored.status.pod.unwrap().status.pod_ip.is_empty());
    }
}

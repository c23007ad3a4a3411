//! The order in which Castoff is taken out. Pure.

use std::fmt;

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::{ApiResource, DynamicObject};

use crate::kubernetes::drains;
use crate::lifecycle::Phase;

use super::found::{Found, is_open};

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// Delete this: kind, namespace, name.
    Delete(ApiResource, Option<String>, String),
    /// Cancel these drains: namespace and name.
    Cancel(Vec<(String, String)>),
    /// Wait until what was set is undone.
    Wait {
        /// Somebody undoes it.
        is_leader: bool,
    },
    /// Delete PodDrains, finalizers or not.
    Forget,
    /// Delete all of a kind.
    Everything(ApiResource),
    /// Leave the namespace: something else runs in it.
    Leave(String),
}

/// The steps, for what was found.
pub(super) fn plan(found: &Found) -> Vec<Step> {
    let delete = |resource: ApiResource, name: &String| Step::Delete(resource, None, name.clone());
    // Without the webhook nothing is held, and no further drain begins.
    let webhooks = ApiResource::erase::<ValidatingWebhookConfiguration>(&());
    let mut steps: Vec<Step> = found.webhooks.iter().map(|name| delete(webhooks.clone(), name)).collect();
    let open: Vec<(String, String)> = found.drains.iter().filter(|drain| is_open(drain)).map(names).collect();
    if !open.is_empty() {
        steps.push(Step::Cancel(open));
        steps.push(Step::Wait { is_leader: found.is_leader });
    }
    // Castoff ends only after it has undone what it could, and before what it works on goes.
    if found.deployment {
        let deployments = ApiResource::erase::<Deployment>(&());
        steps.push(Step::Delete(deployments, Some(found.namespace.clone()), "castoff".to_owned()));
    }
    if !found.drains.is_empty() {
        steps.push(Step::Forget);
    }
    steps.extend(found.kinds.iter().cloned().map(Step::Everything));
    let definitions = ApiResource::erase::<CustomResourceDefinition>(&());
    steps.extend(found.definitions.iter().map(|name| delete(definitions.clone(), name)));
    steps.extend(found.around.iter().cloned().map(|(kind, namespace, name)| Step::Delete(kind, namespace, name)));
    match &found.own {
        None => {}
        Some(others) if others.is_empty() => {
            steps.push(delete(ApiResource::erase::<Namespace>(&()), &found.namespace));
        }
        Some(others) => {
            let (namespace, others) = (&found.namespace, others.join(", "));
            steps.push(Step::Leave(format!("{namespace}: {others}")));
        }
    }
    steps
}

fn names(drain: &DynamicObject) -> (String, String) {
    (drain.metadata.namespace.clone().unwrap_or_default(), drain.metadata.name.clone().unwrap_or_default())
}

/// A line for each change at a backend that a drain still holds.
pub(in crate::cli) fn unrestored(drain: &DynamicObject) -> Vec<String> {
    let (namespace, name) = names(drain);
    let read = drains::read(drain).drain;
    if read.status.phase == Phase::Unknown {
        return vec![format!("{namespace}/{name}: what it has set can't be told: {}", read.status.message)];
    }
    let held = read.status.steps.iter().filter(|step| step.owns());
    held.map(|step| {
        let member = step.member.as_ref().map_or_else(String::new, |member| format!(" for {member}"));
        let pod = read.pod_name();
        format!("{pod}: what step {} (plan {}) has set{member} is not undone: undo it by hand", step.name, step.plan)
    })
    .collect()
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Delete(resource, namespace, name) => {
                write!(formatter, "delete {} {name}", resource.kind)?;
                namespace.as_ref().map_or(Ok(()), |namespace| write!(formatter, " in {namespace}"))
            }
            Step::Cancel(drains) => write!(formatter, "cancel {} drains", drains.len()),
            Step::Wait { is_leader: true } => write!(formatter, "wait until what was set at backends is undone"),
            Step::Wait { is_leader: false } => {
                write!(formatter, "do not wait: Castoff does not run, so what was set at backends is not undone")
            }
            Step::Forget => write!(formatter, "delete all PodDrains, with their finalizers"),
            Step::Everything(resource) => write!(formatter, "delete every {}", resource.kind),
            Step::Leave(what) => write!(formatter, "leave the namespace, since other pods are in it: {what}"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::cli::drains::tests::pod_drain;
    use crate::kubernetes::resources::drain_policies;

    fn drain(phase: &str) -> DynamicObject {
        pod_drain(json!({
            "apiVersion": "castoff.dev/v1alpha1", "kind": "PodDrain",
            "metadata": {"name": "tikv-2-7c0ffee1", "namespace": "tidb"},
            "spec": {
                "pod": {"name": "tikv-2", "uid": "7c0ffee1"}, "policy": "tikv", "requester": "alice",
            },
            "status": {"phase": phase, "steps": [{"name": "evict", "plan": "tikv", "hash": "h", "parameters": {},
                "planSpec": {"summary": "s", "done": "true"}, "member": "store 4", "ownership": "Acted"}]},
        }))
    }

    fn found() -> Found {
        Found {
            namespace: "castoff-system".into(),
            webhooks: vec!["castoff".into()],
            drains: vec![drain("Draining"), drain("Completed")],
            is_leader: true,
            deployment: true,
            kinds: vec![drain_policies()],
            definitions: vec!["poddrains.castoff.dev".into()],
            around: Vec::new(),
            own: Some(Vec::new()),
        }
    }

    fn told(found: &Found) -> Vec<String> {
        plan(found).iter().map(Step::to_string).collect()
    }

    #[test]
    fn the_webhook_goes_first_castoff_after_what_it_undoes_and_the_namespace_last() {
        assert_eq!(
            told(&found()),
            [
                "delete ValidatingWebhookConfiguration castoff",
                "cancel 1 drains",
                "wait until what was set at backends is undone",
                "delete Deployment castoff in castoff-system",
                "delete all PodDrains, with their finalizers",
                "delete every DrainPolicy",
                "delete CustomResourceDefinition poddrains.castoff.dev",
                "delete Namespace castoff-system",
            ]
        );
    }

    #[test]
    fn what_is_gone_is_no_step() {
        assert!(plan(&Found::default()).is_empty());
        let rest = Found { namespace: "castoff-system".into(), own: Some(Vec::new()), ..Found::default() };
        assert_eq!(told(&rest), ["delete Namespace castoff-system"]);
    }

    #[test]
    fn nobody_is_waited_for_when_nobody_undoes_anything() {
        assert!(told(&Found { is_leader: false, ..found() }).concat().contains("do not wait"));
    }

    #[test]
    fn a_namespace_that_others_live_in_stays() {
        let shared = Found { own: Some(vec!["database-0".into()]), ..found() };
        let last = told(&shared).pop().unwrap();
        assert!(last.starts_with("leave the namespace") && last.ends_with("database-0"), "{last}");
    }

    #[test]
    fn what_is_left_at_a_backend_is_told_by_step_and_member() {
        let lines = unrestored(&drain("Draining"));
        assert_eq!(
            lines,
            ["tidb/tikv-2: what step evict (plan tikv) has set for store 4 is not undone: undo it by hand"]
        );
    }
}

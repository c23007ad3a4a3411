//! `castoff forget`: a person ends a pod's drain for good, whatever phase it is in.

use std::time::Duration;

use clap::Args;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::kubernetes::lease;
use crate::kubernetes::resources::pod_drains;
use crate::kubernetes::{drains, drains::FINALIZER};
use crate::lifecycle::{Drain, Phase};

use super::connect::{Reach, list, refused};
use super::render::program;
use super::uninstall::unrestored;
use super::{Failure, output};

/// Ends a pod's drain: what was set at the backend is undone first, for a minute at most; the pod stays.
///
/// It deletes the PodDrain, which Castoff ends within a minute in every phase, and says what was undone and what was
/// not. It is for drains that do not end otherwise: `castoff cancel` gives one up without ending a restore that fails.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  castoff forget basic-tikv-2 -n tidb
  castoff forget basic-tikv-2 -n tidb --yes           also where something stays behind at the backend

It needs the right to delete poddrains, and to list events.

Exit codes: 0 ended, 1 something would stay behind, or it can't be ended, 2 wrong usage.")]
pub(super) struct Forget {
    /// The pod
    #[arg(value_name = "POD")]
    pod: String,

    /// Also where something stays behind at the backend
    #[arg(long)]
    yes: bool,

    /// The namespace that Castoff runs in
    #[arg(long, default_value = "castoff-system", value_name = "NAME")]
    castoff_namespace: String,

    #[command(flatten)]
    reach: Reach,
}

/// Castoff ends a deleted drain within a minute; some seconds are the API server's.
const ENDED_WITHIN: Duration = Duration::from_secs(75);

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Ends the pod's drains, and says what became of what was set.
pub(super) async fn run(command: Forget) -> Result<(), Failure> {
    let (client, namespace) = command.reach.connect().await?;
    let all = list(&client, &pod_drains(), Some(&namespace)).await?;
    let of_pod: Vec<DynamicObject> =
        all.into_iter().filter(|object| drains::read(object).drain.spec.pod.name == command.pod).collect();
    if of_pod.is_empty() {
        output::line(format_args!(
            "{namespace}/{}: there is no drain of this pod, so there is nothing to forget",
            command.pod
        ));
        return Ok(());
    }
    let leads = somebody_leads(&client, &command.castoff_namespace).await;
    let stays: Vec<String> = of_pod.iter().flat_map(|object| stays_behind(object, leads)).collect();
    if !stays.is_empty() && !command.yes {
        stays.iter().for_each(output::line);
        let (pod, program) = (&command.pod, program());
        return Err(Failure::No(format!(
            "this may stay at the backend. Once it is undone by hand, or may stay: {program} forget {pod} -n {namespace} --yes"
        )));
    }
    for object in &of_pod {
        end(&client, &drains::read(object).drain, leads).await?;
    }
    Ok(())
}

/// What is to be expected to stay at backends: where nobody leads everything, else what could not be undone so far.
fn stays_behind(object: &DynamicObject, leads: bool) -> Vec<String> {
    let drain = drains::read(object).drain;
    let fails = drain.status.phase == Phase::Restoring && !drain.status.message.is_empty();
    if leads && !fails && drain.status.phase != Phase::Unknown {
        return Vec::new();
    }
    let mut lines = unrestored(object);
    if fails && !lines.is_empty() {
        lines.push(format!("{}: {}", drain.pod_name(), drain.status.message));
    }
    lines
}

/// Whether some replica holds the Lease: only that one undoes anything.
async fn somebody_leads(client: &Client, namespace: &str) -> bool {
    let api: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let Ok(Some(first)) = api.get_opt(lease::NAME).await else {
        // Who may not look at the Lease waits, and sees.
        return true;
    };
    // By its being renewed, not by anybody's clock.
    let version = first.metadata.resource_version;
    let until = Instant::now() + Duration::from_secs(6);
    while Instant::now() < until {
        tokio::time::sleep(LOOK).await;
        if let Ok(Some(now)) = api.get_opt(lease::NAME).await
            && now.metadata.resource_version != version
        {
            return true;
        }
    }
    false
}

async fn end(client: &Client, drain: &Drain, leads: bool) -> Result<(), Failure> {
    let (namespace, name) = (&drain.metadata.namespace, &drain.metadata.name);
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &pod_drains());
    let what = format!("delete poddrain {name}");
    match api.delete(name, &DeleteParams::default()).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.is_not_found() => {}
        Err(error) => return Err(refused(&what, &error)),
    }
    if !leads {
        // Nobody is there who would take it off.
        take_finalizer_off(&api, name).await?;
    }
    let end = Instant::now() + ENDED_WITHIN;
    while let Some(object) = api.get_opt(name).await.map_err(|error| refused(&what, &error))? {
        if object.metadata.uid.as_deref() != Some(drain.metadata.uid.as_str()) {
            break;
        }
        if Instant::now() >= end {
            return Err(Failure::No(format!(
                "{}: Castoff has not ended it in time: {} doctor says whether it runs",
                drain.pod_name(),
                program()
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
    for line in told(client, drain).await {
        output::line(format_args!("{}: {line}", drain.pod_name()));
    }
    output::line(format_args!("{}: its drain is ended; the pod stays", drain.pod_name()));
    Ok(())
}

async fn take_finalizer_off(api: &Api<DynamicObject>, name: &str) -> Result<(), Failure> {
    let what = format!("take the finalizer off poddrain {name}");
    let Some(object) = api.get_opt(name).await.map_err(|error| refused(&what, &error))? else { return Ok(()) };
    let others: Vec<&String> = object.metadata.finalizers.iter().flatten().filter(|it| *it != FINALIZER).collect();
    let change = Patch::Merge(json!({"metadata": {"finalizers": others}}));
    match api.patch(name, &PatchParams::default(), &change).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(refused(&what, &error)),
    }
}

/// What Castoff has told of this drain's end: what it undid, and what not.
async fn told(client: &Client, drain: &Drain) -> Vec<String> {
    let events = ApiResource::erase::<k8s_openapi::api::events::v1::Event>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &drain.metadata.namespace, &events);
    let Ok(listed) = api.list(&ListParams::default()).await else {
        return vec!["what was undone is told by events, which you may not list".to_owned()];
    };
    let text = |event: &DynamicObject, place: &str| {
        event.data.pointer(place).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let is_its = |event: &&DynamicObject| {
        matches!(text(event, "/reason").as_str(), "Restored" | "NotRestored")
            && text(event, "/related/uid") == drain.metadata.uid
    };
    listed.items.iter().filter(is_its).map(|event| text(event, "/note")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn drain(phase: &str, message: &str) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "castoff.dev/v1alpha1", "kind": "PodDrain",
            "metadata": {"name": "tikv-2-7c0ffee1", "namespace": "tidb"},
            "spec": {"pod": {"name": "tikv-2", "uid": "7c0ffee1"}, "policy": "tikv", "requester": "alice"},
            "status": {"phase": phase, "message": message, "steps": [{"name": "evict", "plan": "tikv", "hash": "h",
                "parameters": {}, "planSpec": {"summary": "s", "done": "true"}, "member": "store 4", "ownership": "Acted"}]},
        }))
        .unwrap()
    }

    #[test]
    fn asks_first_only_where_something_is_to_be_expected_to_stay() {
        assert!(stays_behind(&drain("Draining", ""), true).is_empty());
        assert!(stays_behind(&drain("Restoring", ""), true).is_empty());
        let failing = stays_behind(&drain("Restoring", "https://pd:2379 answers 500"), true);
        assert!(failing[0].contains("step evict") && failing[1].contains("answers 500"), "{failing:?}");
        assert!(!stays_behind(&drain("Draining", ""), false).is_empty(), "nobody leads who would undo it");
        assert!(!stays_behind(&drain("Hovering", ""), true).is_empty(), "nobody can read what it has set");
    }
}

//! `castoff uninstall`: takes Castoff out of a cluster, in the order that leaves nothing stuck.

mod found;
mod steps;

use std::time::Duration;

use clap::{ArgGroup, Args};
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PropagationPolicy};
use kube::core::{ApiResource, DynamicObject};
use serde_json::json;
use tokio::time::Instant;

use crate::kubernetes::is_not_found;
use crate::kubernetes::resources::{drain_plans, drain_policies, node_drains, pod_drains};

use super::connect::{Which, refused};
use super::{Failure, output};
use found::{Found, object};
pub(super) use steps::unrestored;
use steps::{Step, plan};

/// Takes Castoff out of a cluster: first its webhook, so that nothing is held any more; last its namespace.
///
/// Drains that are under way are cancelled and waited for, so that what was set at backends is undone. What could
/// not be undone is told, line by line. It may be run again, and goes on where it was.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("how").required(true).args(["dry_run", "yes"]))]
#[command(after_help = "\
Examples:
  castoff uninstall --dry-run            what would be done, in order
  castoff uninstall --yes
  castoff uninstall --yes --timeout 10m  where a restore takes long

The namespace is deleted only if nothing but Castoff runs in it. It needs the rights of a cluster's admin.

Exit codes: 0 done, 1 not all of it, or something was left at a backend, 2 wrong usage.")]
pub(super) struct Uninstall {
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,

    /// Do it
    #[arg(long)]
    yes: bool,

    /// The namespace that Castoff runs in
    #[arg(short, long, env = "CASTOFF_NAMESPACE", default_value = "castoff-system", value_name = "NAME")]
    namespace: String,

    /// How long drains are waited for
    #[arg(long, default_value = "2m", value_name = "TIME", value_parser = super::serve::duration)]
    timeout: Duration,

    #[command(flatten)]
    which: Which,
}

/// Between two looks at drains that are being undone.
const LOOK: Duration = Duration::from_secs(1);

/// Says what is done, and does it.
pub(super) async fn run(command: Uninstall) -> Result<(), Failure> {
    let client = command.which.connect().await?;
    let found = Found::look(&client, &command.namespace).await?;
    let steps = plan(&found);
    if steps.is_empty() {
        output::line("nothing of Castoff is there");
        return Ok(());
    }
    let mut left = 0;
    for step in &steps {
        output::line(step);
        if command.yes {
            left += carry_out(&client, step, command.timeout).await?;
        }
    }
    match (command.dry_run, left) {
        (true, _) => output::line("nothing was changed; --yes does it"),
        (false, 0) => output::line("Castoff is gone; what Kubernetes has still to delete it deletes by itself"),
        (false, left) => {
            return Err(Failure::No(format!("Castoff is gone; left at backends: {left}, see the lines above")));
        }
    }
    Ok(())
}

/// Carries a step out; gives back how many changes at backends it leaves.
async fn carry_out(client: &Client, step: &Step, timeout: Duration) -> Result<usize, Failure> {
    match step {
        Step::Delete(resource, namespace, name) => delete(client, resource, namespace.as_deref(), name).await?,
        Step::Cancel(drains) => {
            for (namespace, name) in drains {
                let api = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &pod_drains());
                let change = Patch::Merge(json!({"spec": {"cancel": true}}));
                gone_is_fine(api.patch(name, &PatchParams::default(), &change).await, "cancel a drain")?;
            }
        }
        Step::Wait { is_leader: true } => wait(client, timeout).await?,
        Step::Forget => return forget(client).await,
        Step::Everything(resource) => {
            for object in list(client, resource).await? {
                let name = object.metadata.name.unwrap_or_default();
                delete(client, resource, object.metadata.namespace.as_deref(), &name).await?;
            }
        }
        Step::Wait { is_leader: false } | Step::Leave(_) => {}
    }
    Ok(0)
}

/// Waits until what was set is undone everywhere, or for so long.
async fn wait(client: &Client, timeout: Duration) -> Result<(), Failure> {
    let end = Instant::now() + timeout;
    let mut told = usize::MAX;
    loop {
        let open = list(client, &pod_drains()).await?.iter().filter(|drain| found::is_open(drain)).count();
        if open == 0 {
            return Ok(());
        }
        if open != told {
            output::line(format_args!("  still being undone: {open}"));
            told = open;
        }
        if Instant::now() >= end {
            output::line(format_args!("  not waited for any longer: {open}"));
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Deletes PodDrains. What they still hold is told, since nobody undoes it any more.
async fn forget(client: &Client) -> Result<usize, Failure> {
    let mut left = 0;
    for drain in list(client, &pod_drains()).await? {
        for line in unrestored(&drain) {
            output::line(format_args!("  {line}"));
            left += 1;
        }
        let namespace = drain.metadata.namespace.clone().unwrap_or_default();
        let name = drain.metadata.name.clone().unwrap_or_default();
        // In this order: while it is being deleted, nobody puts the finalizer back.
        delete(client, &pod_drains(), Some(&namespace), &name).await?;
        let api = Api::<DynamicObject>::namespaced_with(client.clone(), &namespace, &pod_drains());
        let change = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        gone_is_fine(api.patch(&name, &PatchParams::default(), &change).await, "drop a finalizer")?;
    }
    Ok(left)
}

/// All of a kind; none where the kind is not defined any more.
async fn list(client: &Client, resource: &ApiResource) -> Result<Vec<DynamicObject>, Failure> {
    let listed = Api::<DynamicObject>::all_with(client.clone(), resource).list(&ListParams::default()).await;
    let found = gone_is_fine(listed, &format!("list {}", resource.plural))?;
    Ok(found.map(|list| list.items).unwrap_or_default())
}

async fn delete(client: &Client, resource: &ApiResource, namespace: Option<&str>, name: &str) -> Result<(), Failure> {
    let how = DeleteParams { propagation_policy: Some(PropagationPolicy::Background), ..DeleteParams::default() };
    let deleted = object(client, resource, namespace).delete(name, &how).await;
    gone_is_fine(deleted, &format!("delete {} {name}", resource.plural)).map(drop)
}

fn gone_is_fine<T>(outcome: kube::Result<T>, what: &str) -> Result<Option<T>, Failure> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_not_found(&error) => Ok(None),
        Err(error) => Err(refused(what, &error)),
    }
}

/// Castoff's own kinds, as they are emptied.
fn kinds() -> [ApiResource; 3] {
    [node_drains(), drain_policies(), drain_plans()]
}

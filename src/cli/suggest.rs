//! `castoff suggest`: policies for what runs in a namespace, to begin with.

mod systems;
mod workload;
mod workloads;

use clap::Args;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Service;
use kube::Client;
use kube::core::{ApiResource, DynamicObject};

use crate::kubernetes::cluster::pod_of;
use crate::kubernetes::pods;
use crate::kubernetes::policies::{PlanObject, PolicyObject, compile, read_policy};
use crate::kubernetes::resources::drain_policies;

use super::connect::{Reach, list};
use super::{Failure, output};
use workload::{Found, read, read_service};
use workloads::{Suggestion, of_operators, suggest};

/// Looks at the workloads of a namespace and writes policies for them: what is sure, and `# TODO` where it is not.
///
/// What needs no guard, has one, or belongs to an operator with ways of its own, is said in comments. It changes nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  castoff suggest -n tidb > policies.yaml
  castoff check --cluster policies.yaml && kubectl apply -f policies.yaml

Policies with a TODO are in mode Audit: their pods leave as before, and callers are told what would have happened.
It needs the right to list workloads, pods, Services and policies, as the role view gives it.

Exit codes: 0 fine, 1 the cluster did not answer, 2 wrong usage.")]
pub(super) struct Suggest {
    #[command(flatten)]
    reach: Reach,
}

/// Looks, and writes.
pub(super) async fn run(command: Suggest) -> Result<(), Failure> {
    let (client, namespace) = command.reach.connect().await?;
    let found = look(&client, &namespace).await?;
    let mut suggestions: Vec<Suggestion> = found.workloads.iter().map(|workload| suggest(workload, &found)).collect();
    suggestions.extend(of_operators(&found));
    output::line(page(&namespace, &suggestions).trim_end());
    Ok(())
}

async fn look(client: &Client, namespace: &str) -> Result<Found, Failure> {
    let of = async |resource: ApiResource| list(client, &resource, Some(namespace)).await;
    let mut workloads = Vec::new();
    for resource in [
        ApiResource::erase::<StatefulSet>(&()),
        ApiResource::erase::<DaemonSet>(&()),
        ApiResource::erase::<Deployment>(&()),
    ] {
        let kind = resource.kind.clone();
        workloads.extend(of(resource).await?.iter().map(|object| read(&kind, object)));
    }
    let services = of(ApiResource::erase::<Service>(&())).await?.iter().map(read_service).collect();
    let pods = of(pods::resource()).await?.iter().filter_map(pod_of).collect();
    let policies: Vec<DynamicObject> = of(drain_policies()).await?;
    let policies: Vec<std::sync::Arc<PolicyObject>> =
        policies.iter().filter_map(read_policy).map(|(_, policy)| policy.into()).collect();
    let no_plans: &[std::sync::Arc<PlanObject>] = &[];
    let index = compile(&policies, no_plans);
    let policies = index.of_namespace(namespace).to_vec();
    Ok(Found { namespace: namespace.to_owned(), workloads, services, pods, policies })
}

/// The page: comments first, then policies.
fn page(namespace: &str, suggestions: &[Suggestion]) -> String {
    let mut page = format!(
        "# Policies for the namespace {namespace}, to begin with. Look through them before they are applied.\n"
    );
    let comments = suggestions.iter().filter_map(|suggestion| match suggestion {
        Suggestion::Nothing(why) => Some(format!("# {why}\n")),
        Suggestion::Policy(_) => None,
    });
    page.extend(comments);
    let policies = suggestions.iter().filter_map(|suggestion| match suggestion {
        Suggestion::Policy(text) => Some(format!("---\n{text}")),
        Suggestion::Nothing(_) => None,
    });
    page.extend(policies);
    page
}

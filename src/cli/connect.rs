//! Which cluster, which namespace, and what went wrong there: shared by the commands that look into one.

use std::path::PathBuf;

use clap::Args;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::{Api, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, DynamicObject};
use kube::{Client, Config};

use crate::kubernetes::cache::chain;
use crate::kubernetes::client;
use crate::kubernetes::resources::GROUP;

use super::Failure;
use super::render::program;

/// Which cluster, as for kubectl.
#[derive(Debug, Args)]
pub(super) struct Reach {
    /// The namespace; default: that of the kubeconfig's context
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,

    #[command(flatten)]
    pub which: Which,
}

/// Which cluster.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// A context of the kubeconfig; default: the current one
    #[arg(long, value_name = "NAME")]
    context: Option<String>,

    /// The kubeconfig; default: as kubectl finds it
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

impl Reach {
    /// A client, and the namespace to look in.
    pub async fn connect(&self) -> Result<(Client, String), Failure> {
        let client = self.which.connect().await?;
        let namespace = self.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
        Ok((client, namespace))
    }
}

impl Which {
    /// A client for the cluster.
    pub async fn connect(&self) -> Result<Client, Failure> {
        let no_cluster = |error: &dyn std::error::Error| {
            Failure::Usage(format!("no cluster: {}. Give KUBECONFIG, --kubeconfig or --context", chain(error)))
        };
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let config = match &self.kubeconfig {
            Some(file) => {
                let read = Kubeconfig::read_from(file).map_err(|error| no_cluster(&error))?;
                Config::from_custom_kubeconfig(read, &options).await.map_err(|error| no_cluster(&error))?
            }
            None if self.context.is_some() => {
                Config::from_kubeconfig(&options).await.map_err(|error| no_cluster(&error))?
            }
            None => Config::infer().await.map_err(|error| no_cluster(&error))?,
        };
        client::build(config, client::Limits::default()).map_err(|error| Failure::No(chain(&error)))
    }
}

/// What the API server would not do, for people. `what` is what was tried, as `list poddrains`.
pub(super) fn refused(what: &str, error: &kube::Error) -> Failure {
    Failure::No(match error {
        kube::Error::Api(status) if status.code == 404 && is_no_kind(&status.message) => {
            let program = program();
            format!("can't {what}: the cluster does not know {GROUP}. Install it: {program} crds | kubectl apply -f -")
        }
        kube::Error::Api(status) if status.is_forbidden() => {
            let role = role_for(what).map_or_else(String::new, |role| format!(". The role {role} allows it"));
            format!("can't {what}: {}{role}", status.message)
        }
        kube::Error::Api(status) => format!("can't {what}: {}", status.message),
        error => format!("can't {what}: {}", chain(error)),
    })
}

/// The role that makes, cancels and ends drains.
pub(super) const PREPARES: &str = "castoff-prepare (part of edit)";

/// The role of the manifests that allows what was tried, as `list poddrains`.
fn role_for(what: &str) -> Option<&'static str> {
    let (verb, object) = what.split_once(' ')?;
    match verb {
        "list" if object.contains("drainplans") || object == "pods" => Some(PREPARES),
        "list" | "get" if ["poddrain", "drainpolicies"].iter().any(|kind| object.starts_with(kind)) => {
            Some("castoff-view (part of view)")
        }
        "get" if object.starts_with("pod ") => Some(PREPARES),
        "cancel" | "take" => Some(PREPARES),
        "freeze" => Some("castoff-admin (part of admin)"),
        "delete" if object.starts_with("poddrain") => Some(PREPARES),
        _ => None,
    }
}

/// Whether a "not found" is about the kind and not about one object of it.
fn is_no_kind(message: &str) -> bool {
    message.contains("could not find the requested") || message.contains("page not found")
}

/// All objects of a kind, in a namespace or everywhere.
pub(super) async fn list(
    client: &Client,
    resource: &ApiResource,
    namespace: Option<&str>,
) -> Result<Vec<DynamicObject>, Failure> {
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        None => Api::all_with(client.clone(), resource),
    };
    let listed = api.list(&ListParams::default()).await;
    listed.map(|list| list.items).map_err(|error| refused(&format!("list {}", resource.plural), &error))
}

/// As whom this person speaks to the API server.
pub(super) async fn whoami(client: &Client) -> Result<String, Failure> {
    let api: Api<SelfSubjectReview> = Api::all(client.clone());
    let review = api.create(&PostParams::default(), &SelfSubjectReview::default()).await;
    let review = review.map_err(|error| refused("ask the API server who you are", &error))?;
    Ok(review.status.and_then(|status| status.user_info).and_then(|user| user.username).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use serde_json::Value;

    use super::*;

    /// What people may be refused, and the right that it needs.
    const TRIED: [(&str, &str, &str); 10] = [
        ("list poddrains", "list", "poddrains"),
        ("list drainpolicies", "list", "drainpolicies"),
        ("list drainpolicies, and the drainplans that they name", "list", "drainplans"),
        ("get pod tidb/tikv-2", "get", "pods"),
        ("get poddrain tidb/tikv-2-7c0ffee1", "get", "poddrains"),
        ("cancel tidb/tikv-2-7c0ffee1", "patch", "poddrains"),
        ("take the finalizer off poddrain tikv-2-7c0ffee1", "patch", "poddrains"),
        ("delete poddrain tidb/tikv-2-7c0ffee1", "delete", "poddrains"),
        ("list pods", "list", "pods"),
        ("freeze tidb/tikv", "patch", "drainpolicies"),
    ];

    #[test]
    fn a_refusal_names_a_role_that_allows_what_was_tried() {
        let manifest = include_str!("../../manifests/base/roles.yaml");
        let roles: Vec<Value> = manifest.split("\n---\n").map(|role| serde_saphyr::from_str(role).unwrap()).collect();
        for (what, verb, resource) in TRIED {
            let named = role_for(what).unwrap_or_else(|| panic!("{what}: no role is named"));
            let (name, part) = named.split_once(" (part of ").unwrap();
            let role = roles.iter().find(|role| role["metadata"]["name"] == name).unwrap();
            let has =
                |rule: &Value, field: &str, value: &str| rule[field].as_array().unwrap().iter().any(|one| one == value);
            let allows = |rule: &Value| has(rule, "verbs", verb) && has(rule, "resources", resource);
            assert!(role["rules"].as_array().unwrap().iter().any(allows), "{what}: {name} does not allow it");
            let label = format!("rbac.authorization.k8s.io/aggregate-to-{}", part.trim_end_matches(')'));
            assert_eq!(role["metadata"]["labels"][label], "true", "{what}: {name} is no part of {part}");
        }
    }
}

//! Castoff's namespace: what the registration goes with, and what tells this installation from another.

use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::{Api, Client};

use crate::kubernetes::failed;

use super::KeepError;

/// The UID of this namespace. By a list, which needs no right that watching namespaces does not need.
pub(super) async fn uid(client: &Client, namespace: &str) -> Result<String, KeepError> {
    let only = ListParams::default().fields(&format!("metadata.name={namespace}"));
    let found = Api::<Namespace>::all(client.clone()).list(&only).await;
    let found = found.map_err(failed(format!("the namespace {namespace}")))?;
    let uid = found.items.into_iter().find_map(|found| found.metadata.uid);
    uid.ok_or_else(|| KeepError::NoHome(namespace.to_owned()))
}

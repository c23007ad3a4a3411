//! Reads of the cluster in place of a backend.

use std::net::IpAddr;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::Scope;
use crate::plan::{ClusterRead, Observation};
use crate::pod::Pod;
use crate::remedy::Cause;

/// Why something of the cluster can't be told: a sentence for users, constant for a cause.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unseen(String);

impl<T: Into<String>> From<T> for Unseen {
    fn from(why: T) -> Self {
        Unseen(why.into())
    }
}

/// Sees the cluster that the pods live in.
#[async_trait]
pub trait SeesCluster: Send + Sync {
    /// What the cluster shows. What can't be seen is an error, never an empty list: plans conclude from what is missing.
    ///
    /// # Errors
    /// Why it can't be told.
    async fn read(&self, pod: &Pod<'_>, read: &ClusterRead) -> Result<Value, Unseen>;

    /// Whether a pod of this namespace, and nobody else, answers at this address now ([`super::guard::answers_at`]).
    ///
    /// # Errors
    /// Why it can't be told.
    async fn has_pod_at(&self, namespace: &str, address: IpAddr) -> Result<bool, Unseen>;

    /// Asks the API server, with Castoff's own rights: the status and the body of its answer. Without one, nobody answers.
    ///
    /// # Errors
    /// Why there is no answer.
    async fn api_server(&self, _: &str, _: &str, _: Option<Value>) -> Result<(u16, Bytes), Unseen> {
        Err("there is no API server here".into())
    }
}

/// The observation of a read named `name`, before `limit`.
pub(super) async fn read(
    cluster: Option<&dyn SeesCluster>,
    scope: &Scope,
    name: &str,
    read: &ClusterRead,
    limit: Instant,
) -> Observation {
    let told = match cluster {
        Some(cluster) => timeout_at(limit, cluster.read(&scope.pod, read)).await,
        None => Ok(Err("the cluster can't be seen here".into())),
    };
    let failed = |message| Observation::Failed {
        message,
        detail: format!("the plan's read {name}, of the cluster"),
        cause: Cause::default(),
    };
    match told {
        Ok(Ok(value)) => Observation::Value(value),
        Ok(Err(why)) => failed(why.to_string()),
        Err(_) => failed("the cluster does not answer".to_owned()),
    }
}

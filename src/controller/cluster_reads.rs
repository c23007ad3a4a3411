//! Answers the reads that plans make of the cluster.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Map, Value};

use crate::backend::guard::answers_at;
use crate::backend::{SeesCluster, Unseen};
use crate::facts::OwnerSeen;
use crate::plan::{ClusterRead, PodsQuery};
use crate::pod::Pod;
use crate::ports::Cluster;

/// The most pods that one read may bring.
const MOST_PODS: usize = 2000;

/// Lets plans see a cluster.
pub struct ClusterReads(pub Arc<dyn Cluster>);

impl std::fmt::Debug for ClusterReads {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("ClusterReads")
    }
}

#[async_trait]
impl SeesCluster for ClusterReads {
    async fn read(&self, pod: &Pod<'_>, read: &ClusterRead) -> Result<Value, Unseen> {
        match read {
            ClusterRead::Pods(query) => self.pods(query).await,
            ClusterRead::Owner => self.owner(pod).await,
        }
    }

    async fn has_pod_at(&self, namespace: &str, address: IpAddr) -> Result<bool, Unseen> {
        let pods = self.0.find_pods(Some(namespace), None).await.map_err(|error| error.to_string())?;
        Ok(pods.iter().any(|pod| pod.metadata.namespace == *namespace && answers_at(pod, address)))
    }

    async fn api_server(&self, method: &str, path: &str, body: Option<Value>) -> Result<(u16, Bytes), Unseen> {
        self.0.api_server(method, path, body).await.map_err(|error| error.to_string().into())
    }
}

impl ClusterReads {
    async fn pods(&self, query: &PodsQuery) -> Result<Value, Unseen> {
        let all = self.0.find_pods(query.namespace.as_deref(), query.node.as_deref()).await;
        let all = all.map_err(|error| error.to_string())?;
        let asked: Vec<_> = all.iter().filter(|pod| query.takes(pod)).collect();
        if asked.len() > MOST_PODS {
            return Err(format!("more than {MOST_PODS} pods: name fewer with selector, namespace and node").into());
        }
        let pods = asked.into_iter().map(|pod| serde_json::to_value(pod.as_ref()));
        let pods = pods.collect::<Result<_, _>>().map_err(|error| format!("a pod can't be shown: {error}"))?;
        Ok(Value::Array(pods))
    }

    async fn owner(&self, pod: &Pod<'_>) -> Result<Value, Unseen> {
        let Some(owner) = pod.controller() else { return Err("nothing controls this pod".into()) };
        match self.0.owner(&pod.metadata.namespace, owner).await {
            OwnerSeen::Known(facts) => {
                let replicas = facts.wanted.map(|replicas| ("replicas".to_owned(), Value::from(replicas)));
                Ok(Value::Object(replicas.into_iter().collect::<Map<_, _>>()))
            }
            OwnerSeen::DeletingOrGone => Err(format!("{} {} is deleted", owner.kind, owner.name).into()),
            OwnerSeen::None | OwnerSeen::Unread | OwnerSeen::Unknown => {
                Err(format!("{} {} can't be seen here", owner.kind, owner.name).into())
            }
        }
    }
}

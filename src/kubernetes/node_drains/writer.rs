//! Writes the status of NodeDrains.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use kube::core::DynamicObject;
use serde_json::json;
use tokio::sync::watch;

use crate::controller::sight;
use crate::kubernetes::cache::chain;
use crate::kubernetes::cluster::WatchedCluster;
use crate::kubernetes::lease::Leadership;
use crate::kubernetes::resources::node_drains;
use crate::pod::Pod;
use crate::policy::PolicyIndex;
use crate::ports::{Cluster, Store};

use super::{LONGEST_MESSAGE, Node, NodeDrain, PodOnNode, standing};

/// Between two looks, while there are any.
const LOOK: Duration = Duration::from_secs(2);

/// Writes the status of NodeDrains while this process leads.
pub struct Writer {
    /// The API server.
    pub client: Client,
    /// Policies in force.
    pub index: Arc<ArcSwap<PolicyIndex>>,
    /// Changes once they are: before, nothing seems to be guarded.
    pub in_force: watch::Receiver<()>,
    /// Drains.
    pub store: Arc<dyn Store>,
    /// NodeDrains, pods and nodes.
    pub cluster: Arc<WatchedCluster>,
    /// Whether this process leads.
    pub leadership: Leadership,
}

impl Writer {
    /// Writes whenever something has changed, for ever.
    pub async fn run(mut self) {
        let mut changes = self.cluster.node_drains.changes();
        self.cluster.pods.cache.filled().await;
        self.cluster.nodes.filled().await;
        if self.in_force.changed().await.is_err() {
            return;
        }
        loop {
            changes.mark_unchanged();
            let all = self.cluster.node_drains.all();
            for drain in &all {
                if self.leadership.holds() {
                    self.write(drain).await;
                }
            }
            if all.is_empty() {
                // The sender lives as long as `self`.
                let _ = changes.changed().await;
            } else {
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    async fn write(&self, drain: &NodeDrain) {
        let now = Timestamp::now();
        let is_there = self.cluster.nodes.get(&drain.spec.node_name).is_some();
        let told = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let Some(status) = self.node(&drain.spec.node_name, now).news(drain, is_there, &told) else { return };
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &node_drains());
        let change = Patch::Merge(json!({"status": status}));
        if let Err(error) = api.patch_status(&drain.name, &PatchParams::default(), &change).await {
            tracing::debug!(name = drain.name, error = %chain(&error), "a NodeDrain's status could not be written");
        }
    }

    /// The guarded pods of a node that are not on their way out, and how far each is.
    fn node(&self, node: &str, now: Timestamp) -> Node {
        let policies = self.index.load();
        let labels = |node: &str| self.cluster.node(node).labels();
        let of = |pod: Arc<Pod<'static>>| {
            let selecting = sight::selecting(Some(&pod), &policies, &labels);
            let drain = self.store.by_pod(&pod.metadata.uid);
            let (standing, phase, why) = standing(&selecting, drain.as_deref(), now)?;
            let (namespace, name) = (pod.metadata.namespace.to_string(), pod.metadata.name.to_string());
            let message = why.message.chars().take(LONGEST_MESSAGE).collect();
            Some((standing, PodOnNode { namespace, name, phase, message, waits_for: why.awaited }))
        };
        let pods = self.cluster.pods.find(None, Some(node)).into_iter();
        let stay = pods.filter(|pod| !pod.is_finished() && !pod.is_terminating() && !pod.is_mirror());
        Node(stay.filter_map(of).collect())
    }
}

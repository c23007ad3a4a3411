//! A node that goes, with the pods on it.

use std::sync::Arc;

use crate::ground::Need;
use crate::moves::cluster_wide;
use crate::scenarios::leaving::{counted, half_prepared, told_counted_restored};
use crate::scenarios::{Scenario, scenarios};
use crate::scene::Scene;

pub const ALONE: [Scenario; 1] =
    scenarios![Alone, Need::SimulatedNodes => a_pod_whose_node_was_removed_is_told_counted_and_restored];

async fn a_pod_whose_node_was_removed_is_told_counted_and_restored(scene: Arc<Scene>) {
    let (tikv, uid) = half_prepared(&scene).await;
    let before = counted(&scene, "unprepared").await;
    let node = scene.pod("tikv-1").await.unwrap().spec.unwrap().node_name.unwrap();
    cluster_wide(&["delete", "node", &node]).await;
    // Pods of a node that is gone are collected a good while later.
    scene
        .until("the pod is gone", 120, || async {
            (scene.pod("tikv-1").await.and_then(|pod| pod.metadata.uid).as_deref() != Some(&uid)).then_some(())
        })
        .await;
    let nodes = format!("{}/nodes.yaml", std::env::var("CASTOFF_TEST_CLUSTER_FOLDER").unwrap());
    cluster_wide(&["apply", "-f", &nodes]).await;
    told_counted_restored(&scene, &tikv, &uid, "LeftUnprepared", "unprepared", before).await;
    scene
        .until("the node is back", 60, || async {
            let node = scene.node(&node).await?;
            let ready = node.status?.conditions?.into_iter().any(|seen| seen.type_ == "Ready" && seen.status == "True");
            (ready && node.spec.is_none_or(|spec| spec.taints.is_none_or(|taints| taints.is_empty()))).then_some(())
        })
        .await;
}

//! DaemonSets' pods, which have a node each: what comes after them is told by node and set.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use serde_json::json;

use super::{Scenario, scenarios};
use crate::ground::Need;
use crate::installation::apply;
use crate::moves::cluster_wide;
use crate::scene::Scene;

pub const ALL: [Scenario; 1] = scenarios![Shared:
    a_pod_of_one_daemonset_is_not_replaced_by_another_ones_on_the_same_node,
];

pub const ON_SIMULATED_NODES: [Scenario; 2] = scenarios![Shared, Need::SimulatedNodes =>
    a_node_that_is_no_longer_selected_ends_the_drain_of_its_daemonsets_pod,
    a_node_that_is_removed_ends_the_drain_of_its_daemonsets_pod,
];

/// A node of this scenario's own, and the DaemonSet's pod there.
async fn node(scene: &Scene) -> String {
    let name = format!("of-{}", scene.namespace);
    let node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "of-scenario": scene.namespace},
            "annotations": {"kwok.x-k8s.io/node": "fake"}},
        // Nobody else's pods come here.
        "spec": {"taints": [{"key": "of-scenario", "effect": "NoSchedule"}]},
        "status": {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "capacity": {"cpu": "16", "memory": "64Gi", "pods": "110"},
            "allocatable": {"cpu": "16", "memory": "64Gi", "pods": "110"},
        },
    });
    apply(&node.to_string()).await;
    cluster_wide(&["wait", "--for=condition=Ready", &format!("node/{name}"), "--timeout=60s"]).await;
    name
}

async fn agent(scene: &Scene) -> String {
    let mut template = scene.pod_template("agent");
    template["spec"]["nodeSelector"] = json!({"of-scenario": scene.namespace});
    template["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
    let set = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent", "namespace": "{ns}"},
        "spec": {"selector": {"matchLabels": {"app": "agent"}}, "template": template},
    });
    scene.apply(&set.to_string()).await;
    scene.all_ready("agent", 1).await;
    scene.hook_policy("agent", json!({})).await;
    scene.pods_of("agent").await[0].name_any()
}

async fn a_node_that_is_no_longer_selected_ends_the_drain_of_its_daemonsets_pod(scene: Arc<Scene>) {
    let node = node(&scene).await;
    let pod = agent(&scene).await;
    let (uid, ip) = scene.busy(&pod).await;
    cluster_wide(&["label", "node", &node, "of-scenario-"]).await;
    scene.until_phase(&pod, "Draining").await;
    assert!(scene.stands(&pod, &uid).await);
    scene.let_get_ready(&ip);
    scene.until_gone(&pod, &uid).await;
    scene.until_phase(&pod, "Completed").await;
    scene.nothing_left_behind().await;
    cluster_wide(&["delete", "node", &node]).await;
}

async fn a_node_that_is_removed_ends_the_drain_of_its_daemonsets_pod(scene: Arc<Scene>) {
    let node = node(&scene).await;
    let pod = agent(&scene).await;
    let (uid, _) = scene.busy(&pod).await;
    scene.denied(&pod).await;
    scene.until_phase(&pod, "Draining").await;
    cluster_wide(&["delete", "node", &node]).await;
    scene.until_gone(&pod, &uid).await;
    scene.until_phase(&pod, "Completed").await;
    assert_eq!(scene.slots("agent").await, Vec::<String>::new());
}

async fn a_pod_of_one_daemonset_is_not_replaced_by_another_ones_on_the_same_node(scene: Arc<Scene>) {
    scene.daemon_set("one", scene.on_node(1), 1).await;
    scene.daemon_set("two", scene.on_node(1), 1).await;
    scene.hook_policy("one", json!({})).await;
    let pod = scene.pods_of("one").await[0].name_any();
    let uid = scene.uid(&pod).await;
    let never = r#"{"spec":{"updateStrategy":{"type":"OnDelete"},"template":{"metadata":{"annotations":{"test.castoff.dev/behave":"never-ready"}}}}}"#;
    scene.must(&["patch", "daemonset", "one", "--type=merge", "-p", never]).await;
    scene.until_all_left(&[(&pod, &uid)]).await;
    scene
        .until("the next one is there", 30, || async {
            scene.pods_of("one").await.into_iter().find(|pod| pod.uid().as_deref() != Some(&uid)).map(drop)
        })
        .await;
    scene
        .stays("the drain stays open", Duration::from_secs(5), || async { scene.phase(&pod).await == "Departing" })
        .await;
    let next = scene.pods_of("one").await.into_iter().find(|pod| pod.uid().as_deref() != Some(&uid)).unwrap();
    scene.is_to_serve(&next.name_any(), true).await;
    scene.nothing_left_behind().await;
}

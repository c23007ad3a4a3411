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
use crate::witness::Witness;

pub const ALL: [Scenario; 2] = scenarios![Shared:
    a_pod_of_one_daemonset_is_not_replaced_by_another_ones_on_the_same_node,
    an_agent_whose_daemonset_is_deleted_leaves_no_hole,
];

pub const ON_NODES: [Scenario; 1] = scenarios![Shared, Need::Nodes(3) =>
    a_daemonset_that_may_replace_several_agents_at_once_keeps_to_the_policys_limit,
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

/// An agent has left, and the one that follows it does not get Ready. Gives the pod that has left.
async fn away_for_good(scene: &Scene, set: &str) -> String {
    scene.daemon_set(set, scene.on_node(1), 1).await;
    scene.hook_policy(set, json!({})).await;
    let pod = scene.pods_of(set).await[0].name_any();
    let uid = scene.uid(&pod).await;
    let never = r#"{"spec":{"updateStrategy":{"type":"OnDelete"},"template":{"metadata":{"annotations":{"test.castoff.dev/behave":"never-ready"}}}}}"#;
    scene.must(&["patch", "daemonset", set, "--type=merge", "-p", never]).await;
    scene.until_all_left(&[(&pod, &uid)]).await;
    scene
        .until("the next one is there", 30, || async {
            scene.pods_of(set).await.into_iter().find(|pod| pod.uid().as_deref() != Some(&uid)).map(drop)
        })
        .await;
    scene
        .stays("the drain stays open", Duration::from_secs(5), || async { scene.phase(&pod).await == "Departing" })
        .await;
    pod
}

async fn a_pod_of_one_daemonset_is_not_replaced_by_another_ones_on_the_same_node(scene: Arc<Scene>) {
    scene.daemon_set("two", scene.on_node(1), 1).await;
    let pod = away_for_good(&scene, "one").await;
    let next = scene.pods_of("one").await.into_iter().find(|next| next.name_any() != pod).unwrap();
    scene.is_to_serve(&next.name_any(), true).await;
    scene.nothing_left_behind().await;
}

async fn an_agent_whose_daemonset_is_deleted_leaves_no_hole(scene: Arc<Scene>) {
    let pod = away_for_good(&scene, "agent").await;
    scene.must(&["delete", "daemonset", "agent", "--wait=false"]).await;
    scene.until_phase(&pod, "Completed").await;
    scene.nothing_left_behind().await;
}

async fn a_daemonset_that_may_replace_several_agents_at_once_keeps_to_the_policys_limit(scene: Arc<Scene>) {
    const AGENTS: usize = 3;
    scene.daemon_set("agent", json!({}), AGENTS as u64).await;
    scene.hook_policy("agent", json!({})).await;
    for (share, at_once) in [("30%", 1), ("100%", 3)] {
        let witness = Witness::of(&scene, "agent", AGENTS).await;
        let former = scene.pods_of("agent").await;
        let newer = json!({"spec": {
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": share}},
            "template": {"metadata": {"annotations": {"replaced-at-once": at_once.to_string()}}},
        }});
        scene.must(&["patch", "daemonset", "agent", "--type=merge", "-p", &newer.to_string()]).await;
        for pod in &former {
            scene.until_gone(&pod.name_any(), &pod.uid().unwrap()).await;
        }
        scene.all_ready("agent", AGENTS as u64).await;
        assert_eq!(witness.left().len(), AGENTS, "{share}: each agent left once");
        witness.all_left_prepared_once();
        assert_eq!(witness.most_away(), 1, "{share}: {at_once} could be replaced at once, the policy allows one");
        scene.nothing_left_behind().await;
    }
}

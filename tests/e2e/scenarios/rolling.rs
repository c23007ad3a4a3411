//! Rolling updates, drains and deletes: the guard's daily work.

use std::sync::Arc;

use serde_json::json;

use super::{Scenario, scenarios};
use crate::backends::Tikv;
use crate::scene::Scene;

pub const ALL: [Scenario; 4] = scenarios![Shared:
    a_statefulset_of_three_rolls_and_no_leader_is_lost,
    a_statefulset_of_five_rolls_and_no_leader_is_lost,
    kubectl_delete_is_denied_until_it_is_prepared_and_is_not_kept,
    a_drain_of_a_node_waits_and_succeeds,
];

async fn a_statefulset_of_three_rolls_and_no_leader_is_lost(scene: Arc<Scene>) {
    roll(&scene, 3).await;
}

async fn a_statefulset_of_five_rolls_and_no_leader_is_lost(scene: Arc<Scene>) {
    roll(&scene, 5).await;
}

async fn roll(scene: &Scene, replicas: u64) {
    let tikv = Tikv::start(&scene.client, &scene.namespace, "tikv", replicas, 30).await;
    scene.stateful_set("tikv", replicas, json!({"podManagementPolicy": "OrderedReady"})).await;
    scene.policy("tikv", "tikv", json!({"pd": tikv.pd.url()}), json!({})).await;
    scene.must(&["rollout", "restart", "statefulset/tikv"]).await;
    scene.must(&["rollout", "status", "statefulset/tikv", "--timeout=180s"]).await;
    scene.until_all_completed().await;
    assert_eq!(tikv.pd.leaders_lost(), 0, "leaders were on a store when its pod ended");
    assert_eq!(tikv.pd.evict_entries(), Vec::<u64>::new(), "evict-leader entries were left behind");
    let order: Vec<String> = scene
        .drains()
        .await
        .iter()
        .map(|drain| drain.data["spec"]["pod"]["metadata"]["name"].as_str().unwrap().to_owned())
        .collect();
    let expected: Vec<String> = (0..replicas).rev().map(|ordinal| format!("tikv-{ordinal}")).collect();
    assert_eq!(order, expected, "the order of the departures");
}

async fn kubectl_delete_is_denied_until_it_is_prepared_and_is_not_kept(scene: Arc<Scene>) {
    scene.stateful_set("app", 2, json!({})).await;
    scene.hook_policy("app", json!({"abandonAfterSeconds": 4})).await;
    let (uid, ip) = (scene.uid("app-1").await, scene.ip("app-1").await);
    scene.hooks().at(&ip, |app| app.inflight = 3);
    let printed = scene.kubectl(&["delete", "pod", "app-1"]).await;
    assert_eq!(printed.code, 1);
    assert!(printed.stderr.contains("TooManyRequests"), "{}", printed.stderr);
    assert!(printed.stderr.contains("This delete is not kept"), "{}", printed.stderr);
    scene.until_state("app-1", "Drained").await;
    // Nobody tries again: given up, and what was set is taken back.
    scene.until_state("app-1", "Completed").await;
    assert_eq!(scene.uid("app-1").await, uid, "the pod was deleted by nobody");
    assert_eq!(scene.hooks().at(&ip, |app| app.state), "Idle");
}

async fn a_drain_of_a_node_waits_and_succeeds(scene: Arc<Scene>) {
    scene
        .stateful_set("app", 2, json!({"template": {"spec": {"nodeSelector": {"kubernetes.io/hostname": "node-1"}}}}))
        .await;
    // Both at once: pods that only fit this node come back after the drain.
    scene.hook_policy("app", json!({"maxUnavailable": 2})).await;
    for pod in ["app-0", "app-1"] {
        let ip = scene.ip(pod).await;
        scene.hooks().at(&ip, |app| app.inflight = 2);
    }
    let uids = [scene.uid("app-0").await, scene.uid("app-1").await];
    let selector = "--pod-selector=app=app";
    let dry = scene
        .kubectl(&["drain", "node-1", selector, "--ignore-daemonsets", "--force", "--dry-run=server", "--timeout=6s"])
        .await;
    assert!(scene.drains().await.is_empty(), "a dry run left a trace: {dry:?}");
    let printed =
        scene.kubectl(&["drain", "node-1", selector, "--ignore-daemonsets", "--force", "--timeout=120s"]).await;
    scene.must(&["uncordon", "node-1"]).await;
    assert_eq!(printed.code, 0, "{printed:?}");
    assert!(printed.stderr.contains("will retry after 5s"), "{printed:?}");
    for (pod, uid) in ["app-0", "app-1"].iter().zip(uids) {
        scene.until_replaced(pod, &uid).await;
    }
}

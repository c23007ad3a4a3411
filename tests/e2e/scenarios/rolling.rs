//! Rolling updates: the guard's daily work.

use std::sync::Arc;

use serde_json::json;

use super::{Scenario, scenarios};
use crate::backends::Tikv;
use crate::scene::Scene;

pub const ALL: [Scenario; 2] = scenarios![Shared:
    a_statefulset_of_three_rolls_and_no_leader_is_lost,
    a_statefulset_of_five_rolls_and_no_leader_is_lost,
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

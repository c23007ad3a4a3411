//! Rolling updates: the guard's daily work.

use std::sync::Arc;

use serde_json::json;

use super::{Scenario, scenarios};
use crate::audit;
use crate::backends::Tikv;
use crate::ground::Need;
use crate::scene::Scene;
use crate::witness::Witness;

pub const ALL: [Scenario; 2] = scenarios![Shared:
    a_statefulset_of_three_rolls_and_no_leader_is_lost,
    a_statefulset_of_five_rolls_and_no_leader_is_lost,
];

/// Their only address is of IPv6.
pub const IPV6: [Scenario; 1] =
    scenarios![Shared, Need::Ipv6 => a_pod_with_an_address_of_ipv6_alone_is_prepared_and_rolls];

async fn a_pod_with_an_address_of_ipv6_alone_is_prepared_and_rolls(scene: Arc<Scene>) {
    let address = json!({"template": {"metadata": {"annotations": {"test.castoff.dev/pod-ip": "::1"}}}});
    scene.stateful_set("app", 1, address).await;
    scene.hook_policy("app", json!({})).await;
    assert_eq!(scene.ip("app-0").await, "::1");
    let witness = Witness::of(&scene, "app", 1).await;
    scene.must(&["rollout", "restart", "statefulset/app"]).await;
    scene.must(&["rollout", "status", "statefulset/app", "--timeout=180s"]).await;
    scene.nothing_left_behind().await;
    assert_eq!(witness.left().len(), 1);
    witness.all_left_prepared_once();
}

async fn a_statefulset_of_three_rolls_and_no_leader_is_lost(scene: Arc<Scene>) {
    roll(&scene, 3).await;
}

async fn a_statefulset_of_five_rolls_and_no_leader_is_lost(scene: Arc<Scene>) {
    roll(&scene, 5).await;
}

async fn roll(scene: &Scene, replicas: u64) {
    let tikv = Tikv::start(scene, "tikv", replicas, 30).await;
    scene.stateful_set("tikv", replicas, json!({"podManagementPolicy": "OrderedReady"})).await;
    scene.policy("tikv", "tikv", json!({"pd": tikv.url}), json!({})).await;
    scene.must(&["rollout", "restart", "statefulset/tikv"]).await;
    scene.must(&["rollout", "status", "statefulset/tikv", "--timeout=180s"]).await;
    scene.until_all_completed().await;
    assert_eq!(tikv.pd.leaders_lost(), 0, "leaders were on a store when its pod ended");
    assert_eq!(tikv.pd.evict_entries(), Vec::<u64>::new(), "evict-leader entries were left behind");
    let order: Vec<String> = scene
        .drains()
        .await
        .iter()
        .map(|drain| drain.data["spec"]["pod"]["name"].as_str().unwrap().to_owned())
        .collect();
    let expected: Vec<String> = (0..replicas).rev().map(|ordinal| format!("tikv-{ordinal}")).collect();
    assert_eq!(order, expected, "the order of the drains");
    let too_early = audit::allowed_before_drained(&scene.namespace).unwrap_or_default();
    assert_eq!(too_early, Vec::<String>::new(), "pods that were allowed before they were written down as Drained");
    tell_how_fast_it_went_on(&scene.namespace);
}

/// What an operator would wait for in vain: a prepared pod serves nobody. `hack/bench rollout` reads this and holds it to
/// a bar; here it may take as long as a busy machine makes it.
fn tell_how_fast_it_went_on(namespace: &str) {
    let Some(mut times) = audit::drained_to_delete(namespace) else {
        println!("not measured: this cluster's audit log can't be read");
        return;
    };
    times.sort();
    // A try of the controller's own may come before the wake-up.
    let Some(median) = times.get(times.len() / 2) else { return };
    let write = audit::median_write(namespace).unwrap_or_default();
    println!("rollout: woken {} median_us {} write_us {}", times.len(), median.as_micros(), write.as_micros());
}

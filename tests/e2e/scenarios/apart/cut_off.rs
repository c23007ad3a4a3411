//! Replicas between which and the API server single connections disappear, or answers are refused.

use std::sync::Arc;
use std::time::Duration;

use castoff_test_support::proxy::Which;
use serde_json::json;

use super::control_plane::{begin_to_roll, rolls_on};
use crate::ground::Need;
use crate::scenarios::{Scenario, scenarios};
use crate::scene::Scene;

pub const ALONE: [Scenario; 4] = scenarios![Alone, Need::Processes =>
    replicas_whose_watches_tell_nothing_let_no_pod_of_a_new_policy_go_and_say_that_they_are_behind,
    a_leader_whose_lease_is_not_heard_of_makes_room_and_its_pods_are_prepared_by_the_other,
    a_drain_whose_creation_is_never_answered_is_prepared_once,
    a_roll_goes_on_while_the_api_server_refuses_now_and_then,
];

fn watches_of_policies(asked: &str) -> bool {
    asked.contains("/drainpolicies") && asked.contains("watch=")
}

async fn replicas_whose_watches_tell_nothing_let_no_pod_of_a_new_policy_go_and_say_that_they_are_behind(
    scene: Arc<Scene>,
) {
    let proxies = scene.processes().serve_through_proxies().await;
    scene.stateful_set("app", 1, json!({})).await;
    let (uid, ip) = (scene.uid("app-0").await, scene.ip("app-0").await);
    for proxy in proxies.iter() {
        proxy.swallow(watches_of_policies);
    }
    let policy = json!({
        "apiVersion": "castoff.dev/v1alpha1", "kind": "DrainPolicy", "metadata": {"name": "app"},
        "spec": {
            "selector": {"matchLabels": {"app": "app"}},
            "steps": [{"name": "prepare", "plan": {"name": "http-hook"}}],
        },
    });
    scene.apply(&policy.to_string()).await;
    for number in 0..2 {
        scene
            .until(&format!("replica {number} says that it is behind"), 240, || async {
                assert_ne!(scene.delete("app-0").await.code(), 200);
                tokio::time::sleep(Duration::from_secs(1)).await;
                let said = scene.processes().readiness(number).await;
                (said.contains("[-]") && said.contains("drainpolicies")).then_some(())
            })
            .await;
    }
    assert!(scene.stands("app-0", &uid).await);
    assert_eq!(scene.hooks().at(&ip, |app| app.prepared_times()), 0, "whoever is behind asks nobody");
    for proxy in proxies.iter() {
        proxy.heal();
    }
    scene.until_all_left(&[("app-0", &uid)]).await;
    assert_eq!(scene.hooks().at(&ip, |app| app.prepared_times()), 1);
}

async fn a_leader_whose_lease_is_not_heard_of_makes_room_and_its_pods_are_prepared_by_the_other(scene: Arc<Scene>) {
    let proxies = scene.processes().serve_through_proxies().await;
    scene.guarded().await;
    let leader = scene.leader().await;
    let uid = scene.uid("app-0").await;
    let leases: Which = |asked| asked.contains("/leases");
    proxies[leader].swallow(leases);
    scene
        .until("the other leads", 60, || async { (scene.ground().leader().await == Some(1 - leader)).then_some(()) })
        .await;
    scene.until_all_left(&[("app-0", &uid)]).await;
    proxies[leader].heal();
    scene.nothing_left_behind().await;
}

/// The API server has done what it was asked for, and nobody hears of it.
async fn a_drain_whose_creation_is_never_answered_is_prepared_once(scene: Arc<Scene>) {
    let proxies = scene.processes().serve_through_proxies().await;
    scene.guarded().await;
    let (uid, ip) = (scene.uid("app-0").await, scene.ip("app-0").await);
    let creations: Which = |asked| asked.starts_with("POST ") && asked.contains("/poddrains");
    for proxy in proxies.iter() {
        proxy.swallow(creations);
    }
    let refused = scene.delete("app-0").await;
    assert_ne!(refused.code(), 200, "{refused:?}");
    scene.until_phase("app-0", "Drained").await;
    for proxy in proxies.iter() {
        proxy.heal();
    }
    scene.until_all_left(&[("app-0", &uid)]).await;
    assert_eq!(scene.hooks().at(&ip, |app| app.prepared_times()), 1);
    assert_eq!(scene.drains().await.len(), 1);
}

async fn a_roll_goes_on_while_the_api_server_refuses_now_and_then(scene: Arc<Scene>) {
    let proxies = scene.processes().serve_through_proxies().await;
    for (proxy, code) in proxies.iter().zip([500, 504]) {
        proxy.answer(|_| true, code, 7);
    }
    let witness = begin_to_roll(&scene).await;
    for proxy in proxies.iter() {
        proxy.answer(|_| true, 429, 5);
    }
    rolls_on(&scene, &witness).await;
}

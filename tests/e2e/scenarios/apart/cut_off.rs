//! Replicas between which and the API server single connections disappear, or answers are refused.

use std::sync::Arc;
use std::time::Duration;

use castoff_test_support::proxy::Which;
use serde_json::json;

use super::control_plane::{begin_to_roll, rolls_on};
use crate::ground::Need;
use crate::scenarios::{Scenario, scenarios};
use crate::scene::Scene;

pub const ALONE: [Scenario; 5] = scenarios![Alone, Need::Processes =>
    a_replica_that_is_behind_lets_no_pod_of_a_new_policy_go_and_says_so,
    a_leader_whose_lease_is_not_heard_of_makes_room_for_the_other,
    a_drain_whose_creation_is_never_answered_is_prepared_once,
    a_roll_goes_on_while_the_api_server_refuses_now_and_then,
    a_prepared_pod_stays_while_its_owner_can_not_be_read_and_may_miss_another,
];

fn watches_of_policies(asked: &str) -> bool {
    asked.contains("/drainpolicies") && asked.contains("watch=")
}

/// One of two, which alone is asked: the other keeps the registration, by which it is asked at all.
async fn a_replica_that_is_behind_lets_no_pod_of_a_new_policy_go_and_says_so(scene: Arc<Scene>) {
    let processes = scene.processes();
    let proxies = processes.serve_through_proxies().await;
    let behind = 1 - scene.leader().await;
    proxies[behind].swallow(watches_of_policies);
    processes.balancer.set(vec![processes.addresses()[behind]]);
    scene.guarded().await;
    let (uid, ip) = scene.busy("app-0").await;
    scene
        .until("it says that it is behind", 240, || async {
            assert_eq!(scene.delete("app-0").await.code(), 429);
            tokio::time::sleep(Duration::from_secs(1)).await;
            let said = processes.readiness(behind).await;
            (said.contains("[-]") && said.contains("drainpolicies")).then_some(())
        })
        .await;
    assert!(scene.stands("app-0", &uid).await);
    assert!(!processes.readiness(1 - behind).await.contains("[-]"));
    assert_eq!(scene.hooks().at(&ip, |app| app.prepared_times()), 1);
    proxies[behind].heal();
    scene.let_get_ready(&ip);
    scene.until_all_left(&[("app-0", &uid)]).await;
    processes.balancer.set(processes.addresses());
}

async fn a_leader_whose_lease_is_not_heard_of_makes_room_for_the_other(scene: Arc<Scene>) {
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
    let (uid, ip) = scene.busy("app-0").await;
    let creations: Which = |asked| asked.starts_with("POST ") && asked.contains("/poddrains");
    for proxy in proxies.iter() {
        proxy.swallow(creations);
    }
    let refused = scene.delete("app-0").await;
    assert_ne!(refused.code(), 200, "{refused:?}");
    scene.until_phase("app-0", "Draining").await;
    scene.let_get_ready(&ip);
    scene.until_phase("app-0", "Drained").await;
    assert_eq!(scene.hooks().at(&ip, |app| app.prepared_times()), 1);
    for proxy in proxies.iter() {
        proxy.heal();
    }
    scene.until_all_left(&[("app-0", &uid)]).await;
    assert_eq!(scene.drains().await.len(), 1);
}

/// One in so many requests is refused: a turn makes some ten.
const NOW_AND_THEN: usize = 20;

async fn a_roll_goes_on_while_the_api_server_refuses_now_and_then(scene: Arc<Scene>) {
    let proxies = scene.processes().serve_through_proxies().await;
    for (proxy, code) in proxies.iter().zip([500, 504]) {
        proxy.answer(|_| true, code, NOW_AND_THEN);
    }
    let witness = begin_to_roll(&scene).await;
    for proxy in proxies.iter() {
        proxy.answer(|_| true, 429, NOW_AND_THEN);
    }
    rolls_on(&scene, &witness).await;
}

async fn a_prepared_pod_stays_while_its_owner_can_not_be_read_and_may_miss_another(scene: Arc<Scene>) {
    let proxies = scene.processes().serve_through_proxies().await;
    scene.stateful_set("db", 3, json!({})).await;
    scene.hook_policy("db", json!({})).await;
    let uid = scene.uid("db-2").await;
    scene.denied("db-2").await;
    scene.until_phase("db-2", "Drained").await;
    for proxy in proxies.iter() {
        proxy.answer(|asked| asked.contains("/statefulsets/"), 500, 1);
    }
    // The set makes no other in place of the one that goes.
    scene.must(&["create", "quota", "two", "--hard=pods=2"]).await;
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(10);
    let until = format!("castoff.dev/bypass-until={until}");
    scene.annotate("pod", "db-0", &["castoff.dev/bypass=INC-4711", &until]).await;
    scene.must(&["delete", "pod", "db-0"]).await;
    for why in ["waits until StatefulSet db can be read", "waits for db-0, which is not Ready (maxUnavailable 1)"] {
        scene
            .until(why, 30, || async {
                let evicted = scene.evict("db-2", Some(&uid)).await;
                assert!(evicted.code() == 429 && scene.stands("db-2", &uid).await, "{evicted:?}");
                scene.denied("db-2").await.contains(why).then_some(())
            })
            .await;
        scene.until_message("db-2", why).await;
        for proxy in proxies.iter() {
            proxy.heal();
        }
    }
    scene.must(&["delete", "quota", "two"]).await;
    scene.until_allowed("db-2").await;
    scene.until_replaced("db-2", &uid).await;
    scene.nothing_left_behind().await;
}

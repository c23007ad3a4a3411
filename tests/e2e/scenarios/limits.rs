//! How many pods may be away at once: the policy's own limit, and those of others.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::{Scenario, scenarios};
use crate::doctor::shell;
use crate::scene::Scene;
use crate::witness::Witness;

pub const ALL: [Scenario; 5] = scenarios![Shared:
    a_budget_that_refuses_leaves_the_pod_prepared_until_it_allows,
    a_pod_that_a_budget_keeps_is_restored_once_nobody_asks_any_more,
    a_budget_that_always_allows_what_is_not_ready_leaves_the_rest_to_castoff,
    never_more_pods_are_away_than_the_policy_allows_whoever_asks,
    a_parallel_scale_in_keeps_to_the_policys_limit,
];

/// One prepared pod of two, under a disruption budget that lets none go.
async fn prepared_under_a_budget(scene: &Scene, abandon_after: u32) -> String {
    scene.stateful_set("app", 2, json!({})).await;
    let policy = json!({"abandonAfterSeconds": abandon_after});
    scene.hook_policy("app", policy).await;
    scene.budget("app", "minAvailable", 2).await;
    scene
        .until("the budget counts its pods", 30, || async {
            let healthy = ["get", "pdb", "app", "-o", "jsonpath={.status.currentHealthy}"];
            (scene.kubectl(&healthy).await.stdout == "2").then_some(())
        })
        .await;
    assert_eq!(scene.evict("app-1", None).await.code(), 429);
    scene.until_phase("app-1", "Drained").await;
    let refused = scene.evict("app-1", None).await;
    assert_eq!(refused.code(), 429, "the guard allows, the budget does not: {refused:?}");
    assert!(format!("{refused:?}").contains("disruption budget"), "{refused:?}");
    scene.until_phase("app-1", "Departing").await;
    scene.ip("app-1").await
}

async fn a_budget_that_refuses_leaves_the_pod_prepared_until_it_allows(scene: Arc<Scene>) {
    let ip = prepared_under_a_budget(&scene, 600).await;
    let witness = Witness::of(&scene, "app", 2).await;
    let uid = scene.uid("app-1").await;
    scene
        .stays("the pod stays prepared", Duration::from_secs(5), || async {
            let refused = scene.evict("app-1", None).await;
            refused.code() == 429 && scene.hooks().at(&ip, |app| app.state) == "Prepared"
        })
        .await;
    // Left alone, it is seen that the allow was not carried out.
    scene.until_phase("app-1", "Drained").await;
    assert_eq!(scene.evict("app-1", None).await.code(), 429);
    scene.must(&["patch", "pdb", "app", "--type=merge", "-p", r#"{"spec":{"minAvailable":1}}"#]).await;
    scene.until_evicted("app-1", &uid, 30).await;
    scene.until_replaced("app-1", &uid).await;
    scene.nothing_left_behind().await;
    assert_eq!(witness.left().len(), 1);
    witness.all_left_prepared_once();
}

async fn a_pod_that_a_budget_keeps_is_restored_once_nobody_asks_any_more(scene: Arc<Scene>) {
    let ip = prepared_under_a_budget(&scene, 10).await;
    let uid = scene.uid("app-1").await;
    scene.until_phase("app-1", "Drained").await;
    scene.until_phase("app-1", "Completed").await;
    assert_eq!(scene.uid("app-1").await, uid);
    assert_eq!(scene.hooks().at(&ip, |app| (app.state, app.prepared_times())), ("Idle", 1));
    scene.nothing_left_behind().await;
}

/// `unhealthyPodEvictionPolicy: AlwaysAllow` says nothing of the backend.
async fn a_budget_that_always_allows_what_is_not_ready_leaves_the_rest_to_castoff(scene: Arc<Scene>) {
    let ip = prepared_under_a_budget(&scene, 600).await;
    scene.until_phase("app-1", "Drained").await;
    let always = r#"{"spec":{"unhealthyPodEvictionPolicy":"AlwaysAllow"}}"#;
    scene.must(&["patch", "pdb", "app", "--type=merge", "-p", always]).await;
    assert_eq!(scene.evict("app-1", None).await.code(), 429, "a pod that is Ready the budget keeps");
    shell(&format!("castoff cancel app-1 -n {} --wait", scene.namespace)).await;
    // Not Ready, the budget lets it go, and Castoff not before it is prepared.
    scene.is_to_serve("app-1", false).await;
    let (uid, _) = scene.busy("app-1").await;
    // The replica that is asked may not have heard yet that the drain before is over: it begins nothing then, and says so.
    scene
        .until("the drain of app-1 begins anew", 30, || async {
            assert_eq!(scene.evict("app-1", Some(&uid)).await.code(), 429);
            (scene.phase("app-1").await == "Draining").then_some(())
        })
        .await;
    scene.let_get_ready(&ip);
    scene.until_phase("app-1", "Drained").await;
    assert_eq!(scene.evict("app-1", Some(&uid)).await.code(), 200);
    scene.until_replaced("app-1", &uid).await;
    scene.until_all_completed().await;
    // With the exemption it does so at once.
    scene.hook_policy("app", json!({"exempt": ["Unready"]})).await;
    scene.is_to_serve("app-1", false).await;
    let (uid, _) = scene.busy("app-1").await;
    scene.until_evicted("app-1", &uid, 20).await;
    scene.until_replaced("app-1", &uid).await;
    scene.nothing_left_behind().await;
}

async fn never_more_pods_are_away_than_the_policy_allows_whoever_asks(scene: Arc<Scene>) {
    const PODS: usize = 10;
    scene.stateful_set("app", PODS as u64, json!({})).await;
    scene.hook_policy("app", json!({"maxUnavailable": 2})).await;
    let witness = Witness::of(&scene, "app", PODS).await;
    // Two that are prepared before the others are asked for leave in the same moment.
    for pod in ["app-0", "app-1"] {
        scene.denied(pod).await;
    }
    for pod in ["app-0", "app-1"] {
        scene.until_phase(pod, "Drained").await;
    }
    let mut asking = tokio::task::JoinSet::new();
    for ordinal in 0..PODS {
        let pod = format!("app-{ordinal}");
        let (uid, ip) = (scene.uid(&pod).await, scene.ip(&pod).await);
        scene.hooks().at(&ip, |app| {
            // What is prepared already takes nothing on.
            app.inflight = if app.state == "Prepared" { 0 } else { ordinal as u64 % 3 };
        });
        // Each is asked for by deletes and by evictions, at both replicas, until it has left.
        for way in 0..2 {
            let (scene, pod, uid) = (Arc::clone(&scene), pod.clone(), uid.clone());
            asking.spawn(async move {
                scene
                    .until(&format!("{pod} has left"), 200, || async {
                        if scene.pod(&pod).await.and_then(|pod| pod.metadata.uid).as_deref() != Some(&uid) {
                            return Some(());
                        }
                        if way == 0 {
                            scene.evict(&pod, Some(&uid)).await;
                        } else {
                            scene.delete_this(&pod, &uid).await;
                        }
                        tokio::time::sleep(Duration::from_millis(150)).await;
                        None
                    })
                    .await;
            });
        }
    }
    while let Some(asked) = asking.join_next().await {
        asked.unwrap();
    }
    scene.all_ready("app", PODS as u64).await;
    scene.nothing_left_behind().await;
    assert_eq!(witness.left().len(), PODS, "each pod left once");
    witness.all_left_prepared_once();
    assert_eq!(witness.most_away(), 2, "the most that were away at once; two could have been");
}

async fn a_parallel_scale_in_keeps_to_the_policys_limit(scene: Arc<Scene>) {
    scene.stateful_set("app", 5, json!({"podManagementPolicy": "Parallel"})).await;
    scene.hook_policy("app", json!({"maxUnavailable": 2})).await;
    let witness = Witness::of(&scene, "app", 5).await;
    scene.must(&["scale", "statefulset", "app", "--replicas=1"]).await;
    scene.until("four pods have left", 120, || async { (scene.pods_of("app").await.len() == 1).then_some(()) }).await;
    scene.nothing_left_behind().await;
    let order: Vec<String> = witness.left().into_iter().map(|left| left.pod).collect();
    assert_eq!(order.len(), 4, "{order:?}");
    assert!(!order.contains(&"app-0".to_owned()), "{order:?}");
    witness.all_left_prepared_once();
    // What has left for good is not away: at most two were on their way out at the same moment.
    assert!(witness.most_leaving() <= 2, "{} left at once", witness.most_leaving());
}

//! Pods that must not leave because of others: the limit is asked again in the call that allows.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::{Scenario, scenarios};
use crate::scene::Scene;
use crate::witness::Witness;

pub const ALL: [Scenario; 3] = scenarios![Shared:
    a_prepared_pod_stays_while_a_peer_is_down_and_goes_by_itself_once_it_is_back,
    a_pod_being_prepared_stays_when_a_peer_goes_down_meanwhile,
    a_limit_that_is_lowered_on_the_way_counts_for_pods_that_are_prepared_already,
];

const WHY: &str = "waits for db-0, which is not Ready (maxUnavailable 1)";

async fn a_prepared_pod_stays_while_a_peer_is_down_and_goes_by_itself_once_it_is_back(scene: Arc<Scene>) {
    scene.stateful_set("db", 3, json!({})).await;
    scene.hook_policy("db", json!({})).await;
    let (uid, ip) = scene.busy("db-2").await;
    scene.must(&["rollout", "restart", "statefulset/db"]).await;
    scene.until_phase("db-2", "Draining").await;
    let witness = Witness::of(&scene, "db", 3).await;
    // Nobody asks for the pod at the moment in which it becomes prepared: its set waits for the one that is down.
    scene.is_to_serve("db-0", false).await;
    scene.let_get_ready(&ip);
    stays_because_of_its_peer(&scene, &uid).await;
    assert_eq!(witness.left().len(), 0);
    scene.is_to_serve("db-0", true).await;
    scene.must(&["rollout", "status", "statefulset/db", "--timeout=120s"]).await;
    scene.nothing_left_behind().await;
    witness.all_left_prepared_once();
    assert_eq!((witness.left().len(), witness.most_away()), (3, 1));
}

async fn a_pod_being_prepared_stays_when_a_peer_goes_down_meanwhile(scene: Arc<Scene>) {
    scene.stateful_set("db", 3, json!({})).await;
    scene.hook_policy("db", json!({})).await;
    let uid = scene.uid("db-2").await;
    scene.denied("db-2").await;
    scene.until_phase("db-2", "Drained").await;
    let witness = Witness::of(&scene, "db", 3).await;
    scene.is_to_serve("db-0", false).await;
    stays_because_of_its_peer(&scene, &uid).await;
    scene.is_to_serve("db-0", true).await;
    scene.until_allowed("db-2").await;
    scene.until_replaced("db-2", &uid).await;
    scene.nothing_left_behind().await;
    witness.all_left_prepared_once();
    assert_eq!(witness.most_away(), 1);
}

/// `db-2` is asked for by deletes and evictions, and each of them, the PodDrain and `castoff status` say why it stays.
async fn stays_because_of_its_peer(scene: &Arc<Scene>, uid: &str) {
    scene
        .until("the denial says whom it waits for", 30, || async {
            scene.denied("db-2").await.contains(WHY).then_some(())
        })
        .await;
    scene.until_message("db-2", WHY).await;
    let status = scene.status().await;
    assert!(status.contains(WHY), "{status}");
    scene
        .stays("the pod stays", Duration::from_secs(3), || async {
            let evicted = scene.evict("db-2", Some(uid)).await;
            let deleted = scene.delete_this("db-2", uid).await;
            (evicted.code(), deleted.code()) == (429, 429) && scene.stands("db-2", uid).await
        })
        .await;
}

async fn a_limit_that_is_lowered_on_the_way_counts_for_pods_that_are_prepared_already(scene: Arc<Scene>) {
    scene.stateful_set("app", 3, json!({})).await;
    scene.hook_policy("app", json!({"maxUnavailable": 2})).await;
    let (one, two) = (scene.uid("app-1").await, scene.uid("app-2").await);
    for pod in ["app-1", "app-2"] {
        scene.denied(pod).await;
        scene.until_phase(pod, "Drained").await;
    }
    let witness = Witness::of(&scene, "app", 3).await;
    scene.hook_policy("app", json!({"maxUnavailable": 1})).await;
    scene
        .until("one of both waits", 20, || async {
            let waits = [scene.message("app-1").await, scene.message("app-2").await];
            waits.iter().any(|why| why.contains("(maxUnavailable 1)")).then_some(())
        })
        .await;
    scene.until_all_left(&[("app-1", &one), ("app-2", &two)]).await;
    scene.all_ready("app", 3).await;
    scene.nothing_left_behind().await;
    witness.all_left_prepared_once();
    assert_eq!(witness.most_away(), 1, "the lowered limit");
}

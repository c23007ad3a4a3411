//! A control plane in trouble.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::ground::Need;
use crate::moves::{Supervisor, control_plane};
use crate::scenarios::{Scenario, scenarios};
use crate::scene::Scene;
use crate::witness::Witness;

pub const ALONE: [Scenario; 3] = scenarios![Alone, Need::OwnControlPlane =>
    a_roll_goes_on_after_the_api_server_was_restarted,
    a_roll_goes_on_after_etcd_stood_still,
    a_roll_goes_on_after_the_api_server_stood_still,
];

/// How long things stand still: much longer than a lease lasts.
const STILL: Duration = Duration::from_secs(20);

async fn a_roll_goes_on_after_the_api_server_was_restarted(scene: Arc<Scene>) {
    let _supervisor = Supervisor::start(&scene).await;
    // Three times: in the middle of the preparation, when a pod has just left, and when one has just come.
    let witness = begin_to_roll(&scene).await;
    restart_api_server().await;
    for left in 1..=2 {
        scene
            .until(&format!("{left} pods have left"), 120, || async { (witness.left().len() >= left).then_some(()) })
            .await;
        restart_api_server().await;
    }
    rolls_on(&scene, &witness).await;
}

/// With it the controller manager, which the supervisor starts again: where the API server does not know its roles yet,
/// that of 1.34 is refused, and looks again only minutes later.
async fn restart_api_server() {
    control_plane(&["restart", "apiserver"]).await;
    control_plane(&["stop", "controller-manager"]).await;
}

async fn a_roll_goes_on_after_etcd_stood_still(scene: Arc<Scene>) {
    stands_still(&scene, "etcd").await;
}

async fn a_roll_goes_on_after_the_api_server_stood_still(scene: Arc<Scene>) {
    stands_still(&scene, "apiserver").await;
}

async fn stands_still(scene: &Arc<Scene>, component: &str) {
    let _supervisor = Supervisor::start(scene).await;
    let witness = begin_to_roll(scene).await;
    control_plane(&["pause", component]).await;
    let since = Instant::now();
    // A delete that comes now is not let through on the word of a cache.
    let asked = tokio::time::timeout(STILL, scene.delete("app-2")).await;
    assert!(asked.is_err() || asked.as_ref().is_ok_and(|came| came.code() != 200), "{asked:?}");
    tokio::time::sleep(STILL.saturating_sub(since.elapsed())).await;
    control_plane(&["resume", component]).await;
    rolls_on(scene, &witness).await;
}

pub async fn begin_to_roll(scene: &Arc<Scene>) -> Witness {
    scene.stateful_set("app", 3, json!({})).await;
    scene.hook_policy("app", json!({})).await;
    let witness = Witness::of(scene, "app", 3).await;
    for pod in ["app-0", "app-1", "app-2"] {
        let ip = scene.ip(pod).await;
        scene.hooks().at(&ip, |app| app.inflight = 4);
    }
    scene.must(&["rollout", "restart", "statefulset/app"]).await;
    scene.until_phase("app-2", "Draining").await;
    witness
}

pub async fn rolls_on(scene: &Arc<Scene>, witness: &Witness) {
    scene
        .until("the roll is over", 200, || async {
            let printed = scene.kubectl(&["rollout", "status", "statefulset/app", "--timeout=10s"]).await;
            (printed.code == 0).then_some(())
        })
        .await;
    scene.nothing_left_behind().await;
    assert_eq!(scene.drains().await.len(), 3, "one drain for each pod");
    assert_eq!(witness.left().len(), 3, "{:?}", witness.left());
    witness.all_left_prepared_once();
    assert!(witness.most_away() <= 1, "{} were away at once", witness.most_away());
}

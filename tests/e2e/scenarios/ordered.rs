//! StatefulSets of the default kind, which delete nothing while a pod is not Ready, with applications that lose their
//! traffic by being not Ready; and prepared pods that nobody asks for.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{Scenario, scenarios};
use crate::audit::{self, GUARD};
use crate::scene::Scene;
use crate::witness::Witness;

pub const ALL: [Scenario; 3] = scenarios![Shared:
    an_ordered_set_rolls_though_its_pods_are_not_ready_once_they_are_prepared,
    an_ordered_set_scales_in_though_its_pods_are_not_ready_once_they_are_prepared,
    a_prepared_pod_that_nobody_asks_for_is_told_after_a_minute,
];

/// Has each pod be not Ready as soon as its application is prepared.
fn turns_not_ready_once_prepared(scene: &Arc<Scene>, app: &'static str) -> JoinHandle<()> {
    let scene = Arc::clone(scene);
    tokio::spawn(async move {
        loop {
            for pod in scene.pods_of(app).await {
                let marked = pod.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(NOT_READY));
                if !marked && scene.hooks().of(&pod).state == "Prepared" {
                    let name = pod.metadata.name.unwrap();
                    scene.kubectl(&["annotate", "pod", &name, &format!("{NOT_READY}=never-ready")]).await;
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
}

const NOT_READY: &str = "test.castoff.dev/behave";

async fn an_ordered_set_rolls_though_its_pods_are_not_ready_once_they_are_prepared(scene: Arc<Scene>) {
    scene.stateful_set("app", 3, json!({})).await;
    scene.hook_policy("app", json!({})).await;
    let witness = Witness::of(&scene, "app", 3).await;
    let playing = turns_not_ready_once_prepared(&scene, "app");
    scene.must(&["rollout", "restart", "statefulset/app"]).await;
    scene.must(&["rollout", "status", "statefulset/app", "--timeout=180s"]).await;
    playing.abort();
    scene.nothing_left_behind().await;
    let order: Vec<String> = witness.left().into_iter().map(|left| left.pod).collect();
    assert_eq!(order, ["app-2", "app-1", "app-0"]);
    witness.all_left_prepared_once();
    assert_eq!(witness.most_away(), 1);
    // By deletes of the guard's own, each of them through the guard.
    let Some(lines) = audit::of_namespace(&scene.namespace) else { return };
    let own = lines.iter().filter(|line| line.is("delete", "pods") && line.user() == GUARD && line.succeeded());
    assert!(own.clone().count() > 0 && own.clone().all(|line| line.question() == "Drained"));
}

async fn an_ordered_set_scales_in_though_its_pods_are_not_ready_once_they_are_prepared(scene: Arc<Scene>) {
    scene.stateful_set("app", 3, json!({})).await;
    scene.hook_policy("app", json!({})).await;
    let witness = Witness::of(&scene, "app", 3).await;
    let playing = turns_not_ready_once_prepared(&scene, "app");
    scene.must(&["scale", "statefulset", "app", "--replicas=1"]).await;
    scene.until("two pods have left", 120, || async { (scene.pods_of("app").await.len() == 1).then_some(()) }).await;
    playing.abort();
    scene.nothing_left_behind().await;
    let order: Vec<String> = witness.left().into_iter().map(|left| left.pod).collect();
    assert_eq!(order, ["app-2", "app-1"]);
    witness.all_left_prepared_once();
}

async fn a_prepared_pod_that_nobody_asks_for_is_told_after_a_minute(scene: Arc<Scene>) {
    scene.stateful_set("app", 1, json!({})).await;
    scene.hook_policy("app", json!({})).await;
    let uid = scene.uid("app-0").await;
    scene.denied("app-0").await;
    scene.until_phase("app-0", "Drained").await;
    let unasked = || async {
        let drain = scene.drain("app-0").await?;
        let conditions = drain.data["status"]["conditions"].as_array()?.clone();
        conditions.into_iter().find(|condition| condition["type"] == "Unasked")
    };
    assert_eq!(unasked().await.map(|told| told["status"].clone()), Some(Value::from("False")));
    scene.until("a condition says so", 90, || async { (unasked().await?["status"] == "True").then_some(()) }).await;
    scene
        .until("an event says so", 20, || async {
            scene.events("DrainUnasked").await.iter().any(|told| told.contains("castoff cancel app-0")).then_some(())
        })
        .await;
    assert!(scene.stands("app-0", &uid).await);
    scene.until_allowed("app-0").await;
    scene.until_replaced("app-0", &uid).await;
    scene.nothing_left_behind().await;
}

//! What pods belong to is deleted: their namespace, their StatefulSet.

use std::sync::Arc;
use std::time::Duration;

use castoff::simulation::pd::Fault;
use kube::ResourceExt;
use serde_json::json;

use super::{Scenario, scenarios};
use crate::backends::Tikv;
use crate::installation::kubectl;
use crate::scene::Scene;

pub const ALL: [Scenario; 6] = scenarios![Shared:
    a_namespace_ends_with_departures_under_way_and_what_was_set_outside_is_restored,
    a_namespace_ends_even_where_nothing_can_be_restored_and_that_is_told,
    pods_go_with_their_statefulset,
    foreground_deletion_of_a_statefulset_prepares_its_pods_where_that_is_wanted,
    background_deletion_of_a_statefulset_prepares_its_pods_where_that_is_wanted,
    pods_orphaned_by_their_statefulset_stay_guarded,
];

/// A TiKV in the middle of a rolling update that does not go on: one pod is being prepared, another waits for it.
async fn in_the_middle(scene: &Scene) -> Tikv {
    let tikv = Tikv::start(scene, "tikv", 3, 30).await;
    scene.stateful_set("tikv", 3, json!({})).await;
    scene.policy("tikv", "tikv", json!({"pd": tikv.url}), json!({})).await;
    tikv.pd.set_fault(Some(Fault::StuckLeaders));
    scene.must(&["rollout", "restart", "statefulset/tikv"]).await;
    let store = Tikv::store_of(2);
    scene.until("an entry is made", 60, || async { tikv.pd.evict_entries().contains(&store).then_some(()) }).await;
    scene.denied("tikv-0").await;
    scene.until_state("tikv-2", "Draining").await;
    tikv
}

async fn until_ended(scene: &Scene) {
    kubectl(&["delete", "namespace", &scene.namespace, "--wait=false"]).await;
    scene
        .until("the namespace has ended", 150, || async {
            kubectl(&["get", "namespace", &scene.namespace]).await.stderr.contains("NotFound").then_some(())
        })
        .await;
}

async fn a_namespace_ends_with_departures_under_way_and_what_was_set_outside_is_restored(scene: Arc<Scene>) {
    let tikv = in_the_middle(&scene).await;
    until_ended(&scene).await;
    assert_eq!(tikv.pd.evict_entries(), Vec::<u64>::new(), "an entry was left behind at PD, which lives elsewhere");
}

async fn a_namespace_ends_even_where_nothing_can_be_restored_and_that_is_told(scene: Arc<Scene>) {
    let tikv = in_the_middle(&scene).await;
    tikv.pd.set_fault(Some(Fault::Refuse));
    until_ended(&scene).await;
    // No Event can be made in a namespace that ends.
    let told = scene.ground().log("NotRestored").await;
    assert!(told.lines().any(|line| line.contains(&scene.namespace) && line.contains("may be left")), "{told}");
    assert!(!tikv.pd.evict_entries().is_empty());
}

async fn pods_go_with_their_statefulset(scene: Arc<Scene>) {
    for cascade in ["foreground", "background"] {
        scene.stateful_set("app", 2, json!({})).await;
        scene.hook_policy("app", json!({})).await;
        for pod in ["app-0", "app-1"] {
            let ip = scene.ip(pod).await;
            scene.hooks().at(&ip, |app| (app.inflight, app.done_per_look) = (1, 0));
        }
        scene.must(&["delete", "statefulset", "app", &format!("--cascade={cascade}"), "--wait=false"]).await;
        scene.until("its pods are gone", 30, || async { scene.pods_of("app").await.is_empty().then_some(()) }).await;
        scene.must(&["delete", "drainpolicy", "app"]).await;
    }
}

async fn foreground_deletion_of_a_statefulset_prepares_its_pods_where_that_is_wanted(scene: Arc<Scene>) {
    prepared_first(&scene, "foreground").await;
}

async fn background_deletion_of_a_statefulset_prepares_its_pods_where_that_is_wanted(scene: Arc<Scene>) {
    prepared_first(&scene, "background").await;
}

async fn prepared_first(scene: &Scene, cascade: &str) {
    scene.stateful_set("app", 2, json!({})).await;
    // Both at once: the garbage collector asks less and less often, and nothing wakes it.
    scene.hook_policy("app", json!({"exempt": [], "maxUnavailable": 2})).await;
    let mut pods = Vec::new();
    for pod in ["app-0", "app-1"] {
        let (found, ip) = (scene.pod(pod).await.unwrap(), scene.ip(pod).await);
        scene.hooks().at(&ip, |app| app.inflight = 3);
        pods.push(found);
    }
    scene.must(&["delete", "statefulset", "app", &format!("--cascade={cascade}"), "--wait=false"]).await;
    for pod in &pods {
        scene.until_gone(&pod.name_any(), &pod.uid().unwrap()).await;
        assert_eq!(scene.hooks().of(pod).state, "Prepared", "{} left before that", pod.name_any());
    }
    scene.until_all_completed().await;
}

async fn pods_orphaned_by_their_statefulset_stay_guarded(scene: Arc<Scene>) {
    scene.stateful_set("app", 2, json!({})).await;
    scene.hook_policy("app", json!({})).await;
    let (uid, pod) = (scene.uid("app-1").await, scene.pod("app-1").await.unwrap());
    scene.must(&["delete", "statefulset", "app", "--cascade=orphan"]).await;
    scene
        .until("it belongs to nobody", 30, || async {
            scene.pod("app-1").await?.metadata.owner_references.is_none_or(|owners| owners.is_empty()).then_some(())
        })
        .await;
    scene.stays("it is there", Duration::from_secs(2), || scene.stands("app-1", &uid)).await;
    scene.denied("app-1").await;
    scene.until_allowed("app-1").await;
    scene.until_gone("app-1", &uid).await;
    assert_eq!(scene.hooks().of(&pod).state, "Prepared");
    scene.until_state("app-1", "Completed").await;
}

//! Policies that are made again, replaced or renamed while a pod is away or being prepared, and drains and slots that
//! people take away or bring back: never are more pods away than may be, and no slot is lost.

use std::sync::Arc;
use std::time::Duration;

use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::{Scenario, scenarios};
use crate::scene::Scene;
use crate::witness::Witness;

pub const ALL: [Scenario; 7] = scenarios![Shared:
    a_policy_that_is_deleted_and_made_again_still_counts_the_pod_being_prepared,
    a_policy_that_is_replaced_by_force_still_counts_the_pod_being_prepared,
    a_policy_that_is_renamed_still_counts_the_pod_being_prepared,
    a_policy_that_overlaps_with_its_successor_still_counts_the_pod_being_prepared,
    a_policy_that_is_made_again_still_counts_the_pod_that_is_away,
    a_drain_that_is_removed_by_force_gives_its_slot_back_and_that_is_told,
    a_slot_that_a_backup_brings_back_is_freed_and_that_is_told,
];

/// One of three is being prepared and stays so for now.
async fn begun(scene: &Arc<Scene>) -> (String, String) {
    scene.stateful_set("app", 3, json!({})).await;
    scene.hook_policy("app", json!({})).await;
    let (uid, ip) = scene.busy("app-2").await;
    scene.denied("app-2").await;
    scene.until_phase("app-2", "Draining").await;
    (uid, ip)
}

/// The other one is asked for now, and is not prepared; once the first may, both go, one after the other.
async fn one_after_the_other(scene: &Arc<Scene>, uid: &str, ip: &str) {
    let witness = Witness::of(scene, "app", 3).await;
    let (other, address) = (scene.uid("app-1").await, scene.ip("app-1").await);
    scene.denied("app-1").await;
    scene.until_phase("app-1", "Queued").await;
    scene
        .stays("the other one is not prepared", Duration::from_secs(3), || async {
            let refused = scene.delete_this("app-1", &other).await.code() == 429;
            refused && scene.hooks().at(&address, |app| app.changes()) == 0
        })
        .await;
    scene.let_get_ready(ip);
    scene.until_all_left(&[("app-1", &other), ("app-2", uid)]).await;
    scene.all_ready("app", 3).await;
    scene.nothing_left_behind().await;
    assert!(witness.left().iter().all(|left| left.app.state == "Prepared"), "{:?}", witness.left());
    assert_eq!(witness.most_away(), 1);
}

async fn a_policy_that_is_deleted_and_made_again_still_counts_the_pod_being_prepared(scene: Arc<Scene>) {
    let (uid, ip) = begun(&scene).await;
    scene.must(&["delete", "drainpolicy", "app"]).await;
    scene.hook_policy("app", json!({})).await;
    one_after_the_other(&scene, &uid, &ip).await;
}

async fn a_policy_that_is_replaced_by_force_still_counts_the_pod_being_prepared(scene: Arc<Scene>) {
    let (uid, ip) = begun(&scene).await;
    let policy = scene.object("DrainPolicy", "app").await.unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = json!({
        "apiVersion": "castoff.dev/v1alpha1", "kind": "DrainPolicy",
        "metadata": {"name": "app", "namespace": scene.namespace}, "spec": policy.data["spec"],
    });
    std::fs::write(file.path(), text.to_string()).unwrap();
    scene.must(&["replace", "--force", "-f", file.path().to_str().unwrap()]).await;
    scene.guarding("app").await;
    one_after_the_other(&scene, &uid, &ip).await;
}

async fn a_policy_that_is_renamed_still_counts_the_pod_being_prepared(scene: Arc<Scene>) {
    let (uid, ip) = begun(&scene).await;
    scene.must(&["delete", "drainpolicy", "app"]).await;
    renamed(&scene).await;
    begun_anew(&scene, &ip).await;
    one_after_the_other(&scene, &uid, &ip).await;
}

async fn a_policy_that_overlaps_with_its_successor_still_counts_the_pod_being_prepared(scene: Arc<Scene>) {
    let (uid, ip) = begun(&scene).await;
    scene.named_policy("renamed", "app", "http-hook", json!({"port": scene.hooks().port}), json!({})).await;
    scene
        .until("both are said to be in each other's way", 30, || async {
            scene.denied("app-1").await.contains("both select it").then_some(())
        })
        .await;
    assert!(scene.stands("app-2", &uid).await);
    scene.must(&["delete", "drainpolicy", "app"]).await;
    scene.guarding("renamed").await;
    begun_anew(&scene, &ip).await;
    one_after_the_other(&scene, &uid, &ip).await;
}

async fn renamed(scene: &Scene) {
    scene.named_policy("renamed", "app", "http-hook", json!({"port": scene.hooks().port}), json!({})).await;
    scene.guarding("renamed").await;
}

/// Asked for again, the pod is prepared under the new policy, after what the old one had set was undone.
async fn begun_anew(scene: &Scene, ip: &str) {
    scene
        .until("app-2 is prepared under the new policy", 60, || async {
            scene.denied("app-2").await;
            tokio::time::sleep(Duration::from_millis(200)).await;
            let drain = scene.drain("app-2").await?;
            (drain.data["spec"]["policy"] == "renamed" && drain.data["status"]["phase"] == "Draining").then_some(())
        })
        .await;
    let asked = scene.hooks().at(ip, |app| app.asked.clone());
    assert!(asked.contains(&axum::http::Method::DELETE), "what the former one had set was not undone: {asked:?}");
}

async fn a_policy_that_is_made_again_still_counts_the_pod_that_is_away(scene: Arc<Scene>) {
    scene.stateful_set("app", 3, json!({"updateStrategy": {"type": "OnDelete"}})).await;
    scene.hook_policy("app", json!({})).await;
    let never = r#"{"spec":{"template":{"metadata":{"annotations":{"test.castoff.dev/behave":"never-ready"}}}}}"#;
    scene.must(&["patch", "statefulset", "app", "--type=merge", "-p", never]).await;
    let (uid, other) = (scene.uid("app-2").await, scene.uid("app-1").await);
    scene.denied("app-2").await;
    scene.until_allowed("app-2").await;
    scene.until_gone("app-2", &uid).await;
    let witness = Witness::of(&scene, "app", 3).await;
    scene.must(&["delete", "drainpolicy", "app"]).await;
    scene.hook_policy("app", json!({})).await;
    scene.denied("app-1").await;
    scene.until_message("app-1", "waits for app-2").await;
    scene
        .stays("the other one stays", Duration::from_secs(3), || async {
            scene.delete_this("app-1", &other).await.code() == 429
        })
        .await;
    scene.until("the next one is there", 30, || async { scene.pod("app-2").await.map(drop) }).await;
    scene.is_to_serve("app-2", true).await;
    scene.until_allowed("app-1").await;
    assert_eq!(witness.most_away(), 1);
}

async fn a_drain_that_is_removed_by_force_gives_its_slot_back_and_that_is_told(scene: Arc<Scene>) {
    let (uid, _) = begun(&scene).await;
    let name = scene.drain("app-2").await.unwrap().metadata.name.unwrap();
    let none = r#"{"metadata":{"finalizers":null}}"#;
    scene.must(&["delete", "poddrain", &name, "--wait=false"]).await;
    scene.kubectl(&["patch", "poddrain", &name, "--type=merge", "-p", none]).await;
    scene.until("it is gone", 20, || async { scene.object("PodDrain", &name).await.is_none().then_some(()) }).await;
    let other = scene.uid("app-1").await;
    scene.until_all_left(&[("app-1", &other)]).await;
    assert!(scene.stands("app-2", &uid).await, "it is guarded as before");
    scene
        .until("it is told", 20, || async {
            scene.events("SlotFreed").await.iter().any(|told| told.contains(&name)).then_some(())
        })
        .await;
    scene.nothing_left_behind().await;
}

async fn a_slot_that_a_backup_brings_back_is_freed_and_that_is_told(scene: Arc<Scene>) {
    scene.stateful_set("app", 2, json!({})).await;
    scene.hook_policy("app", json!({})).await;
    let restored = json!({"status": {"departing": [{"seat": "app-0", "drain": "app-0-00000000"}]}});
    let how = PatchParams::default();
    scene.api("DrainPolicy").patch_status("app", &how, &Patch::Merge(&restored)).await.unwrap();
    assert_eq!(scene.slots("app").await, ["app-0-00000000"]);
    // Its own seat's next pod, and another one.
    for pod in ["app-0", "app-1"] {
        let uid = scene.uid(pod).await;
        scene.until_all_left(&[(pod, &uid)]).await;
        scene.until_replaced(pod, &uid).await;
        scene.until_all_completed().await;
    }
    let told = scene.events("SlotFreed").await;
    assert!(told.iter().any(|told| told.contains("app-0-00000000")), "{told:?}");
    scene.nothing_left_behind().await;
}

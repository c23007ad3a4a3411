//! PodDrains that people edit, that another version wrote, or that were left half done.

use std::sync::Arc;

use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::{Scenario, scenarios};
use crate::installation::kubectl;
use crate::scene::{Scene, merge};

pub const ALL: [Scenario; 5] = scenarios![Shared:
    a_poddrain_stays_as_it_was_asked_for_and_can_be_cancelled,
    a_poddrain_of_the_form_before_is_undone_and_begun_anew,
    a_poddrain_of_a_newer_version_is_held_and_told_and_ends_when_it_is_deleted,
    a_poddrain_that_is_over_and_has_its_finalizer_goes_and_so_does_its_namespace,
    a_pod_with_the_longest_name_has_a_drain,
];

async fn a_poddrain_stays_as_it_was_asked_for_and_can_be_cancelled(scene: Arc<Scene>) {
    scene.stateful_set("app", 1, json!({})).await;
    scene.hook_policy("app", json!({})).await;
    scene.busy("app-0").await;
    scene.denied("app-0").await;
    scene.until_phase("app-0", "Draining").await;
    let name = scene.drain("app-0").await.unwrap().name_any();
    for change in [
        json!({"policy": "other"}),
        json!({"requester": "mallory"}),
        json!({"pod": {"uid": "another"}}),
        json!({"pod": {"name": "app-1"}}),
        json!({"pod": {"metadata": {"name": "app-1", "uid": "another"}}}),
        json!({"pod": {"name": null}}),
    ] {
        let patch = json!({"spec": change}).to_string();
        let printed = scene.kubectl(&["patch", "poddrain", &name, "--type=merge", "-p", &patch]).await;
        assert!(printed.code != 0 && printed.stderr.contains("only cancel may be changed"), "{patch}: {printed:?}");
    }
    scene.cancel("app-0").await;
    scene.until_phase("app-0", "Completed").await;
    scene.nothing_left_behind().await;
}

/// A fixture, for this pod.
async fn fixture(scene: &Scene, text: &str, pod: &str) -> Value {
    let found = scene.pod(pod).await.unwrap();
    let uid = found.uid().unwrap();
    let text = text
        .replace("{namespace}", &scene.namespace)
        .replace("{pod}", pod)
        .replace("{uid}", &uid)
        .replace("{short}", &uid[..8])
        .replace("{ip}", &scene.ip(pod).await)
        .replace("\"{port}\"", &scene.hooks().port.to_string());
    serde_json::from_str(&text).unwrap()
}

/// Puts a PodDrain there as whoever wrote it did: first the object, then its status.
async fn store(scene: &Scene, drain: &Value) -> String {
    let mut first = drain.clone();
    first.as_object_mut().unwrap().remove("status");
    scene.apply(&first.to_string()).await;
    let name = drain["metadata"]["name"].as_str().unwrap().to_owned();
    let status = json!({"status": drain["status"]});
    let how = PatchParams::default();
    scene.api("PodDrain").patch_status(&name, &how, &Patch::Merge(&status)).await.unwrap();
    name
}

const BEFORE: &str = include_str!("../../fixtures/poddrains/whole-pod-in-spec.json");
const NEWER: &str = include_str!("../../fixtures/poddrains/newer.json");

async fn a_poddrain_of_the_form_before_is_undone_and_begun_anew(scene: Arc<Scene>) {
    scene.stateful_set("app", 1, json!({})).await;
    let (uid, ip) = (scene.uid("app-0").await, scene.ip("app-0").await);
    // What the former version has set.
    scene.hooks().at(&ip, |app| app.state = "Prepared");
    let name = store(&scene, &fixture(&scene, BEFORE, "app-0").await).await;
    let kept = scene.object("PodDrain", &name).await.unwrap();
    assert_eq!(kept.data["spec"]["pod"]["metadata"]["uid"], uid, "the definition keeps what it no longer names");
    assert!(kept.data["spec"]["steps"][0]["planSpec"].is_object());
    scene.hook_policy("app", json!({})).await;
    scene
        .until("what was set is undone", 60, || async {
            scene.hooks().at(&ip, |app| app.asked.contains(&axum::http::Method::DELETE)).then_some(())
        })
        .await;
    scene
        .until("it makes room for a new one", 30, || async {
            let now = scene.object("PodDrain", &name).await;
            now.is_none_or(|now| now.data["spec"]["pod"]["metadata"].is_null()).then_some(())
        })
        .await;
    assert!(scene.stands("app-0", &uid).await);
    scene.until_all_left(&[("app-0", &uid)]).await;
    scene.until_replaced("app-0", &uid).await;
    scene.nothing_left_behind().await;
    assert_eq!(scene.drains().await[0].data["spec"]["pod"]["uid"], uid);
}

async fn a_poddrain_of_a_newer_version_is_held_and_told_and_ends_when_it_is_deleted(scene: Arc<Scene>) {
    scene.stateful_set("app", 1, json!({})).await;
    scene.hook_policy("app", json!({})).await;
    let uid = scene.uid("app-0").await;
    let mut drain = fixture(&scene, NEWER, "app-0").await;
    merge(&mut drain, &json!({"metadata": {"finalizers": ["castoff.dev/restore"]}}));
    let name = store(&scene, &drain).await;
    scene
        .until("it is told in the denial", 20, || async {
            scene.denied("app-0").await.contains("can't read its drain").then_some(())
        })
        .await;
    let said = scene.denied("app-0").await;
    assert!(said.contains(&format!("kubectl delete poddrain {name} -n {}", scene.namespace)), "{said}");
    let kept = scene.object("PodDrain", &name).await.unwrap();
    assert_eq!(kept.data["spec"]["newer"], json!({"words": ["that", "nobody", "knows"]}), "left as it is");
    scene.must(&["delete", "poddrain", &name, "--timeout=60s"]).await;
    assert!(scene.stands("app-0", &uid).await);
    scene.until_all_left(&[("app-0", &uid)]).await;
    scene.until_replaced("app-0", &uid).await;
    scene.nothing_left_behind().await;
}

async fn a_poddrain_that_is_over_and_has_its_finalizer_goes_and_so_does_its_namespace(scene: Arc<Scene>) {
    scene.stateful_set("app", 1, json!({})).await;
    scene.hook_policy("app", json!({})).await;
    let uid = scene.uid("app-0").await;
    scene.until_all_left(&[("app-0", &uid)]).await;
    scene.until_all_completed().await;
    // As a leader leaves it that is killed between its last two writes.
    let name = scene.drains().await[0].name_any();
    let finalizer = r#"{"metadata":{"finalizers":["castoff.dev/restore"]}}"#;
    scene.must(&["patch", "poddrain", &name, "--type=merge", "-p", finalizer]).await;
    scene.nothing_left_behind().await;
    scene.must(&["patch", "poddrain", &name, "--type=merge", "-p", finalizer]).await;
    kubectl(&["delete", "namespace", &scene.namespace, "--wait=false"]).await;
    scene
        .until("the namespace has ended", 60, || async {
            kubectl(&["get", "namespace", &scene.namespace]).await.stderr.contains("NotFound").then_some(())
        })
        .await;
}

async fn a_pod_with_the_longest_name_has_a_drain(scene: Arc<Scene>) {
    let name = format!("{}.{}", "a".repeat(243), "b".repeat(9));
    // Its first label is its host's name, which is shorter.
    scene.ready_bare_pod(&name, "app", json!({"hostname": "short"})).await;
    scene.hook_policy("app", json!({})).await;
    let uid = scene.uid(&name).await;
    scene.until_all_left(&[(&name, &uid)]).await;
    scene.until_all_completed().await;
    assert_eq!(scene.drains().await[0].data["status"]["outcome"], "Prepared");
}

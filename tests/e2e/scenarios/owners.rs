//! Pods whose owners Castoff does not know: custom kinds with and without a `scale`, older kinds, and none.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{Scenario, scenarios};
use crate::backends::Tikv;
use crate::installation::{apply, kubectl};
use crate::scene::{Scene, merge};

pub const ALL: [Scenario; 6] = scenarios![Shared:
    a_custom_kinds_pod_that_is_back_under_its_name_ends_its_drain,
    a_custom_kinds_pod_that_another_replaces_ends_its_drain_by_the_scale,
    a_custom_owner_that_wants_two_thousand_million_pods_costs_nothing,
    a_custom_owner_that_is_deleted_meanwhile_ends_the_drain,
    a_drain_whose_hole_nothing_can_tell_ends_within_a_minute_when_it_is_deleted,
    a_replication_controllers_pod_ends_its_drain_once_there_is_another,
];

const GROUP: &str = "owners.test.castoff.dev";

/// A kind with `scale`, and one without.
async fn kinds() {
    for (kind, plural, has_scale) in [("Ring", "rings", true), ("Herd", "herds", false)] {
        let scale = json!({"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"});
        let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{GROUP}")},
            "spec": {
                "group": GROUP, "scope": "Namespaced", "names": {"kind": kind, "plural": plural},
                "versions": [{
                    "name": "v1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                        "spec": {"type": "object", "properties": {"replicas": {"type": "integer"}}},
                        "status": schema,
                    }}},
                    "subresources": if has_scale { json!({"status": {}, "scale": scale}) } else { json!({"status": {}}) },
                }],
            },
        });
        apply(&definition.to_string()).await;
        let name = format!("crd/{plural}.{GROUP}");
        kubectl(&["wait", "--for=condition=Established", &name, "--timeout=30s"]).await;
    }
}

/// An owner of a custom kind, and its UID.
async fn owner(scene: &Scene, kind: &str, replicas: u64) -> String {
    kinds().await;
    let object = json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": kind, "metadata": {"name": "own", "namespace": "{ns}"},
        "spec": {"replicas": replicas},
    });
    scene
        .until("the kind is served", 30, || async {
            let text = object.to_string().replace("{ns}", &scene.namespace);
            crate::installation::try_apply(&text).await.ok()
        })
        .await;
    scene.must(&["get", &format!("{}s.{GROUP}", kind.to_lowercase()), "own", "-o", "jsonpath={.metadata.uid}"]).await
}

/// A pod of that owner's.
async fn make(scene: &Scene, kind: &str, uid: &str, name: &str, app: &str) {
    let owner =
        json!([{"apiVersion": format!("{GROUP}/v1"), "kind": kind, "name": "own", "uid": uid, "controller": true}]);
    let mut pod = scene.pod_template(app);
    let own = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": scene.namespace, "ownerReferences": owner},
        "spec": {"hostname": name, "subdomain": format!("{app}-peer")},
    });
    merge(&mut pod, &own);
    let _ = crate::installation::try_apply(&pod.to_string()).await;
}

/// The owner's controller: for each pod that is missing it makes one, of the same name or of a name of its own.
fn controller(
    scene: &Arc<Scene>,
    kind: &'static str,
    uid: &str,
    app: &'static str,
    same_names: bool,
) -> JoinHandle<()> {
    let (scene, uid) = (Arc::clone(scene), uid.to_owned());
    tokio::spawn(async move {
        let mut made = 2;
        loop {
            let pods = scene.pods_of(app).await;
            if same_names {
                for name in [format!("{app}-0"), format!("{app}-1")] {
                    if !pods.iter().any(|pod| pod.name_any() == name) {
                        make(&scene, kind, &uid, &name, app).await;
                    }
                }
            } else if pods.len() < 2 {
                make(&scene, kind, &uid, &format!("{app}-{made}"), app).await;
                made += 1;
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    })
}

async fn two_pods(scene: &Scene, kind: &str, uid: &str, app: &str) -> Vec<Pod> {
    for name in [format!("{app}-0"), format!("{app}-1")] {
        make(scene, kind, uid, &name, app).await;
    }
    scene.all_ready(app, 2).await;
    scene.pods_of(app).await
}

async fn until_left(scene: &Scene, pod: &str) -> String {
    let uid = scene.uid(pod).await;
    scene.until_all_left(&[(pod, &uid)]).await;
    uid
}

async fn a_custom_kinds_pod_that_is_back_under_its_name_ends_its_drain(scene: Arc<Scene>) {
    let uid = owner(&scene, "Herd", 2).await;
    let tikv = Tikv::start(&scene, "tikv", 2, 10).await;
    two_pods(&scene, "Herd", &uid, "tikv").await;
    scene.policy("tikv", "tikv", json!({"pd": tikv.url}), json!({})).await;
    let playing = controller(&scene, "Herd", &uid, "tikv", true);
    for pod in ["tikv-1", "tikv-0"] {
        let before = until_left(&scene, pod).await;
        scene.until_replaced(pod, &before).await;
    }
    scene.nothing_left_behind().await;
    playing.abort();
    assert_eq!((tikv.pd.leaders_lost(), tikv.pd.evict_entries()), (0, vec![]));
}

async fn a_custom_kinds_pod_that_another_replaces_ends_its_drain_by_the_scale(scene: Arc<Scene>) {
    let uid = owner(&scene, "Ring", 2).await;
    two_pods(&scene, "Ring", &uid, "app").await;
    scene.hook_policy("app", json!({})).await;
    until_left(&scene, "app-1").await;
    scene.until_phase("app-1", "Departing").await;
    let playing = controller(&scene, "Ring", &uid, "app", false);
    scene.all_ready("app", 2).await;
    scene.until_phase("app-1", "Completed").await;
    until_left(&scene, "app-0").await;
    scene.all_ready("app", 2).await;
    scene.nothing_left_behind().await;
    playing.abort();
}

async fn a_custom_owner_that_wants_two_thousand_million_pods_costs_nothing(scene: Arc<Scene>) {
    let uid = owner(&scene, "Ring", 2).await;
    two_pods(&scene, "Ring", &uid, "app").await;
    scene.hook_policy("app", json!({})).await;
    let leader = scene.leader().await;
    scene.must(&["scale", &format!("rings.{GROUP}/own"), "--replicas=2000000000"]).await;
    scene.denied("app-1").await;
    scene.until_message("app-1", "waits for pods that are missing").await;
    // Another owner's pods in the same namespace are not held up.
    scene.stateful_set("other", 1, json!({})).await;
    scene.hook_policy("other", json!({})).await;
    let other = until_left(&scene, "other-0").await;
    scene.until_replaced("other-0", &other).await;
    assert_eq!(scene.leader().await, leader, "the leader goes on");
    scene.must(&["scale", &format!("rings.{GROUP}/own"), "--replicas=2"]).await;
    until_left(&scene, "app-1").await;
}

async fn a_custom_owner_that_is_deleted_meanwhile_ends_the_drain(scene: Arc<Scene>) {
    let uid = owner(&scene, "Ring", 2).await;
    two_pods(&scene, "Ring", &uid, "app").await;
    scene.hook_policy("app", json!({})).await;
    until_left(&scene, "app-1").await;
    scene.until_phase("app-1", "Departing").await;
    scene.must(&["delete", &format!("rings.{GROUP}"), "own", "--cascade=orphan"]).await;
    scene.until_phase("app-1", "Completed").await;
    assert_eq!(scene.slots("app").await, Vec::<String>::new());
}

async fn a_drain_whose_hole_nothing_can_tell_ends_within_a_minute_when_it_is_deleted(scene: Arc<Scene>) {
    let uid = owner(&scene, "Herd", 2).await;
    let tikv = Tikv::start(&scene, "tikv", 2, 10).await;
    two_pods(&scene, "Herd", &uid, "tikv").await;
    scene.policy("tikv", "tikv", json!({"pd": tikv.url}), json!({})).await;
    until_left(&scene, "tikv-1").await;
    scene.until_phase("tikv-1", "Departing").await;
    assert!(!tikv.pd.evict_entries().is_empty());
    let name = scene.drain("tikv-1").await.unwrap().name_any();
    scene.must(&["delete", "poddrain", &name, "--timeout=60s"]).await;
    assert_eq!(tikv.pd.evict_entries(), Vec::<u64>::new(), "what was set was undone first");
    assert_eq!(scene.slots("tikv").await, Vec::<String>::new());
}

async fn a_replication_controllers_pod_ends_its_drain_once_there_is_another(scene: Arc<Scene>) {
    let mut object = json!({
        "apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "app", "namespace": "{ns}"},
        "spec": {"replicas": 2, "selector": {"app": "app"}},
    });
    merge(&mut object, &json!({"spec": {"template": scene.pod_template("app")}}));
    scene.apply(&Value::to_string(&object)).await;
    scene.all_ready("app", 2).await;
    scene.hook_policy("app", json!({})).await;
    for pod in scene.pods_of("app").await {
        until_left(&scene, &pod.name_any()).await;
        scene.all_ready("app", 2).await;
        scene.until_all_completed().await;
    }
    scene.nothing_left_behind().await;
}

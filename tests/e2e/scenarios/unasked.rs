//! Drains that nobody asks for any more are given up, and Castoff deletes nothing that nobody wants gone now.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Scenario, scenarios};
use crate::audit::{self, GUARD};
use crate::ground::Need;
use crate::moves::{cluster_wide, control_plane};
use crate::scene::Scene;

pub const ALL: [Scenario; 3] = scenarios![Shared:
    a_roll_out_that_is_rolled_back_puts_its_prepared_pod_back_at_once,
    what_a_partition_keeps_is_given_up_when_nobody_asks_for_it,
    what_is_only_replaced_on_delete_is_given_up_when_nobody_asks_for_it,
];

pub const ALONE: [Scenario; 2] = scenarios![Alone, Need::Nodes(3) =>
    a_pod_on_a_cordoned_node_is_given_up_when_nobody_asks_for_it,
    an_eviction_whose_pod_can_not_be_read_is_denied,
];

/// Taint eviction must be stopped.
pub const ON_OWN_CONTROL_PLANE: [Scenario; 1] =
    scenarios![Alone, Need::OwnControlPlane => a_taint_that_is_lifted_makes_castoff_delete_nothing];

const NEW: &str = r#"{"spec":{"template":{"metadata":{"annotations":{"new":"yes"}}}}}"#;

/// Long before its controller's back-off would be over.
async fn a_roll_out_that_is_rolled_back_puts_its_prepared_pod_back_at_once(scene: Arc<Scene>) {
    scene.stateful_set("app", 2, json!({})).await;
    scene.hook_policy("app", json!({})).await;
    let (uid, ip) = scene.busy("app-1").await;
    scene.must(&["patch", "statefulset", "app", "--type=merge", "-p", NEW]).await;
    scene.until_phase("app-1", "Draining").await;
    scene.must(&["rollout", "undo", "statefulset/app"]).await;
    scene.until_phase("app-1", "Completed").await;
    assert!(scene.stands("app-1", &uid).await);
    assert_eq!(scene.hooks().at(&ip, |app| app.state), "Idle");
    scene.nothing_left_behind().await;
}

async fn what_a_partition_keeps_is_given_up_when_nobody_asks_for_it(scene: Arc<Scene>) {
    let strategy = json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}});
    given_up_though_outdated(&scene, strategy).await;
}

async fn what_is_only_replaced_on_delete_is_given_up_when_nobody_asks_for_it(scene: Arc<Scene>) {
    given_up_though_outdated(&scene, json!({"updateStrategy": {"type": "OnDelete"}})).await;
}

async fn given_up_though_outdated(scene: &Scene, strategy: Value) {
    scene.stateful_set("app", 2, strategy).await;
    scene.hook_policy("app", json!({"abandonAfterSeconds": 12})).await;
    scene.must(&["patch", "statefulset", "app", "--type=merge", "-p", NEW]).await;
    scene
        .until("there is a newer revision", 20, || async {
            let revisions = "jsonpath={.status.currentRevision} {.status.updateRevision}";
            let printed = scene.must(&["get", "statefulset", "app", "-o", revisions]).await;
            let (current, update) = printed.split_once(' ')?;
            (current != update).then_some(())
        })
        .await;
    given_up(scene, "app-0").await;
}

/// One delete, never repeated.
async fn given_up(scene: &Scene, pod: &str) {
    let (uid, ip) = (scene.uid(pod).await, scene.ip(pod).await);
    scene.denied(pod).await;
    scene.until_phase(pod, "Drained").await;
    scene.until_phase(pod, "Completed").await;
    assert!(scene.stands(pod, &uid).await);
    assert_eq!(scene.hooks().at(&ip, |app| (app.state, app.prepared_times())), ("Idle", 1));
    assert_eq!(scene.slots("app").await, Vec::<String>::new());
    assert_eq!(deletes_of_the_guard(scene), 0);
}

fn deletes_of_the_guard(scene: &Scene) -> usize {
    let lines = audit::of_namespace(&scene.namespace).unwrap_or_default();
    lines.iter().filter(|line| line.is("delete", "pods") && line.user() == GUARD && line.succeeded()).count()
}

async fn a_pod_on_a_cordoned_node_is_given_up_when_nobody_asks_for_it(scene: Arc<Scene>) {
    scene.stateful_set("app", 1, json!({"template": {"spec": {"nodeSelector": scene.on_node(3)}}})).await;
    scene.hook_policy("app", json!({"abandonAfterSeconds": 12})).await;
    cluster_wide(&["cordon", scene.node_name(3)]).await;
    given_up(&scene, "app-0").await;
    cluster_wide(&["uncordon", scene.node_name(3)]).await;
}

async fn a_taint_that_is_lifted_makes_castoff_delete_nothing(scene: Arc<Scene>) {
    let node = scene.node_name(3);
    let here =
        json!({"updateStrategy": {"type": "OnDelete"}, "template": {"spec": {"nodeSelector": scene.on_node(3)}}});
    scene.stateful_set("app", 1, here).await;
    scene.hook_policy("app", json!({})).await;
    scene.must(&["patch", "statefulset", "app", "--type=merge", "-p", NEW]).await;
    let (uid, ip) = scene.busy("app-0").await;
    cluster_wide(&["taint", "node", node, "test=evict:NoExecute"]).await;
    scene.until_phase("app-0", "Draining").await;
    cluster_wide(&["taint", "node", node, "test-"]).await;
    scene
        .until("the taint is seen to be lifted", 20, || async {
            let taints = scene.node(node).await?.spec?.taints.unwrap_or_default();
            taints.iter().all(|taint| taint.key != "test").then_some(())
        })
        .await;
    // A delete that taint eviction has begun it repeats for minutes, whatever becomes of the taint, unless it ends itself.
    control_plane(&["stop", "controller-manager"]).await;
    control_plane(&["start", "controller-manager"]).await;
    scene.let_get_ready(&ip);
    scene.until_phase("app-0", "Drained").await;
    scene.stays("it stays", Duration::from_secs(8), || scene.stands("app-0", &uid)).await;
    assert_eq!(deletes_of_the_guard(&scene), 0);
}

async fn an_eviction_whose_pod_can_not_be_read_is_denied(scene: Arc<Scene>) {
    scene.stateful_set("app", 1, json!({})).await;
    scene.hook_policy("app", json!({})).await;
    let former = scene.uid("app-0").await;
    scene.until_all_left(&[("app-0", &former)]).await;
    scene.until_replaced("app-0", &former).await;
    let uid = scene.uid("app-0").await;
    let rules = cluster_wide(&["get", "clusterrole", "castoff", "-o", "json"]).await;
    let mut role: Value = serde_json::from_str(&rules).unwrap();
    for rule in role["rules"].as_array_mut().unwrap() {
        if rule["resources"] == json!(["pods"]) {
            rule["verbs"] = json!(["list", "watch", "patch", "delete"]);
        }
    }
    let without = json!({"rules": role["rules"]}).to_string();
    cluster_wide(&["patch", "clusterrole", "castoff", "--type=merge", "-p", &without]).await;
    scene
        .until("its right is seen to be gone", 30, || async {
            let refused = scene.evict("app-0", Some(&uid)).await;
            format!("{refused:?}").contains("could not be read just now").then_some(())
        })
        .await;
    for named in [Some(uid.as_str()), Some(former.as_str()), None] {
        assert_eq!(scene.evict("app-0", named).await.code(), 429, "{named:?}");
    }
    assert!(scene.stands("app-0", &uid).await);
    assert_eq!(scene.hooks().of(&scene.pod("app-0").await.unwrap()).changes(), 0);
    cluster_wide(&[
        "patch",
        "clusterrole",
        "castoff",
        "--type=merge",
        "-p",
        &json!({"rules": serde_json::from_str::<Value>(&rules).unwrap()["rules"]}).to_string(),
    ])
    .await;
    scene
        .until("the eviction is prepared for", 30, || async {
            scene.evict("app-0", Some(&uid)).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
            (!scene.stands("app-0", &uid).await).then_some(())
        })
        .await;
}

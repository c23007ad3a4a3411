//! Tools that drain nodes, and a person who prepares for them.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Scenario, scenarios};
use crate::doctor::shell;
use crate::moves::cluster_wide;
use crate::scene::Scene;
use crate::witness::Witness;

/// It has the pods of all namespaces prepared.
pub const ALONE: [Scenario; 1] =
    scenarios![Alone: a_node_drain_has_what_is_guarded_there_prepared_and_tells_how_far_it_is];

pub const ALL: [Scenario; 4] = scenarios![Shared:
    everything_guarded_on_a_node_is_prepared_as_far_as_the_limits_go,
    a_node_that_shows_that_it_will_go_has_its_pods_prepared_but_no_cordon_does,
    an_autoscaler_that_gives_up_and_comes_back_moves_leaders_once,
    pods_of_one_zone_leave_together_and_those_of_another_after_them,
];

/// Waits until a NodeDrain says of itself that it is prepared, or not, for this reason; all that it says.
async fn until_it_says(scene: &Scene, status: &str, reason: &str) -> Value {
    scene
        .until(&format!("the NodeDrain says {status}, {reason}"), 60, || async {
            let printed = scene.must(&["get", "nodedrain", &scene.namespace, "-o", "json"]).await;
            let drain: Value = serde_json::from_str(&printed).unwrap();
            let condition = &drain["status"]["conditions"][0];
            (condition["status"] == status && condition["reason"] == reason).then_some(drain)
        })
        .await
}

async fn a_node_drain_has_what_is_guarded_there_prepared_and_tells_how_far_it_is(scene: Arc<Scene>) {
    let here = json!({"template": {"spec": {"nodeSelector": scene.on_node(1)}}});
    scene.stateful_set("db", 2, here.clone()).await;
    scene.stateful_set("web", 1, here).await;
    scene.hook_policy("db", json!({})).await;
    scene.hook_policy("web", json!({})).await;
    let (_, ip) = scene.busy("web-0").await;
    let drain = json!({
        "apiVersion": "castoff.dev/v1alpha1", "kind": "NodeDrain", "metadata": {"name": "{ns}"},
        "spec": {"nodeName": scene.node_name(1)},
    });
    scene.apply(&drain.to_string()).await;
    let other = json!({"spec": {"nodeName": "elsewhere"}}).to_string();
    let refused = scene.kubectl(&["patch", "nodedrain", &scene.namespace, "--type=merge", "-p", &other]).await;
    assert!(refused.code == 1 && refused.stderr.contains("of one node for good"), "{refused:?}");
    until_it_says(&scene, "False", "Preparing").await;
    scene.until_phase("web-0", "Draining").await;
    scene.let_get_ready(&ip);
    let told = until_it_says(&scene, "True", "LimitReached").await;
    let status = &told["status"];
    assert_eq!((&status["guarded"], &status["prepared"]), (&json!(3), &json!(2)), "{status}");
    assert_eq!(status["pods"][0]["phase"], "Queued", "one of the two at a time: {status}");
    let version = || async {
        let version = ["get", "nodedrain", &scene.namespace, "-o", "jsonpath={.metadata.resourceVersion}"];
        scene.must(&version).await
    };
    let (begun, requester) = (version().await, scene.drain("web-0").await.unwrap().data["spec"]["requester"].clone());
    assert_eq!(requester, format!("system:castoff:prepare-ahead (NodeDrain {})", scene.namespace));
    scene
        .stays("nothing is written that is told already", Duration::from_secs(6), || async { version().await == begun })
        .await;
    scene.must(&["delete", "nodedrain", &scene.namespace]).await;
    for pod in ["db-0", "db-1", "web-0"] {
        assert_eq!(shell(&format!("castoff cancel {pod} -n {} --wait", scene.namespace)).await.code, 0);
    }
    scene.nothing_left_behind().await;
}

const AUTOSCALER: &str = "system:serviceaccount:kube-system:cluster-autoscaler";

/// A taint that keeps no other scenario's pods away, of a key that only this scenario knows.
fn taint(scene: &Scene) -> String {
    format!("scenario.castoff.dev/{}", scene.namespace)
}

async fn everything_guarded_on_a_node_is_prepared_as_far_as_the_limits_go(scene: Arc<Scene>) {
    let here = json!({"template": {"spec": {"nodeSelector": scene.on_node(1)}}});
    scene.stateful_set("db", 2, here.clone()).await;
    scene.stateful_set("web", 1, here).await;
    scene.ready_bare_pod("nobodys", "nobodys", json!({"nodeSelector": scene.on_node(1)})).await;
    scene.hook_policy("db", json!({})).await;
    scene.hook_policy("web", json!({})).await;
    let node = scene.node_name(1);
    let line = format!("castoff prepare --node {node} -n {} --wait --timeout 60s -o json", scene.namespace);
    let printed = shell(&line).await;
    assert_eq!(printed.code, 0, "{printed:?}");
    let rows: Vec<Value> = serde_json::from_str(&printed.stdout).unwrap();
    let standing = |pod: &str| rows.iter().find(|row| row["pod"] == pod).map(|row| row["standing"].clone());
    assert_eq!(rows.len(), 3, "{rows:?}");
    assert_eq!(standing("web-0"), Some(json!("Prepared")));
    let of_two = [standing("db-0"), standing("db-1")];
    for one in ["Prepared", "Waiting"] {
        assert!(of_two.contains(&Some(json!(one))), "one of the two at a time: {rows:?}");
    }
    for pod in ["db-0", "db-1", "web-0"] {
        assert_eq!(shell(&format!("castoff cancel {pod} -n {} --wait", scene.namespace)).await.code, 0);
    }
    scene.nothing_left_behind().await;
}

async fn a_node_that_shows_that_it_will_go_has_its_pods_prepared_but_no_cordon_does(scene: Arc<Scene>) {
    let (key, node) = (taint(&scene), scene.node_name(2));
    scene.stateful_set("app", 1, json!({"template": {"spec": {"nodeSelector": scene.on_node(2)}}})).await;
    scene.hook_policy("app", json!({"prepareAhead": [{"taint": key}], "abandonAfterSeconds": 5})).await;
    let cordon = json!({"spec": {"prepareAhead": [{"taint": "node.kubernetes.io/unschedulable"}]}}).to_string();
    let refused = scene.kubectl(&["patch", "drainpolicy", "app", "--type=merge", "-p", &cordon]).await;
    assert!(refused.code == 1 && refused.stderr.contains("a cordon alone"), "{refused:?}");
    cluster_wide(&["taint", "node", node, &format!("{key}=:PreferNoSchedule")]).await;
    scene.until_phase("app-0", "Drained").await;
    // Nobody asks, and as long as the node shows it, nothing is given up.
    scene
        .stays("it stays prepared", Duration::from_secs(20), || async { scene.phase("app-0").await == "Drained" })
        .await;
    assert_eq!(scene.events("DrainUnasked").await.len(), 0);
    let uid = scene.uid("app-0").await;
    scene.until_allowed("app-0").await;
    cluster_wide(&["taint", "node", node, &format!("{key}-")]).await;
    scene.until_replaced("app-0", &uid).await;
    scene.nothing_left_behind().await;
}

/// It tries for a while, takes its taint off, and comes back in a later round.
async fn an_autoscaler_that_gives_up_and_comes_back_moves_leaders_once(scene: Arc<Scene>) {
    let (key, node) = (taint(&scene), scene.node_name(2));
    scene.stateful_set("app", 1, json!({"template": {"spec": {"nodeSelector": scene.on_node(2)}}})).await;
    scene.hook_policy("app", json!({"prepareAhead": [{"taint": key}], "abandonAfterSeconds": 5})).await;
    let (uid, ip) = scene.busy("app-0").await;
    let witness = Witness::of(&scene, "app", 1).await;
    let begins = || async { cluster_wide(&["taint", "node", node, &format!("{key}=:PreferNoSchedule")]).await };
    let ends = || async { cluster_wide(&["taint", "node", node, &format!("{key}-")]).await };
    begins().await;
    scene.until_phase("app-0", "Draining").await;
    for _ in 0..3 {
        assert!(scene.delete_as(AUTOSCALER, "app-0").await.is_err());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    ends().await;
    scene.let_get_ready(&ip);
    scene.until_phase("app-0", "Drained").await;
    scene
        .stays("nobody asks, and it is kept", Duration::from_secs(20), || async {
            scene.phase("app-0").await == "Drained" && scene.hooks().at(&ip, |app| app.prepared_times()) == 1
        })
        .await;
    begins().await;
    scene
        .until("the next round finds it prepared", 10, || async { scene.delete_as(AUTOSCALER, "app-0").await.ok() })
        .await;
    ends().await;
    scene.until_replaced("app-0", &uid).await;
    scene.nothing_left_behind().await;
    witness.all_left_prepared_once();
}

async fn pods_of_one_zone_leave_together_and_those_of_another_after_them(scene: Arc<Scene>) {
    scene.stateful_set("app", 4, json!({"podManagementPolicy": "Parallel"})).await;
    for (pod, zone) in [("app-0", "a"), ("app-1", "a"), ("app-2", "b"), ("app-3", "b")] {
        scene.must(&["label", "pod", pod, &format!("zone={zone}")]).await;
    }
    let both = json!({"spec": {"maxUnavailable": 1, "minAvailable": 1}}).to_string();
    scene.hook_policy("app", json!({"spread": {"topologyKey": "zone"}})).await;
    let refused = scene.kubectl(&["patch", "drainpolicy", "app", "--type=merge", "-p", &both]).await;
    assert!(refused.code == 1 && refused.stderr.contains("not both"), "{refused:?}");
    let uids = [scene.uid("app-0").await, scene.uid("app-1").await];
    for pod in ["app-0", "app-1"] {
        scene.denied(pod).await;
        scene.until_phase(pod, "Drained").await;
    }
    scene.denied("app-2").await;
    scene.until_message("app-2", "(in another zone by zone)").await;
    scene.until_all_left(&[("app-0", &uids[0]), ("app-1", &uids[1])]).await;
    for (pod, uid) in ["app-0", "app-1"].into_iter().zip(&uids) {
        scene.until_replaced(pod, uid).await;
    }
    scene.until_phase("app-2", "Drained").await;
    assert_eq!(shell(&format!("castoff cancel app-2 -n {} --wait", scene.namespace)).await.code, 0);
    scene.nothing_left_behind().await;
}

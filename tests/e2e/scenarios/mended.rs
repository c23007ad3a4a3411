//! Policies and plans with a mistake, mended on the way; pods that come under another policy; drains that a person ends.

use std::sync::Arc;

use kube::ResourceExt;
use serde_json::{Value, json};

use super::{Scenario, scenarios};
use crate::scene::Scene;

pub const ALL: [Scenario; 4] = scenarios![Shared:
    a_drain_that_waits_follows_its_policy_when_that_is_mended,
    a_pod_that_is_relabelled_is_begun_anew_under_the_policy_that_guards_it_now,
    a_plan_whose_restore_is_mended_lets_the_restore_go_on,
    a_drain_whose_restore_fails_ends_within_a_minute_when_deleted_and_is_told,
];

async fn a_drain_that_waits_follows_its_policy_when_that_is_mended(scene: Arc<Scene>) {
    scene.stateful_set("app", 1, json!({})).await;
    // Nobody listens there.
    scene.policy("app", "http-hook", json!({"port": 1}), json!({})).await;
    let uid = scene.uid("app-0").await;
    scene.denied("app-0").await;
    scene.until_message("app-0", "does not answer").await;
    scene.hook_policy("app", json!({})).await;
    scene.until_phase("app-0", "Drained").await;
    scene.until_allowed("app-0").await;
    scene.until_replaced("app-0", &uid).await;
    scene.nothing_left_behind().await;
}

async fn a_pod_that_is_relabelled_is_begun_anew_under_the_policy_that_guards_it_now(scene: Arc<Scene>) {
    scene.ready_bare_pod("pod", "one", json!({})).await;
    scene.hook_policy("one", json!({})).await;
    let other = json!({"steps": [{"name": "others", "plan": {"builtIn": "http-hook"}, "parameters": {"port": scene.hooks().port}}]});
    scene.named_policy("two", "two", "http-hook", json!({}), other).await;
    scene.guarding("one").await;
    let (uid, ip) = scene.busy("pod").await;
    scene.denied("pod").await;
    scene.until_phase("pod", "Draining").await;
    scene.must(&["label", "pod", "pod", "app=two", "--overwrite"]).await;
    scene
        .until("it is begun anew", 60, || async {
            scene.kubectl(&["delete", "pod", "pod", "--wait=false"]).await;
            let drain = scene.drain("pod").await?;
            (drain.data["spec"]["policy"] == "two" && drain.data["status"]["phase"] == "Draining").then_some(())
        })
        .await;
    assert!(scene.stands("pod", &uid).await);
    let asked = scene.hooks().at(&ip, |app| app.asked.clone());
    assert!(asked.contains(&axum::http::Method::DELETE), "the first one's steps were not undone: {asked:?}");
    let drain = scene.drain("pod").await.unwrap();
    assert_eq!(drain.data["status"]["steps"][0]["name"], "others");
    scene.let_get_ready(&ip);
    scene.until_all_left(&[("pod", &uid)]).await;
    scene.until_all_completed().await;
}

/// A plan of one's own, whose restore asks for this, and a policy by it.
async fn own_plan(scene: &Scene, restore_when: &str) {
    let plan = json!({
        "apiVersion": "castoff.dev/v1alpha1", "kind": "DrainPlan", "metadata": {"name": "{ns}"},
        "spec": {
            "summary": "Asks the application to get ready",
            "params": {"port": {"type": "integer", "required": true}},
            "endpoints": {"app": {"url": "http://${pod.status.podIP}:${params.port}/"}},
            "observe": {"state": {"url": "${app}"}},
            "prepare": [{"when": "state.body.state == 'Idle'", "method": "POST", "url": "${app}"}],
            "done": "state.body.state == 'Prepared'",
            "restore": [{"when": restore_when, "method": "DELETE", "url": "${app}"}],
        },
    });
    scene.apply(&plan.to_string()).await;
    let steps = json!([{"name": "ask", "plan": {"name": scene.namespace}, "parameters": {"port": scene.hooks().port}}]);
    scene.policy("app", "http-hook", json!({}), json!({"steps": steps})).await;
}

/// Shows only once it is evaluated, which is when a restore is made.
const WRONG: &str = "state.body.blocked.split(' ')[7] == 'x'";

/// Prepared by that plan, then given up: the restore fails.
async fn restore_fails(scene: &Scene) -> String {
    scene.stateful_set("app", 1, json!({})).await;
    own_plan(scene, WRONG).await;
    scene.denied("app-0").await;
    scene.until_phase("app-0", "Drained").await;
    scene.cancel("app-0").await;
    scene.until_phase("app-0", "Restoring").await;
    scene.until_message("app-0", "restore").await;
    scene.ip("app-0").await
}

async fn a_plan_whose_restore_is_mended_lets_the_restore_go_on(scene: Arc<Scene>) {
    let ip = restore_fails(&scene).await;
    own_plan(&scene, "state.body.state != 'Idle'").await;
    scene.until_phase("app-0", "Completed").await;
    assert_eq!(scene.hooks().at(&ip, |app| app.state), "Idle");
    scene.nothing_left_behind().await;
    crate::installation::kubectl(&["delete", "drainplan", &scene.namespace]).await;
}

async fn a_drain_whose_restore_fails_ends_within_a_minute_when_deleted_and_is_told(scene: Arc<Scene>) {
    let ip = restore_fails(&scene).await;
    let name = scene.drain("app-0").await.unwrap().name_any();
    scene.must(&["delete", "poddrain", &name, "--timeout=60s"]).await;
    assert_eq!(scene.hooks().at(&ip, |app| app.state), "Prepared", "nothing could be undone");
    scene
        .until("it is told what may be left", 20, || async {
            scene.events("NotRestored").await.iter().any(|told| told.contains("may be left")).then_some(())
        })
        .await;
    let policy: Value = scene.object("DrainPolicy", "app").await.unwrap().data["status"]["departing"].clone();
    assert!(policy.as_array().is_none_or(Vec::is_empty), "{policy}");
    crate::installation::kubectl(&["delete", "drainplan", &scene.namespace]).await;
}

//! What people look at before the first delete and after the last, and what they are told to type.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Scenario, scenarios};
use crate::doctor::{shell, type_next};
use crate::scene::Scene;

pub const ALL: [Scenario; 5] = scenarios![Shared:
    a_policy_is_ready_only_once_its_backend_was_seen,
    labels_that_no_pod_has_where_a_step_looks_are_told,
    what_is_over_is_kept_in_the_policys_history,
    whoever_describes_a_held_pod_reads_what_is_to_be_mended,
    what_a_held_pod_says_is_to_be_typed_can_be_typed,
];

/// Waits until the policy's columns say this.
async fn until_columns(scene: &Scene, ready: &str, reason: &str) -> String {
    scene
        .until(&format!("the policy says {reason}"), 40, || async {
            let status = scene.object("DrainPolicy", "app").await?.data["status"].clone();
            (status["ready"] == ready && status["reason"] == reason).then(|| status["message"].to_string())
        })
        .await
}

async fn a_policy_is_ready_only_once_its_backend_was_seen(scene: Arc<Scene>) {
    scene.stateful_set("app", 1, json!({})).await;
    // Nobody listens there.
    scene.policy("app", "http-hook", json!({"port": 1}), json!({})).await;
    let message = until_columns(&scene, "False", "BackendNotReached").await;
    assert!(message.contains("it refuses connections: is the port right"), "{message}");
    scene.hook_policy("app", json!({})).await;
    until_columns(&scene, "True", "Guarding").await;
    let ip = scene.ip("app-0").await;
    let asked = scene.hooks().at(&ip, |app| app.asked.clone());
    assert!(asked.iter().all(|method| *method == axum::http::Method::GET), "a look has acted: {asked:?}");
}

async fn labels_that_no_pod_has_where_a_step_looks_are_told(scene: Arc<Scene>) {
    scene.stateful_set("app", 1, json!({})).await;
    scene.policy("app", "neighbours", json!({"selector": "app=nobody-has-this"}), json!({})).await;
    let message = until_columns(&scene, "False", "NothingSelected").await;
    assert!(message.contains("0 there, none elsewhere"), "{message}");
}

async fn what_is_over_is_kept_in_the_policys_history(scene: Arc<Scene>) {
    scene.guarded().await;
    let uid = scene.uid("app-0").await;
    scene.denied("app-0").await;
    scene.until_allowed("app-0").await;
    scene.until_replaced("app-0", &uid).await;
    scene.until_all_completed().await;
    let history = scene
        .until("the policy remembers", 150, || async {
            let policy = scene.object("DrainPolicy", "app").await?;
            policy.data["status"]["history"].as_array().filter(|history| !history.is_empty()).cloned()
        })
        .await;
    assert_eq!((&history[0]["pod"], &history[0]["outcome"]), (&json!("app-0"), &json!("Prepared")), "{history:?}");
    let printed = shell(&format!("castoff history app-0 -n {} -o json", scene.namespace)).await;
    assert_eq!(printed.code, 0, "{printed:?}");
    let told: Value = serde_json::from_str(&printed.stdout).unwrap();
    assert_eq!(told["drains"].as_array().unwrap().len(), 1, "{told}");
    assert_eq!(told["policies"][0]["drains"], 1, "{told}");
}

async fn what_a_held_pod_says_is_to_be_typed_can_be_typed(scene: Arc<Scene>) {
    scene.stateful_set("app", 1, json!({})).await;
    scene.policy("app", "http-hook", json!({"port": 1}), json!({})).await;
    type_next(&scene, "app-0", "kubectl edit drainpolicy app").await;
    let wrong = json!([{"name": "prepare", "plan": {"name": "no-such-plan"}}]);
    scene.named_policy("app", "app", "http-hook", json!({}), json!({"steps": wrong})).await;
    type_next(&scene, "app-0", "see the mistake above").await;
    // A Secret that is not there yet, then one that Castoff may not read: the commands let it.
    let steps = |secret: &str| {
        json!([{"name": "prepare", "plan": {"builtIn": "http-hook"}, "parameters": {"port": scene.hooks().port},
            "credentials": {"secretName": secret}}])
    };
    scene.named_policy("app", "app", "http-hook", json!({}), json!({"steps": steps("app")})).await;
    scene.must(&["create", "secret", "generic", "app", "--from-literal=token=t"]).await;
    type_next(&scene, "app-0", "kubectl create role castoff-app").await;
    type_next(&scene, "app-0", "castoff prepare app-0").await;
    scene.until_allowed("app-0").await;
}

async fn whoever_describes_a_held_pod_reads_what_is_to_be_mended(scene: Arc<Scene>) {
    scene.stateful_set("app", 1, json!({})).await;
    scene.policy("app", "http-hook", json!({"port": 1}), json!({})).await;
    scene.denied("app-0").await;
    let told = || async { scene.events("BackendNotReached").await.pop() };
    let note = scene.until("the pod has an event", 15, told).await;
    assert!(note.contains("policy app, step prepare: http://") && note.contains("is the port right"), "{note}");
    assert!(note.ends_with("Runbook: castoff runbook backend-does-not-answer"), "{note}");
    let described = scene.kubectl(&["describe", "pod", "app-0"]).await;
    assert!(described.stdout.contains("BackendNotReached"), "{described:?}");
}

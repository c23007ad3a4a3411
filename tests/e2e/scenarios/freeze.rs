//! A person freezes a policy: nothing begins, and what is prepared stays held.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Scenario, scenarios};
use crate::doctor::shell;
use crate::scene::Scene;

pub const ALL: [Scenario; 1] =
    scenarios![Shared: a_frozen_policy_begins_nothing_and_holds_what_is_prepared_until_it_is_thawed];

async fn castoff(scene: &Scene, command: &str) -> String {
    let printed = shell(&format!("castoff {command} -n {}", scene.namespace)).await;
    assert_eq!(printed.code, 0, "{command}: {printed:?}");
    printed.stdout
}

async fn condition(scene: &Scene) -> Value {
    let policy = scene.object("DrainPolicy", "app").await.unwrap();
    let conditions = policy.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|condition| condition["type"] == "Frozen").unwrap_or_default()
}

async fn a_frozen_policy_begins_nothing_and_holds_what_is_prepared_until_it_is_thawed(scene: Arc<Scene>) {
    scene.stateful_set("app", 2, json!({})).await;
    scene.hook_policy("app", json!({"maxUnavailable": 2})).await;
    let (uid, ip) = (scene.uid("app-0").await, scene.ip("app-0").await);
    scene.denied("app-1").await;
    scene.until_phase("app-1", "Drained").await;
    let printed = castoff(&scene, "freeze app --reason INC-4711 --until 1h").await;
    assert!(printed.contains(" until "), "{printed}");
    scene
        .until("the policy says so", 20, || async {
            let condition = condition(&scene).await;
            let says = condition["message"].as_str().is_some_and(|message| message.contains("INC-4711"));
            (condition["status"] == "True" && says).then_some(())
        })
        .await;
    let said = scene.denied("app-0").await;
    assert!(said.contains("policy app is frozen by ") && said.contains(": INC-4711"), "{said}");
    scene.until_phase("app-1", "Draining").await;
    scene
        .stays("nothing begins, nothing leaves", Duration::from_secs(5), || async {
            let said = scene.delete("app-1").await;
            said.code() == 429
                && scene.phase("app-0").await == "Queued"
                && scene.hooks().at(&ip, |app| app.state) == "Idle"
        })
        .await;
    castoff(&scene, "unfreeze app").await;
    // What waited goes on by itself, and what was prepared was not prepared again.
    scene.until_phase("app-0", "Drained").await;
    scene.until_phase("app-1", "Drained").await;
    scene.until_allowed("app-0").await;
    scene.until_replaced("app-0", &uid).await;
    castoff(&scene, "cancel app-1 --wait").await;
    scene.nothing_left_behind().await;
}

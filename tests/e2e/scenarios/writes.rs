//! What a departure costs the API server.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Scenario, scenarios};
use crate::ground::Need;
use crate::scene::Scene;

pub const ALONE: [Scenario; 1] =
    scenarios![Alone, Need::OwnControlPlane => a_departure_that_goes_well_takes_at_most_ten_writes];

/// Needs the audit log, so a control plane whose files can be read.
async fn a_departure_that_goes_well_takes_at_most_ten_writes(scene: Arc<Scene>) {
    scene.stateful_set("app", 1, json!({})).await;
    scene.hook_policy("app", json!({})).await;
    let uid = scene.uid("app-0").await;
    let before = writes(&scene).len();
    scene.must(&["rollout", "restart", "statefulset/app"]).await;
    scene.until_replaced("app-0", &uid).await;
    scene.nothing_left_behind().await;
    // Whatever would come a little later counts too.
    scene.stays("it is over", std::time::Duration::from_secs(3), || async { true }).await;
    let writes = writes(&scene).split_off(before);
    println!("writes of one departure:\n  {}", writes.join("\n  "));
    assert!(writes.len() > 5, "the audit log holds less than there must have been");
    // The application has nothing left to do from the beginning, so that none of them is progress.
    assert!(writes.len() <= 10, "{} writes:\n{}", writes.len(), writes.join("\n"));
}

/// The guard's own writes in this namespace, but for events.
fn writes(scene: &Scene) -> Vec<String> {
    let log = std::fs::read_to_string(std::env::var("CASTOFF_TEST_CLUSTER_AUDIT_LOG").unwrap()).unwrap();
    let mine = |line: &str| {
        let entry: Value = serde_json::from_str(line).ok()?;
        let (object, text) = (&entry["objectRef"], |value: &Value| value.as_str().unwrap_or_default().to_owned());
        let user = text(&entry["user"]["username"]);
        let is_guard = user.starts_with("system:serviceaccount:castoff-system:")
            || (user == "admin" && !text(&entry["userAgent"]).starts_with("kubectl"));
        let is_here = object["namespace"] == scene.namespace.as_str() && entry["stage"] == "ResponseComplete";
        (is_guard && is_here && object["resource"] != "events").then(|| {
            let [verb, resource, part, name] =
                [&entry["verb"], &object["resource"], &object["subresource"], &object["name"]].map(text);
            format!("{verb} {resource} {part} {name} {}", entry["responseStatus"]["code"])
        })
    };
    log.lines().filter(|line| line.contains(&scene.namespace)).filter_map(mine).collect()
}

//! What a departure costs the API server.

use std::sync::Arc;

use serde_json::json;

use super::{Scenario, scenarios};
use crate::audit::{self, GUARD, Line};
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
    let lines = audit::of_namespace(&scene.namespace).unwrap();
    let is_write = |line: &&Line| line.user() == GUARD && line.changes() && line.about("resource") != "events";
    lines.iter().filter(is_write).map(ToString::to_string).collect()
}

//! What Kubernetes does only with a feature gate that is off as shipped.

use std::sync::Arc;

use serde_json::json;

use crate::ground::Need;
use crate::scenarios::{Scenario, scenarios};
use crate::scene::Scene;
use crate::witness::Witness;

pub const GATED: [Scenario; 1] =
    scenarios![Shared, Need::Gate => a_statefulset_that_rolls_three_at_once_keeps_to_the_policys_limit];

async fn a_statefulset_that_rolls_three_at_once_keeps_to_the_policys_limit(scene: Arc<Scene>) {
    let strategy = json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 3}}});
    scene.stateful_set("app", 6, strategy).await;
    let kept = scene
        .must(&["get", "statefulset", "app", "-o", "jsonpath={.spec.updateStrategy.rollingUpdate.maxUnavailable}"])
        .await;
    assert_eq!(kept, "3", "this API server drops a StatefulSet's maxUnavailable");
    scene.hook_policy("app", json!({"maxUnavailable": 2})).await;
    let witness = Witness::of(&scene, "app", 6).await;
    scene.must(&["rollout", "restart", "statefulset/app"]).await;
    scene.must(&["rollout", "status", "statefulset/app", "--timeout=180s"]).await;
    scene.nothing_left_behind().await;
    assert_eq!(witness.left().len(), 6);
    witness.all_left_prepared_once();
    assert!(witness.most_away() <= 2, "{} were away at once", witness.most_away());
}

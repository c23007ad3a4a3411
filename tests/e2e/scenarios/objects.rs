//! Steps that read and change Kubernetes' own objects, as far as a Role in the namespace lets Castoff.

use std::sync::Arc;

use serde_json::json;

use super::{Scenario, scenarios};
use crate::doctor::type_next;
use crate::scene::Scene;

pub const ALL: [Scenario; 1] = scenarios![Shared: a_pod_is_taken_out_of_its_services_as_far_as_a_role_lets_castoff];

/// The label by which Services choose the pod, and what it was before.
async fn label(scene: &Scene, pod: &str) -> (Option<String>, Option<String>) {
    let Some(pod) = scene.pod(pod).await else { return (None, None) };
    let of = |map: &Option<std::collections::BTreeMap<String, String>>, key: &str| map.as_ref()?.get(key).cloned();
    (of(&pod.metadata.labels, "serving"), of(&pod.metadata.annotations, "out-of-service.castoff.dev/label"))
}

async fn a_pod_is_taken_out_of_its_services_as_far_as_a_role_lets_castoff(scene: Arc<Scene>) {
    let serving = json!({"template": {"metadata": {"labels": {"app": "app", "serving": "yes"}}}});
    scene.stateful_set("app", 2, serving).await;
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "app", "namespace": "{ns}"},
        "spec": {"selector": {"app": "app", "serving": "yes"}, "ports": [{"port": 80}]},
    });
    scene.apply(&service.to_string()).await;
    scene.policy("app", "out-of-service", json!({"label": "serving"}), json!({})).await;
    let uid = scene.uid("app-1").await;
    scene.denied("app-1").await;
    for missing in ["list-services", "relabel-pods"] {
        assert_eq!(label(&scene, "app-1").await, (Some("yes".to_owned()), None), "nothing was changed");
        type_next(&scene, "app-1", missing).await;
    }
    // Whether it is out of them can't be seen yet.
    type_next(&scene, "app-1", "list-endpointslices").await;
    assert_eq!(label(&scene, "app-1").await, (Some("no".to_owned()), Some("yes".to_owned())));
    scene.until_all_left(&[("app-1", &uid)]).await;
    scene.until_replaced("app-1", &uid).await;
    assert_eq!(label(&scene, "app-1").await, (Some("yes".to_owned()), None), "the next one serves");
    scene.nothing_left_behind().await;

    // One that nobody asks for any more is put back.
    scene.policy("app", "out-of-service", json!({"label": "serving"}), json!({"abandonAfterSeconds": 12})).await;
    let uid = scene.uid("app-0").await;
    scene.denied("app-0").await;
    scene.until_phase("app-0", "Drained").await;
    scene.until_phase("app-0", "Completed").await;
    assert!(scene.stands("app-0", &uid).await);
    assert_eq!(label(&scene, "app-0").await, (Some("yes".to_owned()), None));
}

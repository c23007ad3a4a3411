//! What Castoff keeps in order by itself: its Secret, and drains that are over. And the Secrets of others, which it
//! reads only where it is allowed to.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::{Scenario, scenarios};
use crate::ground::Need;
use crate::installation::NAMESPACE;
use crate::scene::Scene;

pub const SHARED: [Scenario; 1] = scenarios![Shared: a_secret_of_a_policy_is_read_only_where_a_role_allows_it];

pub const ALONE: [Scenario; 2] = scenarios![Alone, Need::Processes =>
    a_certificate_that_is_spoilt_is_made_anew_and_pods_are_held_all_the_while,
    a_departure_that_is_over_is_removed_after_its_time,
];

async fn a_secret_of_a_policy_is_read_only_where_a_role_allows_it(scene: Arc<Scene>) {
    scene.stateful_set("app", 1, json!({})).await;
    scene.must(&["create", "secret", "generic", "api", "--from-literal=token=of-the-scenario"]).await;
    let (plan, parameters) = (json!({"builtIn": "http-hook"}), json!({"port": scene.hooks().port}));
    let step = json!({"name": "ask", "plan": plan, "parameters": parameters, "credentials": {"secretName": "api"}});
    scene.policy("app", "http-hook", json!({}), json!({"steps": [step]})).await;
    let uid = scene.uid("app-0").await;
    let why = format!("may not read the Secret {}/api: allow it by a Role", scene.namespace);
    scene.until("the denial says why", 20, || async { scene.denied("app-0").await.contains(&why).then_some(()) }).await;
    let recipe = include_str!("../../../manifests/recipes/reading-secrets.yaml");
    let recipe = recipe.replace("namespace: tidb", "namespace: {ns}").replace("basic-cluster-client-secret", "api");
    scene.apply(&recipe).await;
    scene.until_allowed("app-0").await;
    scene.until_replaced("app-0", &uid).await;
    scene.nothing_left_behind().await;
}

async fn a_certificate_that_is_spoilt_is_made_anew_and_pods_are_held_all_the_while(scene: Arc<Scene>) {
    scene.stateful_set("app", 1, json!({})).await;
    scene.hook_policy("app", json!({})).await;
    let ip = scene.ip("app-0").await;
    scene.hooks().at(&ip, |app| (app.inflight, app.done_per_look) = (1, 0));
    scene.denied("app-0").await;
    let secrets: Api<Secret> = Api::namespaced(scene.client.clone(), NAMESPACE);
    let spoilt = Patch::Merge(json!({"stringData": {"tls.crt": "no certificate"}}));
    secrets.patch("castoff-tls", &PatchParams::default(), &spoilt).await.unwrap();
    scene
        .until("there is a certificate again", 20, || async {
            scene.denied("app-0").await;
            let data = secrets.get("castoff-tls").await.unwrap().data.unwrap();
            data["tls.crt"].0.starts_with(b"-----BEGIN CERTIFICATE-----").then_some(())
        })
        .await;
    // What was served meanwhile could not be known to be gone: the API server goes by the authority, and that stays.
    scene.denied("app-0").await;
    scene.hooks().at(&ip, |app| app.done_per_look = 1);
    scene.until_allowed("app-0").await;
}

async fn a_departure_that_is_over_is_removed_after_its_time(scene: Arc<Scene>) {
    scene.stateful_set("app", 1, json!({})).await;
    scene.hook_policy("app", json!({})).await;
    let uid = scene.uid("app-0").await;
    scene.until_allowed("app-0").await;
    scene.until_replaced("app-0", &uid).await;
    scene.until_all_completed().await;
    assert_eq!(scene.drains().await.len(), 1, "it is kept for an hour");
    scene.processes().serve_with(&["--completed-ttl", "2s"]).await;
    scene.until("it is removed", 30, || async { scene.drains().await.is_empty().then_some(()) }).await;
    scene.processes().serve_with(&[]).await;
}

//! `castoff doctor` finds what is wrong with what is guarded: policies, backends, whatever else is in the way.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use castoff::admission::Malformed;
use castoff::runtime::shutdown::Shutdown;
use castoff::runtime::{Liveness, Readiness};
use castoff::server::{Config, Gate, Server};
use castoff::trust::Certificates;
use castoff::trust::authority::Authority;
use prometheus::Registry;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::doctor::{Finding, shell};
use crate::ground::Need;
use crate::moves::cluster_wide;
use crate::scenarios::{Scenario, scenarios};
use crate::scene::Scene;

pub const ALONE: [Scenario; 6] = scenarios![Alone:
    the_doctor_finds_nothing_wrong_with_a_healthy_installation,
    the_doctor_finds_policies_that_guard_nothing_or_hold_everything,
    the_doctor_finds_a_backend_that_is_silent_and_a_departure_that_is_stalled,
    the_doctor_finds_what_waits_for_longer_than_is_good,
    the_doctor_finds_a_budget_that_never_lets_a_pod_go,
    the_doctor_notes_a_pod_that_no_autoscaler_will_ever_ask_for,
];

/// The API server must reach a webhook of the test's own.
pub const ON_THIS_MACHINE: [Scenario; 1] =
    scenarios![Alone, Need::Processes => the_doctor_finds_another_webhook_that_keeps_a_prepared_pod];

async fn the_doctor_finds_nothing_wrong_with_a_healthy_installation(scene: Arc<Scene>) {
    scene.guarded().await;
    scene.doctor_finds_nothing().await;
    // A drain under way is no fault.
    let ip = scene.ip("app-0").await;
    scene.hooks().at(&ip, |app| (app.inflight, app.done_per_look) = (1, 0));
    scene.denied("app-0").await;
    scene.until_phase("app-0", "Draining").await;
    let printed = shell("castoff doctor").await;
    assert_eq!(printed.code, 0, "{printed:?}");
    assert!(printed.stdout.starts_with("nothing is wrong; looked at policies: 1, drains: "), "{printed:?}");
}

async fn the_doctor_finds_policies_that_guard_nothing_or_hold_everything(scene: Arc<Scene>) {
    scene.guarded().await;
    let named = |name: &str| format!("policy {}/{name}: ", scene.namespace);

    scene.named_policy("nobody", "nobody", "http-hook", json!({}), json!({})).await;
    let found = scene.doctor_finds("PolicyWithoutPods", &named("nobody")).await;
    assert_eq!(found.runbook.as_deref(), Some("nopods"));
    scene
        .until("the policy says where to read on", 20, || async {
            let message = ["get", "drainpolicy", "nobody", "-o", "jsonpath={.status.conditions[0].message}"];
            let told = scene.must(&message).await;
            told.ends_with("nothing is guarded. Runbook: castoff runbook nopods").then_some(())
        })
        .await;
    scene.must(&["delete", "drainpolicy", "nobody"]).await;
    scene.doctor_no_longer_finds("PolicyWithoutPods").await;

    scene.named_policy("second", "app", "http-hook", json!({}), json!({})).await;
    scene.doctor_finds("PolicyConflict", &named("app")).await;
    scene.must(&["delete", "drainpolicy", "second"]).await;
    scene.doctor_no_longer_finds("PolicyConflict").await;

    let no_such_plan = json!([{"name": "prepare", "plan": {"name": "no-such-plan"}}]);
    scene.named_policy("app", "app", "http-hook", json!({}), json!({"steps": no_such_plan})).await;
    let found = scene.doctor_finds("PolicyNotValid", &named("app")).await;
    assert!(found.what.contains("there is no DrainPlan no-such-plan"), "{found:?}");
    scene.hook_policy("app", json!({})).await;
    scene.doctor_finds_nothing().await;
}

async fn the_doctor_finds_a_backend_that_is_silent_and_a_departure_that_is_stalled(scene: Arc<Scene>) {
    scene.stateful_set("app", 1, json!({})).await;
    scene.hook_policy("app", json!({"progressDeadlineSeconds": 2})).await;
    let ip = scene.ip("app-0").await;
    scene.hooks().at(&ip, |app| app.broken = Some(500));
    let found = scene.doctor_finds("BackendSilent", &format!("policy {}/app", scene.namespace)).await;
    assert!(found.what.contains("step prepare") && found.what.contains(&ip), "{found:?}");
    scene.hooks().at(&ip, |app| app.broken = None);
    scene.doctor_finds_nothing().await;

    scene.hooks().at(&ip, |app| (app.inflight, app.done_per_look) = (3, 0));
    scene.denied("app-0").await;
    let found = scene.doctor_finds("Stalled", &format!("{}/app-0", scene.namespace)).await;
    assert!(found.fix.contains("describe pdr app-0-"), "{found:?}");
    scene.hooks().at(&ip, |app| app.done_per_look = 3);
    scene.doctor_finds_nothing().await;
}

async fn the_doctor_finds_what_waits_for_longer_than_is_good(scene: Arc<Scene>) {
    scene.guarded().await;
    let ip = scene.ip("app-0").await;
    scene.hooks().at(&ip, |app| app.blocked.push_str("the other half is away"));
    scene.denied("app-0").await;
    scene.until_state("app-0", "Blocked").await;
    let node = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "{ns}"},
        "spec": {"providerID": "aws:///eu-central-1a/i-1", "unschedulable": true},
    });
    scene.apply(&node.to_string()).await;
    scene.doctor_finds_nothing().await;
    let pod = format!("{}/app-0", scene.namespace);
    let reasons = |found: Vec<Finding>| -> Vec<String> {
        let about = |found: &Finding| found.what.contains(&pod);
        found.into_iter().filter(about).map(|found| found.reason).collect()
    };
    assert_eq!(reasons(scene.findings_in(9 * 60).await), [""; 0], "it may go on by itself yet");
    assert_eq!(reasons(scene.findings_in(12 * 60).await), ["Blocked"]);
    let found = scene.findings_in(20 * 60).await;
    let slow = found.iter().find(|found| found.reason == "SlowerThanUpgrades").unwrap();
    assert!(slow.what.contains("gives an upgrade up after 15 minutes"), "{slow:?}");
    assert_eq!(reasons(found), ["Blocked", "SlowerThanUpgrades"]);
    cluster_wide(&["delete", "node", &scene.namespace]).await;
    scene.hooks().at(&ip, |app| app.blocked.clear());
    scene.doctor_finds_nothing().await;
}

async fn the_doctor_finds_a_budget_that_never_lets_a_pod_go(scene: Arc<Scene>) {
    scene.guarded().await;
    scene.budget("never", "maxUnavailable", 0).await;
    scene.doctor_finds("BudgetInTheWay", &format!("{}/never", scene.namespace)).await;
    scene.must(&["delete", "pdb", "never"]).await;
    scene.doctor_finds_nothing().await;
}

async fn the_doctor_notes_a_pod_that_no_autoscaler_will_ever_ask_for(scene: Arc<Scene>) {
    scene.guarded().await;
    scene.annotate("pod", "app-0", &["karpenter.sh/do-not-disrupt=true"]).await;
    let note = scene.doctor_notes("NeverAsked").await;
    assert!(note.what.contains(&format!("policy {}/app guards app-0", scene.namespace)), "{note:?}");
    assert_eq!(shell(&note.fix).await.code, 0, "{note:?}");
    scene.doctor_finds_nothing().await;
}

async fn the_doctor_finds_another_webhook_that_keeps_a_prepared_pod(scene: Arc<Scene>) {
    scene.guarded().await;
    // Prepared, so that nothing but the other one holds it.
    scene.denied("app-0").await;
    scene.until_phase("app-0", "Drained").await;
    let other = OtherWebhook::start(&scene).await;
    let found = scene.doctor_finds("OtherWebhook", "other.example.com, denies the delete of").await;
    assert!(found.what.contains("never on a Thursday"), "{found:?}");
    other.server.abort();
    scene.doctor_finds("OtherWebhook", "other.example.com, can't be asked").await;
    cluster_wide(&["delete", "validatingwebhookconfiguration", &scene.namespace]).await;
    // That nobody asks for the prepared pod is found too, where all this takes longer than a minute.
    scene.doctor_no_longer_finds("OtherWebhook").await;
}

/// A webhook of somebody else's, which denies every delete of a pod in the scene's namespace.
struct OtherWebhook {
    server: JoinHandle<()>,
}

impl OtherWebhook {
    async fn start(scene: &Scene) -> OtherWebhook {
        let authority = Authority::make("other", None).unwrap();
        let pair = authority.issue(&["127.0.0.1".to_owned()], None).unwrap();
        let certificates = Certificates::none_yet();
        certificates.serve(pair.certificate.as_bytes(), pair.key.as_bytes()).unwrap();
        let mut config = Config::new(certificates);
        (config.listen, config.admin_listen) = ("127.0.0.1:0".parse().unwrap(), "127.0.0.1:0".parse().unwrap());
        let server = Server::bind(config).await.unwrap();
        let url = format!("https://{}/validate", server.local_addr());
        let run = server.run(Arc::new(Denies), Readiness::new(), Liveness::new(), Registry::new(), Shutdown::new());
        let server = tokio::spawn(async move { run.await.unwrap() });
        let bundle = k8s_openapi::ByteString(authority.certificate().as_bytes().to_vec());
        let webhook = json!({
            "name": "other.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "clientConfig": {"url": url, "caBundle": bundle},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["DELETE"], "resources": ["pods"]}],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "{ns}"}},
        });
        let configuration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "{ns}"}, "webhooks": [webhook],
        });
        scene.apply(&configuration.to_string()).await;
        OtherWebhook { server }
    }
}

struct Denies;

#[async_trait]
impl Gate for Denies {
    async fn answer(&self, body: Bytes, _: Instant) -> Result<Bytes, Malformed> {
        let review: Value = serde_json::from_slice(&body).unwrap();
        let status = json!({"code": 403, "message": "never on a Thursday"});
        let response = json!({"uid": review["request"]["uid"], "allowed": false, "status": status});
        let answer = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
        Ok(answer.to_string().into())
    }
}

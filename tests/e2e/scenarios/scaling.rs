//! Pods that go because there are too many of them, or because their work is to end: removal, and who is chosen.

use std::sync::Arc;
use std::time::Duration;

use castoff::simulation::pd::{Fault, StoreState};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::json;

use super::{Scenario, scenarios};
use crate::backends::Tikv;
use crate::scene::Scene;

pub const ALL: [Scenario; 5] = scenarios![Shared:
    a_pod_that_is_scaled_in_leaves_once_its_store_is_gone_unless_wanted_again,
    exactly_the_prepared_pod_of_a_deployment_goes_and_no_other_is_prepared,
    a_deletion_cost_of_ones_own_is_put_back_when_the_pod_stays,
    a_suspended_job_is_drained_then_gone,
    a_job_that_its_cronjob_replaces_is_drained_then_gone,
];

/// By which a ReplicaSet chooses.
const COST: &str = "controller.kubernetes.io/pod-deletion-cost";

async fn a_pod_that_is_scaled_in_leaves_once_its_store_is_gone_unless_wanted_again(scene: Arc<Scene>) {
    let tikv = Tikv::start(&scene, "tikv", 4, 30).await;
    let store = Tikv::store_of(3);
    let state = || tikv.pd.with_state(|pd| pd.state_of(store));
    tikv.pd.with_state(|pd| pd.tombstone_after = Duration::from_secs(1));
    scene.stateful_set("tikv", 4, json!({})).await;
    scene.policy("tikv", "tikv", json!({"pd": tikv.url}), json!({})).await;
    let uid = scene.uid("tikv-3").await;

    tikv.pd.set_fault(Some(Fault::StuckLeaders));
    scene.must(&["scale", "statefulset/tikv", "--replicas=3"]).await;
    scene
        .until("the store is being removed", 30, || async { (state() == Some(StoreState::Offline)).then_some(()) })
        .await;
    let drain = scene.drain("tikv-3").await.unwrap();
    assert_eq!(drain.data["status"]["mode"], "Removal");

    scene.must(&["scale", "statefulset/tikv", "--replicas=4"]).await;
    scene.until_state("tikv-3", "Completed").await;
    assert_eq!(state(), Some(StoreState::Up), "the store serves again");
    assert!(scene.stands("tikv-3", &uid).await);

    tikv.pd.set_fault(None);
    scene.must(&["scale", "statefulset/tikv", "--replicas=3"]).await;
    scene.until_leaving("tikv-3", &uid).await;
    assert_eq!(state(), Some(StoreState::Tombstone), "its regions were elsewhere before the pod left");
    scene.until_all_completed().await;
    scene.all_ready("tikv", 3).await;
    assert_eq!(tikv.pd.leaders_lost(), 0);
    assert_eq!(tikv.pd.evict_entries(), Vec::<u64>::new());
    let drains = scene.drains().await;
    assert_eq!(drains.len(), 1, "no other pod was asked for");
    assert_eq!(drains[0].data["status"]["outcome"], "Prepared");
}

fn ip(pod: &Pod) -> String {
    pod.status.as_ref().and_then(|status| status.pod_ip.clone()).unwrap()
}

async fn exactly_the_prepared_pod_of_a_deployment_goes_and_no_other_is_prepared(scene: Arc<Scene>) {
    scene.deployment("web", 3).await;
    scene.hook_policy("web", json!({})).await;
    let pods = scene.pods_of("web").await;
    for pod in &pods {
        scene.hooks().at(&ip(pod), |app| (app.inflight, app.done_per_look) = (5, 0));
    }
    scene.must(&["scale", "deployment/web", "--replicas=2"]).await;
    let draining = scene
        .until("one is being prepared", 60, || async {
            scene.drains().await.into_iter().find(|drain| drain.data["status"]["phase"] == "Draining")
        })
        .await;
    // From now on the ReplicaSet ranks another one first.
    let other = pods.iter().find(|pod| draining.data["spec"]["pod"]["name"] != pod.name_any()).unwrap();
    scene.annotate("pod", &other.name_any(), &[&format!("{COST}=-1")]).await;
    scene
        .until("the ReplicaSet asks for another one too", 30, || async {
            (scene.drains().await.len() > 1).then_some(())
        })
        .await;
    for pod in &pods {
        scene.hooks().at(&ip(pod), |app| app.done_per_look = 1);
    }
    let gone = scene
        .until("one leaves", 60, || async {
            for pod in &pods {
                if !scene.stands(&pod.name_any(), &pod.uid().unwrap()).await {
                    return Some(pod.clone());
                }
            }
            None
        })
        .await;
    assert_eq!(scene.hooks().of(&gone).state, "Prepared");
    let asked_for = scene.drains().await.len();
    scene.until_all_completed().await;
    scene.all_ready("web", 2).await;
    for pod in pods.iter().filter(|pod| pod.uid() != gone.uid()) {
        assert!(scene.stands(&pod.name_any(), &pod.uid().unwrap()).await, "{} has left", pod.name_any());
        let app = scene.hooks().at(&ip(pod), |app| app.clone());
        assert!(!app.asked.contains(&axum::http::Method::POST), "a pod that stays was prepared: {app:?}");
    }
    let drains = scene.drains().await;
    let prepared = drains.iter().filter(|drain| drain.data["status"]["outcome"] == "Prepared").count();
    assert_eq!(prepared, 1, "of {asked_for} that the ReplicaSet has asked for");
}

async fn a_deletion_cost_of_ones_own_is_put_back_when_the_pod_stays(scene: Arc<Scene>) {
    scene.deployment("web", 2).await;
    scene.hook_policy("web", json!({})).await;
    let pods = scene.pods_of("web").await;
    for pod in &pods {
        scene.annotate("pod", &pod.name_any(), &[&format!("{COST}=7")]).await;
        scene.hooks().at(&ip(pod), |app| (app.inflight, app.done_per_look) = (1000, 0));
    }
    scene.must(&["scale", "deployment/web", "--replicas=1"]).await;
    let drain = scene
        .until("one is being prepared", 30, || async {
            scene.drains().await.into_iter().find(|drain| drain.data["status"]["phase"] == "Draining")
        })
        .await;
    let name = drain.data["spec"]["pod"]["name"].as_str().unwrap().to_owned();
    let chosen = pods.iter().find(|pod| pod.name_any() == name).unwrap();

    // Somebody else keeps the pod, after the guard has nothing against its going.
    forbid_deletes(&scene, &name).await;
    scene.hooks().at(&ip(chosen), |app| app.done_per_look = 1000);
    let annotation = |key: &'static str| {
        let (scene, name) = (Arc::clone(&scene), name.clone());
        async move { scene.pod(&name).await.unwrap().annotations().get(key).cloned() }
    };
    scene
        .until("it is the first to go", 30, || async {
            (annotation(COST).await.as_deref() == Some("-2147483648")).then_some(())
        })
        .await;
    assert_eq!(annotation("castoff.dev/former-deletion-cost").await.as_deref(), Some("7"));

    scene.must(&["scale", "deployment/web", "--replicas=2"]).await;
    scene.until_state(&name, "Completed").await;
    assert_eq!(annotation(COST).await.as_deref(), Some("7"));
    assert_eq!(annotation("castoff.dev/former-deletion-cost").await, None);
    assert_eq!(annotation("castoff.dev/drained").await, None);
    assert_eq!(scene.hooks().at(&ip(chosen), |app| app.state), "Idle");
    assert!(scene.stands(&name, &chosen.uid().unwrap()).await);
    for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
        scene.must(&["delete", kind, &scene.namespace]).await;
    }
}

/// A policy of the API server's own that lets nobody delete pods here; waits until it is in force.
async fn forbid_deletes(scene: &Scene, pod: &str) {
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "{ns}"},
        "spec": {
            "matchConstraints": {"resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["DELETE"], "resources": ["pods"]},
            ]},
            "validations": [{"expression": "false", "message": "kept by somebody else"}],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": "{ns}"},
        "spec": {
            "policyName": "{ns}", "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "{ns}"}}},
        },
    });
    scene.apply(&policy.to_string()).await;
    scene.apply(&binding.to_string()).await;
    scene
        .until("deletes are forbidden", 30, || async {
            let printed = scene.kubectl(&["delete", "pod", pod, "--dry-run=server"]).await;
            printed.stderr.contains("kept by somebody else").then_some(())
        })
        .await;
}

async fn a_suspended_job_is_drained_then_gone(scene: Arc<Scene>) {
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "work", "namespace": "{ns}"},
        "spec": {"parallelism": 2, "template": worker(&scene, "work")},
    });
    scene.apply(&job.to_string()).await;
    scene.all_ready("work", 2).await;
    scene.hook_policy("work", json!({"maxUnavailable": 2})).await;
    let pods = scene.pods_of("work").await;
    for pod in &pods {
        scene.hooks().at(&ip(pod), |app| app.inflight = 3);
    }
    scene.must(&["patch", "job/work", "--type=merge", "-p", r#"{"spec":{"suspend":true}}"#]).await;
    all_leave_prepared(&scene, &pods).await;
}

async fn a_job_that_its_cronjob_replaces_is_drained_then_gone(scene: Arc<Scene>) {
    let cron = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "cron", "namespace": "{ns}"},
        "spec": {
            "schedule": "* * * * *", "concurrencyPolicy": "Replace",
            "jobTemplate": {"spec": {"template": worker(&scene, "cron")}},
        },
    });
    scene.apply(&cron.to_string()).await;
    scene.until("its first pod runs", 90, || async { (!scene.pods_of("cron").await.is_empty()).then_some(()) }).await;
    scene.all_ready("cron", 1).await;
    // By default a pod may go with its owner. Here it is to end its work first.
    scene.hook_policy("cron", json!({"exempt": []})).await;
    let pods = scene.pods_of("cron").await;
    scene.hooks().at(&ip(&pods[0]), |app| app.inflight = 3);
    scene
        .until("the next job has begun beside it", 90, || async {
            (scene.pods_of("cron").await.len() > 1).then_some(())
        })
        .await;
    scene.must(&["patch", "cronjob/cron", "--type=merge", "-p", r#"{"spec":{"suspend":true}}"#]).await;
    all_leave_prepared(&scene, &pods).await;
}

fn worker(scene: &Scene, app: &str) -> serde_json::Value {
    let mut template = scene.pod_template(app);
    template["spec"]["restartPolicy"] = json!("Never");
    template
}

async fn all_leave_prepared(scene: &Scene, pods: &[Pod]) {
    for pod in pods {
        scene.until_gone(&pod.name_any(), &pod.uid().unwrap()).await;
        assert_eq!(scene.hooks().of(pod).state, "Prepared", "{} left before that", pod.name_any());
    }
    scene.until_all_completed().await;
    let drains = scene.drains().await;
    assert_eq!(drains.len(), pods.len());
    assert!(drains.iter().all(|drain| drain.data["status"]["outcome"] == "Prepared"), "{drains:?}");
}

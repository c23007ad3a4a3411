//! Pods that end by themselves, and whose objects stay: their drains end, whichever phase they are in.

use std::sync::Arc;

use serde_json::json;

use super::{Scenario, scenarios};
use crate::backends::Tikv;
use crate::ground::Need;
use crate::scene::Scene;

pub const ALL: [Scenario; 3] = scenarios![Shared, Need::SimulatedNodes =>
    a_pod_that_ends_by_itself_and_stays_ends_its_drain_in_each_phase,
    a_pod_that_its_kubelet_evicts_in_the_middle_has_what_was_set_for_it_undone,
    a_worker_that_is_done_because_it_was_drained_ends_its_drain,
];

/// What a kubelet writes when a pod's containers have ended for good.
async fn end(scene: &Scene, pod: &str, phase: &str) {
    let status = json!({"status": {"phase": phase}}).to_string();
    scene.must(&["patch", "pod", pod, "--subresource=status", "--type=merge", "-p", &status]).await;
}

async fn a_pod_that_ends_by_itself_and_stays_ends_its_drain_in_each_phase(scene: Arc<Scene>) {
    // Each with a policy of its own, but for the one that waits.
    for (pod, app) in [("waits", "shared"), ("holds", "shared"), ("draining", "draining"), ("drained", "drained")] {
        scene.ready_bare_pod(pod, app, json!({"restartPolicy": "Never"})).await;
    }
    for app in ["shared", "draining", "drained"] {
        scene.hook_policy(app, json!({})).await;
    }
    for pod in ["holds", "draining"] {
        scene.busy(pod).await;
        scene.denied(pod).await;
        scene.until_phase(pod, "Draining").await;
    }
    scene.denied("waits").await;
    scene.until_phase("waits", "Queued").await;
    scene.denied("drained").await;
    scene.until_phase("drained", "Drained").await;
    for (pod, phase) in [("waits", "Failed"), ("draining", "Succeeded"), ("drained", "Failed"), ("holds", "Succeeded")]
    {
        end(&scene, pod, phase).await;
        scene.until_phase(pod, "Completed").await;
        assert!(scene.pod(pod).await.is_some(), "its object is to stay");
    }
    scene.until_all_completed().await;
    for policy in ["shared", "draining", "drained"] {
        assert_eq!(scene.slots(policy).await, Vec::<String>::new(), "{policy}");
    }
    for pod in ["waits", "draining", "drained", "holds"] {
        scene.must(&["delete", "pod", pod, "--wait=false"]).await;
    }
}

async fn a_pod_that_its_kubelet_evicts_in_the_middle_has_what_was_set_for_it_undone(scene: Arc<Scene>) {
    let tikv = Tikv::start(&scene, "tikv", 1, 10).await;
    scene.ready_bare_pod("tikv-0", "tikv", json!({"hostname": "tikv-0", "subdomain": "tikv-peer"})).await;
    scene.policy("tikv", "tikv", json!({"pd": tikv.url}), json!({})).await;
    tikv.pd.set_fault(Some(castoff::simulation::pd::Fault::StuckLeaders));
    scene.denied("tikv-0").await;
    scene.until("an entry is made", 30, || async { (!tikv.pd.evict_entries().is_empty()).then_some(()) }).await;
    end(&scene, "tikv-0", "Failed").await;
    scene.until("the entry is gone", 40, || async { tikv.pd.evict_entries().is_empty().then_some(()) }).await;
    scene.until_phase("tikv-0", "Completed").await;
}

async fn a_worker_that_is_done_because_it_was_drained_ends_its_drain(scene: Arc<Scene>) {
    let mut template = scene.pod_template("work");
    template["spec"]["restartPolicy"] = json!("Never");
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "work", "namespace": "{ns}"},
        "spec": {"completions": 2, "parallelism": 2, "template": template},
    });
    scene.apply(&job.to_string()).await;
    scene.all_ready("work", 2).await;
    scene.hook_policy("work", json!({})).await;
    let pods = scene.pods_of("work").await;
    let (first, other) = (pods[0].metadata.name.clone().unwrap(), pods[1].metadata.name.clone().unwrap());
    scene.denied(&first).await;
    scene.until_phase(&first, "Drained").await;
    end(&scene, &first, "Succeeded").await;
    scene.until_phase(&first, "Completed").await;
    // The place is free for the other one.
    scene.denied(&other).await;
    scene.until_phase(&other, "Drained").await;
}

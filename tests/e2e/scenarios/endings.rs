//! Pods that are on their way out already, or were never there: whoever ends them is not kept from it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Scenario, scenarios};
use crate::ground::Need;
use crate::scene::Scene;

pub const ALL: [Scenario; 4] = scenarios![Shared:
    a_forced_delete_waits_for_the_preparation_and_never_strands_the_pod,
    a_terminating_pod_is_never_denied,
    pods_that_have_ended_or_run_nowhere_leave_at_once,
    pod_garbage_collection_ends_a_pod_whose_node_is_gone,
];

/// A kubelet takes a mirror away that it has not made.
pub const MIRRORS: [Scenario; 1] = scenarios![Shared, Need::SimulatedNodes => a_pod_that_mirrors_a_file_leaves_at_once];

/// Nothing but what the guard never holds lets these go.
async fn guarded(scene: &Scene, pods: &[(&str, Value)]) {
    scene.bare_pod("guarded", "app", json!({})).await;
    for (name, extra) in pods {
        scene.bare_pod(name, "app", extra.clone()).await;
    }
    scene.hook_policy("app", json!({"exempt": [], "maxUnavailable": 10})).await;
}

async fn until_running(scene: &Scene, pod: &str) {
    scene.until(&format!("{pod} runs"), 30, || async { scene.pod(pod).await?.status?.pod_ip.map(drop) }).await;
}

async fn a_forced_delete_waits_for_the_preparation_and_never_strands_the_pod(scene: Arc<Scene>) {
    guarded(&scene, &[("forced", json!({}))]).await;
    until_running(&scene, "forced").await;
    let (uid, ip, pod) = (scene.uid("forced").await, scene.ip("forced").await, scene.pod("forced").await.unwrap());
    scene.hooks().at(&ip, |app| (app.inflight, app.done_per_look) = (1, 0));
    let force = || scene.kubectl(&["delete", "pod", "forced", "--force", "--grace-period=0", "--wait=false"]);
    let printed = force().await;
    assert!(printed.code == 1 && printed.stderr.contains("denied the request"), "{printed:?}");
    scene.until_state("forced", "Draining").await;
    assert_eq!(force().await.code, 1);
    scene.hooks().at(&ip, |app| app.done_per_look = 1);
    scene.until("it may be forced", 30, || async { (force().await.code == 0).then_some(()) }).await;
    scene.until_gone("forced", &uid).await;
    assert_eq!(scene.hooks().of(&pod).state, "Prepared");
    scene.until_state("forced", "Completed").await;
}

async fn a_terminating_pod_is_never_denied(scene: Arc<Scene>) {
    let node = scene.node_name(1);
    let slow = json!({
        "metadata": {"annotations": {"test.castoff.dev/ends-after": "1m"}},
        "spec": {"nodeName": node, "terminationGracePeriodSeconds": 60},
    });
    guarded(&scene, &[("hurried", slow.clone()), ("forced", slow.clone()), ("finished-off", slow)]).await;
    let mut uids = Vec::new();
    for pod in ["hurried", "forced", "finished-off"] {
        until_running(&scene, pod).await;
        uids.push((pod, scene.uid(pod).await));
        scene.denied(pod).await;
        scene.until_allowed(pod).await;
        let now = scene.pod(pod).await.unwrap();
        assert!(now.metadata.deletion_timestamp.is_some(), "{pod} is on its way out");
    }
    // From now on the backend would say no to anything.
    for (pod, _) in &uids {
        let ip = scene.ip(pod).await;
        scene.hooks().at(&ip, |app| app.broken = Some(500));
    }
    scene.must(&["delete", "pod", "hurried", "--grace-period=1", "--wait=false"]).await;
    scene.must(&["delete", "pod", "forced", "--force", "--grace-period=0", "--wait=false"]).await;
    let kubelet = [&format!("--as=system:node:{node}"), "--as-group=system:nodes"];
    scene
        .must(
            &[&["delete", "pod", "finished-off", "--force", "--grace-period=0", "--wait=false"], &kubelet[..]].concat(),
        )
        .await;
    // A simulated one is told that its time is over. A kubelet that has begun to wait does not always wait for less.
    scene.kubectl(&["annotate", "pod", "hurried", "--overwrite", "test.castoff.dev/ends-after=100ms"]).await;
    for (pod, uid) in uids {
        scene.until_gone(pod, &uid).await;
        scene.until_state(pod, "Completed").await;
    }
}

async fn pods_that_have_ended_or_run_nowhere_leave_at_once(scene: Arc<Scene>) {
    let behaves = |how: &str| json!({"metadata": {"annotations": {"test.castoff.dev/behave": how, "test.castoff.dev/runs-for": "100ms"}}, "spec": {"restartPolicy": "Never"}});
    let nowhere = json!({"spec": {"nodeSelector": {"test.castoff.dev/no-such": "node"}}});
    let pods = [("succeeded", behaves("complete")), ("failed", behaves("fail")), ("nowhere", nowhere)];
    guarded(&scene, &pods).await;
    for (pod, phase) in [("succeeded", "Succeeded"), ("failed", "Failed")] {
        scene
            .until(&format!("{pod} has ended"), 30, || async {
                (scene.pod(pod).await?.status?.phase? == phase).then_some(())
            })
            .await;
    }
    leave_at_once(&scene, &pods).await;
}

async fn a_pod_that_mirrors_a_file_leaves_at_once(scene: Arc<Scene>) {
    let mirror = json!({
        "metadata": {"annotations": {"kubernetes.io/config.mirror": "0123456789abcdef"}},
        "spec": {"nodeName": scene.node_name(1), "automountServiceAccountToken": false},
    });
    let pods = [("mirror", mirror)];
    guarded(&scene, &pods).await;
    until_running(&scene, "mirror").await;
    leave_at_once(&scene, &pods).await;
}

async fn leave_at_once(scene: &Scene, pods: &[(&str, Value)]) {
    for (pod, _) in pods {
        let uid = scene.uid(pod).await;
        let printed = scene.kubectl(&["delete", "pod", pod, "--wait=false"]).await;
        assert_eq!(printed.code, 0, "{printed:?}");
        scene.until_gone(pod, &uid).await;
    }
    assert!(scene.drains().await.is_empty());
    scene.denied("guarded").await;
}

async fn pod_garbage_collection_ends_a_pod_whose_node_is_gone(scene: Arc<Scene>) {
    // It is marked Failed before it is asked for, and asked for each 40 s.
    guarded(&scene, &[("orphan", json!({"spec": {"nodeName": "no-such-node"}}))]).await;
    let uid = scene.uid("orphan").await;
    scene.denied("orphan").await;
    scene.until("it is gone", 200, || async { (!scene.stands("orphan", &uid).await).then_some(()) }).await;
    scene.until_gone("orphan", &uid).await;
    scene.until_state("orphan", "Completed").await;
}

//! Castoff in pods of its own, which are drained, don't answer, or are of two versions.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use super::{Scenario, scenarios};
use crate::ground::Need;
use crate::installation::NAMESPACE;
use crate::moves::cluster_wide;
use crate::own_pods::{OwnPods, all, name};
use crate::scene::Scene;
use crate::witness::Witness;
use castoff_test_support::stream::Stream;

pub const ALONE: [Scenario; 2] = scenarios![Alone, Need::Processes =>
    a_drain_of_the_node_that_the_leader_runs_on_succeeds_and_fails_no_delete,
    the_doctor_finds_replicas_that_do_not_answer_or_are_of_two_versions,
];

async fn a_drain_of_the_node_that_the_leader_runs_on_succeeds_and_fails_no_delete(scene: Arc<Scene>) {
    let pods = OwnPods::start(&scene).await;
    let (leader, _) = pods.leader_and_standby(&scene).await;
    let node = leader.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap();
    // One that is drained with it, and one that is asked for all the time and never gets ready.
    let beside = json!({"template": {
        "metadata": {"labels": {"app.kubernetes.io/name": "drained"}},
        "spec": {"nodeSelector": {"kubernetes.io/hostname": node}},
    }});
    scene.stateful_set("drained", 1, beside).await;
    scene.hook_policy("drained", json!({})).await;
    scene.stateful_set("asked", 1, json!({})).await;
    scene.hook_policy("asked", json!({})).await;
    let (drained, asked) = (scene.ip("drained-0").await, scene.ip("asked-0").await);
    scene.hooks().at(&drained, |app| app.inflight = 4);
    scene.hooks().at(&asked, |app| (app.inflight, app.done_per_look) = (1, 0));
    let (uid, witness) = (scene.uid("drained-0").await, Witness::of(&scene, "drained", 1).await);
    let stream = Stream::of_dry_run_deletes(&scene.namespace, "asked-0");
    scene.until("the stream flows", 20, || async { (stream.sent() > 20).then_some(()) }).await;

    let printed = scene
        .kubectl(&["drain", &node, "--ignore-daemonsets", "--pod-selector=app.kubernetes.io/name", "--timeout=120s"])
        .await;
    assert_eq!(printed.code, 0, "{printed:?}");
    assert!(printed.stderr.contains(&name(&leader)) || printed.stdout.contains(&name(&leader)), "{printed:?}");
    pods.until_whole(&scene).await;
    let (now, _) = pods.leader_and_standby(&scene).await;
    assert_ne!(name(&now), name(&leader));
    let far = stream.sent() + 40;
    scene.until("the stream has gone on", 30, || async { (stream.sent() > far).then_some(()) }).await;
    let outcome = tokio::task::spawn_blocking(|| stream.end()).await.unwrap();
    println!("{} dry-run deletes answered during the drain", outcome.answers);
    assert!(outcome.errors.is_empty(), "{} of {}: {:#?}", outcome.errors.len(), outcome.answers, outcome.errors);

    cluster_wide(&["uncordon", &node]).await;
    scene.until_replaced("drained-0", &uid).await;
    scene.nothing_left_behind().await;
    witness.all_left_prepared_once();
    pods.end(&scene).await;
}

async fn the_doctor_finds_replicas_that_do_not_answer_or_are_of_two_versions(scene: Arc<Scene>) {
    let pods = OwnPods::start(&scene).await;
    scene.stateful_set("app", 1, json!({})).await;
    scene.hook_policy("app", json!({})).await;
    scene.doctor_finds_nothing().await;
    let (leader, standby) = pods.leader_and_standby(&scene).await;
    pods.signal(&standby, "-STOP").await;
    let found = scene.doctor_finds("ReplicaNotReady", &name(&standby)).await;
    assert!(found.fix.contains(&format!("kubectl logs -n {NAMESPACE} {}", name(&standby))), "{found:?}");
    pods.signal(&leader, "-STOP").await;
    scene.doctor_finds("NoReplica", "no replica in castoff-system is Ready").await;
    for pod in [&leader, &standby] {
        pods.signal(pod, "-CONT").await;
    }
    scene.doctor_finds_nothing().await;

    cluster_wide(&["set", "image", "deployment/castoff", "castoff=castoff:next", "-n", NAMESPACE]).await;
    scene
        .until("a pod of the next version is there", 30, || async {
            let is_next = |pod: &Pod| {
                let mut containers = pod.spec.iter().flat_map(|spec| &spec.containers);
                containers.any(|container| container.image.as_deref() == Some("castoff:next"))
            };
            all(&scene.installation).await.iter().any(is_next).then_some(())
        })
        .await;
    cluster_wide(&["rollout", "pause", "deployment/castoff", "-n", NAMESPACE]).await;
    scene.doctor_finds("VersionsDiffer", "castoff:next").await;
    cluster_wide(&["rollout", "resume", "deployment/castoff", "-n", NAMESPACE]).await;
    cluster_wide(&["rollout", "status", "deployment/castoff", "-n", NAMESPACE, "--timeout=90s"]).await;
    pods.until_whole(&scene).await;
    scene.doctor_finds_nothing().await;
    pods.end(&scene).await;
}

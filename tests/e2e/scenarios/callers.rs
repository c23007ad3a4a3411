//! Callers that are no person and no workload controller: the scheduler, taint eviction, the garbage collector.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Scenario, scenarios};
use crate::moves::cluster_wide;
use crate::scene::Scene;
use crate::witness::Witness;

pub const SHARED: [Scenario; 2] = scenarios![Shared:
    who_waits_when_told_is_told_and_nobody_else_is,
    a_long_preparation_is_not_given_up_between_tries_that_are_far_apart,
];

pub const ALONE: [Scenario; 2] = scenarios![Alone:
    a_preempted_pod_is_prepared_first_and_holds_up_nobody_else,
    a_pod_that_a_taint_evicts_is_prepared_first_and_not_lost,
];

const SCHEDULER: &str = "system:kube-scheduler";
const TAINT_EVICTION: &str = "system:serviceaccount:kube-system:node-controller";
const GARBAGE_COLLECTOR: &str = "system:serviceaccount:kube-system:generic-garbage-collector";

async fn a_preempted_pod_is_prepared_first_and_holds_up_nobody_else(scene: Arc<Scene>) {
    // A thing of which the node has one, so that there is room for one pod that needs it.
    let (node, thing) = (scene.node_name(2), format!("test.castoff.dev/{}", scene.namespace));
    let status = |count: Value| {
        let counted = json!({thing.as_str(): count});
        json!({"status": {"capacity": counted, "allocatable": counted}}).to_string()
    };
    let set = ["patch", "node", node, "--subresource=status", "--type=merge", "-p"];
    cluster_wide(&[&set[..], &[&status(json!("1"))]].concat()).await;
    let mut in_need = scene.pod_template("victim")["spec"].take();
    in_need["containers"][0]["resources"] = json!({"limits": {thing.as_str(): "1"}});
    in_need["nodeSelector"] = scene.on_node(2);
    scene.stateful_set("victim", 1, json!({"template": {"spec": in_need}})).await;
    scene.hook_policy("victim", json!({})).await;
    let witness = Witness::of(&scene, "victim", 1).await;
    let (uid, ip) = (scene.uid("victim-0").await, scene.ip("victim-0").await);
    scene.hooks().at(&ip, |app| (app.inflight, app.done_per_look) = (3, 0));
    let class = json!({
        "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
        "metadata": {"name": "{ns}"}, "value": 1_000_000,
    });
    scene.apply(&class.to_string()).await;
    in_need["priorityClassName"] = json!(scene.namespace);
    scene.bare_pod("urgent", "urgent", json!({"spec": in_need})).await;
    scene.until_phase("victim-0", "Draining").await;
    let before = scene.tries_of(SCHEDULER, "victim-0").await;
    // Meanwhile others are bound as ever.
    for number in 0..3 {
        scene.ready_bare_pod(&format!("other-{number}"), "other", json!({})).await;
    }
    scene.stays("the victim stays", Duration::from_secs(16), || async { scene.uid("victim-0").await == uid }).await;
    let tries = scene.tries_of(SCHEDULER, "victim-0").await - before;
    // Alone, since the scheduler of 1.34 begins one more round of tries at whatever happens to any pod.
    assert!((2..=6).contains(&tries), "{tries} tries in 16 s and a little, where one each 5 s was told");
    scene.hooks().at(&ip, |app| app.done_per_look = 3);
    scene
        .until("the urgent pod runs", 40, || async {
            scene.pod("urgent").await.filter(crate::backends::is_ready).map(drop)
        })
        .await;
    witness.all_left_prepared_once();
    assert_eq!(witness.left().len(), 1);
    scene.must(&["delete", "pod", "urgent", "--wait=false"]).await;
    scene.until_replaced("victim-0", &uid).await;
    scene.nothing_left_behind().await;
    cluster_wide(&["delete", "priorityclass", &scene.namespace]).await;
    cluster_wide(&[&set[..], &[&status(Value::Null)]].concat()).await;
}

async fn who_waits_when_told_is_told_and_nobody_else_is(scene: Arc<Scene>) {
    scene.stateful_set("app", 1, json!({})).await;
    scene.hook_policy("app", json!({})).await;
    let ip = scene.ip("app-0").await;
    scene.hooks().at(&ip, |app| (app.inflight, app.done_per_look) = (3, 0));
    for (user, told) in [
        (SCHEDULER, Some(5)),
        (TAINT_EVICTION, Some(5)),
        (GARBAGE_COLLECTOR, None),
        ("system:serviceaccount:kube-system:statefulset-controller", None),
        ("alice", None),
    ] {
        let status = scene.delete_as(user, "app-0").await.unwrap_err();
        assert_eq!((status.code, status.reason.as_str()), (429, "TooManyRequests"), "{user}: {status:?}");
        let seconds = status.details.map(|details| details.retry_after_seconds).filter(|seconds| *seconds > 0);
        assert_eq!(seconds, told, "{user}");
    }
}

async fn a_pod_that_a_taint_evicts_is_prepared_first_and_not_lost(scene: Arc<Scene>) {
    let (node, on_node) = (scene.node_name(3), scene.on_node(3));
    scene.stateful_set("set", 1, json!({"template": {"spec": {"nodeSelector": on_node}}})).await;
    scene.ready_bare_pod("bare", "bare", json!({"nodeSelector": on_node})).await;
    scene.ready_bare_pod("unguarded", "unguarded", json!({"nodeSelector": on_node})).await;
    let mut held = Vec::new();
    for (app, pod) in [("set", "set-0"), ("bare", "bare")] {
        scene.hook_policy(app, json!({"abandonAfterSeconds": 15})).await;
        let ip = scene.ip(pod).await;
        scene.hooks().at(&ip, |app| (app.inflight, app.done_per_look) = (3, 0));
        held.push((pod, scene.uid(pod).await, ip, Witness::of(&scene, app, 1).await));
    }
    cluster_wide(&["taint", "node", node, "test=evict:NoExecute"]).await;
    scene
        .until("an unguarded pod leaves at once", 10, || async { scene.pod("unguarded").await.is_none().then_some(()) })
        .await;
    for (pod, ..) in &held {
        scene.until_phase(pod, "Draining").await;
    }
    let before = [scene.tries_of(TAINT_EVICTION, "set-0").await, scene.tries_of(TAINT_EVICTION, "bare").await];
    scene
        .stays("guarded pods stay", Duration::from_secs(12), || async {
            scene.uid("set-0").await == held[0].1 && scene.uid("bare").await == held[1].1
        })
        .await;
    for (index, (pod, ..)) in held.iter().enumerate() {
        let tries = scene.tries_of(TAINT_EVICTION, pod).await - before[index];
        assert!((1..=5).contains(&tries), "{pod}: {tries} tries in 12 s and a little, where one each 5 s was told");
    }
    for (_, _, ip, _) in &held {
        scene.hooks().at(ip, |app| app.done_per_look = 3);
    }
    for (pod, uid, _, witness) in &held {
        scene
            .until(&format!("{pod} has left"), 40, || async {
                (scene.pod(pod).await.and_then(|pod| pod.metadata.uid).as_deref() != Some(uid)).then_some(())
            })
            .await;
        witness.all_left_prepared_once();
        assert_eq!(witness.left().len(), 1, "{pod}");
    }
    cluster_wide(&["taint", "node", node, "test-"]).await;
    scene.until_replaced("set-0", &held[0].1).await;
    scene.nothing_left_behind().await;
}

/// The garbage collector's gaps double, a change of the pod does not wake it, and nothing shows that the pod is still
/// to go but its tries.
async fn a_long_preparation_is_not_given_up_between_tries_that_are_far_apart(scene: Arc<Scene>) {
    scene.stateful_set("app", 1, json!({})).await;
    scene.hook_policy("app", json!({"abandonAfterSeconds": 2, "exempt": []})).await;
    let witness = Witness::of(&scene, "app", 1).await;
    let ip = scene.ip("app-0").await;
    scene.hooks().at(&ip, |app| app.inflight = 35);
    scene.must(&["delete", "statefulset", "app", "--cascade=background", "--wait=false"]).await;
    scene.until_phase("app-0", "Draining").await;
    scene.until("the pod has left", 120, || async { scene.pod("app-0").await.is_none().then_some(()) }).await;
    scene.nothing_left_behind().await;
    let tries = scene.tries_of(GARBAGE_COLLECTOR, "app-0").await;
    assert!(tries <= 20, "{tries} tries: they were to be far apart");
    assert_eq!(witness.left().len(), 1);
    witness.all_left_prepared_once();
    assert_eq!(scene.events("GivenUp").await, Vec::<String>::new());
}

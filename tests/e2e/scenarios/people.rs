//! What people do by hand: delete pods, and drain nodes.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use super::{Scenario, scenarios};
use crate::moves::cluster_wide;
use crate::scene::Scene;
use crate::witness::Witness;

pub const SHARED: [Scenario; 3] = scenarios![Shared:
    a_persons_delete_is_not_kept_whoever_owns_the_pod,
    a_dry_run_answers_as_the_real_call_and_changes_nothing,
    a_forced_delete_of_a_prepared_pod_leaves_nothing_stranded,
];

pub const ALONE: [Scenario; 3] = scenarios![Alone:
    a_drain_of_a_node_waits_for_its_pods_and_succeeds,
    a_drain_that_deletes_is_denied_and_succeeds_when_it_is_repeated,
    a_dry_run_of_a_drain_leaves_no_trace,
];

async fn a_persons_delete_is_not_kept_whoever_owns_the_pod(scene: Arc<Scene>) {
    scene.stateful_set("set", 2, json!({})).await;
    scene.deployment("deployment", 2).await;
    scene.daemon_set("daemon", scene.on_node(2), 1).await;
    scene.ready_bare_pod("bare", "bare", json!({})).await;
    let mut pods = Vec::new();
    for app in ["set", "deployment", "daemon", "bare"] {
        scene.hook_policy(app, json!({"abandonAfterSeconds": 12})).await;
        let pod = scene.pods_of(app).await[0].metadata.name.clone().unwrap();
        let (uid, ip) = (scene.uid(&pod).await, scene.ip(&pod).await);
        scene.hooks().at(&ip, |app| app.inflight = 2);
        pods.push((pod, uid, ip));
    }
    for (pod, ..) in &pods {
        let printed = scene.kubectl(&["delete", "pod", pod]).await;
        assert_eq!(printed.code, 1, "{printed:?}");
        for part in ["TooManyRequests", &format!("{}/{pod} ", scene.namespace), "This delete is not kept", "repeat it"]
        {
            assert!(printed.stderr.contains(part), "`{part}` is missing: {}", printed.stderr);
        }
    }
    let goes_on = |(pod, uid, ip): &(String, String, String)| {
        let (scene, pod, uid, ip) = (Arc::clone(&scene), pod.clone(), uid.clone(), ip.clone());
        async move {
            scene.until_phase(&pod, "Drained").await;
            // Nobody tries again: given up, and what was set is taken back. Nobody has deleted the pod meanwhile.
            scene.until_phase(&pod, "Completed").await;
            assert_eq!(scene.uid(&pod).await, uid, "{pod} was deleted after the person had gone");
            let deleting = scene.pod(&pod).await.unwrap().metadata.deletion_timestamp;
            assert!(deleting.is_none(), "{pod} was deleted after the person had gone");
            let (state, times) = scene.hooks().at(&ip, |app| (app.state, app.prepared_times()));
            assert_eq!((state, times), ("Idle", 1), "{pod} was not prepared, or not restored");
        }
    };
    futures_util::future::join_all(pods.iter().map(goes_on)).await;
    scene.nothing_left_behind().await;
    // Asked for anew and repeated, as the message says, it goes.
    let (pod, uid, _) = &pods[0];
    scene
        .until(&format!("{pod} may be deleted"), 60, || async {
            (scene.kubectl(&["delete", "pod", pod, "--wait=false"]).await.code == 0).then_some(())
        })
        .await;
    scene.until_replaced(pod, uid).await;
}

/// What anybody but its kubelet may have changed about a pod.
async fn kept(scene: &Scene, pod: &str) -> Pod {
    let mut pod = scene.pod(pod).await.unwrap();
    pod.status = None;
    (pod.metadata.resource_version, pod.metadata.managed_fields) = (None, None);
    pod
}

async fn a_dry_run_answers_as_the_real_call_and_changes_nothing(scene: Arc<Scene>) {
    scene.stateful_set("app", 1, json!({})).await;
    scene.hook_policy("app", json!({})).await;
    let ip = scene.ip("app-0").await;
    let dry = ["delete", "pod", "app-0", "--dry-run=server"];
    let printed = scene.kubectl(&dry).await;
    assert_eq!(printed.code, 1, "{printed:?}");
    assert!(scene.drains().await.is_empty(), "a dry run left a drain behind");
    assert_eq!(scene.hooks().at(&ip, |app| app.changes()), 0, "a dry run asked the application for something");
    assert_eq!(scene.delete("app-0").await.code(), 429);
    scene.until_phase("app-0", "Drained").await;
    scene
        .until("its controller is woken", 20, || async {
            scene.pod("app-0").await?.metadata.annotations?.contains_key("castoff.dev/drained").then_some(())
        })
        .await;
    let (pod, before) = (kept(&scene, "app-0").await, scene.versions().await);
    let printed = scene.kubectl(&dry).await;
    assert_eq!(printed.code, 0, "the real call would be allowed: {printed:?}");
    assert_eq!(scene.versions().await, before, "a dry run changed the drain");
    assert_eq!(kept(&scene, "app-0").await, pod);
    assert_eq!(scene.hooks().at(&ip, |app| app.prepared_times()), 1);
}

async fn a_forced_delete_of_a_prepared_pod_leaves_nothing_stranded(scene: Arc<Scene>) {
    const PODS: u64 = 6;
    scene.stateful_set("app", PODS, json!({})).await;
    scene.hook_policy("app", json!({"maxUnavailable": 6, "abandonAfterSeconds": 20})).await;
    let witness = Witness::of(&scene, "app", 6).await;
    let names: Vec<String> = (0..PODS).map(|ordinal| format!("app-{ordinal}")).collect();
    let force = |pod: &str| {
        let (scene, pod) = (Arc::clone(&scene), pod.to_owned());
        async move { scene.kubectl(&["delete", "pod", &pod, "--force", "--grace-period=0", "--wait=false"]).await }
    };
    let mut uids = Vec::new();
    for pod in &names {
        uids.push(scene.uid(pod).await);
        let printed = force(pod).await;
        assert_eq!(printed.code, 1, "force is no exemption unless the policy says so: {printed:?}");
    }
    for pod in &names {
        scene.until_phase(pod, "Drained").await;
    }
    // Each of these calls the guard two or three times, at either replica, one of them with an old copy of the pod.
    // A delete names no UID: where the pod was replaced between two of its calls, the last one is about the next pod.
    let forced = futures_util::future::join_all(names.iter().map(|pod| force(pod))).await;
    for (pod, uid) in names.iter().zip(&uids) {
        scene.until_replaced(pod, uid).await;
    }
    assert!(forced.iter().any(|printed| printed.code == 0), "{forced:?}");
    scene.nothing_left_behind().await;
    for uid in &uids {
        assert!(witness.left().iter().any(|left| left.uid == *uid), "{:?}", witness.left());
    }
    witness.all_left_prepared_once();
}

/// Two pods on one node, which come back there. The name tells them from those of other scenarios.
async fn two_pods_on(scene: &Scene, app: &str, node: usize) -> [String; 2] {
    let on_node = json!({"template": {"spec": {"nodeSelector": scene.on_node(node)}}});
    scene.stateful_set(app, 2, on_node).await;
    // Both at once: what only fits this node comes back after the drain.
    scene.hook_policy(app, json!({"maxUnavailable": 2})).await;
    let pods = [format!("{app}-0"), format!("{app}-1")];
    for pod in &pods {
        let ip = scene.ip(pod).await;
        scene.hooks().at(&ip, |app| app.inflight = 3);
    }
    pods
}

fn drain<'a>(node: &'a str, selector: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["drain", node, selector, "--ignore-daemonsets", "--force"], more].concat()
}

async fn a_drain_of_a_node_waits_for_its_pods_and_succeeds(scene: Arc<Scene>) {
    let pods = two_pods_on(&scene, "drained", 1).await;
    let node = scene.node_name(1);
    let uids = [scene.uid(&pods[0]).await, scene.uid(&pods[1]).await];
    let witness = Witness::of(&scene, "drained", 2).await;
    let printed = scene.kubectl(&drain(node, "--pod-selector=app=drained", &["--timeout=120s"])).await;
    cluster_wide(&["uncordon", node]).await;
    assert_eq!(printed.code, 0, "{printed:?}");
    for pod in &pods {
        let retries = format!("error when evicting pods/\"{pod}\" -n \"{}\" (will retry after 5s)", scene.namespace);
        assert!(printed.stderr.contains(&retries), "{retries}: {printed:?}");
    }
    assert!(!printed.stderr.contains("not kept"), "a drain loop tries again by itself: {printed:?}");
    for (pod, uid) in pods.iter().zip(&uids) {
        scene.until_replaced(pod, uid).await;
    }
    scene.nothing_left_behind().await;
    assert_eq!(witness.left().len(), 2);
    witness.all_left_prepared_once();
}

async fn a_drain_that_deletes_is_denied_and_succeeds_when_it_is_repeated(scene: Arc<Scene>) {
    let pods = two_pods_on(&scene, "deleted", 2).await;
    let node = scene.node_name(2);
    let uids = [scene.uid(&pods[0]).await, scene.uid(&pods[1]).await];
    let witness = Witness::of(&scene, "deleted", 2).await;
    let arguments = drain(node, "--pod-selector=app=deleted", &["--disable-eviction", "--timeout=60s"]);
    let first = scene.kubectl(&arguments).await;
    assert_eq!(first.code, 1, "{first:?}");
    assert!(first.stderr.contains("This delete is not kept"), "{first:?}");
    scene.until("the drain succeeds", 90, || async { (scene.kubectl(&arguments).await.code == 0).then_some(()) }).await;
    cluster_wide(&["uncordon", node]).await;
    for (pod, uid) in pods.iter().zip(&uids) {
        scene.until_replaced(pod, uid).await;
    }
    scene.nothing_left_behind().await;
    assert_eq!(witness.left().len(), 2);
    witness.all_left_prepared_once();
}

async fn a_dry_run_of_a_drain_leaves_no_trace(scene: Arc<Scene>) {
    let pods = two_pods_on(&scene, "dry", 3).await;
    let node = scene.node_name(3);
    let both = || async { (kept(&scene, &pods[0]).await, kept(&scene, &pods[1]).await) };
    let before = both().await;
    for more in [&["--dry-run=server", "--timeout=7s"][..], &["--dry-run=server", "--timeout=7s", "--disable-eviction"]]
    {
        let printed = scene.kubectl(&drain(node, "--pod-selector=app=dry", more)).await;
        assert_eq!(printed.code, 1, "the real call would be denied: {printed:?}");
        assert!(scene.drains().await.is_empty(), "a dry run left a drain behind: {printed:?}");
    }
    assert_eq!(both().await, before, "a dry run changed a pod");
    let cordoned = scene.node(node).await.unwrap().spec.unwrap().unschedulable;
    assert_ne!(cordoned, Some(true), "a dry run cordoned the node");
    for pod in &pods {
        let ip = scene.ip(pod).await;
        assert_eq!(scene.hooks().at(&ip, |app| app.changes()), 0, "a dry run asked {pod} for something");
    }
    scene.stays("no drain", Duration::from_secs(2), || async { scene.drains().await.is_empty() }).await;
}

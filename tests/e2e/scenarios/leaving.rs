//! Pods that leave without our yes: told, counted, restored.

use std::sync::Arc;

use castoff::simulation::pd::Fault;
use serde_json::json;

use super::{Scenario, scenarios};
use crate::backends::Tikv;
use crate::ground::Need;
use crate::moves::cluster_wide;
use crate::scene::Scene;

pub const SHARED: [Scenario; 2] = scenarios![Shared:
    a_pod_that_its_kubelet_evicts_is_told_counted_and_restored,
    a_pod_that_goes_by_a_bypass_is_told_counted_and_restored,
];

pub const KILLING: [Scenario; 1] =
    scenarios![Alone, Need::Kill => a_pod_that_was_deleted_while_no_replica_ran_is_told_counted_and_restored];

/// A store whose leaders don't move, in the middle of its preparation.
pub(super) async fn half_prepared(scene: &Arc<Scene>) -> (Tikv, String) {
    let tikv = Tikv::start(scene, "tikv", 2, 12).await;
    scene.stateful_set("tikv", 2, json!({})).await;
    scene.policy("tikv", "tikv", json!({"pd": tikv.url}), json!({})).await;
    tikv.pd.set_fault(Some(Fault::StuckLeaders));
    assert_eq!(scene.delete("tikv-1").await.code(), 429);
    scene.until("its leaders are to move", 20, || async { (tikv.pd.evict_entries() == [2]).then_some(()) }).await;
    scene
        .until("it is known how many are left", 20, || async {
            let drain = scene.drain("tikv-1").await?;
            (drain.data["status"]["progress"]["remaining"] == 12).then_some(())
        })
        .await;
    let uid = scene.uid("tikv-1").await;
    (tikv, uid)
}

pub(super) async fn counted(scene: &Scene, outcome: &str) -> f64 {
    let namespace = &scene.namespace;
    scene.counted(&format!("castoff_outcomes_total{{namespace=\"{namespace}\",outcome=\"{outcome}\"}}")).await
}

/// It was told, counted, and what was set is taken back once the next pod is Ready.
pub(super) async fn told_counted_restored(
    scene: &Scene,
    tikv: &Tikv,
    uid: &str,
    reason: &str,
    outcome: &str,
    before: f64,
) {
    scene
        .until("it is told", 60, || async {
            let told = scene.events(reason).await;
            told.iter().any(|text| text.contains("tikv-1") && text.contains("12 leaders were left")).then_some(())
        })
        .await;
    scene.until_replaced("tikv-1", uid).await;
    scene.nothing_left_behind().await;
    assert_eq!(tikv.pd.evict_entries(), Vec::<u64>::new(), "what was set is left behind");
    assert!(counted(scene, outcome).await > before, "{outcome} drains were not counted");
    let drain = &scene.drains().await[0];
    assert_eq!(drain.data["status"]["left"], true);
}

async fn a_pod_that_its_kubelet_evicts_is_told_counted_and_restored(scene: Arc<Scene>) {
    let (tikv, uid) = half_prepared(&scene).await;
    let before = counted(&scene, "unprepared").await;
    let failed =
        r#"{"status":{"phase":"Failed","reason":"Evicted","message":"The node was low on resource: memory."}}"#;
    scene.must(&["patch", "pod", "tikv-1", "--subresource=status", "--type=merge", "-p", failed]).await;
    told_counted_restored(&scene, &tikv, &uid, "LeftUnprepared", "unprepared", before).await;
}

async fn a_pod_that_goes_by_a_bypass_is_told_counted_and_restored(scene: Arc<Scene>) {
    let (tikv, uid) = half_prepared(&scene).await;
    let before = counted(&scene, "bypassed").await;
    let until = format!("castoff.dev/bypass-until={}", jiff::Timestamp::now() + jiff::SignedDuration::from_mins(10));
    scene.must(&["annotate", "pod", "tikv-1", "castoff.dev/bypass=INC-4711", &until]).await;
    let printed = scene.kubectl(&["delete", "pod", "tikv-1", "--wait=false"]).await;
    assert_eq!(printed.code, 0, "{printed:?}");
    assert!(printed.stderr.contains("INC-4711"), "{printed:?}");
    told_counted_restored(&scene, &tikv, &uid, "Bypassed", "bypassed", before).await;
}

async fn a_pod_that_was_deleted_while_no_replica_ran_is_told_counted_and_restored(scene: Arc<Scene>) {
    let (tikv, uid) = half_prepared(&scene).await;
    for number in 0..2 {
        scene.ground().kill(number).await;
    }
    assert_eq!(scene.delete("tikv-1").await.code(), 500, "nobody answers, so the pod stays");
    failure_policy("Ignore").await;
    let gone = scene.until("the API server does without the guard", 10, || async {
        (scene.delete_this("tikv-1", &uid).await.code() != 500).then_some(())
    });
    gone.await;
    scene.until_replaced("tikv-1", &uid).await;
    scene.ground().make_whole().await;
    failure_policy("Fail").await;
    told_counted_restored(&scene, &tikv, &uid, "LeftUnprepared", "unprepared", 0.0).await;
}

async fn failure_policy(policy: &str) {
    let of = |number| json!({"op": "replace", "path": format!("/webhooks/{number}/failurePolicy"), "value": policy});
    let patch = json!([of(0), of(1)]).to_string();
    cluster_wide(&["patch", "validatingwebhookconfiguration", "castoff", "--type=json", "-p", &patch]).await;
}

//! Things that happen at the same moment.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use super::{Scenario, scenarios};
use crate::backends::Tikv;
use crate::moves::Came;
use crate::scene::Scene;
use crate::witness::Witness;

pub const ALL: [Scenario; 7] = scenarios![Shared:
    a_pod_is_either_let_go_prepared_or_given_up_and_restored_never_both,
    a_pod_that_is_tried_again_after_it_was_given_up_is_prepared_anew,
    an_eviction_that_names_another_uid_touches_nobody,
    a_drain_loop_whose_pod_has_left_otherwise_is_told_so,
    evictions_that_come_while_a_pod_is_replaced_let_nobody_go_unprepared,
    what_a_person_had_set_before_us_stays,
    what_a_person_sets_besides_us_goes_with_ours_as_documented,
];

async fn a_pod_is_either_let_go_prepared_or_given_up_and_restored_never_both(scene: Arc<Scene>) {
    const PODS: u32 = 8;
    scene.stateful_set("app", PODS.into(), json!({})).await;
    scene.hook_policy("app", json!({"maxUnavailable": 8, "abandonAfterSeconds": 8})).await;
    let witness = Witness::of(&scene, "app", 8).await;
    let one = |ordinal: u32| {
        let scene = Arc::clone(&scene);
        async move {
            let pod = format!("app-{ordinal}");
            let (uid, ip) = (scene.uid(&pod).await, scene.ip(&pod).await);
            assert_eq!(scene.delete_this(&pod, &uid).await.code(), 429);
            scene.until_phase(&pod, "Drained").await;
            // It is given up 10 s after it was last asked for, or became prepared: around then.
            let moment = Instant::now() + Duration::from_millis(8800 + 200 * u64::from(ordinal));
            tokio::time::sleep_until(moment.into()).await;
            (pod.clone(), uid.clone(), ip, scene.delete_this(&pod, &uid).await)
        }
    };
    let came = futures_util::future::join_all((0..PODS).map(one)).await;
    scene.until_all_completed().await;
    let left = witness.left();
    for (pod, uid, ip, came) in &came {
        let has_left = left.iter().any(|left| left.uid == *uid);
        assert_eq!(*came == Came::Allowed, has_left, "{pod}: {came:?}");
        if !has_left {
            assert_eq!(came.code(), 429, "{pod}: {came:?}");
            assert_eq!(scene.hooks().at(ip, |app| app.state), "Idle", "{pod} stayed and was not restored");
        }
    }
    witness.all_left_prepared_once();
    scene.all_ready("app", PODS.into()).await;
    scene.nothing_left_behind().await;
    println!("{} of {PODS} were let go, the others given up", left.len());
}

async fn a_pod_that_is_tried_again_after_it_was_given_up_is_prepared_anew(scene: Arc<Scene>) {
    scene.stateful_set("app", 1, json!({})).await;
    scene.hook_policy("app", json!({"abandonAfterSeconds": 8})).await;
    let (uid, ip) = (scene.uid("app-0").await, scene.ip("app-0").await);
    assert_eq!(scene.delete("app-0").await.code(), 429);
    scene.until_phase("app-0", "Drained").await;
    // Given up, and tried again while it is being restored: that comes first.
    scene.hooks().at(&ip, |app| app.broken = Some(500));
    scene.until_phase("app-0", "Restoring").await;
    let denied = scene.delete("app-0").await;
    assert!(format!("{denied:?}").contains("is being undone first"), "{denied:?}");
    scene.hooks().at(&ip, |app| app.broken = None);
    scene.until_phase("app-0", "Completed").await;
    assert_eq!(scene.hooks().at(&ip, |app| app.state), "Idle");
    // However long it takes this time.
    scene.hook_policy("app", json!({"abandonAfterSeconds": 600})).await;
    let denied = scene.delete("app-0").await;
    assert!(denied.code() == 429 && format!("{denied:?}").contains("prepared anew"), "{denied:?}");
    scene.until_phase("app-0", "Drained").await;
    assert_eq!(scene.hooks().at(&ip, |app| (app.state, app.prepared_times())), ("Prepared", 2));
    assert_eq!(scene.delete("app-0").await, Came::Allowed);
    scene.until_replaced("app-0", &uid).await;
    scene.nothing_left_behind().await;
    assert_eq!(scene.drains().await.len(), 1, "one drain a pod");
}

async fn an_eviction_that_names_another_uid_touches_nobody(scene: Arc<Scene>) {
    scene.stateful_set("app", 1, json!({})).await;
    scene.hook_policy("app", json!({})).await;
    let before = scene.uid("app-0").await;
    assert_eq!(scene.evict("app-0", Some(&before)).await.code(), 429);
    scene
        .until("it may leave", 30, || async {
            (scene.evict("app-0", Some(&before)).await == Came::Allowed).then_some(())
        })
        .await;
    scene.until_replaced("app-0", &before).await;
    let after = scene.uid("app-0").await;
    scene.until_all_completed().await;
    let versions = scene.versions().await;
    // Its drain is prepared and allowed, but it is another pod's.
    assert_eq!(scene.evict("app-0", Some(&before)).await.code(), 409);
    assert_eq!(scene.uid("app-0").await, after);
    assert_eq!(scene.versions().await, versions, "an eviction of another pod began or changed a drain");
}

async fn a_drain_loop_whose_pod_has_left_otherwise_is_told_so(scene: Arc<Scene>) {
    scene.ready_bare_pod("bare", "bare", json!({})).await;
    scene.hook_policy("bare", json!({})).await;
    assert_eq!(scene.evict("bare", None).await.code(), 429);
    scene
        .until("a person deletes it", 30, || async { (scene.delete("bare").await == Came::Allowed).then_some(()) })
        .await;
    scene.until("it is gone", 30, || async { scene.pod("bare").await.is_none().then_some(()) }).await;
    assert_eq!(scene.evict("bare", None).await.code(), 404, "429 would have it ask for ever");
    scene.nothing_left_behind().await;
}

async fn evictions_that_come_while_a_pod_is_replaced_let_nobody_go_unprepared(scene: Arc<Scene>) {
    scene.stateful_set("app", 1, json!({})).await;
    // A pod that has not started yet would go as NotRunning, and serves nobody; here none may.
    scene.hook_policy("app", json!({"exempt": ["OwnerDeleted", "NodeLost"]})).await;
    let witness = Witness::of(&scene, "app", 1).await;
    let done = Instant::now() + Duration::from_secs(40);
    // An eviction names no UID, and of a pod that is terminating or runs nowhere yet it is always let through: one that
    // is on its way for so long that the next pod has taken the name meanwhile, or that the pod is bound, would meet
    // that. So none is sent for such a pod.
    let may_be_held =
        |pod: Pod| pod.metadata.deletion_timestamp.is_none() && pod.spec.is_some_and(|spec| spec.node_name.is_some());
    while Instant::now() < done && witness.left().len() < 4 {
        if scene.pod("app-0").await.is_some_and(may_be_held) {
            scene.evict("app-0", None).await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let left = witness.left();
    assert!(left.len() >= 2, "only {} pods left", left.len());
    witness.all_left_prepared_once();
    scene.all_ready("app", 1).await;
}

/// Two stores; the entry of one of them is there before anything else happens.
async fn with_a_persons_entry(scene: &Arc<Scene>, store: Option<u64>) -> Tikv {
    let tikv = Tikv::start(scene, "tikv", 2, 20).await;
    scene.stateful_set("tikv", 2, json!({})).await;
    scene.policy("tikv", "tikv", json!({"pd": tikv.url}), json!({})).await;
    if let Some(store) = store {
        tikv.pd.with_state(|state| state.set_entry(store));
    }
    tikv
}

async fn what_a_person_had_set_before_us_stays(scene: Arc<Scene>) {
    let theirs = Tikv::store_of(1);
    let tikv = with_a_persons_entry(&scene, Some(theirs)).await;
    scene.must(&["rollout", "restart", "statefulset/tikv"]).await;
    scene.must(&["rollout", "status", "statefulset/tikv", "--timeout=120s"]).await;
    scene.nothing_left_behind().await;
    assert_eq!(tikv.pd.evict_entries(), [theirs], "the person's entry, and no other");
    assert_eq!(tikv.pd.leaders_lost(), 0);
    // Given up, it stays too.
    assert_eq!(scene.delete("tikv-1").await.code(), 429);
    scene.until_phase("tikv-1", "Drained").await;
    scene.cancel("tikv-1").await;
    scene.until_phase("tikv-1", "Completed").await;
    assert_eq!(tikv.pd.evict_entries(), [theirs]);
}

async fn what_a_person_sets_besides_us_goes_with_ours_as_documented(scene: Arc<Scene>) {
    let store = Tikv::store_of(1);
    let tikv = with_a_persons_entry(&scene, None).await;
    assert_eq!(scene.delete("tikv-1").await.code(), 429);
    scene.until_phase("tikv-1", "Drained").await;
    // PD keeps no owner of an entry: this one can't be told from ours, as the README says.
    tikv.pd.with_state(|state| state.set_entry(store));
    scene.cancel("tikv-1").await;
    scene.until_phase("tikv-1", "Completed").await;
    assert_eq!(tikv.pd.evict_entries(), Vec::<u64>::new());
}

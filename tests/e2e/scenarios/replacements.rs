//! Pods that replace others, and those that must be replaced themselves.

use std::sync::Arc;

use castoff::simulation::pd::Fault;
use kube::ResourceExt;
use serde_json::json;

use super::{Scenario, scenarios};
use crate::backends::{Tikv, address_of, is_ready};
use crate::scene::Scene;

pub const ALL: [Scenario; 5] = scenarios![Shared:
    a_pod_of_the_same_name_has_a_departure_of_its_own_while_the_old_one_is_open,
    a_pod_in_a_crash_loop_is_replaced_at_once,
    a_pod_in_a_crash_loop_that_no_exemption_lets_go_is_held_and_that_is_said,
    a_roll_out_that_never_becomes_ready_is_rolled_back_without_help,
    a_replacement_that_never_becomes_ready_takes_over_its_predecessors_place,
];

async fn a_pod_of_the_same_name_has_a_departure_of_its_own_while_the_old_one_is_open(scene: Arc<Scene>) {
    let tikv = Tikv::start(&scene, "tikv", 3, 30).await;
    scene.stateful_set("tikv", 3, json!({})).await;
    scene.policy("tikv", "tikv", json!({"pd": tikv.url}), json!({})).await;
    let store = Tikv::store_of(2);
    tikv.pd.set_fault(Some(Fault::StuckLeaders));
    let old = scene.uid("tikv-2").await;
    scene.denied("tikv-2").await;
    scene.until("an entry is made", 60, || async { tikv.pd.evict_entries().contains(&store).then_some(()) }).await;

    // It goes all the same, and what was set can't be undone yet.
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(10);
    scene
        .annotate("pod", "tikv-2", &["castoff.dev/bypass=the old one", &format!("castoff.dev/bypass-until={until}")])
        .await;
    tikv.pd.set_fault(Some(Fault::Refuse));
    scene.until_allowed("tikv-2").await;
    scene.until_replaced("tikv-2", &old).await;
    let new = scene.uid("tikv-2").await;
    let lost = tikv.pd.leaders_lost();
    scene.denied("tikv-2").await;
    let of = |uid: String| {
        let scene = Arc::clone(&scene);
        async move {
            let drains = scene.drains().await;
            let mut of_pod = drains.into_iter().filter(|drain| drain.data["spec"]["pod"]["uid"] == uid);
            let found = of_pod.next();
            assert!(of_pod.next().is_none(), "two drains of one pod");
            found
        }
    };
    let phase = |uid: &str| {
        let found = of(uid.to_owned());
        async move { found.await.map(|drain| drain.data["status"]["phase"].as_str().unwrap_or_default().to_owned()) }
    };
    scene
        .until("the old one is being restored", 30, || async { (phase(&old).await? == "Restoring").then_some(()) })
        .await;
    scene
        .stays("the new one waits for it", std::time::Duration::from_secs(2), || async {
            let marked = scene.pod("tikv-2").await.unwrap().annotations().contains_key("castoff.dev/drained");
            !marked && phase(&old).await.as_deref() == Some("Restoring") && scene.stands("tikv-2", &new).await
        })
        .await;

    tikv.pd.set_fault(None);
    scene.until("the old one is over", 60, || async { (phase(&old).await? == "Completed").then_some(()) }).await;
    scene.until_allowed("tikv-2").await;
    scene.until_replaced("tikv-2", &new).await;
    scene.until_all_completed().await;
    assert_eq!(tikv.pd.leaders_lost(), lost, "the new one was prepared");
    assert_eq!(tikv.pd.evict_entries(), Vec::<u64>::new());
    for (uid, how) in [(old, "Bypassed"), (new, "Prepared")] {
        assert_eq!(of(uid).await.unwrap().data["status"]["outcome"], how);
    }
}

async fn crash_loop(scene: &Scene, pod: &str) -> String {
    let ip = scene.ip(pod).await;
    scene.hooks().at(&ip, |app| app.is_down = true);
    scene.annotate("pod", pod, &["test.castoff.dev/behave=crash-loop"]).await;
    scene
        .until("it crashes", 30, || async {
            let status = scene.pod(pod).await?.status?;
            status.container_statuses?.first()?.state.as_ref()?.waiting.as_ref().map(drop)
        })
        .await;
    scene.uid(pod).await
}

async fn a_pod_in_a_crash_loop_is_replaced_at_once(scene: Arc<Scene>) {
    scene.stateful_set("app", 2, json!({})).await;
    scene.hook_policy("app", json!({})).await;
    let uid = crash_loop(&scene, "app-1").await;
    let printed = scene.kubectl(&["delete", "pod", "app-1", "--wait=false"]).await;
    assert!(printed.code == 0 && printed.stderr.contains("leaves unprepared"), "{printed:?}");
    assert!(printed.stderr.contains("NotRunning"), "{printed:?}");
    scene.until_replaced("app-1", &uid).await;
}

async fn a_pod_in_a_crash_loop_that_no_exemption_lets_go_is_held_and_that_is_said(scene: Arc<Scene>) {
    scene.stateful_set("app", 2, json!({})).await;
    scene.hook_policy("app", json!({"exempt": []})).await;
    let uid = crash_loop(&scene, "app-1").await;
    let said = scene.denied("app-1").await;
    assert!(said.contains("None of its containers runs") && said.contains("NotRunning"), "{said}");
    scene
        .until("it is said that the application does not answer", 20, || async {
            scene.denied("app-1").await.contains("does not answer").then_some(())
        })
        .await;
    assert!(scene.stands("app-1", &uid).await);
}

/// A new template, whose pods run and never become Ready.
const BAD: &str = r#"{"spec":{"template":{"metadata":{"annotations":{"test.castoff.dev/behave":"never-ready"}}}}}"#;

/// An ordered set deletes no pod while one is not Ready, a bad one neither.
fn parallel() -> serde_json::Value {
    json!({"podManagementPolicy": "Parallel"})
}

async fn until_bad(scene: &Scene, pod: &str, uid: &str) -> String {
    scene.until_gone(pod, uid).await;
    scene
        .until("its replacement runs, and is not Ready", 60, || async {
            let now = scene.pod(pod).await?;
            let runs = now.status.as_ref()?.pod_ip.is_some();
            (runs && now.uid().as_deref() != Some(uid) && !is_ready(&now)).then(|| now.uid().unwrap())
        })
        .await
}

async fn a_roll_out_that_never_becomes_ready_is_rolled_back_without_help(scene: Arc<Scene>) {
    scene.stateful_set("app", 3, parallel()).await;
    scene.hook_policy("app", json!({})).await;
    let (kept, old) = (scene.uid("app-0").await, scene.uid("app-2").await);
    scene.must(&["patch", "statefulset", "app", "--type=merge", "-p", BAD]).await;
    let bad = until_bad(&scene, "app-2", &old).await;
    scene.must(&["rollout", "undo", "statefulset/app"]).await;
    scene.until_replaced("app-2", &bad).await;
    scene.must(&["rollout", "status", "statefulset/app", "--timeout=60s"]).await;
    scene.all_ready("app", 3).await;
    scene.until_all_completed().await;
    assert!(scene.stands("app-0", &kept).await, "the bad image came to one pod alone");
    let taken_over = scene.drains().await.into_iter().find(|drain| drain.data["spec"]["pod"]["uid"] == bad);
    let predecessor = taken_over.and_then(|drain| drain.data["status"]["predecessor"].as_str().map(str::to_owned));
    assert_eq!(predecessor, Some(format!("app-2-{}", &old[..8])));
}

async fn a_replacement_that_never_becomes_ready_takes_over_its_predecessors_place(scene: Arc<Scene>) {
    let tikv = Tikv::start(&scene, "tikv", 3, 30).await;
    scene.stateful_set("tikv", 3, parallel()).await;
    scene.policy("tikv", "tikv", json!({"pd": tikv.url}), json!({})).await;
    let (old, store) = (scene.uid("tikv-2").await, Tikv::store_of(2));
    scene.must(&["patch", "statefulset", "tikv", "--type=merge", "-p", BAD]).await;
    let bad = until_bad(&scene, "tikv-2", &old).await;
    // The bad one reports to PD, and is no further than that: the entry that was made for the old one still stands.
    tikv.pd.pod_started(store, &address_of(&scene.namespace, "tikv", 2));
    assert_eq!(tikv.pd.evict_entries(), [store]);
    scene.must(&["rollout", "undo", "statefulset/tikv"]).await;
    scene.until_replaced("tikv-2", &bad).await;
    scene.until_all_completed().await;
    assert_eq!(tikv.pd.evict_entries(), Vec::<u64>::new(), "restored by whoever took it over");
    assert_eq!(tikv.pd.leaders_lost(), 0);
}

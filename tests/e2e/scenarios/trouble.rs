//! Backends that refuse, hang, answer 500 or nonsense: for a while, and for ever.

use std::sync::Arc;
use std::time::{Duration, Instant};

use castoff::simulation::pd::Fault;
use serde_json::json;

use super::{Scenario, scenarios};
use crate::backends::Tikv;
use crate::scene::Scene;

pub const ALL: [Scenario; 5] = scenarios![Shared:
    a_backend_that_refuses_holds_its_pod_and_lets_it_go_once_it_is_back,
    a_backend_that_hangs_holds_its_pod_and_lets_it_go_once_it_is_back,
    a_backend_that_answers_500_holds_its_pod_and_lets_it_go_once_it_is_back,
    a_backend_that_answers_nonsense_holds_its_pod_and_lets_it_go_once_it_is_back,
    a_backend_that_fails_once_its_pod_is_prepared_is_seen_before_the_pod_is_let_go,
];

async fn a_backend_that_refuses_holds_its_pod_and_lets_it_go_once_it_is_back(scene: Arc<Scene>) {
    fails(&scene, Fault::Refuse, "does not answer").await;
}

async fn a_backend_that_hangs_holds_its_pod_and_lets_it_go_once_it_is_back(scene: Arc<Scene>) {
    fails(&scene, Fault::Hang, "does not answer").await;
}

async fn a_backend_that_answers_500_holds_its_pod_and_lets_it_go_once_it_is_back(scene: Arc<Scene>) {
    fails(&scene, Fault::Status500, "500").await;
}

async fn a_backend_that_answers_nonsense_holds_its_pod_and_lets_it_go_once_it_is_back(scene: Arc<Scene>) {
    fails(&scene, Fault::Garbage, "JSON").await;
}

/// One delete, which must be denied in time.
async fn denied(scene: &Scene, pod: &str) -> String {
    let asked = Instant::now();
    let came = scene.delete(pod).await;
    let took = asked.elapsed();
    assert_eq!(came.code(), 429, "{came:?}");
    assert!(took < Duration::from_secs(10), "the answer took {took:?}");
    format!("{came:?}")
}

/// Two pods: one is asked for while the backend fails, the other is being prepared when it begins to.
async fn fails(scene: &Scene, fault: Fault, clear: &str) {
    let tikv = Tikv::start(scene, "tikv", 2, 40).await;
    scene.stateful_set("tikv", 2, json!({})).await;
    let limits = json!({"maxUnavailable": 2, "progressDeadlineSeconds": 5, "abandonAfterSeconds": 600});
    scene.policy("tikv", "tikv", json!({"pd": tikv.url}), limits).await;
    let uids = [scene.uid("tikv-0").await, scene.uid("tikv-1").await];
    tikv.pd.set_fault(Some(Fault::StuckLeaders));
    denied(scene, "tikv-1").await;
    scene.until("its leaders are to move", 20, || async { (!tikv.pd.evict_entries().is_empty()).then_some(()) }).await;
    tikv.pd.set_fault(Some(fault));
    denied(scene, "tikv-0").await;
    for pod in ["tikv-0", "tikv-1"] {
        scene
            .until(&format!("the denial of {pod} says why"), 20, || async {
                let said = denied(scene, pod).await;
                (said.contains(clear) && said.contains(&tikv.url)).then_some(())
            })
            .await;
        scene.until_state(pod, "Stalled").await;
        let said = denied(scene, pod).await;
        assert!(said.contains("no progress") && said.contains(clear), "{said}");
        scene
            .until(&format!("people are told that {pod} is stalled, and where to read on"), 20, || async {
                let told = scene.events("DrainStalled").await;
                told.iter().any(|text| text.ends_with(". Runbook: castoff runbook stalled")).then_some(())
            })
            .await;
    }
    // However long it takes: nobody is let go because time ran out.
    scene
        .stays("both pods stay", Duration::from_secs(6), || async {
            scene.uid("tikv-0").await == uids[0] && scene.uid("tikv-1").await == uids[1]
        })
        .await;
    tikv.pd.set_fault(None);
    for pod in ["tikv-0", "tikv-1"] {
        scene.until_phase(pod, "Drained").await;
        assert_eq!(scene.state(pod).await, "Drained");
    }
    for (pod, uid) in ["tikv-0", "tikv-1"].iter().zip(&uids) {
        scene
            .until(&format!("{pod} may leave"), 60, || async {
                (scene.delete_this(pod, uid).await.code() != 429).then_some(())
            })
            .await;
        scene.until_replaced(pod, uid).await;
    }
    scene.nothing_left_behind().await;
    assert_eq!(tikv.pd.leaders_lost(), 0);
    assert_eq!(tikv.pd.evict_entries(), Vec::<u64>::new());
}

async fn a_backend_that_fails_once_its_pod_is_prepared_is_seen_before_the_pod_is_let_go(scene: Arc<Scene>) {
    let tikv = Tikv::start(&scene, "tikv", 1, 10).await;
    scene.stateful_set("tikv", 1, json!({})).await;
    scene.policy("tikv", "tikv", json!({"pd": tikv.url}), json!({})).await;
    let uid = scene.uid("tikv-0").await;
    denied(&scene, "tikv-0").await;
    for fault in [Fault::Refuse, Fault::Hang, Fault::Status500, Fault::Garbage] {
        scene.until_phase("tikv-0", "Drained").await;
        tikv.pd.set_fault(Some(fault));
        let said = denied(&scene, "tikv-0").await;
        assert!(said.contains(&tikv.url), "{fault:?}: {said}");
        assert_eq!(scene.uid("tikv-0").await, uid);
        tikv.pd.set_fault(None);
    }
    scene
        .until("it may leave", 60, || async { (scene.delete_this("tikv-0", &uid).await.code() != 429).then_some(()) })
        .await;
    scene.until_replaced("tikv-0", &uid).await;
    scene.nothing_left_behind().await;
    assert_eq!((tikv.pd.leaders_lost(), tikv.pd.evict_entries()), (0, vec![]));
}

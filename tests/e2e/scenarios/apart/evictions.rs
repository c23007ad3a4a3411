//! Castoff as a responder to Evictions of `lifecycle.k8s.io`, which Kubernetes 1.37 and newer has, by a gate.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::doctor::shell;
use crate::evictions::{Eviction, RESPONDER};
use crate::ground::Need;
use crate::installation::apply;
use crate::moves::cluster_wide;
use crate::scenarios::{Scenario, scenarios};
use crate::scene::Scene;

pub const GATED: [Scenario; 6] = scenarios![Alone, Need::Evictions =>
    an_eviction_prepares_and_evicts_its_pod_when_its_turn_comes_and_says_so,
    an_eviction_that_all_withdraw_from_is_undone_whatever_the_phase,
    an_eviction_that_one_of_two_withdraws_from_goes_on_for_the_other,
    an_eviction_waits_for_the_limit_and_for_a_freeze_and_says_so,
    an_eviction_of_a_pod_that_a_bypass_lets_go_is_given_to_the_next_at_once,
    an_eviction_whose_status_castoff_may_not_write_leaves_prepared_all_the_same,
];

pub const ELSEWHERE: [Scenario; 1] =
    scenarios![Alone, Need::NoEvictions => a_responder_is_silent_where_the_api_server_has_no_evictions];

const REFUSAL: &str = "not on a Thursday";
const WROTE_NOTHING: &str = "an Eviction's status could not be written";

/// Castoff as a responder, with what it needs for that, and so many pods that it guards.
async fn guarded(scene: &Scene, pods: u64) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/overlays/eviction-responder/responder.yaml");
    apply(&std::fs::read_to_string(folder).unwrap()).await;
    scene.processes().serve_with(&["--eviction-responder"]).await;
    scene.stateful_set("app", pods, json!({})).await;
    scene.hook_policy("app", json!({})).await;
}

/// Nothing is left of any drain, and replicas are as usual again.
async fn over(scene: &Scene) {
    scene.nothing_left_behind().await;
    let log = scene.ground().log(WROTE_NOTHING).await;
    assert!(!log.contains(&scene.namespace), "{log}");
    scene.processes().serve_with(&[]).await;
}

async fn an_eviction_prepares_and_evicts_its_pod_when_its_turn_comes_and_says_so(scene: Arc<Scene>) {
    guarded(&scene, 1).await;
    // A pod that is made after the policy names Castoff by the policy that mutates.
    let old = scene.uid("app-0").await;
    scene.until_allowed("app-0").await;
    scene.until_replaced("app-0", &old).await;
    let named = ["get", "pod", "app-0", "-o", "jsonpath={.spec.evictionResponders[0].name}"];
    assert_eq!(scene.must(&named).await, RESPONDER);
    scene.until_all_completed().await;
    let (uid, ip) = scene.busy("app-0").await;
    let eviction = Eviction::of(&scene, "first", "app-0").await;
    scene
        .stays("nothing is done before its turn", Duration::from_secs(8), || async {
            scene.drain("app-0").await.is_none_or(|drain| drain.data["spec"]["pod"]["uid"] != uid)
        })
        .await;
    eviction.comes_to_castoff().await;
    eviction.until_says("app-0 ").await;
    scene.until_phase("app-0", "Draining").await;
    let drain = scene.drain("app-0").await.unwrap();
    assert_eq!(drain.data["spec"]["requester"], "system:eviction-request:a.example/x,b.example/y");
    scene.let_get_ready(&ip);
    scene.until_replaced("app-0", &uid).await;
    eviction.until_done("it has left, prepared").await;
    over(&scene).await;
}

async fn an_eviction_that_all_withdraw_from_is_undone_whatever_the_phase(scene: Arc<Scene>) {
    guarded(&scene, 2).await;
    let (uid, ip) = scene.busy("app-0").await;
    let draining = Eviction::at_its_turn(&scene, "draining", "app-0").await;
    scene.until_phase("app-0", "Draining").await;
    // That waits for it.
    let other = scene.uid("app-1").await;
    let queued = Eviction::at_its_turn(&scene, "queued", "app-1").await;
    queued.until_says("waits for app-0").await;
    queued.is_canceled().await;
    scene.until_phase("app-1", "Completed").await;
    draining.is_canceled().await;
    scene.until_phase("app-0", "Completed").await;
    scene.let_get_ready(&ip);
    scene.budget("app", "maxUnavailable", 0).await;
    let prepared = Eviction::at_its_turn(&scene, "prepared", "app-0").await;
    prepared.until_says("it is prepared, and its eviction waits").await;
    prepared.is_canceled().await;
    scene.until_phase("app-0", "Completed").await;
    assert_eq!((scene.uid("app-0").await, scene.uid("app-1").await), (uid, other));
    assert_eq!(scene.hooks().at(&ip, |app| app.state), "Idle");
    over(&scene).await;
}

async fn an_eviction_that_one_of_two_withdraws_from_goes_on_for_the_other(scene: Arc<Scene>) {
    guarded(&scene, 1).await;
    let (uid, ip) = scene.busy("app-0").await;
    let eviction = Eviction::at_its_turn(&scene, "two", "app-0").await;
    scene.until_phase("app-0", "Draining").await;
    eviction.is_withdrawn_by_one().await;
    scene.stays("it goes on", Duration::from_secs(8), || async { scene.phase("app-0").await == "Draining" }).await;
    scene.let_get_ready(&ip);
    scene.until_replaced("app-0", &uid).await;
    eviction.until_done("it has left, prepared").await;
    assert_eq!(scene.drains().await.len(), 1);
    over(&scene).await;
}

async fn an_eviction_waits_for_the_limit_and_for_a_freeze_and_says_so(scene: Arc<Scene>) {
    guarded(&scene, 2).await;
    let castoff = async |command: &str| {
        let printed = shell(&format!("castoff {command} -n {}", scene.namespace)).await;
        assert_eq!(printed.code, 0, "{command}: {printed:?}");
    };
    let uid = scene.uid("app-0").await;
    scene.denied("app-1").await;
    scene.until_phase("app-1", "Drained").await;
    let eviction = Eviction::at_its_turn(&scene, "waits", "app-0").await;
    eviction.until_says("waits for app-1").await;
    castoff("freeze app --reason INC-4711 --until 1h").await;
    eviction.until_says("INC-4711").await;
    castoff("cancel app-1 --wait").await;
    castoff("unfreeze app").await;
    scene.until_replaced("app-0", &uid).await;
    eviction.until_done("it has left, prepared").await;
    over(&scene).await;
}

async fn an_eviction_of_a_pod_that_a_bypass_lets_go_is_given_to_the_next_at_once(scene: Arc<Scene>) {
    guarded(&scene, 1).await;
    let (uid, _) = scene.busy("app-0").await;
    let eviction = Eviction::at_its_turn(&scene, "bypassed", "app-0").await;
    scene.until_phase("app-0", "Draining").await;
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(10);
    let bypass = ["castoff.dev/bypass=INC-4711", &format!("castoff.dev/bypass-until={until}")];
    scene.annotate("pod", "app-0", &bypass).await;
    eviction.until_done("").await;
    assert!(scene.stands("app-0", &uid).await, "whose turn comes next evicts it");
    scene.annotate("pod", "app-0", &["castoff.dev/bypass-", "castoff.dev/bypass-until-"]).await;
    scene.cancel("app-0").await;
    over(&scene).await;
}

/// Has the API server refuse what Castoff writes of itself, from now on.
async fn refuse_its_writes(scene: &Scene) {
    let refusal = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": scene.namespace},
        "spec": {
            "matchConstraints": {"resourceRules": [{
                "apiGroups": ["lifecycle.k8s.io"], "apiVersions": ["*"], "operations": ["UPDATE"],
                "resources": ["evictions/status"],
            }]},
            "validations": [{
                "expression": "request.userInfo.username != 'system:serviceaccount:castoff-system:castoff'",
                "message": REFUSAL,
            }],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": scene.namespace},
        "spec": {"policyName": scene.namespace, "validationActions": ["Deny"]},
    });
    scene.apply(&refusal.to_string()).await;
    scene.apply(&binding.to_string()).await;
}

async fn let_it_write(scene: &Scene) {
    for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
        cluster_wide(&["delete", kind, &scene.namespace]).await;
    }
}

async fn an_eviction_whose_status_castoff_may_not_write_leaves_prepared_all_the_same(scene: Arc<Scene>) {
    refuse_its_writes(&scene).await;
    guarded(&scene, 1).await;
    let uid = scene.uid("app-0").await;
    let eviction = Eviction::at_its_turn(&scene, "refused", "app-0").await;
    scene
        .until("it says why it is silent", 60, || async {
            let log = scene.ground().log(WROTE_NOTHING).await;
            (log.contains(&scene.namespace) && log.contains(REFUSAL)).then_some(())
        })
        .await;
    scene.until_replaced("app-0", &uid).await;
    let_it_write(&scene).await;
    eviction.until_done("it has left, prepared").await;
    scene.nothing_left_behind().await;
    scene.processes().serve_with(&[]).await;
}

async fn a_responder_is_silent_where_the_api_server_has_no_evictions(scene: Arc<Scene>) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/overlays/eviction-responder/responder.yaml");
    let manifest = std::fs::read_to_string(folder).unwrap();
    // Its rights: without them it is told that it may not, not that there are none.
    let rights = manifest.split("\n---\n").take(2).collect::<Vec<_>>().join("\n---\n");
    apply(&rights).await;
    scene.processes().serve_with(&["--eviction-responder"]).await;
    scene.guarded().await;
    let uid = scene.uid("app-0").await;
    scene.until_allowed("app-0").await;
    scene.until_replaced("app-0", &uid).await;
    let log = scene.ground().log("evictions").await;
    let complains = log.lines().filter(|line| line.contains("lifecycle.k8s.io")).collect::<Vec<_>>();
    assert!(complains.is_empty(), "{complains:?}");
    scene.nothing_left_behind().await;
    for kind in ["clusterrolebinding", "clusterrole"] {
        cluster_wide(&["delete", kind, "castoff-eviction-responder"]).await;
    }
    scene.processes().serve_with(&[]).await;
}

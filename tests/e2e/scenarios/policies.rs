//! Policies and plans that are in each other's way, wrong, or gone.

use std::sync::Arc;

use castoff::simulation::pd::Fault;
use serde_json::json;

use super::{Scenario, scenarios};
use crate::backends::Tikv;
use crate::installation::kubectl;
use crate::scene::Scene;

pub const ALL: [Scenario; 4] = scenarios![Shared:
    two_policies_for_one_pod_hold_it_until_one_gives_way,
    a_policy_that_can_not_be_followed_holds_its_pods_and_no_others,
    a_plan_that_fails_when_it_runs_holds_the_pod_says_so_and_goes_on,
    a_policy_deleted_in_the_middle_lets_the_pod_go_and_what_was_set_is_restored,
];

async fn ready_reason(scene: &Scene, policy: &str) -> Option<String> {
    let policy = scene.object("DrainPolicy", policy).await?;
    let conditions = policy.data["status"]["conditions"].as_array()?.clone();
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready")?;
    Some(ready["reason"].as_str()?.to_owned())
}

async fn until_reason(scene: &Scene, policy: &str, reason: &str) {
    scene
        .until(&format!("policy {policy} is {reason}"), 40, || async {
            (ready_reason(scene, policy).await? == reason).then_some(())
        })
        .await;
}

/// Waits until the pod's events say why it is held.
async fn until_told(scene: &Scene, reason: &str) {
    let told = || async { (!scene.events(reason).await.is_empty()).then_some(()) };
    scene.until(&format!("the pod has an event {reason}"), 15, told).await;
}

async fn two_policies_for_one_pod_hold_it_until_one_gives_way(scene: Arc<Scene>) {
    scene.stateful_set("app", 1, json!({})).await;
    scene.hook_policy("app", json!({})).await;
    scene.named_policy("second", "app", "http-hook", json!({"port": scene.hooks().port}), json!({})).await;
    until_reason(&scene, "app", "Conflict").await;
    until_reason(&scene, "second", "Conflict").await;
    let said = scene.denied("app-0").await;
    assert!(said.contains("the policies app and second both select it"), "{said}");
    until_told(&scene, "PolicyConflict").await;
    let uid = scene.uid("app-0").await;
    scene.must(&["delete", "drainpolicy", "second"]).await;
    scene.guarding("app").await;
    scene.until_allowed("app-0").await;
    scene.until_replaced("app-0", &uid).await;
}

async fn a_policy_that_can_not_be_followed_holds_its_pods_and_no_others(scene: Arc<Scene>) {
    scene.stateful_set("app", 1, json!({})).await;
    scene.stateful_set("other", 1, json!({})).await;
    let no_such_plan = json!([{"name": "prepare", "plan": {"name": "no-such-plan"}}]);
    scene.named_policy("app", "app", "http-hook", json!({}), json!({"steps": no_such_plan})).await;
    scene.hook_policy("other", json!({})).await;
    until_reason(&scene, "app", "NotCompiled").await;
    let said = scene.denied("app-0").await;
    assert!(said.contains("policy app is not valid") && said.contains("no-such-plan"), "{said}");
    until_told(&scene, "PolicyNotValid").await;
    let (other, uid) = (scene.uid("other-0").await, scene.uid("app-0").await);
    scene.denied("other-0").await;
    scene.until_allowed("other-0").await;
    scene.until_replaced("other-0", &other).await;
    scene.hook_policy("app", json!({})).await;
    scene.until_allowed("app-0").await;
    scene.until_replaced("app-0", &uid).await;
}

async fn a_plan_that_fails_when_it_runs_holds_the_pod_says_so_and_goes_on(scene: Arc<Scene>) {
    let plan = json!({
        "apiVersion": "castoff.dev/v1alpha1", "kind": "DrainPlan", "metadata": {"name": "{ns}"},
        "spec": {
            "summary": "Waits until the second word of the application's answer is yes",
            "params": {"port": {"type": "integer", "required": true}},
            "endpoints": {"app": {"url": "http://${pod.status.podIP}:${params.port}/"}},
            "observe": {"page": {"url": "${app}"}},
            "done": "page.body.blocked.split(' ')[1] == 'yes'",
        },
    });
    scene.apply(&plan.to_string()).await;
    scene.stateful_set("app", 1, json!({})).await;
    let steps = json!([{"name": "ask", "plan": {"name": scene.namespace}, "parameters": {"port": scene.hooks().port}}]);
    scene.policy("app", "http-hook", json!({}), json!({"steps": steps})).await;
    let uid = scene.uid("app-0").await;
    scene.denied("app-0").await;
    scene
        .until("the denial says why", 20, || async {
            let said = scene.denied("app-0").await;
            (said.contains("step ask") && said.contains("done")).then_some(())
        })
        .await;
    // Until draining begins it follows its plan, and goes on once that is mended.
    let mended = json!({"spec": {"done": "page.body.blocked == ''"}}).to_string();
    scene.must(&["patch", "drainplan", &scene.namespace, "--type=merge", "-p", &mended]).await;
    scene.until_allowed("app-0").await;
    scene.until_replaced("app-0", &uid).await;
    scene.until_all_completed().await;
    kubectl(&["delete", "drainplan", &scene.namespace]).await;
}

async fn a_policy_deleted_in_the_middle_lets_the_pod_go_and_what_was_set_is_restored(scene: Arc<Scene>) {
    let tikv = Tikv::start(&scene, "tikv", 3, 30).await;
    scene.stateful_set("tikv", 3, json!({})).await;
    scene.policy("tikv", "tikv", json!({"pd": tikv.url}), json!({})).await;
    tikv.pd.set_fault(Some(Fault::StuckLeaders));
    let (uid, store) = (scene.uid("tikv-2").await, Tikv::store_of(2));
    scene.denied("tikv-2").await;
    scene.until("an entry is made", 60, || async { tikv.pd.evict_entries().contains(&store).then_some(()) }).await;
    scene.must(&["delete", "drainpolicy", "tikv"]).await;
    scene.until("it is told", 20, || async { (!scene.events("PolicyChanged").await.is_empty()).then_some(()) }).await;
    scene.until_allowed("tikv-2").await;
    scene.until_replaced("tikv-2", &uid).await;
    scene.until_all_completed().await;
    assert_eq!(tikv.pd.evict_entries(), Vec::<u64>::new());
    let drain = scene.drains().await.remove(0);
    assert_eq!(drain.data["status"]["outcome"], "Unprepared", "nobody held it any more");
}

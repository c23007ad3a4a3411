//! Evictions of `lifecycle.k8s.io`, which only Kubernetes 1.37 and newer has, by a gate. The controller that moves them
//! on comes later: its part is played here.

use std::sync::Arc;

use jiff::Timestamp;
use kube::api::{Api, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};

use crate::ground::Need;
use crate::installation::apply;
use crate::scenarios::{Scenario, scenarios};
use crate::scene::Scene;

pub const GATED: [Scenario; 2] = scenarios![Alone, Need::Evictions =>
    an_eviction_whose_turn_has_come_prepares_and_evicts_its_pod_and_says_so,
    an_eviction_that_all_withdraw_from_is_undone_whatever_the_phase,
];

const RESPONDER: &str = "castoff.dev/guard";
const BEFORE: &str = "first.example/responder";
const AFTER: &str = "imperative-eviction.k8s.io/evictor";

/// Castoff as a responder, with what it needs for that.
async fn respond(scene: &Scene) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/overlays/eviction-responder/responder.yaml");
    apply(&std::fs::read_to_string(folder).unwrap()).await;
    scene.processes().serve_with(&["--eviction-responder"]).await;
}

/// The controller of Evictions.
struct Controller<'a> {
    scene: &'a Scene,
    name: &'static str,
}

impl Controller<'_> {
    fn api(&self) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("lifecycle.k8s.io", "v1alpha1", "Eviction");
        Api::namespaced_with(self.scene.client.clone(), &self.scene.namespace, &ApiResource::from_gvk(&kind))
    }

    /// Two want the pod gone; the responder before Castoff has its turn.
    async fn begin(&self, pod: &str) {
        let uid = self.scene.uid(pod).await;
        let eviction = json!({
            "apiVersion": "lifecycle.k8s.io/v1alpha1", "kind": "Eviction",
            "metadata": {"name": self.name, "labels": {RESPONDER: "responder", AFTER: "responder"}},
            "spec": {"target": {"pod": {"name": pod, "uid": uid}}},
        });
        self.api().create(&PostParams::default(), &serde_json::from_value(eviction).unwrap()).await.unwrap();
        self.change(|status| {
            let target =
                |name: &str, priority: u32, state: &str| json!({"name": name, "priority": priority, "state": state});
            let targets = [(BEFORE, 30_000, "Active"), (RESPONDER, 20_000, "Inactive"), (AFTER, 100, "Inactive")];
            let requesters = ["a.example/x", "b.example/y"].map(|name| json!({"name": name, "intent": "Eviction"}));
            *status = json!({
                "requesters": requesters,
                "targetResponders": targets.map(|(name, priority, state)| target(name, priority, state)),
                "responders": [{"name": BEFORE, "startTime": now()}, {"name": RESPONDER}, {"name": AFTER}],
            });
        })
        .await;
    }

    /// The responder before is done, and Castoff's turn has come.
    async fn turn(&self) {
        self.change(|status| status["responders"][0]["completionTime"] = json!(now())).await;
        self.change(|status| {
            status["targetResponders"][0]["state"] = json!("Completed");
            status["targetResponders"][1]["state"] = json!("Active");
            status["responders"][1]["startTime"] = json!(now());
        })
        .await;
    }

    /// All withdraw.
    async fn cancel(&self) {
        self.change(|status| {
            status["requesters"][0]["intent"] = json!("Withdrawn");
            status["requesters"][1]["intent"] = json!("Withdrawn");
            status["targetResponders"][1]["state"] = json!("Canceled");
            status["conditions"] = json!([{
                "type": "Failed", "status": "True", "reason": "CanceledDueToNoRequesters", "message": "",
                "lastTransitionTime": now(),
            }]);
        })
        .await;
    }

    /// Writes the status; again where the responder was faster.
    async fn change(&self, change: impl Fn(&mut Value)) {
        for _ in 0..10 {
            let mut eviction = self.api().get(self.name).await.unwrap();
            if !eviction.data["status"].is_object() {
                eviction.data["status"] = json!({});
            }
            change(&mut eviction.data["status"]);
            match self.api().replace_status(self.name, &PostParams::default(), &eviction).await {
                Ok(_) => return,
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) => panic!("{error}: {}", eviction.data),
            }
        }
        panic!("others write the Eviction all the time");
    }

    /// What Castoff says of itself.
    async fn entry(&self) -> Value {
        let eviction = self.api().get(self.name).await.unwrap();
        eviction.data["status"]["responders"][1].clone()
    }

    async fn until_says(&self, words: &str) {
        let says = || async {
            let entry = self.entry().await;
            entry["message"].as_str().is_some_and(|message| message.contains(words)).then_some(())
        };
        self.scene.until(&format!("its entry says: {words}"), 60, says).await;
    }
}

fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

async fn guarded(scene: &Scene) {
    scene.stateful_set("app", 1, json!({})).await;
    scene.hook_policy("app", json!({})).await;
}

async fn an_eviction_whose_turn_has_come_prepares_and_evicts_its_pod_and_says_so(scene: Arc<Scene>) {
    respond(&scene).await;
    guarded(&scene).await;
    // A pod that is made after the policy names Castoff by the policy that mutates.
    let old = scene.uid("app-0").await;
    scene.until_allowed("app-0").await;
    scene.until_replaced("app-0", &old).await;
    let named = ["get", "pod", "app-0", "-o", "jsonpath={.spec.evictionResponders[0].name}"];
    assert_eq!(scene.must(&named).await, RESPONDER);
    scene.until_all_completed().await;
    let (uid, ip) = scene.busy("app-0").await;
    let controller = Controller { scene: &scene, name: "first" };
    controller.begin("app-0").await;
    scene
        .stays("nothing is done before its turn", std::time::Duration::from_secs(8), || async {
            scene.phase("app-0").await != "Draining"
        })
        .await;
    controller.turn().await;
    controller.until_says("app-0 ").await;
    scene.until_phase("app-0", "Draining").await;
    let drain = scene.drain("app-0").await.unwrap();
    assert_eq!(drain.data["spec"]["requester"], "system:eviction-request:a.example/x,b.example/y");
    scene.let_get_ready(&ip);
    scene.until_replaced("app-0", &uid).await;
    controller.until_says("it has left, prepared").await;
    let entry = controller.entry().await;
    assert!(entry["completionTime"].is_string() && entry["heartbeatTime"].is_string(), "{entry}");
    scene.nothing_left_behind().await;
    scene.processes().serve_with(&[]).await;
}

async fn an_eviction_that_all_withdraw_from_is_undone_whatever_the_phase(scene: Arc<Scene>) {
    respond(&scene).await;
    guarded(&scene).await;
    let (uid, ip) = scene.busy("app-0").await;
    let draining = Controller { scene: &scene, name: "draining" };
    draining.begin("app-0").await;
    draining.turn().await;
    scene.until_phase("app-0", "Draining").await;
    draining.until_says("app-0 ").await;
    draining.cancel().await;
    scene.until_phase("app-0", "Completed").await;
    assert_eq!((scene.uid("app-0").await, scene.hooks().at(&ip, |app| app.state)), (uid, "Idle"));
    scene.nothing_left_behind().await;
    scene.processes().serve_with(&[]).await;
}

//! Evictions of `lifecycle.k8s.io`. The controller that makes them and moves them on comes with a later Kubernetes than
//! the API: its part is played here, as the types say.

use jiff::Timestamp;
use kube::api::{Api, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};

use crate::scene::Scene;

/// Castoff, as a pod names it.
pub const RESPONDER: &str = "castoff.dev/guard";
const BEFORE: &str = "first.example/responder";
const AFTER: &str = "imperative-eviction.k8s.io/evictor";

/// One Eviction, which two requesters want: a responder has its turn before Castoff, and one after it.
pub struct Eviction<'a> {
    scene: &'a Scene,
    name: &'static str,
}

impl Eviction<'_> {
    fn api(&self) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("lifecycle.k8s.io", "v1alpha1", "Eviction");
        Api::namespaced_with(self.scene.client.clone(), &self.scene.namespace, &ApiResource::from_gvk(&kind))
    }

    /// An Eviction of this pod; the responder before Castoff has its turn.
    pub async fn of<'a>(scene: &'a Scene, name: &'static str, pod: &str) -> Eviction<'a> {
        let this = Eviction { scene, name };
        let eviction = json!({
            "apiVersion": "lifecycle.k8s.io/v1alpha1", "kind": "Eviction",
            "metadata": {"name": name, "labels": {RESPONDER: "responder", AFTER: "responder"}},
            "spec": {"target": {"pod": {"name": pod, "uid": scene.uid(pod).await}}},
        });
        this.api().create(&PostParams::default(), &serde_json::from_value(eviction).unwrap()).await.unwrap();
        this.change(|status| {
            let target = |(name, priority, state)| json!({"name": name, "priority": priority, "state": state});
            let targets = [(BEFORE, 30_000, "Active"), (RESPONDER, 20_000, "Inactive"), (AFTER, 100, "Inactive")];
            let requesters = ["a.example/x", "b.example/y"].map(|name| json!({"name": name, "intent": "Eviction"}));
            *status = json!({
                "requesters": requesters,
                "targetResponders": targets.map(target),
                "responders": [{"name": BEFORE, "startTime": now()}, {"name": RESPONDER}, {"name": AFTER}],
            });
        })
        .await;
        this
    }

    /// The same, and Castoff's turn has come.
    pub async fn at_its_turn<'a>(scene: &'a Scene, name: &'static str, pod: &str) -> Eviction<'a> {
        let this = Eviction::of(scene, name, pod).await;
        this.comes_to_castoff().await;
        this
    }

    /// The responder before is done, and Castoff's turn has come.
    pub async fn comes_to_castoff(&self) {
        self.change(|status| status["responders"][0]["completionTime"] = json!(now())).await;
        self.change(|status| {
            status["targetResponders"][0]["state"] = json!("Completed");
            status["targetResponders"][1]["state"] = json!("Active");
            status["responders"][1]["startTime"] = json!(now());
        })
        .await;
    }

    /// One of the two requesters withdraws.
    pub async fn is_withdrawn_by_one(&self) {
        self.change(|status| status["requesters"][0]["intent"] = json!("Withdrawn")).await;
    }

    /// Both withdraw.
    pub async fn is_canceled(&self) {
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
    pub async fn entry(&self) -> Value {
        let eviction = self.api().get(self.name).await.unwrap();
        eviction.data["status"]["responders"][1].clone()
    }

    /// Waits until Castoff says this of itself.
    pub async fn until_says(&self, words: &str) {
        let says = || async {
            let entry = self.entry().await;
            entry["message"].as_str().is_some_and(|message| message.contains(words)).then_some(())
        };
        self.scene.until(&format!("its entry says: {words}"), 60, says).await;
    }

    /// Waits until Castoff has said that it is done, with these words.
    pub async fn until_done(&self, words: &str) {
        let is_done = || async { Some(self.entry().await).filter(|entry| entry["completionTime"].is_string()) };
        let entry = self.scene.until("its entry says that it is done", 90, is_done).await;
        let message = entry["message"].as_str().unwrap_or_default();
        assert!(message.contains(words) && entry["heartbeatTime"].is_string(), "{entry}");
    }
}

fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

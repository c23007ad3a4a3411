//! Who may set the annotations that let pods go unprepared: the ValidatingAdmissionPolicy of the manifests.

use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, RoleBinding};
use kube::Client;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::harness::{TURN, client, eventually, make_namespace};

const NAMESPACE: &str = "trust-bypass";

/// May annotate everything, and bypass nothing.
const ALICE: &str = "trust-alice";

/// May do the same, and bypass in the namespace.
const BOB: &str = "trust-bob";

/// What becomes of an attempt: nothing, or the words of the refusal.
type Outcome = Result<(), String>;

async fn set(user: &Client, part: &str, annotations: Value) -> Outcome {
    let pods: Api<Pod> = Api::namespaced(user.clone(), NAMESPACE);
    let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
    let parameters = PatchParams::default();
    let done = match part {
        "pod" => pods.patch("p", &parameters, &patch).await.map(|_| ()),
        "pod status" => pods.patch_status("p", &parameters, &patch).await.map(|_| ()),
        "namespace" => Api::<Namespace>::all(user.clone()).patch(NAMESPACE, &parameters, &patch).await.map(|_| ()),
        "node" => {
            let nodes: Api<Node> = Api::all(user.clone());
            let node = nodes.list(&ListParams::default()).await.unwrap().items[0].metadata.name.clone().unwrap();
            nodes.patch(&node, &parameters, &patch).await.map(|_| ())
        }
        other => panic!("{other}"),
    };
    done.map_err(|error| error.to_string())
}

async fn make<K>(api: &Api<K>, value: Value)
where
    K: Clone + DeserializeOwned + Serialize + std::fmt::Debug,
{
    // There already, from an earlier run.
    let _ = api.create(&PostParams::default(), &serde_json::from_value(value).unwrap()).await;
}

/// The pod, the users and their rights.
async fn prepare(admin: &Client) {
    make_namespace(admin, NAMESPACE).await;
    let rights = json!([
        {"apiGroups": [""], "resources": ["pods", "pods/status", "pods/binding", "nodes", "namespaces"],
         "verbs": ["get", "list", "create", "patch"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["create"]},
    ]);
    make(&Api::<ClusterRole>::all(admin.clone()), json!({"metadata": {"name": "trust-writers"}, "rules": rights}))
        .await;
    let user = |name: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name});
    let role = |name: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name});
    let binding = json!({"metadata": {"name": "trust-writers"}, "roleRef": role("trust-writers"), "subjects": [user(ALICE), user(BOB)]});
    make(&Api::<ClusterRoleBinding>::all(admin.clone()), binding).await;
    let binding = json!({"metadata": {"name": "bob"}, "roleRef": role("castoff-bypass"), "subjects": [user(BOB)]});
    make(&Api::<RoleBinding>::namespaced(admin.clone(), NAMESPACE), binding).await;
    let pods: Api<Pod> = Api::namespaced(admin.clone(), NAMESPACE);
    make(&pods, json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "c"}]}})).await;
    let unbound = json!({"metadata": {"name": "unbound"}, "spec": {"schedulerName": "nobody", "containers": [{"name": "c", "image": "c"}]}});
    make(&pods, unbound).await;
    // Clean, if an earlier run left something.
    for part in ["pod", "namespace", "node"] {
        set(admin, part, json!({"castoff.dev/bypass": null, "castoff.dev/bypass-until": null})).await.unwrap();
    }
    let bob = client(Some(BOB)).await;
    eventually("roles and policy are in force", async || {
        let refused = set(&client(Some(ALICE)).await, "pod", json!({"castoff.dev/bypass": "x"})).await;
        let allowed = set(&bob, "pod", json!({"harmless": "x"})).await;
        (refused.is_err() && allowed.is_ok()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn only_who_holds_the_verb_lets_pods_go_and_never_without_a_reason() {
    let _turn = TURN.lock().await;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (admin, alice, bob) = (client(None).await, client(Some(ALICE)).await, client(Some(BOB)).await);
    prepare(&admin).await;
    let both = json!({"castoff.dev/bypass": "INC-1", "castoff.dev/bypass-until": "2030-01-01T00:00:00Z"});
    let refused = |outcome: Outcome, word: &str| {
        let error = outcome.unwrap_err();
        assert!(error.contains("castoff-bypass") && error.contains(word), "{error}");
    };
    for part in ["pod", "pod status", "namespace", "node"] {
        refused(set(&alice, part, both.clone()).await, "holds the verb");
        set(&alice, part, json!({"harmless": part})).await.unwrap();
    }
    refused(
        set(&bob, "pod", json!({"castoff.dev/bypass-until": "2030-01-01T00:00:00Z"})).await,
        "must give the reason",
    );
    refused(set(&bob, "pod", json!({"castoff.dev/bypass": "  "})).await, "must give the reason");
    set(&bob, "pod", both.clone()).await.unwrap();
    set(&bob, "namespace", both.clone()).await.unwrap();
    refused(set(&bob, "node", both.clone()).await, "holds the verb");
    set(&admin, "node", both.clone()).await.unwrap();
    // What is there may stay and go, and may not be changed.
    set(&alice, "pod", json!({"harmless": "still"})).await.unwrap();
    refused(set(&alice, "pod", json!({"castoff.dev/bypass": "other"})).await, "holds the verb");
    set(&alice, "pod", json!({"castoff.dev/bypass": null})).await.unwrap();
    for part in ["node", "namespace"] {
        set(&alice, part, json!({"castoff.dev/bypass": null, "castoff.dev/bypass-until": null})).await.unwrap();
    }
}

#[tokio::test]
async fn no_detour_leads_to_a_pod_that_carries_the_annotation() {
    let _turn = TURN.lock().await;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (admin, alice) = (client(None).await, client(Some(ALICE)).await);
    prepare(&admin).await;
    let pods: Api<Pod> = Api::namespaced(alice.clone(), NAMESPACE);
    let spec = json!({"containers": [{"name": "c", "image": "c"}]});
    let pod = json!({"metadata": {"name": "born-with-it", "annotations": {"castoff.dev/bypass": "x"}}, "spec": spec});
    let error = pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("castoff-bypass"), "{error}");
    // A binding's annotations become the pod's.
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding",
        "metadata": {"name": "unbound", "namespace": NAMESPACE, "annotations": {"castoff.dev/bypass": "x"}},
        "target": {"apiVersion": "v1", "kind": "Node", "name": "any"},
    });
    for path in ["pods/unbound/binding", "bindings"] {
        let uri = format!("/api/v1/namespaces/{NAMESPACE}/{path}");
        let request = http::Request::post(uri).header("content-type", "application/json");
        let request = request.body(binding.to_string().into_bytes()).unwrap();
        let error = alice.request_text(request).await.unwrap_err().to_string();
        assert!(path == "bindings" || error.contains("castoff-bypass"), "{path}: {error}");
    }
    // A controller creates what a template says, and holds no such verb.
    let template =
        json!({"metadata": {"labels": {"a": "d"}, "annotations": {"castoff.dev/bypass": "x"}}, "spec": spec});
    let deployment =
        json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "d"}}, "template": template}});
    make(&Api::<k8s_openapi::api::apps::v1::Deployment>::namespaced(admin.clone(), NAMESPACE), deployment).await;
    let sets: Api<k8s_openapi::api::apps::v1::ReplicaSet> = Api::namespaced(admin.clone(), NAMESPACE);
    let message = eventually("its ReplicaSet can't create pods", async || {
        let all = sets.list(&ListParams::default().labels("a=d")).await.unwrap();
        all.items.first()?.status.as_ref()?.conditions.as_ref()?.iter().find_map(|condition| condition.message.clone())
    })
    .await;
    assert!(message.contains("castoff-bypass"), "{message}");
}

//! What Castoff's own account may change of a pod: the ValidatingAdmissionPolicy of the manifests, which narrows
//! `patch pods`.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::harness::{OWN, client, eventually, make_namespace};

const NAMESPACE: &str = "trust-account";

async fn patch(user: &Client, change: &Value) -> Result<(), String> {
    let pods: Api<Pod> = Api::namespaced(user.clone(), NAMESPACE);
    let patch = Patch::Strategic(change);
    pods.patch("p", &PatchParams::default(), &patch).await.map(|_| ()).map_err(|error| error.to_string())
}

#[tokio::test]
async fn castoffs_account_changes_nothing_of_a_pod_but_what_is_its_to_change() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let admin = client(None).await;
    let castoff = client(Some(&format!("system:serviceaccount:{OWN}:castoff"))).await;
    make_namespace(&admin, NAMESPACE).await;
    let pods: Api<Pod> = Api::namespaced(admin.clone(), NAMESPACE);
    let pod = json!({
        "metadata": {"name": "p", "labels": {"app": "db"}, "annotations": {"theirs": "1"}},
        "spec": {"schedulerName": "nobody", "containers": [{"name": "c", "image": "c"}]},
    });
    let _ = pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await;
    let label = json!({"metadata": {"labels": {"app": "another"}}});
    eventually("the policy is in force", async || patch(&castoff, &label).await.is_err().then_some(())).await;

    let owner = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "1"}]);
    for refused in [
        label,
        json!({"metadata": {"labels": {"app": null}}}),
        json!({"metadata": {"labels": {"castoff.dev/more": "1"}}}),
        json!({"metadata": {"annotations": {"theirs": "2"}}}),
        json!({"metadata": {"annotations": {"theirs": null}}}),
        json!({"metadata": {"annotations": {"new": "1"}}}),
        json!({"metadata": {"annotations": {"castoff.dev/drained": "1", "theirs": "2"}}}),
        json!({"metadata": {"finalizers": ["castoff.dev/hold"]}}),
        json!({"metadata": {"ownerReferences": owner}}),
        json!({"spec": {"containers": [{"name": "c", "image": "another"}]}}),
        json!({"spec": {"activeDeadlineSeconds": 1}}),
    ] {
        let error = patch(&castoff, &refused).await.unwrap_err();
        assert!(error.contains("castoff-account"), "{refused}: {error}");
    }
    let error = patch(&castoff, &json!({"metadata": {"annotations": {"castoff.dev/bypass": "x"}}})).await.unwrap_err();
    assert!(error.contains("castoff-bypass"), "{error}");
    let (drained, cost) = ("castoff.dev/drained", "controller.kubernetes.io/pod-deletion-cost");
    patch(&castoff, &json!({"metadata": {"annotations": {drained: "uid.1", cost: "-1"}}})).await.unwrap();
    patch(&castoff, &json!({"metadata": {"annotations": {drained: "uid.2", cost: null}}})).await.unwrap();
    patch(&castoff, &json!({"metadata": {"annotations": {drained: null}}})).await.unwrap();
    // Where a Role lets it, labels and annotations, and nothing else.
    let role = json!({"metadata": {"name": "relabel"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["relabel"]}]});
    let binding = json!({
        "metadata": {"name": "relabel"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "relabel"},
        "subjects": [{"kind": "ServiceAccount", "name": "castoff", "namespace": OWN}],
    });
    let roles: Api<Role> = Api::namespaced(admin.clone(), NAMESPACE);
    let _ = roles.create(&PostParams::default(), &serde_json::from_value(role).unwrap()).await;
    let bindings: Api<RoleBinding> = Api::namespaced(admin.clone(), NAMESPACE);
    let _ = bindings.create(&PostParams::default(), &serde_json::from_value(binding).unwrap()).await;
    let both = json!({"metadata": {"labels": {"serving": "no"}, "annotations": {"former": "yes"}}});
    eventually("the Role is in force", async || patch(&castoff, &both).await.ok()).await;
    for refused in [
        json!({"metadata": {"labels": {"serving": "yes"}, "finalizers": ["castoff.dev/hold"]}}),
        json!({"metadata": {"ownerReferences": owner}}),
        json!({"spec": {"activeDeadlineSeconds": 1}}),
    ] {
        let error = patch(&castoff, &refused).await.unwrap_err();
        assert!(error.contains("castoff-account"), "{refused}: {error}");
    }
    bindings.delete("relabel", &DeleteParams::default()).await.unwrap();
    // Others are not concerned.
    patch(&admin, &json!({"metadata": {"labels": {"app": "another"}, "annotations": {"theirs": "2"}}})).await.unwrap();
    patch(&admin, &json!({"metadata": {"labels": {"app": "db"}, "annotations": {"theirs": "1"}}})).await.unwrap();
}

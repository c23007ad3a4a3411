//! Who may freeze a policy, and thaw it: the ValidatingAdmissionPolicy of the manifests.

use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};

use crate::harness::{TURN, client, eventually, make_namespace};

const NAMESPACE: &str = "trust-freeze";

/// May write policies, and freeze none.
const ALICE: &str = "trust-alice";

/// May do the same, and bypass.
const BOB: &str = "trust-bob";

fn policies(user: &Client) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("castoff.dev", "v1alpha1", "DrainPolicy"));
    let resource = ApiResource { plural: "drainpolicies".to_owned(), ..resource };
    Api::namespaced_with(user.clone(), NAMESPACE, &resource)
}

async fn set(user: &Client, annotations: Value) -> Result<(), String> {
    let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
    let done = policies(user).patch("p", &PatchParams::default(), &patch).await;
    done.map(|_| ()).map_err(|error| error.to_string())
}

/// The policy, and the users with their roles.
async fn prepare(admin: &Client) {
    make_namespace(admin, NAMESPACE).await;
    let bindings: Api<RoleBinding> = Api::namespaced(admin.clone(), NAMESPACE);
    for (user, role) in [(ALICE, "castoff-admin"), (BOB, "castoff-admin"), (BOB, "castoff-bypass")] {
        let binding = json!({
            "metadata": {"name": format!("{user}-{role}")},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        });
        let _ = bindings.create(&PostParams::default(), &serde_json::from_value(binding).unwrap()).await;
    }
    let policy = json!({
        "apiVersion": "castoff.dev/v1alpha1", "kind": "DrainPolicy", "metadata": {"name": "p"},
        "spec": {
            "selector": {"matchLabels": {"app": "nobody"}},
            "steps": [{"name": "hook", "plan": {"builtIn": "http-hook"}, "parameters": {"port": 80}}],
        },
    });
    let _ = policies(admin).create(&PostParams::default(), &serde_json::from_value(policy).unwrap()).await;
    let nothing = json!({"castoff.dev/freeze": null, "castoff.dev/freeze-until": null, "castoff.dev/freeze-by": null});
    set(admin, nothing).await.unwrap();
    eventually("roles and policy are in force", async || {
        let refused = set(&client(Some(ALICE)).await, json!({"castoff.dev/freeze": "x"})).await;
        let allowed = set(&client(Some(BOB)).await, json!({"harmless": "x"})).await;
        (refused.is_err_and(|error| error.contains("castoff-freeze")) && allowed.is_ok()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn only_who_holds_the_verb_freezes_and_thaws_and_under_his_own_name() {
    let _turn = TURN.lock().await;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (admin, alice, bob) = (client(None).await, client(Some(ALICE)).await, client(Some(BOB)).await);
    prepare(&admin).await;
    let frozen = |reason: &str, by: &str| {
        json!({
            "castoff.dev/freeze": reason, "castoff.dev/freeze-by": by,
            "castoff.dev/freeze-until": "2030-01-01T00:00:00Z",
        })
    };
    let refused = |outcome: Result<(), String>, word: &str| {
        let error = outcome.unwrap_err();
        assert!(error.contains("castoff-freeze") && error.contains(word), "{error}");
    };
    refused(set(&alice, frozen("INC-1", ALICE)).await, "holds the verb");
    refused(set(&bob, frozen("  ", BOB)).await, "must give the reason");
    refused(set(&bob, frozen("INC-1", ALICE)).await, "must name who sets");
    set(&bob, frozen("INC-1", BOB)).await.unwrap();
    // What is there stays through other changes, and is not hers to change or to take off.
    set(&alice, json!({"harmless": "still"})).await.unwrap();
    refused(set(&alice, json!({"castoff.dev/freeze-until": "2031-01-01T00:00:00Z"})).await, "holds the verb");
    refused(set(&alice, json!({"castoff.dev/freeze": null})).await, "holds the verb");
    let nothing = json!({"castoff.dev/freeze": null, "castoff.dev/freeze-until": null, "castoff.dev/freeze-by": null});
    set(&bob, nothing).await.unwrap();
}

//! Who may do what with Castoff's kinds, by the roles of the manifests as a real API server reads them: tenants, and
//! Castoff's own account.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Client;
use kube::api::{Api, PostParams};
use serde_json::json;

use crate::harness::{OWN, client, eventually, make_namespace};

const NAMESPACE: &str = "trust-rights";

/// Whether `user` may do this, written as `patch poddrains/status` or `create apps/deployments`, in the namespace.
async fn may(admin: &Client, user: &str, what: &str, namespace: &str) -> bool {
    let (verb, resource) = what.split_once(' ').unwrap();
    let (resource, subresource) = resource.split_once('/').map_or((resource, None), |(one, two)| (one, Some(two)));
    let is_ours = ["drainpolicies", "drainplans", "poddrains", "nodedrains"].contains(&resource);
    let group = if is_ours { "castoff.dev" } else { "" };
    let attributes = ResourceAttributes {
        group: Some(group.to_owned()),
        resource: Some(resource.to_owned()),
        subresource: subresource.map(str::to_owned),
        namespace: Some(namespace.to_owned()),
        verb: Some(verb.to_owned()),
        ..ResourceAttributes::default()
    };
    let spec = SubjectAccessReviewSpec {
        user: Some(user.to_owned()),
        resource_attributes: Some(attributes),
        ..SubjectAccessReviewSpec::default()
    };
    let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    let reviewed = Api::<SubjectAccessReview>::all(admin.clone()).create(&PostParams::default(), &review).await;
    reviewed.unwrap().status.unwrap().allowed
}

async fn bind(admin: &Client, user: &str, role: &str) {
    let binding = json!({
        "metadata": {"name": user},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    });
    let bindings: Api<RoleBinding> = Api::namespaced(admin.clone(), NAMESPACE);
    // There already, from an earlier run.
    let _ = bindings.create(&PostParams::default(), &serde_json::from_value(binding).unwrap()).await;
}

async fn check(admin: &Client, user: &str, allowed: &[&str], refused: &[&str]) {
    for what in allowed {
        assert!(may(admin, user, what, NAMESPACE).await, "{user} is to be allowed to {what}");
    }
    for what in refused {
        assert!(!may(admin, user, what, NAMESPACE).await, "{user} is not to be allowed to {what}");
    }
}

#[tokio::test]
async fn an_editor_prepares_and_cancels_and_an_admin_writes_policies() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let admin = client(None).await;
    make_namespace(&admin, NAMESPACE).await;
    let (editor, owner) = ("trust-editor", "trust-owner");
    bind(&admin, editor, "edit").await;
    bind(&admin, owner, "admin").await;
    eventually("roles are aggregated", async || {
        let (policies, drains) = ("create drainpolicies", "create poddrains");
        let both = may(&admin, owner, policies, NAMESPACE).await && may(&admin, editor, drains, NAMESPACE).await;
        both.then_some(())
    })
    .await;
    let nobodys = [
        "update poddrains/status",
        "patch drainpolicies/status",
        "bypass drainpolicies",
        "create drainplans",
        "update drainplans",
        "create nodedrains",
    ];
    // What a delete of a pod causes, whoever may delete it may cause, and give up.
    let of_drains = ["create poddrains", "patch poddrains", "delete poddrains"];
    let editors = ["get drainpolicies", "watch poddrains", "delete pods", "create pods/eviction"];
    check(&admin, editor, &editors, &nobodys).await;
    check(&admin, editor, &of_drains, &["create drainpolicies", "patch drainpolicies"]).await;
    check(&admin, owner, &["create drainpolicies", "patch drainpolicies"], &nobodys).await;
    check(&admin, owner, &of_drains, &[]).await;
}

#[tokio::test]
async fn castoffs_token_makes_nothing_runs_nothing_and_reads_no_secret_but_its_own() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let admin = client(None).await;
    make_namespace(&admin, NAMESPACE).await;
    let castoff = format!("system:serviceaccount:{OWN}:castoff");
    let has = ["delete pods", "patch pods", "get statefulsets/scale", "create poddrains", "watch namespaces"];
    let has_not = [
        "create pods",
        "create pods/exec",
        "update pods/ephemeralcontainers",
        "update statefulsets/scale",
        "patch statefulsets/scale",
        "get secrets",
        "list secrets",
        "get configmaps",
        "create serviceaccounts/token",
        "impersonate users",
        "update drainpolicies",
        "create drainplans",
        "create nodedrains",
        "bypass drainpolicies",
        "patch nodes",
        "patch namespaces",
    ];
    check(&admin, &castoff, &has, &has_not).await;
    assert!(!may(&admin, &castoff, "list secrets", OWN).await, "in its own namespace it reads one, by name");
}

//! Certificates and registration on a real API server, under the ServiceAccount and the roles of the manifests.
//!
//! Needs a cluster that `KUBECONFIG` names, with `kubectl apply -k manifests/base`, and in which pods run that have no
//! image, as in `hack/cluster up`. Nothing of Castoff may run in it. Then: `cargo test --test trust`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, clippy::print_stdout)]

mod account;
mod bypass;
mod freeze;
mod harness;
mod home;
mod rights;

use std::collections::BTreeSet;
use std::time::Duration;

use castoff::kubernetes::certificates::Lives;
use castoff::kubernetes::registration::{NAME, Proofs, Seen, Sent, prove};
use castoff::trust::authority;
use jiff::SignedDuration;
use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;
use tokio::time::Instant;

use harness::{OWN, Scene, eventually};

#[tokio::test]
async fn leaders_that_begin_at_once_end_with_one_authority_and_the_api_server_trusts_it() {
    let scene = Scene::new(Lives::default(), 4).await;
    let pod = scene.pod("trust-a").await;
    let uid = pod.uid().unwrap();
    assert_eq!(prove(&scene.admin, "trust-a", "p", &uid).await, Sent::NotDenied);
    scene.guarded.set(&["trust-a"], Some(&["trust-a"]));
    scene.becomes_registered(&["trust-a"]).await;
    assert_eq!(prove(&scene.admin, "trust-a", "p", &uid).await, Sent::Yes);
    assert!(matches!(prove(&scene.admin, "trust-a", "p", "another").await, Sent::Unclear(_)));
    let bundle = scene.bundle().unwrap();
    assert_eq!(authority::split(&bundle).len(), 1);
    assert_eq!(
        scene.readiness.report().1.lines().take(2).collect::<Vec<_>>(),
        ["[+]certificates ok", "[+]registration ok"]
    );

    let (proofs, seen) = (Proofs::default(), scene.seen.borrow().clone());
    proofs.note("trust-a", &seen);
    assert!(proofs.hold("trust-a", &seen));
    let names: Vec<String> = scene.registry.gather().iter().map(|family| family.name().to_owned()).collect();
    assert!(names.contains(&"castoff_certificate_expiry_timestamp_seconds".to_owned()), "{names:?}");
}

#[tokio::test]
async fn a_secret_that_is_deleted_is_made_anew_and_the_api_server_follows() {
    let scene = Scene::new(Lives::default(), 1).await;
    let pod = scene.pod("trust-a").await;
    scene.guarded.set(&["trust-a"], None);
    scene.becomes_registered(&["trust-a"]).await;
    let before = scene.bundle();
    scene.secrets().delete("castoff-tls", &DeleteParams::default()).await.unwrap();
    eventually("another authority", async || (scene.bundle() != before).then_some(())).await;
    eventually("the API server trusts it", async || scene.denied(&pod).await.ok()).await;
}

#[tokio::test]
async fn namespaces_come_at_once_and_go_only_by_a_list() {
    let scene = Scene::new(Lives::default(), 1).await;
    let (a, b) = (scene.pod("trust-a").await, scene.pod("trust-b").await);
    scene.guarded.set(&["trust-a", "trust-b", OWN, "kube-system"], None);
    scene.becomes_registered(&["trust-a", "trust-b"]).await;
    scene.denied(&a).await.unwrap();
    scene.denied(&b).await.unwrap();
    // A new leader, which knows nothing yet.
    scene.guarded.set(&[], None);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(scene.registered().await, ["trust-a", "trust-b"]);
    scene.guarded.set(&["trust-a"], Some(&["trust-a"]));
    scene.becomes_registered(&["trust-a"]).await;
    assert_eq!(scene.denied(&b).await.unwrap_err(), "allowed");
    scene.guarded.set(&[], Some(&[]));
    eventually("nothing is called", async || {
        let live = scene.configurations().get(NAME).await.unwrap();
        live.webhooks.unwrap_or_default().is_empty().then_some(())
    })
    .await;
    assert_eq!(scene.denied(&a).await.unwrap_err(), "allowed");
}

#[tokio::test]
async fn what_a_person_edits_is_put_back_and_told() {
    let scene = Scene::new(Lives::default(), 1).await;
    let pod = scene.pod("trust-a").await;
    scene.guarded.set(&["trust-a"], None);
    scene.becomes_registered(&["trust-a"]).await;
    let good = scene.configurations().get(NAME).await.unwrap().webhooks;
    for edit in [
        json!({"failurePolicy": "Ignore", "timeoutSeconds": 1}),
        json!({"matchConditions": [{"name": "never", "expression": "false"}]}),
        json!({"objectSelector": {"matchLabels": {"no": "pod"}}}),
        json!({"namespaceSelector": {"matchLabels": {"no": "namespace"}}}),
        json!({"clientConfig": {"caBundle": null}}),
    ] {
        let mut entry = edit.clone();
        entry["name"] = json!("pods.castoff.dev");
        scene.edit(json!({"webhooks": [entry]})).await;
        eventually(&format!("{edit} is put back"), async || {
            (scene.configurations().get(NAME).await.unwrap().webhooks == good).then_some(())
        })
        .await;
        scene.denied(&pod).await.unwrap();
    }
    let events: Api<Event> = Api::namespaced(scene.admin.clone(), "default");
    eventually("an event", async || {
        let all = events.list(&ListParams::default()).await.unwrap();
        all.items.into_iter().find(|event| {
            event.reason.as_deref() == Some("RegistrationPutBack")
                && event.note.as_deref().is_some_and(|note| note.contains("kubectl-edit"))
        })
    })
    .await;
}

#[tokio::test]
async fn one_that_a_person_deletes_is_left_alone_until_it_is_asked_for() {
    let scene = Scene::new(Lives::default(), 2).await;
    let pod = scene.pod("trust-a").await;
    scene.guarded.set(&["trust-a"], None);
    scene.becomes_registered(&["trust-a"]).await;
    eventually("the mark", async || scene.mark().get_opt("castoff-registration").await.unwrap()).await;
    scene.configurations().delete(NAME, &DeleteParams::default()).await.unwrap();
    eventually("it is told", async || scene.readiness.report().1.contains("guards nothing").then_some(())).await;
    assert!(scene.readiness.report().0, "it goes on answering");
    scene.guarded.set(&["trust-a", "trust-b"], Some(&["trust-a", "trust-b"]));
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(scene.configurations().get_opt(NAME).await.unwrap(), None);
    assert_eq!(*scene.seen.borrow(), Seen::Absent);
    assert_eq!(scene.denied(&pod).await.unwrap_err(), "allowed");
    scene.mark().delete("castoff-registration", &DeleteParams::default()).await.unwrap();
    scene.becomes_registered(&["trust-a", "trust-b"]).await;
    scene.denied(&pod).await.unwrap();
}

/// Whoever reaches the port can't pass for the API server.
#[tokio::test]
async fn a_review_is_answered_only_on_the_path_that_the_api_server_alone_is_told() {
    let scene = Scene::new(Lives::default(), 2).await;
    let pod = scene.pod("trust-a").await;
    scene.guarded.set(&["trust-a"], None);
    scene.becomes_registered(&["trust-a"]).await;
    scene.denied(&pod).await.unwrap();
    let paths = scene.paths().await;
    let path = paths.first().unwrap();
    assert_eq!((paths.len(), scene.forge(path).await), (1, 200), "who knows it is answered");
    let longer = format!("{path}0");
    for guess in ["/validate", "/validate/", "/", "/validate/0", &longer, &path[..path.len() - 1]] {
        assert_eq!(scene.forge(guess).await, 404, "{guess}");
    }
}

#[tokio::test]
async fn a_path_that_a_person_writes_into_the_registration_is_put_back() {
    let scene = Scene::new(Lives::default(), 1).await;
    let pod = scene.pod("trust-a").await;
    scene.guarded.set(&["trust-a"], None);
    scene.becomes_registered(&["trust-a"]).await;
    let before = scene.paths().await;
    let url = format!("https://{}/validate", scene.address);
    scene.edit(json!({"webhooks": [{"name": "pods.castoff.dev", "clientConfig": {"url": url}}]})).await;
    eventually("the path is put back", async || (scene.paths().await == before).then_some(())).await;
    scene.denied(&pod).await.unwrap();
}

/// A backup that was restored into another cluster brings the mark along, and no registration.
#[tokio::test]
async fn a_mark_from_another_cluster_keeps_nothing_from_being_registered() {
    let scene = Scene::new(Lives::default(), 1).await;
    let pod = scene.pod("trust-a").await;
    scene.guarded.set(&["trust-a"], None);
    scene.becomes_registered(&["trust-a"]).await;
    let mark = eventually("the mark", async || scene.mark().get_opt("castoff-registration").await.unwrap()).await;
    scene.configurations().delete(NAME, &DeleteParams::default()).await.unwrap();
    eventually("it is left alone", async || scene.readiness.report().1.contains("guards nothing").then_some(())).await;
    let restored = Patch::Merge(json!({"data": {"namespace-uid": "of-another-cluster"}}));
    scene.mark().patch("castoff-registration", &PatchParams::default(), &restored).await.unwrap();
    scene.becomes_registered(&["trust-a"]).await;
    scene.denied(&pod).await.unwrap();
    eventually("the mark is this cluster's", async || {
        let now = scene.mark().get("castoff-registration").await.unwrap().data.unwrap();
        (now["namespace-uid"] == mark.data.as_ref().unwrap()["namespace-uid"]).then_some(())
    })
    .await;
}

/// An authority of 40 s, server certificates of 14, a path of 12: all are renewed several times while deletes are asked
/// for.
#[tokio::test]
async fn no_call_fails_while_certificates_authorities_and_paths_are_renewed() {
    let lives = Lives {
        authority: SignedDuration::from_secs(40),
        server: SignedDuration::from_secs(14),
        path: SignedDuration::from_secs(12),
        overlap: SignedDuration::from_secs(4),
        backdate: SignedDuration::from_secs(2),
    };
    let scene = Scene::new(lives, 1).await;
    let pod = scene.pod("trust-a").await;
    scene.guarded.set(&["trust-a"], None);
    scene.becomes_registered(&["trust-a"]).await;
    scene.denied(&pod).await.unwrap();
    let first = scene.paths().await;
    let (begun, mut calls) = (Instant::now(), 0);
    let (mut bundles, mut paths) = (BTreeSet::new(), BTreeSet::new());
    while begun.elapsed() < Duration::from_secs(75) {
        if let Err(error) = scene.denied(&pod).await {
            panic!("after {:?} and {calls} calls: {error}", begun.elapsed());
        }
        calls += 1;
        bundles.insert(scene.bundle());
        paths.extend(scene.paths().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(bundles.len() >= 5, "{} bundles, {calls} calls", bundles.len());
    assert!(paths.len() >= 4, "{} paths, {calls} calls", paths.len());
    assert_eq!(scene.forge(first.first().unwrap()).await, 404, "a former path is worth nothing");
    println!("{calls} calls under {} bundles and {} paths", bundles.len(), paths.len());
}

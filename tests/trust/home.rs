//! The registration goes with Castoff's namespace: the garbage collector of a real control plane takes it away.

use std::sync::Arc;

use castoff::kubernetes::certificates::Access;
use castoff::kubernetes::registration::{NAME, Registration, Seen, Settings};
use castoff::runtime::Readiness;
use castoff::trust::authority::Authority;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams};
use kube::runtime::events::{Recorder, Reporter};
use prometheus::Registry;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::harness::{Namespaces, TURN, clean, client, eventually, make_namespace};

/// Not that of the manifests, which the other tests need.
const HOME: &str = "trust-home";

#[tokio::test]
async fn a_registration_does_not_outlive_the_namespace_of_its_castoff() {
    let _turn = TURN.lock().await;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let admin = client(None).await;
    clean(&admin).await;
    make_namespace(&admin, HOME).await;
    let guarded = Arc::new(Namespaces::default());
    guarded.set(&["trust-a"], None);
    let reporter = Reporter { controller: "castoff".to_owned(), instance: None };
    let recorder = Recorder::new(admin.clone(), reporter);
    let registration =
        Registration::new(admin.clone(), Settings::new(HOME), guarded, recorder, &Registry::new()).unwrap();
    let registration = Arc::new(registration);
    let authority = Authority::make("test", None).unwrap();
    let (bundle, paths) = (Some(authority.certificate().into()), ["/validate/1".to_owned()].into());
    let (_told, access) = watch::channel(Access { bundle, paths });
    let (tell, seen) = watch::channel(Seen::NotYet);
    let mut tasks = JoinSet::new();
    let (leader, ready) = (Arc::clone(&registration), Readiness::new().register("registration", ""));
    tasks.spawn(async move { registration.follow(tell, ready).await });
    tasks.spawn(async move { leader.keep(access, seen).await });

    let configurations: Api<ValidatingWebhookConfiguration> = Api::all(admin.clone());
    let made = eventually("registered", async || configurations.get_opt(NAME).await.unwrap()).await;
    assert_eq!(made.owner_references()[0].name, HOME);
    tasks.shutdown().await;
    Api::<Namespace>::all(admin.clone()).delete(HOME, &DeleteParams::default()).await.unwrap();
    eventually("it is gone too", async || configurations.get_opt(NAME).await.unwrap().is_none().then_some(())).await;
}

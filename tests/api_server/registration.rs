//! What is seen of the registration while nothing comes of its watch any more.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use castoff::kubernetes::client::Limits;
use castoff::kubernetes::registration::{Guarded, NAME, Registration, Seen, Settings};
use castoff::runtime::Readiness;
use kube::runtime::events::{Recorder, Reporter};
use prometheus::Registry;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use castoff_test_support::api_server::ApiServer;

const PLACE: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";

/// No namespace has a policy.
struct Nowhere(watch::Sender<u64>);

#[async_trait]
impl Guarded for Nowhere {
    fn namespaces(&self) -> BTreeSet<String> {
        BTreeSet::new()
    }

    async fn namespaces_now(&self) -> Option<BTreeSet<String>> {
        Some(BTreeSet::new())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}

#[tokio::test(start_paused = true)]
async fn a_deleted_registration_is_missed_within_a_minute_though_its_watch_tells_nothing() {
    let server = ApiServer::default();
    let place = format!("{PLACE}/{NAME}");
    server.put(&place, json!({"metadata": {"name": NAME, "uid": "u"}}));
    let client = server.client(Limits::default());
    let recorder = Recorder::new(client.clone(), Reporter { controller: "castoff".to_owned(), instance: None });
    let (guarded, settings) = (Arc::new(Nowhere(watch::Sender::new(0))), Settings::new("castoff-system"));
    let registration = Registration::new(client, settings, guarded, recorder, &Registry::new()).unwrap();
    let (tell, mut seen) = watch::channel(Seen::NotYet);
    let ready = Readiness::new().register("registration", "not seen yet");
    tokio::spawn(async move { registration.follow(tell, ready).await });
    let there = seen.wait_for(|seen| matches!(seen, Seen::There(_)));
    timeout(Duration::from_secs(10), there).await.unwrap().unwrap();

    sleep(Duration::from_secs(1)).await;
    server.swallow_open_watches();
    server.delete(&place);
    server.compact();
    let gone = seen.wait_for(|seen| *seen == Seen::Absent);
    timeout(Duration::from_secs(65), gone).await.expect("nobody has noticed").unwrap();
}

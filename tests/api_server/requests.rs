//! No request goes on for ever.

use std::time::Duration;

use castoff::kubernetes::client::Limits;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, PostParams};
use kube::core::ObjectMeta;
use tokio::time::Instant;

use crate::support::api_server::{ApiServer, Mood};

const LIMIT: Duration = Duration::from_secs(30);

/// How long a read and a write take, and what comes of them.
async fn asked(server: &ApiServer) -> [(Duration, String); 2] {
    let api: Api<ConfigMap> = Api::namespaced(server.client(Limits { answer: LIMIT, ..Limits::default() }), "n");
    let new =
        ConfigMap { metadata: ObjectMeta { name: Some("a".to_owned()), ..Default::default() }, ..Default::default() };
    let begun = Instant::now();
    let read = (begun.elapsed(), api.list(&kube::api::ListParams::default()).await.unwrap_err().to_string());
    let read = (begun.elapsed() + read.0, read.1);
    let begun = Instant::now();
    let written = api.create(&PostParams::default(), &new).await.unwrap_err().to_string();
    [read, (begun.elapsed(), written)]
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_swallowed_ends_and_says_after_how_long() {
    let server = ApiServer::default();
    server.set_mood(Mood::Swallows);
    for (took, error) in asked(&server).await {
        assert!(took <= LIMIT + Duration::from_secs(1), "{took:?}");
        assert!(error.contains("has not answered within 30s"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_begins_and_does_not_end_is_none() {
    let server = ApiServer::default();
    server.set_mood(Mood::Stalls);
    for (took, error) in asked(&server).await {
        assert!(took <= LIMIT + Duration::from_secs(1), "{took:?}");
        assert!(error.contains("has not answered within 30s"), "{error}");
    }
}

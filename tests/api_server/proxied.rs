//! The same over real connections, with a proxy that makes single ones disappear. Its waits are real, and short.

use std::sync::Arc;
use std::time::{Duration, Instant};

use castoff::kubernetes::cache::{Cache, Source, key_of};
use castoff::kubernetes::client::{self, Limits};
use castoff::kubernetes::follow::Pace;
use castoff::kubernetes::resources::drain_policies;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, ListParams, PostParams};
use kube::core::{DynamicObject, ObjectMeta};
use serde_json::json;
use tokio::task::JoinSet;

use castoff_test_support::api_server::ApiServer;
use castoff_test_support::proxy::Proxy;

const LIMITS: Limits = Limits { connect: Duration::from_secs(5), answer: Duration::from_millis(500) };
const PACE: Pace =
    Pace { watch_seconds: 1, silence: Duration::from_millis(1500), patience: Duration::from_secs(10), streams: false };

async fn scene() -> (ApiServer, Proxy, Client) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = ApiServer::default();
    let proxy = Proxy::to(server.client(Limits::default())).await;
    let client = client::build(proxy.config(), LIMITS).unwrap();
    (server, proxy, client)
}

fn put(server: &ApiServer, name: &str) {
    let policy = json!({
        "apiVersion": "castoff.dev/v1alpha1", "kind": "DrainPolicy", "metadata": {"namespace": "n", "name": name},
    });
    server.put(&format!("/apis/castoff.dev/v1alpha1/namespaces/n/drainpolicies/{name}"), policy);
}

fn follow(client: Client, tasks: &mut JoinSet<()>) -> Arc<Cache<()>> {
    let cache = Arc::new(Cache::default());
    let api: Api<DynamicObject> = Api::all_with(client, &drain_policies());
    let source = Source { pace: PACE, ..Source::new(api, "drainpolicies", |object| Some((key_of(object), ()))) };
    tasks.spawn(Arc::clone(&cache).follow(source));
    cache
}

async fn until_known(cache: &Cache<()>, name: &str) {
    let (key, mut changes) = (format!("n/{name}"), cache.changes());
    let known = async {
        while cache.get(&key).is_none() {
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(30), known).await.expect("the copy is behind for ever");
}

#[tokio::test]
async fn a_watch_whose_connection_has_disappeared_is_replaced() {
    let (server, proxy, client) = scene().await;
    let mut tasks = JoinSet::new();
    put(&server, "first");
    let cache = follow(client, &mut tasks);
    until_known(&cache, "first").await;
    put(&server, "second");
    until_known(&cache, "second").await;
    proxy.swallow(|asked| asked.contains("watch=true"));
    put(&server, "third");
    // Whatever takes its place is swallowed too.
    let silent = cache.fell_silent(Duration::from_secs(3)).await;
    assert!(silent.contains("the watch was") || silent.contains("has not answered"), "{silent}");
    assert!(cache.get("n/third").is_none());
    proxy.heal();
    until_known(&cache, "third").await;
}

#[tokio::test]
async fn a_list_and_a_write_whose_answers_disappear_end() {
    let (_, proxy, client) = scene().await;
    let api: Api<ConfigMap> = Api::namespaced(client, "n");
    assert!(api.list(&ListParams::default()).await.is_ok());
    proxy.swallow(|asked| asked.contains("configmaps"));
    let begun = Instant::now();
    let list = api.list(&ListParams::default()).await.unwrap_err().to_string();
    let metadata = ObjectMeta { name: Some("a".to_owned()), ..ObjectMeta::default() };
    let new = ConfigMap { metadata, ..ConfigMap::default() };
    let write = api.create(&PostParams::default(), &new).await.unwrap_err().to_string();
    assert!(list.contains("has not answered within") && write.contains("has not answered within"), "{list} {write}");
    assert!(begun.elapsed() < Duration::from_secs(20));
    proxy.heal();
    assert_eq!(api.list(&ListParams::default()).await.unwrap().items.len(), 1, "the write came through all the same");
}

#[tokio::test]
async fn refusals_now_and_then_do_not_stop_a_copy() {
    let (server, proxy, client) = scene().await;
    let mut tasks = JoinSet::new();
    let cache = follow(client, &mut tasks);
    for code in [429, 500, 504] {
        proxy.answer(|asked| asked.contains("drainpolicies"), code, 2);
        let name = format!("policy-{code}");
        put(&server, &name);
        until_known(&cache, &name).await;
    }
}

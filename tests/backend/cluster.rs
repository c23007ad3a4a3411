//! Reads of the cluster in place of a backend.

use std::sync::Arc;

use castoff::backend::Backend;
use castoff::controller::cluster_reads::ClusterReads;
use castoff::plan::labels::Labels;
use castoff::plan::{ClusterRead, Observation, PodsQuery, Read, ReadKey, Source};
use castoff::pod::{OwnerReference, Pod};
use castoff::standalone::cluster::LocalCluster;
use castoff::standalone::objects::Objects;
use serde_json::{Value, json};

use crate::support::{Bench, failure, in_time, observe, scope};

fn pod(namespace: &str, name: &str, node: &str) -> Value {
    let uid = format!("u-{namespace}-{name}");
    let metadata = json!({"name": name, "namespace": namespace, "uid": uid, "labels": {"app": "web"}});
    json!({"kind": "Pod", "metadata": metadata, "spec": {"nodeName": node}, "status": {"phase": "Running"}})
}

/// The same with an address of its own.
fn at(namespace: &str, name: &str, address: &str) -> Value {
    let mut pod = pod(namespace, name, "one");
    pod["status"] = json!({"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "hostIP": "10.9.0.1"});
    pod
}

fn set(uid: &str, replicas: u32) -> Value {
    json!({"kind": "StatefulSet", "metadata": {"name": "web", "uid": uid}, "spec": {"replicas": replicas}})
}

/// A backend that sees these objects, or no pods at all.
fn seeing(objects: Option<&[Value]>) -> Backend {
    let cluster = match objects {
        Some(objects) => {
            let mut seen = Objects::default();
            for object in objects {
                seen.add(object).unwrap();
            }
            LocalCluster::new(seen)
        }
        None => LocalCluster::unseen(),
    };
    Bench::new().backend().with_cluster(Arc::new(ClusterReads(Arc::new(cluster))))
}

async fn asked(backend: &Backend, read: ClusterRead) -> Observation {
    let mut scope = scope();
    let pod = Arc::make_mut(&mut scope.pod);
    *pod = Pod { metadata: pod.metadata.clone(), ..Pod::default() };
    pod.metadata.namespace = "db".into();
    pod.metadata.owner_references = vec![OwnerReference {
        kind: "StatefulSet".into(),
        name: "web".into(),
        uid: "u-set".into(),
        controller: true,
        ..Default::default()
    }];
    let read = Read { key: ReadKey { name: "it".to_owned(), item: None }, source: Source::Cluster(read) };
    observe(backend, &scope, in_time(), &[read]).await.into_values().next().unwrap()
}

fn pods(selector: &str, namespace: Option<&str>, node: Option<&str>) -> ClusterRead {
    let (namespace, node) = (namespace.map(str::to_owned), node.map(str::to_owned));
    ClusterRead::Pods(PodsQuery { labels: Labels::parse(selector).unwrap(), namespace, node })
}

fn names(observation: &Observation) -> Vec<&str> {
    let Observation::Value(Value::Array(pods)) = observation else { panic!("{observation:?}") };
    pods.iter().map(|pod| pod["metadata"]["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn brings_the_pods_of_a_namespace_or_of_all_on_a_node_or_anywhere() {
    let backend = seeing(Some(&[pod("db", "a", "n1"), pod("db", "b", "n2"), pod("shop", "c", "n1")]));
    assert_eq!(names(&asked(&backend, pods("", Some("db"), None)).await), ["a", "b"]);
    assert_eq!(names(&asked(&backend, pods("app=web", Some("db"), Some("n1"))).await), ["a"]);
    assert_eq!(names(&asked(&backend, pods("app", Some("shop"), None)).await), ["c"]);
    assert_eq!(names(&asked(&backend, pods("", None, Some("n1"))).await), ["a", "c"]);
    assert!(names(&asked(&backend, pods("!app", None, None)).await).is_empty());
}

#[tokio::test]
async fn pods_that_can_not_be_seen_are_a_failure_and_no_empty_list() {
    for read in [pods("", Some("db"), None), pods("", None, None)] {
        let (message, detail) = failure(asked(&seeing(None), read).await);
        assert_eq!(message, "pods can't be seen here (without a cluster: start with --pods DIR)");
        assert!(detail.contains("it"), "{detail}");
    }
    let (message, _) = failure(asked(&Bench::new().backend(), pods("", Some("db"), None)).await);
    assert_eq!(message, "the cluster can't be seen here");
}

#[tokio::test]
async fn brings_how_many_pods_the_owner_wants() {
    let owner = async |objects: &[Value]| asked(&seeing(Some(objects)), ClusterRead::Owner).await;
    assert_eq!(owner(&[set("u-set", 5)]).await, Observation::Value(json!({"replicas": 5})));
    assert_eq!(failure(owner(&[set("u-other", 5)]).await).0, "StatefulSet web is deleted");
    assert_eq!(failure(owner(&[pod("db", "a", "n1")]).await).0, "StatefulSet web can't be seen here");
}

#[tokio::test]
async fn another_pod_may_be_asked_while_it_is_of_the_namespace_and_answers_there_alone() {
    let with = |address: &str, change: fn(&mut Value)| {
        let mut other = at("tidb", "redis-1", address);
        change(&mut other);
        other
    };
    let rows: [(Value, bool); 7] = [
        (with("10.0.0.8", |_| {}), true),
        (with("10.0.0.9", |_| {}), false),
        (with("10.0.0.8", |pod| pod["metadata"]["namespace"] = json!("other")), false),
        (with("10.0.0.8", |pod| pod["status"]["phase"] = json!("Succeeded")), false),
        (with("10.0.0.8", |pod| pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z")), false),
        (with("10.0.0.8", |pod| pod["status"]["hostIP"] = json!("10.0.0.8")), false),
        (with("169.254.169.254", |_| {}), false),
    ];
    for (pod, may) in rows {
        let address = if pod["status"]["podIP"] == "169.254.169.254" { "169.254.169.254" } else { "10.0.0.8" };
        for scheme in ["http", "redis"] {
            let backend = seeing(Some(std::slice::from_ref(&pod)));
            let target = backend.may_ask(&format!("{scheme}://{address}:6379"), &scope()).await;
            assert_eq!(target.is_ok(), may, "{scheme} {pod}: {target:?}");
        }
    }
    assert!(seeing(None).may_ask("redis://10.0.0.8", &scope()).await.is_err(), "no pods can be seen");
}

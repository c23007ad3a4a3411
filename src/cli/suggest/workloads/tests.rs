#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::cli::suggest::workload::{Service, read, read_service};
use crate::standalone::policies;

fn workload(kind: &str, name: &str, image: &str, more: &Value) -> Workload {
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "namespace": "web"},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": name}}, "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "main", "image": image, "ports": [{"name": "http", "containerPort": 9090}]}]},
        }},
    });
    if let Some(annotations) = more.get("annotations") {
        object["spec"]["template"]["metadata"]["annotations"] = annotations.clone();
    }
    if let Some(labels) = more.get("labels") {
        object["spec"]["template"]["metadata"]["labels"] = labels.clone();
    }
    read(kind, &serde_json::from_value(object).unwrap())
}

fn service(name: &str, selector: &Value) -> Service {
    let object = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"selector": selector, "ports": [{"port": 2379}]}});
    read_service(&serde_json::from_value(object).unwrap())
}

fn found(services: Vec<Service>) -> Found {
    Found { namespace: "web".to_owned(), services, ..Found::default() }
}

/// The policy that is written, which `castoff check` must accept.
fn written(workload: &Workload, found: &Found) -> String {
    let Suggestion::Policy(text) = suggest(workload, found) else { panic!("no policy for {workload:?}") };
    let checked = policies::check(&[("suggested.yaml".into(), text.clone())]);
    assert!(checked.complaints.is_empty(), "{text}\n{:?}", checked.complaints);
    assert_eq!(checked.policies.len(), 1);
    text
}

#[test]
fn what_is_known_by_its_image_gets_its_plan_and_the_service_in_front_of_it() {
    let pd = service("basic-pd", &json!({"app.kubernetes.io/component": "pd"}));
    let peer = service("basic-pd-peer", &json!({"app.kubernetes.io/component": "pd"}));
    let tikv = workload("StatefulSet", "basic-tikv", "docker.io/pingcap/tikv:v8.5.0", &json!({}));
    let text = written(&tikv, &found(vec![peer, pd]));
    assert!(text.contains("plan: {builtIn: tikv}") && text.contains("pd: \"http://basic-pd:2379\""), "{text}");
    let etcd = workload("StatefulSet", "etcd", "quay.io/coreos/etcd:v3.6.0", &json!({}));
    let text = written(&etcd, &found(vec![service("etcd-client", &json!({"app": "etcd"}))]));
    assert!(text.contains("url: \"http://etcd-client:2379\"") && text.contains("mode: Audit"), "{text}");
    let unknown = written(&etcd, &found(Vec::new()));
    assert!(unknown.contains("# TODO the Service in front of all members"), "{unknown}");
    let patroni = workload("StatefulSet", "pg", "registry/spilo-17:4.0", &json!({}));
    assert!(!written(&patroni, &found(Vec::new())).contains("TODO"), "its plan needs nothing to be filled in");
}

/// Workloads by which each built-in plan is suggested: plan, kind, image, command and environment.
fn one_of_each() -> Vec<(&'static str, Workload)> {
    let set = |plan, image: &str| (plan, workload("StatefulSet", "db", image, &json!({})));
    let with = |plan, words: &[&str], variable: &str| {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        let plain = workload("Deployment", "orders", "orders:1", &json!({}));
        (plan, Workload { words, environment: vec![variable.to_owned()], ..plain })
    };
    let annotated = |plan, kind: &str, annotation: &str| {
        (plan, workload(kind, "api", "api:1", &json!({"annotations": {annotation: "true"}})))
    };
    let small = Workload { replicas: 2, ..workload("StatefulSet", "queue", "queue:1", &json!({})) };
    vec![
        set("cockroachdb", "cockroachdb/cockroach:v25.3.0"),
        set("etcd", "quay.io/coreos/etcd:v3.6.0"),
        set("kafka", "apache/kafka:4.1.0"),
        set("minio", "quay.io/minio/minio:latest"),
        set("nats", "nats:2.12-alpine"),
        set("opensearch", "opensearchproject/opensearch:3"),
        set("patroni", "registry/spilo-17:4.0"),
        set("pd", "pingcap/pd:v8.5.0"),
        set("qdrant", "qdrant/qdrant:v1.15"),
        set("quorum", "queue:1"),
        set("rabbitmq", "rabbitmq:4-management"),
        set("redis-cluster", "bitnami/redis-cluster:7"),
        set("redis-sentinel", "bitnami/redis-sentinel:7"),
        set("redpanda", "redpandadata/redpanda:v25"),
        set("tikv", "pingcap/tikv:v8.5.0"),
        set("vault", "hashicorp/vault:1.20"),
        set("zookeeper", "zookeeper:3.9"),
        ("vllm", workload("Deployment", "llm", "vllm/vllm-openai:v0.11", &json!({}))),
        ("neighbours", workload("DaemonSet", "agent", "agent:1", &json!({}))),
        ("http-hook", small),
        annotated("consul", "Deployment", "consul.hashicorp.com/connect-inject"),
        annotated("in-flight", "Deployment", "prometheus.io/scrape"),
        with("celery", &["celery", "-A", "tasks", "worker"], "BROKER"),
        with("eureka", &[], "EUREKA_CLIENT_SERVICEURL_DEFAULTZONE"),
        with("nacos", &[], "SPRING_CLOUD_NACOS_DISCOVERY_SERVER_ADDR"),
    ]
}

#[test]
fn every_built_in_plan_is_suggested_for_the_workload_that_it_is_for() {
    let each = one_of_each();
    for (plan, workload) in &each {
        let text = written(workload, &found(Vec::new()));
        assert!(text.contains(&format!("plan: {{builtIn: {plan}}}")), "{plan}: {text}");
    }
    // By which label Services select a pod can't be told from outside.
    let told: Vec<&str> = each.iter().map(|(plan, _)| *plan).chain(["out-of-service"]).collect();
    let missing: Vec<&str> = crate::plan::catalogue::names().into_iter().filter(|name| !told.contains(name)).collect();
    assert!(missing.is_empty(), "nothing leads to {missing:?}");
}

#[test]
fn what_only_its_own_commands_can_prepare_is_led_to_its_recipe() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/recipes");
    for image in ["mongo:8", "mysql:8.4", "bitnami/mariadb-galera:12", "cassandra:5"] {
        let Suggestion::Nothing(why) = suggest(&workload("StatefulSet", "db", image, &json!({})), &found(Vec::new()))
        else {
            panic!("a policy for {image}")
        };
        let recipe = why.rsplit('/').next().unwrap();
        assert!(folder.join(recipe).exists(), "{image}: {why}");
    }
}

#[test]
fn what_is_guessed_by_its_kind_only_watches_until_it_is_filled_in() {
    let agent = workload("DaemonSet", "agent", "agent:1", &json!({}));
    let text = written(&agent, &found(Vec::new()));
    assert!(text.contains("builtIn: neighbours") && text.contains("mode: Audit   # TODO"), "{text}");
    let scraped = json!({"annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "9102"}});
    let text = written(&workload("Deployment", "api", "api:1", &scraped), &found(Vec::new()));
    assert!(text.contains("builtIn: in-flight") && text.contains("port: 9102"), "{text}");
    let set = workload("StatefulSet", "queue", "queue:1", &json!({}));
    assert!(!written(&set, &found(Vec::new())).contains("TODO"), "a quorum can be kept of any set");
    let small = Workload { replicas: 2, ..set };
    assert!(written(&small, &found(Vec::new())).contains("port: 9090, path: /prestop"));
    let consul = json!({"annotations": {"consul.hashicorp.com/connect-inject": "true"}});
    assert!(
        written(&workload("Deployment", "shop", "shop:1", &consul), &found(Vec::new())).contains("builtIn: consul")
    );
}

#[test]
fn what_needs_no_guard_has_one_or_is_held_by_its_operator_is_said() {
    let told = |workload: &Workload, found: &Found| match suggest(workload, found) {
        Suggestion::Nothing(why) => why,
        Suggestion::Policy(text) => panic!("{text}"),
    };
    let plain = workload("Deployment", "shop", "shop:1", &json!({}));
    assert!(told(&plain, &found(Vec::new())).ends_with("no guard is needed"));
    let of_operator = json!({"labels": {"app": "es", "elasticsearch.k8s.elastic.co/cluster-name": "es"}});
    assert_eq!(
        told(&workload("StatefulSet", "es", "elasticsearch:9.1.0", &of_operator), &found(Vec::new())),
        "StatefulSet es: its pods are of ECK, which a guard would keep from upgrading the cluster: no guard is of use \
         (docs/beside-an-operator.md)"
    );
    let text = written(&workload("StatefulSet", "queue", "queue:1", &json!({})), &found(Vec::new()));
    let checked = policies::check(&[("suggested.yaml".into(), text)]);
    let policies = checked.policies.into_iter().map(|found| Arc::new(found.policy)).collect();
    let guarded = Found { policies, ..found(Vec::new()) };
    assert!(
        told(&workload("StatefulSet", "queue", "queue:1", &json!({})), &guarded)
            .contains("guarded by the policy queue")
    );
}

#[test]
fn pods_that_an_operator_makes_itself_are_told_by_operator_unless_they_are_guarded() {
    let pod = |name: &str, labels: Value, owner: &str| {
        let metadata = json!({"name": name, "namespace": "web", "uid": name, "labels": labels, "ownerReferences": [
            {"apiVersion": owner, "kind": "Any", "name": "any", "uid": "o", "controller": true}]});
        crate::pod::deserialize_owned(&json!({"metadata": metadata})).unwrap()
    };
    let instance = json!({"cnpg.io/cluster": "pg", "cnpg.io/podRole": "instance", "app": "pg"});
    let pods = vec![
        pod("pg-1", instance.clone(), "postgresql.cnpg.io/v1"),
        pod("pg-2", instance.clone(), "postgresql.cnpg.io/v1"),
        pod("es-0", json!({"elasticsearch.k8s.elastic.co/cluster-name": "es"}), "apps/v1"),
        pod("any", json!({}), "other.example/v1"),
    ];
    let text = written(&workload("StatefulSet", "pg", "queue:1", &json!({})), &found(Vec::new()));
    let found = Found { pods, ..found(Vec::new()) };
    let advice = "Pods pg-1, pg-2: are of CloudNativePG: a policy to begin with is in \
                  manifests/recipes/cloudnative-pg.yaml";
    assert_eq!(of_operators(&found), [Suggestion::Nothing(advice.to_owned())]);
    let checked = policies::check(&[("suggested.yaml".into(), text)]);
    let policies = checked.policies.into_iter().map(|found| Arc::new(found.policy)).collect();
    assert_eq!(of_operators(&Found { policies, ..found }), []);
}

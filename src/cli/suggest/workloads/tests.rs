#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::json;

use super::*;
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

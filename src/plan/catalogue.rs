//! The plans that are built in.

use std::sync::{Arc, OnceLock};

use super::{Mistake, Plan, compile};
use crate::yaml;

/// Names and texts of the built-in plans.
pub const SOURCES: [(&str, &str); 26] = [
    ("celery", include_str!("builtin/celery.yaml")),
    ("cockroachdb", include_str!("builtin/cockroachdb.yaml")),
    ("consul", include_str!("builtin/consul.yaml")),
    ("etcd", include_str!("builtin/etcd.yaml")),
    ("eureka", include_str!("builtin/eureka.yaml")),
    ("http-hook", include_str!("builtin/http-hook.yaml")),
    ("in-flight", include_str!("builtin/in-flight.yaml")),
    ("kafka", include_str!("builtin/kafka.yaml")),
    ("minio", include_str!("builtin/minio.yaml")),
    ("nacos", include_str!("builtin/nacos.yaml")),
    ("nats", include_str!("builtin/nats.yaml")),
    ("neighbours", include_str!("builtin/neighbours.yaml")),
    ("opensearch", include_str!("builtin/opensearch.yaml")),
    ("out-of-service", include_str!("builtin/out-of-service.yaml")),
    ("patroni", include_str!("builtin/patroni.yaml")),
    ("pd", include_str!("builtin/pd.yaml")),
    ("qdrant", include_str!("builtin/qdrant.yaml")),
    ("quorum", include_str!("builtin/quorum.yaml")),
    ("rabbitmq", include_str!("builtin/rabbitmq.yaml")),
    ("redis-cluster", include_str!("builtin/redis-cluster.yaml")),
    ("redis-sentinel", include_str!("builtin/redis-sentinel.yaml")),
    ("redpanda", include_str!("builtin/redpanda.yaml")),
    ("tikv", include_str!("builtin/tikv.yaml")),
    ("vault", include_str!("builtin/vault.yaml")),
    ("vllm", include_str!("builtin/vllm.yaml")),
    ("zookeeper", include_str!("builtin/zookeeper.yaml")),
];

/// Each is compiled when it is first asked for: most installations use one or two.
static PLANS: [OnceLock<Option<Arc<Plan>>>; SOURCES.len()] = [const { OnceLock::new() }; SOURCES.len()];

/// The built-in plan of that name.
#[must_use]
pub fn builtin(name: &str) -> Option<&'static Arc<Plan>> {
    let index = SOURCES.iter().position(|(known, _)| *known == name)?;
    let (name, text) = SOURCES.get(index)?;
    // A plan that does not compile is not there; a test sees to it that each does.
    PLANS.get(index)?.get_or_init(|| read(text).ok().map(|plan| Arc::new(plan.named(*name)))).as_ref()
}

/// What a built-in plan was checked against: real servers of these versions, or what their documentation says.
#[must_use]
pub fn checked(name: &str) -> &'static str {
    match name {
        "celery" => "Celery 5.7.0 with Flower 2.2.0",
        "consul" => "answers of Consul 1.21.4",
        "etcd" => "etcd 3.7.3",
        "kafka" => "Kafka 4.1.2 with the JMX exporter 1.0.1",
        "nats" => "NATS 2.15.1",
        "opensearch" => "answers of OpenSearch 2.19.6",
        "cockroachdb" | "eureka" | "minio" | "nacos" | "patroni" | "qdrant" | "redpanda" | "vault" | "vllm" => {
            "a mock, as its documentation says"
        }
        "pd" | "tikv" => "answers of PD 8.5.7",
        "rabbitmq" => "RabbitMQ 3.10.8",
        "redis-cluster" | "redis-sentinel" => "Redis 7.0.15 and Valkey 9.1.2",
        "out-of-service" => "Kubernetes 1.36.3",
        "zookeeper" => "ZooKeeper 3.9.5",
        // Its backend is whatever keeps to the page of its contract, or the cluster itself.
        _ => "its own tests alone",
    }
}

/// The tests of a built-in plan, as `castoff plan test` reads them.
#[must_use]
pub fn tests(name: &str) -> Option<&'static str> {
    match name {
        "celery" => Some(include_str!("builtin/celery.test.yaml")),
        "cockroachdb" => Some(include_str!("builtin/cockroachdb.test.yaml")),
        "consul" => Some(include_str!("builtin/consul.test.yaml")),
        "etcd" => Some(include_str!("builtin/etcd.test.yaml")),
        "eureka" => Some(include_str!("builtin/eureka.test.yaml")),
        "http-hook" => Some(include_str!("builtin/http-hook.test.yaml")),
        "in-flight" => Some(include_str!("builtin/in-flight.test.yaml")),
        "kafka" => Some(include_str!("builtin/kafka.test.yaml")),
        "minio" => Some(include_str!("builtin/minio.test.yaml")),
        "nacos" => Some(include_str!("builtin/nacos.test.yaml")),
        "nats" => Some(include_str!("builtin/nats.test.yaml")),
        "neighbours" => Some(include_str!("builtin/neighbours.test.yaml")),
        "opensearch" => Some(include_str!("builtin/opensearch.test.yaml")),
        "out-of-service" => Some(include_str!("builtin/out-of-service.test.yaml")),
        "patroni" => Some(include_str!("builtin/patroni.test.yaml")),
        "pd" => Some(include_str!("builtin/pd.test.yaml")),
        "qdrant" => Some(include_str!("builtin/qdrant.test.yaml")),
        "quorum" => Some(include_str!("builtin/quorum.test.yaml")),
        "rabbitmq" => Some(include_str!("builtin/rabbitmq.test.yaml")),
        "redis-cluster" => Some(include_str!("builtin/redis-cluster.test.yaml")),
        "redis-sentinel" => Some(include_str!("builtin/redis-sentinel.test.yaml")),
        "redpanda" => Some(include_str!("builtin/redpanda.test.yaml")),
        "tikv" => Some(include_str!("builtin/tikv.test.yaml")),
        "vault" => Some(include_str!("builtin/vault.test.yaml")),
        "vllm" => Some(include_str!("builtin/vllm.test.yaml")),
        "zookeeper" => Some(include_str!("builtin/zookeeper.test.yaml")),
        _ => None,
    }
}

/// The names of the built-in plans, sorted.
#[must_use]
pub fn names() -> Vec<&'static str> {
    SOURCES.iter().map(|(name, _)| *name).collect()
}

/// Reads and compiles a plan.
///
/// # Errors
/// All its mistakes; those of YAML itself with an empty place.
pub fn read(text: &str) -> Result<Plan, Vec<Mistake>> {
    let spec = yaml::parse(text).map_err(|error| {
        let message = error.line.map_or_else(String::new, |line| format!("line {line}: ")) + &error.message;
        vec![Mistake { field: error.field.unwrap_or_default(), message, hint: error.hint }]
    })?;
    compile(&spec)
}

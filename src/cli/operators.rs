//! Operators that have their own ways with pods, and whether a guard is of use beside them: one table, for
//! `castoff suggest`, `castoff doctor` and docs/beside-an-operator.md, which has the facts and their sources.

use crate::pod::Pod;

/// An operator.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Operator {
    /// As the page names it.
    pub name: &'static str,
    /// A label of its pods: a key, or `key=value`.
    mark: &'static str,
    pub guard: Guard,
}

/// What a guard is beside it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// Of use, by a built-in plan that is known by the image.
    BuiltIn,
    /// Of use, by a plan of its own in this file of `manifests/recipes`.
    Recipe(&'static str),
    /// Of none: the operator, "which …".
    OfNoUse(&'static str),
}

impl Operator {
    /// What to do with its pods, unless that is told by their image.
    pub fn advice(&self) -> Option<String> {
        let name = self.name;
        match self.guard {
            BuiltIn => None,
            Recipe(file) => Some(format!("of {name}: a policy to begin with is in manifests/recipes/{file}")),
            OfNoUse(why) => Some(format!("of {name}, which {why}: no guard is of use (docs/beside-an-operator.md)")),
        }
    }
}

use Guard::{BuiltIn, OfNoUse, Recipe};

const UPGRADES: &str = "a guard would keep from upgrading the cluster";

/// In the order of the page. The first whose mark a pod bears is its operator.
const OPERATORS: [Operator; 13] = [
    of("CloudNativePG", "cnpg.io/podRole=instance", Recipe("cloudnative-pg.yaml")),
    of("Strimzi", "strimzi.io/broker-role=true", Recipe("strimzi.yaml")),
    of("Couchbase Operator", "couchbase_cluster", Recipe("couchbase.yaml")),
    of("Zalando Postgres Operator", "application=spilo", BuiltIn),
    of("TiDB Operator 2", "pingcap.com/managed-by=tidb-operator", OfNoUse("evicts leaders while the pod terminates")),
    of("TiDB Operator 1", "app.kubernetes.io/managed-by=tidb-operator", BuiltIn),
    of(
        "RabbitMQ Cluster Operator",
        "app.kubernetes.io/part-of=rabbitmq",
        OfNoUse("has the pod wait in its preStop hook"),
    ),
    of("ECK", "elasticsearch.k8s.elastic.co/cluster-name", OfNoUse(UPGRADES)),
    of("OpenSearch Operator", "opensearch.org/opensearch-cluster", OfNoUse(UPGRADES)),
    of("ScyllaDB Operator", "scylla/cluster", OfNoUse("drains the node in its preStop hook")),
    of("cass-operator", "cassandra.datastax.com/cluster", OfNoUse("drains the node in its preStop hook")),
    of("actions-runner-controller", "actions-ephemeral-runner", Recipe("actions-runner.yaml")),
    of("kthena", "modelserving.volcano.sh/name", Recipe("kthena.yaml")),
];

const fn of(name: &'static str, mark: &'static str, guard: Guard) -> Operator {
    Operator { name, mark, guard }
}

/// The operator of a pod, as its labels tell.
pub(super) fn operator(pod: &Pod<'_>) -> Option<&'static Operator> {
    let labels = &pod.metadata.labels;
    let bears = |mark: &str| match mark.split_once('=') {
        Some((key, value)) => labels.get(key).is_some_and(|has| **has == *value),
        None => labels.contains_key(mark),
    };
    OPERATORS.iter().find(|operator| bears(operator.mark))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use super::*;

    /// The rows of the page's first table: the operator, and what to do.
    fn rows(page: &str) -> Vec<(&str, &str)> {
        let table = page.split("| operator | who deletes its pods").nth(1).unwrap();
        let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
        rows.map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
            (cells[0], cells[3])
        })
        .collect()
    }

    #[test]
    fn the_page_says_of_each_what_this_table_says() {
        let rows = rows(include_str!("../../docs/beside-an-operator.md"));
        assert_eq!(rows.len(), OPERATORS.len());
        for operator in &OPERATORS {
            let (_, advice) = rows.iter().find(|(name, _)| *name == operator.name).unwrap();
            match operator.guard {
                OfNoUse(_) => assert!(advice.starts_with("no guard"), "{}: {advice}", operator.name),
                BuiltIn => assert!(advice.contains("manifests/recipes/"), "{}: {advice}", operator.name),
                Recipe(file) => {
                    assert!(advice.contains(&format!("../manifests/recipes/{file}")), "{}: {advice}", operator.name);
                    assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/recipes").join(file).exists());
                }
            }
        }
    }

    #[test]
    fn a_pods_labels_tell_its_operator() {
        let of = |labels: &[(&'static str, &'static str)]| {
            let mut pod = Pod::default();
            pod.metadata.labels = labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
            operator(&pod).map(|operator| operator.name)
        };
        assert_eq!(of(&[("scylla/cluster", "any")]), Some("ScyllaDB Operator"));
        let old = ("app.kubernetes.io/managed-by", "tidb-operator");
        assert_eq!(of(&[old]), Some("TiDB Operator 1"));
        assert_eq!(of(&[old, ("pingcap.com/managed-by", "tidb-operator")]), Some("TiDB Operator 2"));
        assert_eq!(of(&[("cnpg.io/podRole", "pooler")]), None);
    }
}

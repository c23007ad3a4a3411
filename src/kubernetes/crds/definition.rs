//! What the definition of a kind is made of.

use kube::core::ApiResource;
use serde_json::{Value, json};

use super::schema::{merge, without_defaults};

/// The label that says of which version of Castoff an object is.
pub const VERSION_LABEL: &str = "app.kubernetes.io/version";

/// One printer column: name, type, JSON path, and 1 for those that only `-o wide` shows.
pub(super) type Column = (&'static str, &'static str, &'static str, u8);

/// The parts of a definition.
pub(super) struct Definition<'a> {
    pub resource: ApiResource,
    pub singular: &'static str,
    pub short: &'static str,
    pub namespaced: bool,
    pub description: &'static str,
    pub spec: Value,
    /// Where there is one, only Castoff writes it.
    pub status: Option<Value>,
    pub columns: &'a [Column],
}

impl Definition<'_> {
    /// The definition, as it is applied.
    pub fn build(self) -> Value {
        let Definition { resource, singular, short, namespaced, description, spec, status, columns } = self;
        let ApiResource { group, version, kind, plural, .. } = resource;
        let mut properties = json!({
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
        });
        let mut subresources = json!({});
        if let Some(mut status) = status {
            without_defaults(&mut status);
            merge(&mut properties, &json!({"status": status}));
            subresources = json!({"status": {}});
        }
        let column = |(name, kind, path, priority): &Column| json!({"name": name, "type": kind, "jsonPath": path, "priority": priority});
        let columns: Vec<Value> = columns.iter().map(column).collect();
        json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{group}"), "labels": {
                "app.kubernetes.io/name": "castoff", VERSION_LABEL: env!("CARGO_PKG_VERSION"),
            }},
            "spec": {
                "group": group,
                "scope": if namespaced { "Namespaced" } else { "Cluster" },
                "names": {
                    "kind": kind, "listKind": format!("{kind}List"), "plural": plural,
                    "singular": singular, "shortNames": [short], "categories": ["castoff"],
                },
                "versions": [{
                    "name": version,
                    "served": true,
                    "storage": true,
                    "subresources": subresources,
                    "additionalPrinterColumns": columns,
                    "schema": {"openAPIV3Schema": {
                        "type": "object",
                        "description": description,
                        "required": ["spec"],
                        "properties": properties,
                    }},
                }],
            },
        })
    }
}

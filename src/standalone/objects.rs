//! Kubernetes objects, as files hold them: pods, nodes, namespaces and the owners of pods.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::controller::interfaces::{NamespaceFacts, NodeFacts, OwnerFacts};
use crate::pod::Pod;

/// What a directory of objects shows.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// Pods, by `namespace/name`.
    pub pods: BTreeMap<String, Arc<Pod<'static>>>,
    /// Nodes, by name.
    pub nodes: BTreeMap<String, NodeFacts>,
    /// Namespaces, by name.
    pub namespaces: BTreeMap<String, NamespaceFacts>,
    /// Owners, by UID; `None` for one that is being deleted.
    pub owners: BTreeMap<String, Option<OwnerFacts>>,
}

impl Objects {
    /// Reads every `.yaml`, `.yml` and `.json` file of a directory. A file may hold several documents, or a List.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub fn read(directory: &Path) -> Result<Self, String> {
        let mut objects = Objects::default();
        for (path, text) in super::policies::read_directory(directory)? {
            for document in crate::yaml::documents(&text) {
                let value: Value = crate::yaml::parse(document.text)
                    .map_err(|error| format!("{}: {}", path.display(), error.message))?;
                objects.add(value).map_err(|error| format!("{}: {error}", path.display()))?;
            }
        }
        Ok(objects)
    }

    /// Adds an object, or those of a List. Kinds that decide nothing are passed over.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the object.
    pub fn add(&mut self, object: Value) -> Result<(), String> {
        if let Some(Value::Array(items)) = object.get("items") {
            return items.iter().try_for_each(|item| self.add(item.clone()));
        }
        match object.get("kind").and_then(Value::as_str).unwrap_or_default() {
            "Pod" => self.add_pod(&object),
            "Node" => {
                let node: Node = read(object)?;
                self.nodes.insert(node.metadata.name.clone(), node.facts());
                Ok(())
            }
            "Namespace" => {
                let namespace: Plain = read(object)?;
                let deleting = namespace.metadata.deletion_timestamp.is_some();
                let facts = NamespaceFacts { deleting, annotations: namespace.metadata.annotations };
                self.namespaces.insert(namespace.metadata.name, facts);
                Ok(())
            }
            "StatefulSet" | "ReplicaSet" | "DaemonSet" | "Job" => {
                let owner: Owner = read(object)?;
                let facts = OwnerFacts { replicas: owner.spec.replicas, update_revision: owner.status.update_revision };
                let stays = owner.metadata.deletion_timestamp.is_none();
                self.owners.insert(owner.metadata.uid, stays.then_some(facts));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn add_pod(&mut self, object: &Value) -> Result<(), String> {
        let pod = Pod::deserialize(object).map_err(|error| error.to_string())?.into_owned();
        if pod.metadata.name.is_empty() || pod.metadata.namespace.is_empty() || pod.metadata.uid.is_empty() {
            return Err("a Pod needs metadata.name, metadata.namespace and metadata.uid".to_owned());
        }
        self.pods.insert(pod.full_name(), Arc::new(pod));
        Ok(())
    }
}

fn read<T: serde::de::DeserializeOwned>(object: Value) -> Result<T, String> {
    serde_json::from_value(object).map_err(|error| error.to_string())
}

#[derive(Deserialize)]
struct Plain {
    metadata: PlainMetadata,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PlainMetadata {
    name: String,
    uid: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    deletion_timestamp: Option<String>,
}

#[derive(Deserialize)]
struct Owner {
    metadata: PlainMetadata,
    #[serde(default)]
    spec: OwnerSpec,
    #[serde(default)]
    status: OwnerStatus,
}

#[derive(Default, Deserialize)]
struct OwnerSpec {
    replicas: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OwnerStatus {
    update_revision: Option<String>,
}

#[derive(Deserialize)]
struct Node {
    metadata: PlainMetadata,
    #[serde(default)]
    spec: NodeSpec,
    #[serde(default)]
    status: NodeStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeSpec {
    unschedulable: bool,
    taints: Vec<Taint>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Taint {
    effect: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeStatus {
    conditions: Vec<NodeCondition>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeCondition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

impl Node {
    fn facts(self) -> NodeFacts {
        NodeFacts {
            ready: match self.status.conditions.iter().find(|condition| condition.kind == "Ready") {
                Some(condition) if condition.status == "True" => Some(true),
                Some(condition) if condition.status == "False" => Some(false),
                _ => None,
            },
            leaving: self.spec.unschedulable || self.spec.taints.iter().any(|taint| taint.effect == "NoExecute"),
            labels: self.metadata.labels,
            annotations: self.metadata.annotations,
        }
    }
}

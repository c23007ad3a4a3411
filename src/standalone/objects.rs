//! Kubernetes objects, as files hold them: pods, nodes, namespaces and the owners of pods.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::facts::{NamespaceFacts, NodeFacts, OwnerSeen, read};
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
    /// Owners, by UID.
    pub owners: BTreeMap<String, OwnerSeen>,
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
                objects.add(&value).map_err(|error| format!("{}: {error}", path.display()))?;
            }
        }
        Ok(objects)
    }

    /// Adds an object, or those of a List. Kinds that decide nothing are passed over.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the object.
    pub fn add(&mut self, object: &Value) -> Result<(), String> {
        if let Some(Value::Array(items)) = object.get("items") {
            return items.iter().try_for_each(|item| self.add(item));
        }
        let said = |error: serde_json::Error| error.to_string();
        match object.get("kind").and_then(Value::as_str).unwrap_or_default() {
            "Pod" => self.add_pod(object),
            "Node" => {
                self.nodes.insert(text_at(object, "/metadata/name"), read::node(object).map_err(said)?);
                Ok(())
            }
            "Namespace" => {
                self.namespaces.insert(text_at(object, "/metadata/name"), read::namespace(object).map_err(said)?);
                Ok(())
            }
            kind if read::OWNER_KINDS.iter().any(|(known, _)| *known == kind) => {
                self.owners.insert(text_at(object, "/metadata/uid"), read::owner(object).map_err(said)?);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The pods of a namespace.
    pub fn pods_of<'a>(&'a self, namespace: &str) -> impl Iterator<Item = &'a Arc<Pod<'static>>> {
        let place = format!("{namespace}/");
        self.pods.range(place.clone()..).take_while(move |(key, _)| key.starts_with(&place)).map(|(_, pod)| pod)
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

fn text_at(object: &Value, place: &str) -> String {
    object.pointer(place).and_then(Value::as_str).unwrap_or_default().to_owned()
}

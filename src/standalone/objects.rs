//! Kubernetes objects, as files hold them: pods, nodes, namespaces and the owners of pods.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::facts::{NamespaceFacts, NodeFacts, OwnerSeen, read};
use crate::pod::Pod;
use crate::yaml;

use super::{FileError, at};

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

/// What is wrong with an object.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// A field is none.
    #[error(transparent)]
    Unreadable(#[from] serde_json::Error),
    /// Nobody can tell which pod it is.
    #[error("a Pod needs metadata.name, metadata.namespace and metadata.uid")]
    Nameless,
}

impl Objects {
    /// Reads every `.yaml`, `.yml` and `.json` file of a directory. A file may hold several documents, or a List.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub fn read(directory: &Path) -> Result<Self, FileError> {
        let mut objects = Objects::default();
        for (path, text) in super::policies::read_directory(directory)? {
            for document in yaml::documents(&text) {
                let value: Value = yaml::parse(document.text).map_err(|error| at(&path)(error.message))?;
                objects.add(&value).map_err(at(&path))?;
            }
        }
        Ok(objects)
    }

    /// Adds an object, or those of a List. Kinds that decide nothing are passed over.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the object.
    pub fn add(&mut self, object: &Value) -> Result<(), ObjectError> {
        if let Some(Value::Array(items)) = object.get("items") {
            return items.iter().try_for_each(|item| self.add(item));
        }
        match object.get("kind").and_then(Value::as_str).unwrap_or_default() {
            "Pod" => self.add_pod(object),
            "Node" => {
                self.nodes.insert(text_at(object, "/metadata/name"), read::node(object)?);
                Ok(())
            }
            "Namespace" => {
                self.namespaces.insert(text_at(object, "/metadata/name"), read::namespace(object)?);
                Ok(())
            }
            kind if read::OWNER_KINDS.iter().any(|(known, _)| *known == kind) => {
                self.owners.insert(text_at(object, "/metadata/uid"), read::owner(object)?);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn add_pod(&mut self, object: &Value) -> Result<(), ObjectError> {
        let pod = Pod::deserialize(object)?.into_owned();
        if pod.metadata.name.is_empty() || pod.metadata.namespace.is_empty() || pod.metadata.uid.is_empty() {
            return Err(ObjectError::Nameless);
        }
        self.pods.insert(pod.full_name(), Arc::new(pod));
        Ok(())
    }
}

fn text_at(object: &Value, place: &str) -> String {
    object.pointer(place).and_then(Value::as_str).unwrap_or_default().to_owned()
}

//! Secrets from files: `DIR/NAMESPACE/NAME/KEY`, as a mounted Secret lies.

use std::io::ErrorKind;
use std::path::PathBuf;

use async_trait::async_trait;

use crate::backend::credentials::{KEYS, Secret, SecretError, Secrets, is_object_name};

/// Secrets in a directory. Files are read each time, so a changed one counts at once.
#[derive(Clone, Debug)]
pub struct DirectorySecrets {
    root: PathBuf,
}

impl DirectorySecrets {
    /// Secrets under `root`.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }
}

#[async_trait]
impl Secrets for DirectorySecrets {
    async fn read(&self, namespace: &str, name: &str) -> Result<Secret, SecretError> {
        if !is_object_name(namespace) || !is_object_name(name) {
            return Err("that is no name of a Secret".into());
        }
        let folder = self.root.join(namespace).join(name);
        if !tokio::fs::try_exists(&folder).await.unwrap_or(false) {
            return Err(format!("there is no folder {}", folder.display()).into());
        }
        let mut values = Vec::new();
        for key in KEYS {
            let file = folder.join(key);
            match tokio::fs::read(&file).await {
                Ok(value) => values.push((key.to_owned(), value)),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(format!("{} can't be read: {error}", file.display()).into()),
            }
        }
        Ok(values.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn reads_the_known_keys_of_a_folder() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("tidb/pd-client");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("token"), "abc").unwrap();
        std::fs::write(folder.join("notes"), "not ours").unwrap();
        let secret = DirectorySecrets::new(root.path().to_owned()).read("tidb", "pd-client").await.unwrap();
        assert_eq!(format!("{secret:?}"), r#"{"token"}"#);
        assert_eq!(secret.get("token"), Some(b"abc".as_slice()));
    }

    #[tokio::test]
    async fn reads_nothing_outside_of_its_directory() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("other/secret")).unwrap();
        std::fs::write(root.path().join("other/secret/token"), "abc").unwrap();
        let secrets = DirectorySecrets::new(root.path().join("mine"));
        for (namespace, name) in [("..", "other"), ("a", "../../other/secret"), ("", "secret"), ("a", "/etc")] {
            assert!(secrets.read(namespace, name).await.is_err(), "{namespace}/{name}");
        }
        assert!(secrets.read("a", "b").await.unwrap_err().to_string().contains("mine/a/b"));
    }
}

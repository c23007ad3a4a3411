//! Secrets from the API, read when they are used: only of a policy's own namespace, and only where a Role allows it.

use async_trait::async_trait;
use k8s_openapi::api::core::v1;
use kube::{Api, Client};

use crate::backend::credentials::{KEYS, Secret, SecretError, Secrets};

use super::cache::chain;

pub struct ClusterSecrets(pub Client);

#[async_trait]
impl Secrets for ClusterSecrets {
    async fn read(&self, namespace: &str, name: &str) -> Result<Secret, SecretError> {
        let api: Api<v1::Secret> = Api::namespaced(self.0.clone(), namespace);
        match api.get_opt(name).await {
            Ok(Some(secret)) => {
                let data = secret.data.unwrap_or_default();
                Ok(data
                    .into_iter()
                    .filter(|(key, _)| KEYS.contains(&key.as_str()))
                    .map(|(key, value)| (key, value.0))
                    .collect())
            }
            Ok(None) => Err(format!("there is no Secret {namespace}/{name}").into()),
            Err(kube::Error::Api(status)) if status.is_forbidden() => {
                let why =
                    format!("Castoff may not read the Secret {namespace}/{name}: allow it by a Role in that namespace");
                Err(why.into())
            }
            Err(error) => Err(format!("the Secret {namespace}/{name} can't be read: {}", chain(&error)).into()),
        }
    }
}

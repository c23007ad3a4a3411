//! Secrets from the API, read when they are used: only of a policy's own namespace, and only where a Role allows it.

use async_trait::async_trait;
use k8s_openapi::api::core::v1;
use kube::{Api, Client};

use crate::backend::credentials::{KEYS, Secret, SecretError, Secrets};
use crate::remedy::{Kind, Right};

use super::cache::chain;

pub struct ClusterSecrets {
    pub client: Client,
    /// As whom this process reads them: the one whom a Role is for.
    pub own_user: String,
}

#[async_trait]
impl Secrets for ClusterSecrets {
    async fn read(&self, namespace: &str, name: &str) -> Result<Secret, SecretError> {
        let api: Api<v1::Secret> = Api::namespaced(self.client.clone(), namespace);
        match api.get_opt(name).await {
            Ok(Some(secret)) => {
                let data = secret.data.unwrap_or_default();
                // What has no meaning here is known by name alone, to be told where another name was meant.
                let known = |key: &str, value: Vec<u8>| if KEYS.contains(&key) { value } else { Vec::new() };
                Ok(data.into_iter().map(|(key, value)| (key.clone(), known(&key, value.0))).collect())
            }
            Ok(None) => {
                Err(SecretError::from(format!("there is no Secret {namespace}/{name}")).because(Kind::NoSecret))
            }
            Err(kube::Error::Api(status)) if status.is_forbidden() => {
                let (right, why) = Right::to_read_secret(&self.own_user, namespace, name);
                Err(SecretError::from(format!("{why}: allow it by a Role in that namespace")).because(right))
            }
            Err(error) => {
                let why = format!("the Secret {namespace}/{name} can't be read: {}", chain(&error));
                Err(SecretError::from(why).because(Kind::Other))
            }
        }
    }
}

//! Secrets from the API, read when they are used: only of a policy's own namespace, and only where a Role allows it.

use async_trait::async_trait;
use k8s_openapi::api::core::v1;
use kube::{Api, Client};

use crate::backend::credentials::{KEYS, Secret, SecretError, Secrets};
use crate::remedy::{MAY_NOT_READ, NO_SECRET};

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
        let why = match api.get_opt(name).await {
            Ok(Some(secret)) => {
                let data = secret.data.unwrap_or_default();
                // What has no meaning here is known by name alone, to be told where another name was meant.
                let known = |key: &str, value: Vec<u8>| if KEYS.contains(&key) { value } else { Vec::new() };
                return Ok(data.into_iter().map(|(key, value)| (key.clone(), known(&key, value.0))).collect());
            }
            Ok(None) => format!("{NO_SECRET} {namespace}/{name}"),
            Err(kube::Error::Api(status)) if status.is_forbidden() => format!(
                "Castoff ({}) {MAY_NOT_READ} {namespace}/{name}: allow it by a Role in that namespace",
                self.own_user
            ),
            Err(error) => format!("the Secret {namespace}/{name} can't be read: {}", chain(&error)),
        };
        Err(why.into())
    }
}

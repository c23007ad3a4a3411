//! The API server, and who this process is to it.

use std::time::Duration;

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::{Api, PostParams};
use kube::core::Status;
use kube::{Client, Config};

use crate::app::Failure;
use crate::app::config::ClusterConfig;
use crate::kubernetes::cache::chain;
use crate::kubernetes::client::{self, Limits};

/// Between two tries to reach an API server that does not answer yet.
const AGAIN: Duration = Duration::from_secs(1);

/// The API server, and who this process is to it.
pub(super) struct Connection {
    pub client: Client,
    pub own_user: String,
    pub identity: String,
}

impl Connection {
    pub async fn establish(config: &ClusterConfig) -> Result<Self, Failure> {
        let client = connect().await?;
        let own_user = whoami(&client).await?;
        let identity = config.identity.clone().unwrap_or_else(identity);
        tracing::info!(user = %own_user, %identity, "speaks to the API server");
        Ok(Connection { client, own_user, identity })
    }
}

/// A client for the cluster that this process runs in, or that the kubeconfig names.
async fn connect() -> Result<Client, Failure> {
    let config = Config::infer().await.map_err(|error| {
        Failure::Usage(format!("no cluster: {}. Give KUBECONFIG, or --standalone to work without one", chain(&error)))
    })?;
    client::build(config, Limits::default()).map_err(|error| Failure::No(chain(&error)))
}

/// As whom this process speaks. Waits for an API server that does not answer yet.
async fn whoami(client: &Client) -> Result<String, Failure> {
    let api: Api<SelfSubjectReview> = Api::all(client.clone());
    loop {
        match api.create(&PostParams::default(), &SelfSubjectReview::default()).await {
            Ok(review) => {
                let user = review.status.and_then(|status| status.user_info).and_then(|user| user.username);
                return Ok(user.unwrap_or_default());
            }
            Err(kube::Error::Api(status)) if is_stranger(&status) => {
                return Err(Failure::No(format!("the API server does not know who this is: {}", status.message)));
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), "the API server does not answer; trying again");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// Whether the API server knows nobody by these credentials, or lets them ask nothing.
fn is_stranger(status: &Status) -> bool {
    status.is_forbidden() || status.code == 401
}

/// The host's name, and a number that a process started after this one in the same pod does not have.
fn identity() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "castoff".to_owned());
    let started = jiff::Timestamp::now().as_millisecond();
    format!("{host}_{}_{started}", std::process::id())
}

//! What `serve` was told, checked once: everything after it can rely on what stands here.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::backend::guard::Pattern;
use crate::kubernetes::registration::Settings;
use crate::metrics::Labels;

/// How to serve.
#[derive(Debug)]
pub enum ServeConfig {
    /// Without a cluster: policies, pods and drains are files.
    Standalone(Box<StandaloneConfig>),
    /// In a cluster.
    Cluster(Box<ClusterConfig>),
}

/// Where to listen, to whom, and how to stop.
#[derive(Clone, Debug)]
pub struct Listen {
    /// Where AdmissionReviews are answered, over TLS.
    pub webhook: SocketAddr,
    /// Where health checks and metrics are answered, without TLS.
    pub admin: SocketAddr,
    /// Who may send AdmissionReviews; `None` for whoever knows the path.
    pub clients: Option<ClientCertificates>,
    /// How long to go on serving after the first signal.
    pub shutdown_delay: Duration,
    /// Which labels say whose a metric is.
    pub metrics_labels: Labels,
}

/// What callers have to show.
#[derive(Clone, Debug)]
pub struct ClientCertificates {
    /// Where the CA is that signed their certificates (PEM).
    pub ca: PathBuf,
    /// For whom a certificate must be; one of these.
    pub names: Vec<String>,
}

/// Where the server's certificate comes from.
#[derive(Clone, Debug)]
pub enum Tls {
    /// Made in this directory, or found there.
    SelfSigned(PathBuf),
    /// Two files that others keep (PEM).
    Files {
        /// The certificate with its chain.
        certificate: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
    /// Made and renewed by the leader, kept in a Secret. Only in a cluster.
    Managed,
}

/// Where the path that the API server asks on comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum WebhookPath {
    /// Made and renewed by the leader, kept in a Secret; or what the registration says, where that is others'.
    Kept,
    /// Given.
    Given(String),
    /// In a file, a path a line, which may change: the first is registered, each of them is answered.
    File(PathBuf),
}

/// Says where it comes from, never which it is.
impl fmt::Debug for WebhookPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WebhookPath::Kept => formatter.write_str("Kept"),
            WebhookPath::Given(_) => formatter.write_str("Given"),
            WebhookPath::File(file) => write!(formatter, "File({})", file.display()),
        }
    }
}

/// A text that is no path of the webhook.
#[derive(Debug, thiserror::Error)]
#[error("write a path as /validate/SECRET, of letters, digits and - _ . ~")]
pub struct NoPath;

/// Reads a path of the webhook.
///
/// # Errors
/// When this is none.
pub fn webhook_path(text: &str) -> Result<String, NoPath> {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "/-_.~".contains(character);
    if text.starts_with('/') && text.len() > 1 && text.chars().all(is_plain) {
        return Ok(text.to_owned());
    }
    Err(NoPath)
}

/// Where policies and what they need come from, without a cluster.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// DrainPolicies and DrainPlans.
    pub policies: PathBuf,
    /// Where drains are kept; without it they are forgotten with the process.
    pub state: Option<PathBuf>,
    /// Objects as they are in the cluster.
    pub pods: Option<PathBuf>,
    /// Secrets, as `DIR/NAMESPACE/NAME/KEY`.
    pub secrets: Option<PathBuf>,
    /// Further endpoints that plans may use.
    pub allow_endpoints: Vec<Pattern>,
}

/// Serving without a cluster.
#[derive(Debug)]
pub struct StandaloneConfig {
    /// Where to listen.
    pub listen: Listen,
    /// What to serve with; never [`Tls::Managed`].
    pub tls: Tls,
    /// Where everything comes from.
    pub sources: Sources,
}

/// Serving in a cluster.
#[derive(Debug)]
pub struct ClusterConfig {
    /// Where to listen.
    pub listen: Listen,
    /// What to serve with; never [`Tls::SelfSigned`].
    pub tls: Tls,
    /// The namespace that Castoff runs in: its Lease and its Secret are there.
    pub namespace: String,
    /// What tells this replica from the others; `None` for the host's name and a number.
    pub identity: Option<String>,
    /// Respond to Evictions of lifecycle.k8s.io.
    pub eviction_responder: bool,
    /// The Service that the API server reaches the replicas by.
    pub service: String,
    /// Further names that an own certificate is for.
    pub further_names: Vec<String>,
    /// How the API server is to send its requests.
    pub registration: Settings,
    /// On which path.
    pub path: WebhookPath,
    /// Where the runbook is published.
    pub runbook_url: Option<String>,
    /// How long completed drains are kept.
    pub completed_ttl: Duration,
    /// How long a Lease must have been unrenewed before another replica takes over.
    pub lease_duration: Duration,
    /// Further endpoints that plans may use.
    pub allow_endpoints: Vec<Pattern>,
    /// Plans may use loopback addresses: only for tests.
    pub allow_loopback: bool,
}

//! `castoff serve`: its arguments, and what they come to.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::app::config::{
    self, ClientCertificates, ClusterConfig, Listen, ServeConfig, StandaloneConfig, Tls, WebhookPath,
};
use crate::app::{self, Failure};
use crate::backend::guard::Pattern;
use crate::kubernetes::registration::{FailurePolicy, Settings, Target, Trust};
use crate::metrics::Labels;
use crate::runbook::Links;
use crate::runtime::logging;

/// Answers AdmissionReviews over HTTPS, and brings drains about.
///
/// Registered with an API server as a validating webhook for `pods` DELETE and `pods/eviction` CREATE, it denies until
/// the backend of a guarded pod is prepared, and then lets the next try through.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  castoff serve --standalone --policies policies --self-signed certificates
  castoff serve --standalone --policies policies --tls-cert tls.crt --tls-key tls.key --state state --pods objects")]
pub(super) struct Serve {
    /// Work without a cluster: policies, pods and drains are files
    #[arg(long, env = "CASTOFF_STANDALONE", requires = "policies")]
    standalone: bool,

    #[command(flatten)]
    cluster: InCluster,

    #[command(flatten)]
    sources: Sources,

    /// Where to answer AdmissionReviews
    #[arg(long, env = "CASTOFF_LISTEN", default_value = "127.0.0.1:8443", value_name = "ADDRESS")]
    listen: SocketAddr,

    /// Where to answer /livez, /readyz and /metrics, without TLS
    #[arg(long, env = "CASTOFF_ADMIN_LISTEN", default_value = "127.0.0.1:8081", value_name = "ADDRESS")]
    admin_listen: SocketAddr,

    /// The server's certificate, with its chain (PEM)
    #[arg(long, env = "CASTOFF_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// The certificate's private key (PEM)
    #[arg(long, env = "CASTOFF_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Make a CA and a certificate for localhost in this directory, or use those that are there
    #[arg(long, env = "CASTOFF_SELF_SIGNED", value_name = "DIR", conflicts_with = "tls_cert")]
    self_signed: Option<PathBuf>,

    /// Let only callers send AdmissionReviews that show a certificate of this CA (PEM); see docs/client-certificates.md
    #[arg(long, env = "CASTOFF_CLIENT_CA", value_name = "FILE", requires = "client_names")]
    client_ca: Option<PathBuf>,

    /// For whom that certificate must be, by its common name, a DNS name or a URI; may be repeated
    #[arg(
        long = "client-name",
        env = "CASTOFF_CLIENT_NAME",
        value_name = "NAME",
        requires = "client_ca",
        value_delimiter = ','
    )]
    client_names: Vec<String>,

    /// How long to go on serving after SIGTERM, in seconds
    #[arg(long, env = "CASTOFF_SHUTDOWN_DELAY", default_value_t = 5, value_name = "SECONDS")]
    shutdown_delay: u64,

    /// Which labels say whose a metric is; a policy's are its namespace and its name
    #[arg(long, env = "CASTOFF_METRICS_LABELS", default_value = "policy", value_name = "LABELS")]
    metrics_labels: MetricsLabels,

    /// How to log
    #[arg(long, env = "CASTOFF_LOG_FORMAT", default_value = "human", value_name = "FORMAT")]
    log_format: LogFormat,

    /// What to log: error, warn, info, debug, or per module as `info,castoff::controller=debug`
    #[arg(long, env = "CASTOFF_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
}

/// What only counts in a cluster.
#[derive(Debug, Args)]
struct InCluster {
    /// The namespace that Castoff runs in: its Lease is there
    #[arg(long, env = "CASTOFF_NAMESPACE", default_value = "castoff-system", value_name = "NAME")]
    namespace: String,

    /// What tells this replica from the others; default: the host's name and a number
    #[arg(long, env = "CASTOFF_IDENTITY", value_name = "NAME")]
    identity: Option<String>,

    /// The Service that the API server reaches the replicas by, in that namespace
    #[arg(long, env = "CASTOFF_SERVICE", default_value = "castoff", value_name = "NAME")]
    service: String,

    /// Reach the replicas at this host and port and not by the Service, for a Castoff outside of the cluster
    #[arg(long, env = "CASTOFF_WEBHOOK_URL", value_name = "URL")]
    webhook_url: Option<url::Url>,

    /// The path that the API server asks on. Without it: a random one, kept in the Secret and renewed each week
    #[arg(long, env = "CASTOFF_WEBHOOK_PATH", value_name = "PATH", value_parser = config::webhook_path, hide_env_values = true)]
    webhook_path: Option<String>,

    /// The same from a file, as of a mounted Secret, with a path a line: the first is registered, all are answered
    #[arg(long, env = "CASTOFF_WEBHOOK_PATH_FILE", value_name = "FILE", conflicts_with = "webhook_path")]
    webhook_path_file: Option<PathBuf>,

    /// Keep the ValidatingWebhookConfiguration; false where it is kept in git
    #[arg(long, env = "CASTOFF_MANAGE_WEBHOOK", default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    manage_webhook: bool,

    /// What happens to deletes while no replica answers: Fail refuses them, Ignore lets them through unprepared
    #[arg(long, env = "CASTOFF_FAILURE_POLICY", default_value = "fail", value_name = "POLICY", ignore_case = true)]
    failure_policy: OnFailure,

    /// How long the API server waits for an answer, in seconds
    #[arg(long, env = "CASTOFF_WEBHOOK_TIMEOUT", default_value_t = 10, value_name = "SECONDS",
          value_parser = clap::value_parser!(u8).range(1..=30))]
    webhook_timeout: u8,

    /// cert-manager's Certificate whose CA it is to put into the registration, as NAMESPACE/NAME
    #[arg(long, env = "CASTOFF_INJECT_CA_FROM", value_name = "CERTIFICATE", requires = "tls_cert")]
    inject_ca_from: Option<String>,

    /// Guard pods of this namespace too: only kube-system needs it; may be repeated
    #[arg(long = "allow-namespace", env = "CASTOFF_ALLOW_NAMESPACE", value_name = "NAME", value_delimiter = ',')]
    allow_namespaces: Vec<String>,

    /// Prepare and evict pods that name castoff.dev/guard in spec.evictionResponders, where the API server has Evictions
    /// of lifecycle.k8s.io (alpha in Kubernetes 1.37)
    #[arg(long, env = "CASTOFF_EVICTION_RESPONDER")]
    eviction_responder: bool,

    /// Where docs/runbook.md is published: events and conditions then link to it, else they name the command `castoff runbook`
    #[arg(long, env = "CASTOFF_RUNBOOK_URL", value_name = "URL")]
    runbook_url: Option<url::Url>,

    /// How long completed drains are kept, as 1h or 90s
    #[arg(long, env = "CASTOFF_COMPLETED_TTL", default_value = "1h", value_name = "TIME", value_parser = duration)]
    completed_ttl: Duration,

    /// How long a Lease must have been unrenewed before another replica takes over
    #[arg(long, env = "CASTOFF_LEASE_DURATION", default_value = "15s", value_name = "TIME", value_parser = duration)]
    lease_duration: Duration,

    /// Let plans use loopback addresses: only for tests, where pods have such addresses
    #[arg(long, env = "CASTOFF_ALLOW_LOOPBACK", hide = true)]
    allow_loopback: bool,
}

/// Which labels say whose a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum MetricsLabels {
    None,
    Namespace,
    Policy,
}

impl From<MetricsLabels> for Labels {
    fn from(labels: MetricsLabels) -> Self {
        match labels {
            MetricsLabels::None => Labels::None,
            MetricsLabels::Namespace => Labels::Namespace,
            MetricsLabels::Policy => Labels::Policy,
        }
    }
}

/// What happens while no replica answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OnFailure {
    Fail,
    Ignore,
}

impl From<OnFailure> for FailurePolicy {
    fn from(policy: OnFailure) -> Self {
        match policy {
            OnFailure::Fail => FailurePolicy::Fail,
            OnFailure::Ignore => FailurePolicy::Ignore,
        }
    }
}

/// Reads `1h`, `90s`, `500ms`.
pub(super) fn duration(text: &str) -> Result<Duration, &'static str> {
    let span: jiff::SignedDuration = text.parse().map_err(|_| "write a time as 1h, 90s or 500ms")?;
    Duration::try_from(span).map_err(|_| "a time is not negative")
}

/// Where policies and what they need come from.
#[derive(Debug, Args)]
pub(super) struct Sources {
    /// DrainPolicies, and DrainPlans of your own: every .yaml, .yml and .json file there
    #[arg(long, env = "CASTOFF_POLICIES", value_name = "DIR")]
    policies: Option<PathBuf>,

    /// Keep drains here; without it they are forgotten with the process
    #[arg(long, env = "CASTOFF_STATE", value_name = "DIR")]
    state: Option<PathBuf>,

    /// Objects as they are in the cluster: Pods, Nodes, Namespaces, StatefulSets; read again every second
    #[arg(long, env = "CASTOFF_PODS", value_name = "DIR")]
    pods: Option<PathBuf>,

    /// Secrets, as DIR/NAMESPACE/NAME/KEY
    #[arg(long, env = "CASTOFF_SECRETS", value_name = "DIR")]
    secrets: Option<PathBuf>,

    /// One more endpoint that plans may use: a host, *.suffix or CIDR, with :PORT if it matters; may be repeated
    #[arg(long = "allow-endpoint", env = "CASTOFF_ALLOW_ENDPOINT", value_name = "PATTERN", value_delimiter = ',')]
    allow_endpoints: Vec<Pattern>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Human,
    Json,
}

impl From<LogFormat> for logging::Format {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Human => logging::Format::Human,
            LogFormat::Json => logging::Format::Json,
        }
    }
}

/// Serves until it is told to stop.
pub(super) async fn run(command: Serve) -> Result<(), Failure> {
    logging::init(command.log_format.into(), &command.log).map_err(Failure::usage)?;
    app::serve(command.checked()?).await.map_err(logged)
}

/// What ends a process that serves is the last line of its log, where people look for it, in the log's own form.
fn logged(failure: Failure) -> Failure {
    let Failure::No(message) = failure else { return failure };
    tracing::error!("{message}");
    Failure::No(String::new())
}

impl Sources {
    /// What they come to.
    pub fn checked(self) -> Result<config::Sources, Failure> {
        let Sources { policies, state, pods, secrets, allow_endpoints } = self;
        let policies = policies
            .ok_or_else(|| Failure::Usage("without a cluster, say where policies are: --policies DIR".to_owned()))?;
        Ok(config::Sources { policies, state, pods, secrets, allow_endpoints })
    }
}

impl Serve {
    fn checked(self) -> Result<ServeConfig, Failure> {
        let Serve {
            standalone,
            cluster,
            sources,
            listen,
            admin_listen,
            tls_cert,
            tls_key,
            self_signed,
            client_ca,
            client_names,
            shutdown_delay,
            metrics_labels,
            log_format: _,
            log: _,
        } = self;
        let shutdown_delay = Duration::from_secs(shutdown_delay);
        let clients = client_ca.map(|ca| ClientCertificates { ca, names: client_names });
        let metrics_labels = metrics_labels.into();
        let listen = Listen { webhook: listen, admin: admin_listen, clients, shutdown_delay, metrics_labels };
        let tls = match (self_signed, tls_cert, tls_key) {
            (Some(directory), _, _) => Tls::SelfSigned(directory),
            (None, Some(certificate), Some(key)) => Tls::Files { certificate, key },
            _ => Tls::Managed,
        };
        if standalone {
            if matches!(tls, Tls::Managed) {
                return Err(Failure::Usage("give --tls-cert and --tls-key, or --self-signed".to_owned()));
            }
            return Ok(ServeConfig::Standalone(Box::new(StandaloneConfig {
                listen,
                tls,
                sources: sources.checked()?,
            })));
        }
        if matches!(tls, Tls::SelfSigned(_)) {
            return Err(Failure::Usage(
                "--self-signed is for --standalone: in a cluster Castoff makes its own certificates, or is given \
                 --tls-cert and --tls-key"
                    .to_owned(),
            ));
        }
        Ok(ServeConfig::Cluster(Box::new(cluster.checked(listen, tls, sources.allow_endpoints)?)))
    }
}

impl InCluster {
    fn checked(self, listen: Listen, tls: Tls, allow_endpoints: Vec<Pattern>) -> Result<ClusterConfig, Failure> {
        let InCluster {
            namespace,
            identity,
            service,
            webhook_url,
            webhook_path,
            webhook_path_file,
            manage_webhook,
            failure_policy,
            webhook_timeout,
            inject_ca_from,
            allow_namespaces,
            eviction_responder,
            runbook_url,
            completed_ttl,
            lease_duration,
            allow_loopback,
        } = self;
        let runbook_url = runbook_url.map(String::from);
        let registration = Settings {
            manage: manage_webhook,
            target: target(webhook_url.as_ref(), &namespace, &service)?,
            trust: trust(inject_ca_from, &tls),
            failure_policy: failure_policy.into(),
            timeout_seconds: webhook_timeout,
            allowed_namespaces: allow_namespaces.into_iter().collect(),
            runbook: Links::to(runbook_url.as_deref()),
            ..Settings::new(&namespace)
        };
        let further_names = webhook_url.iter().filter_map(|url| url.host_str().map(str::to_owned)).collect();
        Ok(ClusterConfig {
            listen,
            tls,
            namespace,
            identity,
            eviction_responder,
            service,
            further_names,
            registration,
            path: path(webhook_path, webhook_path_file),
            runbook_url,
            completed_ttl,
            lease_duration,
            allow_endpoints,
            allow_loopback,
        })
    }
}

fn trust(inject_ca_from: Option<String>, tls: &Tls) -> Trust {
    match (inject_ca_from, tls) {
        (Some(from), _) => Trust::Injected { from },
        (None, Tls::Managed) => Trust::Ours,
        (None, _) => Trust::Unknown,
    }
}

fn target(url: Option<&url::Url>, namespace: &str, service: &str) -> Result<Target, Failure> {
    match url {
        None => Ok(Target::Service { namespace: namespace.to_owned(), name: service.to_owned(), port: 443 }),
        Some(url) if matches!(url.path(), "/" | "/validate") => Ok(Target::Url(url.clone())),
        Some(_) => Err(Failure::Usage("--webhook-url: give its path by --webhook-path".to_owned())),
    }
}

fn path(given: Option<String>, file: Option<PathBuf>) -> WebhookPath {
    match (given, file) {
        (Some(path), _) => WebhookPath::Given(path),
        (None, Some(file)) => WebhookPath::File(file),
        (None, None) => WebhookPath::Kept,
    }
}

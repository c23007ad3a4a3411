//! The command line: arguments, and one file for each command.

mod assemble;
mod begin;
mod cancel;
mod certs;
mod check;
mod check_pod;
mod cluster;
mod demo;
mod departures;
mod doctor;
mod guards;
mod live;
mod output;
mod people;
mod plans;
mod plugin;
mod prepare;
mod reload;
mod review;
mod runbook;
mod serve;
mod shell;
mod simulate;
mod stand_in;
mod status;
mod trial;
mod uninstall;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::backend::guard::Pattern;
use crate::kubernetes::registration::FailurePolicy;
use crate::server::logging;

/// Holds back the delete of an important pod until its backend is ready for it to leave.
#[derive(Debug, Parser)]
#[command(name = "castoff", version, about, after_help = EXAMPLES, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  castoff demo                                            watch a rolling update of a simulated TiKV, guarded
  castoff demo --unguarded                                the same without the guard
  castoff check policies                                  what is wrong with policies and plans
  castoff review --policies DIR review.json               what the gate would answer to a stored AdmissionReview
  castoff serve --standalone --policies DIR --self-signed certificates
                                                          answer on https://127.0.0.1:8443/validate
  castoff status -A -w                                    departures in the cluster, while they go on
  castoff check-pod basic-tikv-2 -n tidb                  what would happen if this pod were deleted now
  castoff prepare basic-tikv-2 -n tidb --wait             prepare a pod ahead of its delete
  castoff doctor                                          what is wrong with the installation, and what mends it

As a plugin of kubectl, for `kubectl castoff status`: ln -s castoff kubectl-castoff, in a directory of PATH.

Exit codes: 0 fine, 1 the answer is no, 2 wrong usage.";

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<Serve>),
    Check(Check),
    Review(Review),
    Demo(Demo),
    Status(status::Status),
    Prepare(prepare::Prepare),
    Cancel(cancel::Cancel),
    CheckPod(check_pod::CheckPod),
    Doctor(doctor::Doctor),
    Uninstall(uninstall::Uninstall),
    Runbook(runbook::Runbook),
    Plans(Plans),
    Certs(Certs),
    Completions(Completions),
    #[command(hide = true)]
    Simulate(simulate::Simulate),
    /// Prints the CustomResourceDefinitions, for `kubectl apply -f -`
    Crds,
    /// Prints the manual page, for `man -l -`
    Man,
}

/// Answers AdmissionReviews over HTTPS, and brings departures about.
///
/// Registered with an API server as a validating webhook for `pods` DELETE and `pods/eviction` CREATE, it denies until
/// the backend of a guarded pod is prepared, and then lets the next try through.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  castoff serve --standalone --policies policies --self-signed certificates
  castoff serve --standalone --policies policies --tls-cert tls.crt --tls-key tls.key --state state --pods objects")]
struct Serve {
    /// Work without a cluster: policies, pods and departures are files
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

    /// How long to go on serving after SIGTERM, in seconds
    #[arg(long, env = "CASTOFF_SHUTDOWN_DELAY", default_value_t = 5, value_name = "SECONDS")]
    shutdown_delay: u64,

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

    /// Reach the replicas by this URL and not by the Service, for a Castoff outside of the cluster
    #[arg(long, env = "CASTOFF_WEBHOOK_URL", value_name = "URL")]
    webhook_url: Option<url::Url>,

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

    /// Where docs/runbook.md is published: events and conditions then link to it, else they name the command `castoff runbook`
    #[arg(long, env = "CASTOFF_RUNBOOK_URL", value_name = "URL")]
    runbook_url: Option<url::Url>,

    /// How long completed departures are kept, as 1h or 90s
    #[arg(long, env = "CASTOFF_COMPLETED_TTL", default_value = "1h", value_name = "TIME", value_parser = duration)]
    completed_ttl: Duration,

    /// How long a Lease must have been unrenewed before another replica takes over
    #[arg(long, env = "CASTOFF_LEASE_DURATION", default_value = "15s", value_name = "TIME", value_parser = duration)]
    lease_duration: Duration,

    /// Let plans use loopback addresses: only for tests, where pods have such addresses
    #[arg(long, env = "CASTOFF_ALLOW_LOOPBACK", hide = true)]
    allow_loopback: bool,
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
fn duration(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration = text.parse().map_err(|_| "write a time as 1h, 90s or 500ms".to_owned())?;
    Duration::try_from(span).map_err(|_| "a time is not negative".to_owned())
}

/// Where policies and what they need come from.
#[derive(Debug, Args)]
struct Sources {
    /// DrainPolicies, and DrainPlans of your own: every .yaml, .yml and .json file there
    #[arg(long, env = "CASTOFF_POLICIES", value_name = "DIR")]
    policies: Option<PathBuf>,

    /// Keep departures here; without it they are forgotten with the process
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

/// Checks policies and plans: every mistake with file, line and field, and policies that are in each other's way.
///
/// What it accepts, `serve` accepts.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  castoff check policies
  castoff check -o json policies/tikv.yaml plans

Exit codes: 0 nothing is wrong, 1 something is, 2 wrong usage.")]
struct Check {
    /// Files, or directories of which every .yaml, .yml and .json file is read
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// How to print
    #[arg(short, long, default_value = "table", value_name = "FORMAT")]
    output: Output,
}

/// Says what the gate would answer to stored AdmissionReviews. Never acts: it is a dry run.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  castoff review --policies policies tests/reviews/1.36/*.json
  kubectl get --raw ... | castoff review --policies policies -o json -

Exit codes: 0 every request would be allowed, 1 one would be denied or is no AdmissionReview, 2 wrong usage.")]
struct Review {
    /// Files with an AdmissionReview each; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    sources: Sources,

    /// How to print
    #[arg(short, long, default_value = "table", value_name = "FORMAT")]
    output: Output,
}

/// Lists the built-in plans; with a name, prints one as a DrainPlan that can be applied, and a policy to begin with.
#[derive(Debug, Args)]
struct Plans {
    /// The plan to print
    #[arg(value_name = "NAME")]
    name: Option<String>,

    /// How to print
    #[arg(short, long, default_value = "table", value_name = "FORMAT")]
    output: Output,
}

/// Makes a CA and a server certificate for development (ECDSA P-256): ca.crt, tls.crt, tls.key.
#[derive(Debug, Args)]
struct Certs {
    /// Where to put them
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    /// One more name or address that the certificate is for, besides localhost; may be repeated
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,

    /// Make them anew where some are there
    #[arg(long)]
    force: bool,
}

/// Prints completions for a shell, as for bash: source <(castoff completions bash)
#[derive(Debug, Args)]
struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: clap_complete::Shell,
}

/// Rolls three of four simulated TiKV pods, and counts what the roll-out costs.
///
/// The guard is the one that `serve` runs, asked over HTTPS. A simulated PD moves leaders, and counts from what it saw
/// itself: leaders that were on a store when its pod ended, and evict-leader entries left behind.
#[derive(Debug, Args)]
struct Demo {
    /// Leave the guard out, to see what it is for
    #[arg(long, conflicts_with = "fault")]
    unguarded: bool,

    /// Let something go wrong, and see what the guard does
    #[arg(long, value_name = "FAULT")]
    fault: Option<demo::Fault>,

    /// How to print
    #[arg(short, long, default_value = "text", value_name = "FORMAT")]
    output: DemoOutput,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
    Yaml,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DemoOutput {
    Text,
    Json,
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

/// What went wrong, and whose fault it is.
#[derive(Debug)]
enum Failure {
    /// The answer is no.
    No(String),
    /// The arguments, or the files that they name, can't be used.
    Usage(String),
}

/// Reads the arguments and carries out the command.
#[must_use]
pub fn run() -> ExitCode {
    let arguments = plugin::parse();
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(2);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&Failure::No(format!("the runtime could not be started: {error}"))),
    };
    let done = runtime.block_on(async {
        match arguments.command {
            Command::Serve(command) => Box::pin(serve::run(*command)).await,
            Command::Check(command) => check::run(&command),
            Command::Review(command) => review::run(command).await,
            Command::Runbook(command) => runbook::run(&command),
            Command::Plans(command) => plans::run(&command),
            Command::Certs(command) => certs::run(&command),
            Command::Completions(command) => shell::completions(&command),
            Command::Crds => shell::crds(),
            Command::Man => shell::manual(),
            Command::Demo(command) => demo::run(command).await,
            Command::Status(command) => status::run(command).await,
            Command::Prepare(command) => prepare::run(command).await,
            Command::Cancel(command) => cancel::run(command).await,
            Command::CheckPod(command) => check_pod::run(command).await,
            Command::Doctor(command) => doctor::run(command).await,
            Command::Uninstall(command) => uninstall::run(command).await,
            Command::Simulate(command) => simulate::run(command).await,
        }
    });
    done.map_or_else(|failure| report(&failure), |()| ExitCode::SUCCESS)
}

/// Prints a list for people with `table`, or its values for scripts.
fn print_as(form: Output, values: &impl serde::Serialize, table: impl FnOnce()) -> Result<(), Failure> {
    match form {
        Output::Table => table(),
        Output::Json => {
            output::line(serde_json::to_string_pretty(values).map_err(|error| Failure::No(error.to_string()))?);
        }
        Output::Yaml => {
            let text = serde_saphyr::to_string(values).map_err(|error| Failure::No(error.to_string()))?;
            output::line(text.trim_end());
        }
    }
    Ok(())
}

fn report(failure: &Failure) -> ExitCode {
    let (message, code) = match failure {
        Failure::No(message) => (message, 1),
        Failure::Usage(message) => (message, 2),
    };
    if !message.is_empty() {
        eprintln!("{}: {message}", people::program());
    }
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        super::Arguments::command().debug_assert();
    }
}

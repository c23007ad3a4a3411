//! Sends the requests of plans: rounds of reads, and acts. Reads of the cluster go to whoever sees it ([`SeesCluster`]),
//! and so do those of its objects, as far as `objects` lets them.
//!
//! Where a request may go is decided by [`guard`] before and by [`dns`] while it is connected; with which Secrets,
//! by [`credentials`]; the certificates of a Secret make a `client`; `exchange` is one request from there to its
//! answer, and `trouble` finds the words when there is none.

pub(crate) mod address;
pub mod client;
pub(crate) mod cluster;
pub mod credentials;
pub mod dns;
mod evaluations;
mod exchange;
pub mod guard;
mod means;
pub(crate) mod metrics;
mod objects;
mod permits;
mod resp;
mod shared;
pub(crate) mod trouble;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::plan::answer::read_answer;
use crate::plan::spec::{Accept, Parse};
use crate::plan::{Act, BackendRead, Next, Observation, Observations, Round, Source, Verdict};
use crate::pod::Pod;
use crate::remedy::Cause;

pub use cluster::{SeesCluster, Unseen};
pub use exchange::BODY_LIMIT;
pub use guard::{Pattern, Settings};
pub use metrics::Metrics;
use shared::{Answered, SharedReads};
pub use shared::{Sharing, Silence};

use client::Clients;
use credentials::Secrets;
use dns::{GuardedDns, Lookup};
use evaluations::Evaluations;
use exchange::{Exchange, exchange};
use guard::{Refused, Target};
use metrics::Outcome;
use permits::Permits;
use trouble::Trouble;

/// A round ends within this time, unless told otherwise.
pub const ROUND: Duration = Duration::from_secs(3);

/// So many reads of a round run side by side.
const SIDE_BY_SIDE: usize = 16;

/// So many reads of drains of one namespace are under way at one host, whatever policies they are of.
const AT_A_HOST: usize = 16;

/// From this length on, in bytes, a body is parsed beside the threads that answer reviews.
const LONG_BODY: usize = 64 << 10;

/// So often a round may ask for more, each time because of what was read before.
const WAVES: usize = 16;

/// For whom requests are sent.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// The policy's namespace: the only one whose Services and Secrets count.
    pub namespace: String,
    /// The pod.
    pub pod: Arc<Pod<'static>>,
    /// Whether the pod with this UID is there; its addresses are someone else's otherwise.
    pub pod_present: bool,
    /// The step's Secret, for requests that name none.
    pub credentials: Option<String>,
    /// The plan's name, for metrics.
    pub plan: String,
    /// With whom reads are shared; `None` for one who must see for itself.
    pub sharing: Option<Sharing>,
}

/// What came of an act. It decides nothing: the next observation does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The backend answered with an accepted status.
    pub accepted: bool,
    /// No answer came in time: the backend may still carry it out.
    pub cut_off: bool,
    /// For users, where it was not accepted: constant for a cause.
    pub message: String,
    /// For users, where it was answered and not accepted, or could not be sent: what was sent where, and what the backend
    /// said to that in its own words. At most `trouble::SENTENCE` characters, all fit for a terminal, and none of the
    /// secrets that were sent. Words may differ from one time to the next.
    pub refused: Option<String>,
    /// For the log: errno, status, the body's beginning.
    pub detail: String,
    /// What a person mends.
    pub cause: Cause,
}

/// Sends requests to backends.
pub struct Backend {
    settings: Settings,
    secrets: Arc<dyn Secrets>,
    clients: Clients,
    metrics: Metrics,
    round: Duration,
    cluster: Option<Arc<dyn SeesCluster>>,
    shared: SharedReads,
    evaluations: Evaluations,
    hosts: Permits,
}

impl Backend {
    /// A backend that finds names with `lookup` (but `localhost`) and credentials in `secrets`.
    pub fn new(settings: Settings, secrets: Arc<dyn Secrets>, lookup: Arc<dyn Lookup>, metrics: Metrics) -> Self {
        let clients = Clients::new(GuardedDns::new(lookup, settings.loopback).in_cluster(&settings.cluster_domain));
        let (shared, evaluations) = (SharedReads::default(), Evaluations::default());
        let hosts = Permits::new(AT_A_HOST);
        Self { settings, secrets, clients, metrics, round: ROUND, cluster: None, shared, evaluations, hosts }
    }

    /// The same backend, whose rounds end within `round` in place of [`ROUND`].
    #[must_use]
    pub fn with_round(self, round: Duration) -> Self {
        Self { round, ..self }
    }

    /// The same backend, whose reads of the cluster are answered by `cluster`; without one they fail.
    #[must_use]
    pub fn with_cluster(self, cluster: Arc<dyn SeesCluster>) -> Self {
        Self { cluster: Some(cluster), ..self }
    }

    /// Goes through a round: makes the reads that `next` asks for, side by side, until it knows how things stand.
    ///
    /// Ends at `limit` or after the longest time of a round, whichever is earlier: reads that are still open then count as not answered.
    pub async fn observe<F>(&self, scope: &Scope, limit: Instant, mut next: F) -> Round
    where
        F: FnMut(&Observations) -> Next,
    {
        let limit = limit.min(Instant::now() + self.round);
        let mut observed = Observations::new();
        for _ in 0..WAVES {
            let evaluated = if evaluations::is_little(&observed) {
                Some(next(&observed))
            } else {
                self.evaluations.run(&scope.namespace, limit, || next(&observed)).await
            };
            let reads = match evaluated {
                Some(Next::Round(round)) => return round,
                Some(Next::Read(reads)) => reads,
                None => {
                    return ended(
                        format!("the answers of backends keep namespace {} busy", scope.namespace),
                        &observed,
                    );
                }
            };
            let asked = reads.into_iter().map(|read| async move {
                let observation = match &read.source {
                    Source::Backend(asked) => self.read(scope, asked, limit).await,
                    Source::Cluster(asked) => {
                        cluster::read(self.cluster.as_deref(), scope, &read.key.name, asked, limit).await
                    }
                };
                (read.key, observation)
            });
            let wave: Vec<_> = stream::iter(asked).buffer_unordered(SIDE_BY_SIDE).collect().await;
            observed.extend(wave);
        }
        let message = format!("plan {} asks for reads that depend on each other more than {WAVES} deep", scope.plan);
        ended(message, &observed)
    }

    /// Sends an act, once.
    pub async fn send(&self, scope: &Scope, act: &Act) -> Sent {
        let begun = Instant::now();
        let result = exchange(self, scope, &act.request, begun + act.request.timeout).await;
        self.metrics.count(&scope.plan, outcome(&result), begun.elapsed());
        self.shared.forget(&scope.namespace);
        match result {
            Ok(answer) => {
                let detail = format!("HTTP {}: {}", answer.code, answer.excerpt());
                let (message, cause) = (String::new(), Cause::default());
                Sent { accepted: true, cut_off: false, message, refused: None, detail, cause }
            }
            Err(trouble) => {
                let cut_off = trouble.outcome == Outcome::Timeout;
                let refused = (!cut_off).then(|| trouble.sentence(&act.request.method));
                let Trouble { message, detail, cause, .. } = trouble;
                Sent { accepted: false, cut_off, message, refused, detail, cause }
            }
        }
    }

    async fn read(&self, scope: &Scope, read: &BackendRead, limit: Instant) -> Observation {
        let Some(sharing) = &scope.sharing else { return self.ask(scope, read, limit).await.observation };
        let target = self.may_ask(&read.request.url, scope).await;
        let host = target.as_ref().map(|target| target.url.authority().to_owned()).unwrap_or_default();
        let asked = self.ask_in_turn(scope, read, &host, limit);
        // What is asked of the pod itself concerns no other.
        let who = if target.is_ok_and(|target| !target.of_pod) { "" } else { scope.pod.metadata.uid.as_str() };
        let key = format!("{} {who} {:?} {:?} {:?}", sharing.among, scope.credentials, read.request, read.parse);
        self.shared.get(key, sharing, asked).await
    }

    /// Where a request may go: what the guard allows, and pods of the policy's namespace that are there now.
    ///
    /// # Errors
    /// Says which rule refuses, and what to do about it.
    pub async fn may_ask(&self, url: &str, scope: &Scope) -> Result<Target, Refused> {
        let refused = match guard::allow_url(url, scope, &self.settings) {
            Err(refused) => refused,
            allowed => return allowed,
        };
        let (Some((address, target)), Some(cluster)) = (&refused.unless_pods, &self.cluster) else {
            return Err(refused);
        };
        // What can't be seen is not there.
        let is_pods = cluster.has_pod_at(&scope.namespace, *address).await.unwrap_or(false);
        if is_pods { Ok(Target::clone(target)) } else { Err(refused) }
    }

    /// Asks once not too many others are asking the same host.
    async fn ask_in_turn(&self, scope: &Scope, read: &BackendRead, host: &str, limit: Instant) -> Answered {
        let permits = self.hosts.of(&format!("{} {host}", scope.namespace));
        if let Ok(Ok(_permit)) = timeout_at(limit, permits.acquire()).await {
            self.ask(scope, read, limit).await
        } else {
            let message = format!("{host} does not keep up with the {AT_A_HOST} drains of this namespace that ask it");
            let (detail, cause) = ("not sent".to_owned(), Cause::default());
            Answered { observation: Observation::Failed { message, detail, cause }, silent: true }
        }
    }

    async fn ask(&self, scope: &Scope, read: &BackendRead, limit: Instant) -> Answered {
        let begun = Instant::now();
        let patience = begun + read.request.timeout;
        let result = exchange(self, scope, &read.request, patience.min(limit)).await;
        let result = match result {
            Ok(answer) => self.parsed(scope, read, answer, limit).await,
            Err(trouble) => Err(trouble),
        };
        self.metrics.count(&scope.plan, outcome(&result), begun.elapsed());
        let silent = result.as_ref().is_err_and(Trouble::is_silence);
        let observation = match result {
            Ok((code, body)) => Observation::Answer { code, body },
            Err(trouble) if trouble.outcome == Outcome::Gone => Observation::PodGone,
            // Where the round ran out of time, nothing is known of a backend that might yet have answered.
            Err(trouble)
                if matches!(read.request.ok, Accept::Any(_))
                    && silent
                    && !(trouble.outcome == Outcome::Timeout && patience > limit) =>
            {
                Observation::Answer { code: 0, body: Value::Null }
            }
            Err(trouble) => failed(trouble),
        };
        Answered { observation, silent }
    }

    /// Status and body of an answer. Long bodies take a while, so they are not parsed on the threads that answer reviews.
    async fn parsed(
        &self,
        scope: &Scope,
        read: &BackendRead,
        answer: Exchange,
        limit: Instant,
    ) -> Result<(u16, Value), Trouble> {
        let parsed = if answer.body.len() < LONG_BODY {
            parse(read, &answer)
        } else {
            let late = || Trouble::silence(&read.request.url, "its answer was not parsed in time");
            let parsed = self.evaluations.run(&scope.namespace, limit, || parse(read, &answer)).await;
            parsed.unwrap_or_else(|| Err(late()))
        };
        parsed.map(|body| (answer.code, body))
    }
}

impl fmt::Debug for Backend {
    /// Shows what was decided about endpoints, and nothing of Secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Backend")
            .field("settings", &self.settings)
            .field("round", &self.round)
            .finish_non_exhaustive()
    }
}

/// A round that ended before the plan could tell how things stand.
fn ended(message: String, observed: &Observations) -> Round {
    let detail = format!("{} reads were made", observed.len());
    Round {
        verdict: Verdict::Failed { message, detail, cause: Cause::default() },
        member: None,
        progress: None,
        ours: None,
    }
}

fn failed(trouble: Trouble) -> Observation {
    Observation::Failed { message: trouble.message, detail: trouble.detail, cause: trouble.cause }
}

fn outcome<T>(result: &Result<T, Trouble>) -> Outcome {
    result.as_ref().map_or_else(|trouble| trouble.outcome, |_| Outcome::Ok)
}

/// What the answer says, as the read wants it read.
fn parse(read: &BackendRead, answer: &Exchange) -> Result<Value, Trouble> {
    let told = |body: &[u8]| read_answer(read, answer.code, body);
    if let Observation::Answer { body, .. } = told(&answer.body) {
        return Ok(body);
    }
    let predicate = match read.parse {
        Parse::Json => "gives no valid JSON",
        Parse::Prometheus => "gives no valid metrics",
        Parse::Text => "gives no text",
    };
    // Told once more of the body without secrets: cutting a text first could leave half of one.
    let detail = match told(answer.without_secrets().as_bytes()) {
        Observation::Failed { detail, .. } => format!("HTTP {}: {detail}", answer.code),
        Observation::Answer { .. } | Observation::Value(_) | Observation::PodGone => {
            format!("HTTP {}: {}", answer.code, answer.excerpt())
        }
    };
    Err(Trouble::new(Outcome::Garbage, &read.request.url, predicate, detail))
}

//! The gate with its hands: gives the pure decisions the facts they ask for, and carries out what they lead to.

mod dry_run;
pub mod metrics;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::{Instant, timeout};
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::admission::{
    self, Answer, Case, Decision, Facts, Guard, Malformed, NodeFact, NodeReady, NotVerified, ObjectFacts, OwnerFact,
    Reason, Request, Stage, What,
};
use crate::controller::ROUND_LIMIT;
use crate::controller::observe::{Observer, Reads};
use crate::lifecycle::{Caller, Drain, Event, Look, Outcome, Phase, claim};
use crate::plan::{Round, Task, Verdict};
use crate::pod::Pod;
use crate::policy::PolicyIndex;
use crate::ports::{Cluster, Events, NodeSeen, OwnerSeen, Store, StoreError, WAKE_ANNOTATION};
use crate::printable::printable;

use crate::server::Gate;

use metrics::Metrics;

/// The gate, with everything it may look at and write to.
pub struct Gatekeeper {
    /// Policies in force.
    pub policies: Arc<ArcSwap<PolicyIndex>>,
    /// Drains.
    pub store: Arc<dyn Store>,
    /// Pods and what they depend on.
    pub cluster: Arc<dyn Cluster>,
    /// Backends.
    pub observer: Arc<Observer>,
    /// Who tells people.
    pub events: Arc<dyn Events>,
    /// Counters.
    pub metrics: Metrics,
    /// Tries that this process has seen, by pod UID.
    pub tries: Tries,
    /// As whom Castoff itself asks: its deletes are no tries of anybody.
    pub own_user: Option<String>,
}

/// How often at most the gate tries to write down that a pod was let go.
const LET_GO_TRIES: usize = 5;

/// From so many pods on, those that nobody has asked for in a while are forgotten.
const REMEMBERED: usize = 1024;

/// How long a read of the API may take: a denial is to be in time, whatever the API server does.
const PATIENCE: Duration = Duration::from_secs(2);

/// Longer than any caller is silent between two tries.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(1);

/// When the pods that are denied were first denied, and when a try was last written down.
#[derive(Debug, Default)]
pub struct Tries(Mutex<HashMap<String, Tried>>);

/// What is known of a pod that is denied.
#[derive(Debug)]
struct Tried {
    first: Instant,
    written: Option<Instant>,
    /// What was last told of it in the log.
    told: Option<Reason>,
}

/// The pod that an eviction means.
enum Evicted {
    /// This one.
    Pod(Arc<Pod<'static>>),
    /// There is none of that name.
    Nobody,
    /// It could not be told, or need not be.
    Unknown,
}

#[async_trait]
impl Gate for Gatekeeper {
    async fn answer(&self, body: Bytes, deadline: Instant) -> Result<Bytes, Malformed> {
        let request = admission::request::parse(&body)?;
        let span = self.span_of(&request);
        let answer = self.ask(&request, request.dry_run, deadline).instrument(span.clone()).await;
        self.metrics.count(answer.reason, answer.allowed);
        span.in_scope(|| self.note(&request, &answer));
        Ok(admission::response::render(&request.uid, &answer).into())
    }
}

impl Gatekeeper {
    /// The request's span. One of a namespace without policies has nothing to tell, but to who looks closely.
    fn span_of(&self, request: &Request<'_>) -> Span {
        let (uid, pod) = (request.uid.as_str(), Named(request));
        if self.policies.load().of_namespace(&request.namespace).is_empty() {
            tracing::debug_span!("review", uid, %pod, decision = Empty)
        } else {
            tracing::info_span!("review", uid, %pod, decision = Empty)
        }
    }

    /// Fills the request's span, and tells of decisions about guarded pods: of a denial only when it is another one
    /// than the last, since the same one is asked for again and again.
    fn note(&self, request: &Request<'_>, answer: &Answer) {
        Span::current().record("decision", if answer.allowed { "allow" } else { "deny" });
        let (reason, user) = (answer.reason.as_str(), request.username.as_str());
        let pod = request.pod().filter(|_| !answer.allowed);
        let is_told = pod.is_some_and(|pod| !self.tries.is_news(&pod.metadata.uid, answer.reason));
        if is_told || answer.reason == Reason::NotGuarded {
            tracing::debug!(reason, user, "answered");
        } else {
            tracing::info!(reason, user, "answered");
        }
    }

    /// What the gate says to a request. On a dry run nothing is written and no backend is changed.
    pub async fn ask(&self, request: &Request<'_>, dry_run: bool, deadline: Instant) -> Answer {
        let policies = self.policies.load();
        let of_eviction = match self.pod_of_eviction(request, &policies).await {
            Evicted::Pod(pod) => Some(pod),
            Evicted::Unknown => None,
            // A drain loop that is denied would ask for ever; the API server tells it that the pod is gone.
            Evicted::Nobody => return Answer::allow(Reason::NoSuchPod),
        };
        let pod = request.pod().or(of_eviction.as_deref());
        let labels = pod.and_then(|pod| self.node_labels(pod, &policies));
        match admission::first_questions(request, of_eviction.as_deref(), &policies, labels.as_ref()) {
            Stage::Answer(answer) => answer,
            Stage::Guarded(guard) => match pod {
                Some(pod) => self.ask_of_guarded(request, pod, &guard, dry_run, deadline).await,
                None => Answer::allow(Reason::NotGuarded),
            },
        }
    }

    async fn ask_of_guarded(
        &self,
        request: &Request<'_>,
        pod: &Pod<'_>,
        guard: &Guard,
        dry_run: bool,
        deadline: Instant,
    ) -> Answer {
        let facts = self.facts(pod).await;
        let drain = self.departure_of(pod, dry_run).await;
        let case = Case { request, pod, guard, facts: &facts, drain: drain.as_deref(), now: jiff::Timestamp::now() };
        let answer = match admission::decide(&case) {
            Decision::Answer(answer) => {
                if !dry_run {
                    self.take_note(&case, &answer, deadline).await;
                }
                answer
            }
            Decision::Create(answer) => {
                if !dry_run {
                    self.create(&case, deadline).await;
                }
                answer
            }
            Decision::Again(answer) => {
                if let (false, Some(drain)) = (dry_run, case.drain) {
                    self.begin_anew(drain, request.caller, deadline).await;
                }
                answer
            }
            Decision::Verify => match case.drain {
                Some(drain) => self.verify(&case, drain, dry_run, deadline).await,
                None => admission::not_verified(&case, &NotVerified::NotClaimed),
            },
        };
        if request.dry_run { self.tell_steps(&case, answer, deadline).await } else { answer }
    }

    /// The pod that an eviction means: read live, or where that can't be done, as its drain knows it.
    async fn pod_of_eviction(&self, request: &Request<'_>, policies: &PolicyIndex) -> Evicted {
        let is_eviction = matches!(request.what, What::Eviction { .. });
        if !is_eviction || policies.of_namespace(&request.namespace).is_empty() {
            return Evicted::Unknown;
        }
        match timeout(PATIENCE, self.cluster.pod(&request.namespace, &request.name)).await {
            Ok(Ok(Some(pod))) => Evicted::Pod(pod),
            Ok(Ok(None)) => Evicted::Nobody,
            Ok(Err(_)) | Err(_) => {
                let is_its = |drain: &&Arc<Drain>| {
                    !matches!(drain.status.phase, Phase::Completed)
                        && !drain.status.left
                        && drain.metadata.namespace == *request.namespace
                        && drain.spec.pod.metadata.name == *request.name
                };
                let drains = self.store.all();
                let pod = drains.iter().find(is_its).map(|drain| Arc::new(drain.spec.pod.clone()));
                pod.map_or(Evicted::Unknown, Evicted::Pod)
            }
        }
    }

    /// The labels of the pod's node, where a policy asks for them and they are known.
    fn node_labels(&self, pod: &Pod<'_>, policies: &PolicyIndex) -> Option<BTreeMap<String, String>> {
        let by_node = |policy: &Arc<crate::policy::Policy>| !policy.spec.node_selector.is_empty();
        if !policies.of_namespace(&pod.metadata.namespace).iter().any(by_node) {
            return None;
        }
        match self.cluster.node(&pod.spec.node_name) {
            NodeSeen::Known(node) => Some(node.labels),
            NodeSeen::Gone | NodeSeen::Unknown => None,
        }
    }

    async fn facts(&self, pod: &Pod<'_>) -> Facts {
        let node = match self.cluster.node(&pod.spec.node_name) {
            NodeSeen::Known(node) => NodeFact::Known {
                ready: match node.ready {
                    Some(true) => NodeReady::True,
                    Some(false) => NodeReady::False,
                    None => NodeReady::Unknown,
                },
                annotations: node.annotations,
            },
            NodeSeen::Gone => NodeFact::Gone,
            NodeSeen::Unknown => NodeFact::Unknown,
        };
        let owner = match pod.controller() {
            None => OwnerFact::None,
            Some(owner) => match timeout(PATIENCE, self.cluster.owner(&pod.metadata.namespace, owner)).await {
                Ok(OwnerSeen::Known(_)) => OwnerFact::Present,
                Ok(OwnerSeen::DeletingOrGone) => OwnerFact::DeletingOrGone,
                Ok(OwnerSeen::Unknown) | Err(_) => OwnerFact::Unknown,
            },
        };
        let namespace = self
            .cluster
            .namespace(&pod.metadata.namespace)
            .map(|facts| ObjectFacts { annotations: facts.annotations, deleting: facts.deleting });
        Facts { namespace, node, owner, registration: self.cluster.registration_annotations() }
    }

    /// The pod's drain. Read live where a copy that lags would matter: the pod's controller was woken, or a dry
    /// run must answer as the real call would.
    async fn departure_of(&self, pod: &Pod<'_>, dry_run: bool) -> Option<Arc<Drain>> {
        let known = self.store.by_pod(&pod.metadata.uid);
        let woken = pod.metadata.annotations.contains_key(WAKE_ANNOTATION);
        if !woken && !dry_run {
            return known;
        }
        let name = crate::lifecycle::drain::drain_name(&pod.metadata.name, &pod.metadata.uid);
        let live = timeout(PATIENCE, self.store.read(&pod.metadata.namespace, &name)).await;
        live.ok().and_then(Result::ok).flatten().or(known)
    }

    /// Writes down a try, or that the pod was let go.
    async fn take_note(&self, case: &Case<'_>, answer: &Answer, deadline: Instant) {
        if let Some(message) = answer.told.clone() {
            self.events.tell_of_pod(case.pod, &Event { reason: answer.reason.as_str(), warning: true, message });
        }
        if let Some(outcome) = answer.outcome.filter(|_| answer.allowed) {
            // A drain that is over, after it was given up, follows its pod no more.
            match case.drain.filter(|drain| drain.status.phase != Phase::Completed) {
                Some(drain) if drain.status.outcome != Some(outcome) => {
                    self.write_let_go(drain, outcome, deadline).await;
                }
                Some(_) => {}
                None => self.metrics.let_go(&case.pod.metadata.uid, outcome),
            }
        } else if let Some(drain) = case.drain.filter(|_| !answer.allowed && !self.is_own(case.request)) {
            let (last, denied) = self.tries.last_and_denied(drain.pod_uid());
            if let Some(tried) = claim::tried(drain, case.request.caller, last, denied) {
                self.tries.written(drain.pod_uid());
                self.write(tried, deadline).await;
            }
        }
    }

    /// The pod as the API server knows it. Whoever can reach this port could send a review of a pod that is none, or
    /// one with another's addresses: nothing is begun or asked on the word of a review alone.
    pub(super) async fn true_pod(&self, told: &Pod<'_>) -> Option<Pod<'static>> {
        match timeout(PATIENCE, self.cluster.pod(&told.metadata.namespace, &told.metadata.name)).await {
            Ok(Ok(Some(live))) if live.metadata.uid == told.metadata.uid => Some(Pod::clone(&live)),
            // Without a cluster, and without objects from files, the review is all there is.
            Ok(Err(_)) if self.own_user.is_none() => Some(told.clone().into_owned()),
            Ok(_) | Err(_) => {
                tracing::warn!(pod = %told.full_name(), "the API server shows no such pod now; nothing is begun for it");
                None
            }
        }
    }

    fn is_own(&self, request: &Request<'_>) -> bool {
        self.own_user.as_deref() == Some(request.username.as_str())
    }

    async fn create(&self, case: &Case<'_>, deadline: Instant) {
        let Some(pod) = self.true_pod(case.pod).await else { return };
        let Some(drain) = Drain::new(pod, &case.guard.policy, &case.request.username, case.request.caller) else {
            return;
        };
        self.tries.written(drain.pod_uid());
        let name = drain.pod_name();
        match tokio::time::timeout_at(deadline, self.store.create(drain)).await {
            Ok(Ok(_) | Err(StoreError::Conflict)) => {}
            Ok(Err(error)) => {
                tracing::error!(pod = %name, %error, "the drain could not be written; denied all the same");
            }
            Err(_) => tracing::error!(pod = %name, "the drain was not written in time; denied all the same"),
        }
    }

    /// Begins a drain that is over anew. What ends it takes more than one write: after a conflict it is looked at
    /// once more, or the denial would promise what nobody does.
    async fn begin_anew(&self, drain: &Drain, caller: Caller, deadline: Instant) {
        let begin = async {
            let written = self.store.write(claim::begun_anew(drain.clone(), caller)).await;
            if !matches!(written, Err(StoreError::Conflict)) {
                return written.map(drop);
            }
            let now = self.store.read(&drain.metadata.namespace, &drain.metadata.name).await?;
            match now.filter(|now| now.pod_uid() == drain.pod_uid() && now.status.phase == Phase::Completed) {
                Some(now) => self.store.write(claim::begun_anew(Drain::clone(&now), caller)).await.map(drop),
                None => Ok(()),
            }
        };
        match tokio::time::timeout_at(deadline, begin).await {
            Ok(Ok(()) | Err(StoreError::Conflict)) => {}
            Ok(Err(error)) => tracing::error!(pod = %drain.pod_name(), %error, "the drain could not begin anew"),
            Err(_) => tracing::error!(pod = %drain.pod_name(), "the drain did not begin anew in time"),
        }
    }

    /// Writes a new version, if nobody else was faster: then theirs is as good.
    async fn write(&self, drain: Drain, deadline: Instant) {
        let name = drain.pod_name();
        match tokio::time::timeout_at(deadline, self.store.write(drain)).await {
            Ok(Ok(_) | Err(StoreError::Conflict)) => {}
            Ok(Err(error)) => tracing::error!(pod = %name, %error, "the drain could not be written"),
            Err(_) => tracing::error!(pod = %name, "the drain was not written in time"),
        }
    }

    /// Writes down how the pod was let go. The leader may be writing at the same time, and does not know it:
    /// then once more, on what it has written.
    async fn write_let_go(&self, drain: &Drain, outcome: Outcome, deadline: Instant) {
        let (namespace, name) = (&drain.metadata.namespace, &drain.metadata.name);
        let mut known = Arc::new(drain.clone());
        for _ in 0..LET_GO_TRIES {
            let changed = claim::let_go(Drain::clone(&known), outcome);
            match tokio::time::timeout_at(deadline, self.store.write(changed)).await {
                Ok(Err(StoreError::Conflict)) => {}
                Ok(Ok(_)) => return,
                Ok(Err(error)) => {
                    tracing::error!(pod = %drain.pod_name(), %error, ?outcome, "how the pod left could not be written");
                    return;
                }
                Err(_) => break,
            }
            match tokio::time::timeout_at(deadline, self.store.read(namespace, name)).await {
                Ok(Ok(Some(live))) if live.status.phase != Phase::Completed => known = live,
                _ => break,
            }
        }
        tracing::error!(pod = %drain.pod_name(), ?outcome, "how the pod left was not written in time");
    }

    /// Prepared, as far as is known: looks at every step's backend now, claims, and only then allows.
    async fn verify(&self, case: &Case<'_>, drain: &Drain, dry_run: bool, deadline: Instant) -> Answer {
        let verified = tokio::time::timeout_at(deadline, self.look_and_claim(case, drain, dry_run, deadline)).await;
        verified.unwrap_or_else(|_| admission::not_verified(case, &NotVerified::NotClaimed))
    }

    async fn look_and_claim(&self, case: &Case<'_>, drain: &Drain, dry_run: bool, deadline: Instant) -> Answer {
        let refuse = |why: &str| {
            tracing::warn!(pod = %drain.pod_name(), why, "prepared, but not claimed");
            admission::not_verified(case, &NotVerified::NotClaimed)
        };
        let live = match self.store.read(&drain.metadata.namespace, &drain.metadata.name).await {
            Ok(Some(live)) if live.pod_uid() == drain.pod_uid() && claim::may_be_claimed(&live) => live,
            Ok(_) => return refuse("it was only just changed"),
            Err(error) => return refuse(&error.to_string()),
        };
        let look = Look { task: Task::Prepare, steps: (0..live.spec.steps.len()).collect() };
        let limit = deadline.min(Instant::now() + ROUND_LIMIT);
        let rounds = self.observer.observe(&live, true, &look, limit, Reads::Own).await;
        if let Some((step, why)) = first_not_done(&live, &rounds) {
            if !dry_run && live.status.phase == Phase::Drained {
                let message = match why {
                    NotVerified::Blocked { reason, .. } | NotVerified::Failed { reason, .. } => reason,
                    NotVerified::NotDone { .. } | NotVerified::NotClaimed => "",
                };
                self.write(claim::no_longer_done(Drain::clone(&live), step, message), deadline).await;
            }
            return admission::not_verified(case, &why);
        }
        if dry_run {
            return admission::allowed(case);
        }
        match self.claim(&live).await {
            Ok(()) => admission::allowed(case),
            Err(StoreError::Conflict) => refuse("it was only just changed"),
            Err(error) => refuse(&error.to_string()),
        }
    }

    /// Takes the drain to Departing, on the version that was read before the backend was observed. After a
    /// conflict once more, if what is there now may be claimed too.
    async fn claim(&self, live: &Drain) -> Result<(), StoreError> {
        match self.store.write(claim::claimed(live.clone())).await {
            Err(StoreError::Conflict) => {
                let now = self.store.read(&live.metadata.namespace, &live.metadata.name).await?;
                match now.filter(|now| claim::may_be_claimed_anew(live, now)) {
                    Some(now) => self.store.write(claim::claimed(Drain::clone(&now))).await.map(drop),
                    None => Err(StoreError::Conflict),
                }
            }
            written => written.map(drop),
        }
    }
}

impl Tries {
    /// How long ago a try of this pod was last written down, and for how long it has been denied.
    fn last_and_denied(&self, uid: &str) -> (Duration, Duration) {
        self.with(uid, |tried, now| (tried.written.map_or(Duration::MAX, |written| now - written), now - tried.first))
    }

    fn written(&self, uid: &str) {
        self.with(uid, |tried, now| tried.written = Some(now));
    }

    /// Whether this is another denial than the one last told of the pod.
    fn is_news(&self, uid: &str, reason: Reason) -> bool {
        self.with(uid, |tried, _| tried.told.replace(reason) != Some(reason))
    }

    fn with<T>(&self, uid: &str, change: impl FnOnce(&mut Tried, Instant) -> T) -> T {
        let mut tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some(tried) = tries.get_mut(uid) {
            return change(tried, now);
        }
        if tries.len() >= REMEMBERED {
            // Whoever is silent for longer counts from the beginning: its drain will have been given up.
            tries.retain(|_, tried| now - tried.written.unwrap_or(tried.first) < FORGOTTEN_AFTER);
        }
        change(tries.entry(uid.to_owned()).or_insert(Tried { first: now, written: None, told: None }), now)
    }
}

/// The first step that is not done now, with why.
fn first_not_done<'a>(drain: &'a Drain, rounds: &'a BTreeMap<usize, Round>) -> Option<(usize, NotVerified<'a>)> {
    drain.spec.steps.iter().enumerate().find_map(|(index, step)| {
        let step = step.name.as_str();
        let why = match rounds.get(&index).map(|round| &round.verdict) {
            Some(Verdict::Done) => return None,
            Some(Verdict::Blocked { message }) => NotVerified::Blocked { step, reason: message },
            Some(Verdict::Failed { message, .. } | Verdict::Unknown { message }) => {
                NotVerified::Failed { step, reason: message }
            }
            Some(Verdict::Waiting | Verdict::Act(_)) | None => NotVerified::NotDone { step },
        };
        Some((index, why))
    })
}

/// The pod of a request, as the log names it.
struct Named<'a>(&'a Request<'a>);

impl fmt::Display for Named<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", printable(&self.0.namespace), printable(&self.0.name))
    }
}

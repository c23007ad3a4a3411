//! The gate with its hands: gives the pure decisions the facts they ask for, and carries out what they lead to.
//!
//! `look` reads what a decision needs, `verify` looks at the backend and the limit and claims, `record` writes down
//! what was asked.

mod dry_run;
mod look;
pub mod metrics;
mod record;
pub mod tries;
mod verify;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::admission::{
    self, Answer, Case, Decision, Guard, Malformed, NotVerified, Reason, Request, Stage, What, decide,
};
use crate::controller::observe::Observer;
use crate::lifecycle::Caller;
use crate::pod::Pod;
use crate::policy::PolicyIndex;
use crate::ports::{Answered, Asks, Cluster, Events, Store};
use crate::printable::printable;
use crate::server::Gate;

use look::Evicted;
use metrics::Metrics;
pub use tries::Tries;

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
    /// As whom Castoff itself asks: its deletes are no tries of anybody. `None` without a cluster.
    pub own_user: Option<String>,
}

#[async_trait]
impl Gate for Gatekeeper {
    async fn answer(&self, body: Bytes, deadline: Instant) -> Result<Bytes, Malformed> {
        let request = admission::request::parse(&body)?;
        let span = self.span_of(&request);
        let answer = self.ask(&request, request.dry_run, deadline).instrument(span.clone()).await;
        self.metrics.count(answer.reason, answer.allowed, request.caller);
        if let Some(audited) = &answer.audited {
            self.metrics.would(&request.namespace, audited);
        }
        span.in_scope(|| self.note(&request, &answer));
        Ok(admission::response::render(&request.uid, &answer).into())
    }
}

/// How long somebody in this process waits for an answer.
const PATIENCE: Duration = Duration::from_secs(8);

#[async_trait]
impl Asks for Gatekeeper {
    async fn ask_for(&self, pod: &Pod<'static>, user: &str) -> Answered {
        let request = Request {
            uid: String::new().into(),
            namespace: pod.metadata.namespace.clone(),
            name: pod.metadata.name.clone(),
            username: user.to_owned().into(),
            caller: Caller::of(user),
            dry_run: false,
            what: What::Delete { pod: Box::new(pod.clone()), grace_period_seconds: None },
        };
        let answer = self.ask(&request, false, Instant::now() + PATIENCE).await;
        let prepared = matches!(answer.reason, Reason::Drained | Reason::Departing);
        let because = || {
            answer.warnings.first().cloned().unwrap_or_else(|| format!("nothing holds it ({})", answer.reason.as_str()))
        };
        let message = if answer.allowed { because() } else { answer.message.clone() };
        Answered { allowed: answer.allowed, prepared, message }
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
        let answered = tokio::time::timeout_at(deadline, self.ask_without_limit(request, dry_run, deadline)).await;
        answered.unwrap_or_else(|_| {
            tracing::warn!("there was no time to find an answer");
            let message = admission::messages::unknown_pod(&request.namespace, &request.name, None);
            Answer::deny(Reason::UnknownPod, message)
        })
    }

    async fn ask_without_limit(&self, request: &Request<'_>, dry_run: bool, deadline: Instant) -> Answer {
        let policies = match self.policies_for(request).await {
            Ok(policies) => policies,
            Err(answer) => return *answer,
        };
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
        let (facts, drain) = tokio::join!(self.facts(pod), self.drain_of(pod, dry_run));
        let case = Case { request, pod, guard, facts: &facts, drain: drain.as_deref(), now: jiff::Timestamp::now() };
        let answer = match decide(&case) {
            Decision::Answer(answer) if answer.reason.is_confirmed_live() => {
                self.confirm(&case, answer, dry_run, deadline).await
            }
            decision => self.carry_out(&case, decision, dry_run, deadline).await,
        };
        if request.dry_run { self.tell_steps(&case, answer, deadline).await } else { answer }
    }

    /// What lets a pod go unprepared by what this process saw a moment ago is looked up live, or it does not count.
    async fn confirm(&self, case: &Case<'_>, answer: Answer, dry_run: bool, deadline: Instant) -> Answer {
        let Some((pod, facts)) = self.facts_now(case).await else {
            return admission::unconfirmed(case, answer.reason);
        };
        let live = Case { pod: &pod, facts: &facts, ..*case };
        self.carry_out(&live, decide(&live), dry_run, deadline).await
    }

    async fn carry_out(&self, case: &Case<'_>, decision: Decision, dry_run: bool, deadline: Instant) -> Answer {
        match decision {
            Decision::Answer(answer) => {
                if !dry_run {
                    self.take_note(case, &answer, deadline).await;
                }
                answer
            }
            Decision::Create(answer) => {
                if !dry_run {
                    self.create(case, deadline).await;
                }
                answer
            }
            Decision::Again(answer) => {
                if let (false, Some(drain)) = (dry_run, case.drain) {
                    self.begin_anew(drain, case.request.caller, deadline).await;
                }
                answer
            }
            Decision::Verify => match case.drain {
                Some(drain) => self.verify(case, drain, dry_run, deadline).await,
                None => admission::not_verified(case, &NotVerified::NotClaimed),
            },
        }
    }

    fn is_own(&self, request: &Request<'_>) -> bool {
        self.own_user.as_deref() == Some(request.username.as_str())
    }
}

/// The pod of a request, as the log names it.
struct Named<'a>(&'a Request<'a>);

impl fmt::Display for Named<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", printable(&self.0.namespace), printable(&self.0.name))
    }
}

//! Brings drains about: looks, lets the lifecycle decide, writes that down, and does what it asked for.

mod agenda;
mod ahead;
pub mod censuses;
pub mod cluster_reads;
mod line;
pub mod log_events;
pub mod metrics;
pub mod observe;
pub mod owners;
mod report;
mod retry;
pub mod sight;
mod surroundings;
mod turn;
mod turns;
mod watched;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::Instant;

use crate::lifecycle::drain::seat_of;
use crate::lifecycle::{Drain, Settings};
use crate::pod::Pod;
use crate::policy::PolicyIndex;
use crate::ports::{Cluster, Events, News, Store};
use crate::runtime::liveness::Pulse;

use agenda::Agenda;
use censuses::Censuses;
use metrics::Metrics;
use observe::Observer;
use owners::Owners;
use report::key_of;
use turns::Turns;

/// How long a turn may take, with all that it reads, sends and writes.
const TURN_LIMIT: Duration = Duration::from_secs(40);

/// How long a round may take.
pub const ROUND_LIMIT: Duration = Duration::from_secs(3);

/// How long turns that are under way may take to end: a round, a request, and a write on both sides of it. What a backend
/// is given longer for is a `background` act, which goes on without us and is written down with its intent.
const ENDING: Duration = Duration::from_secs(8);

/// Tells whether this process leads: nothing is written or sent by one that is not.
pub type IsLeader = Arc<dyn Fn() -> bool + Send + Sync>;

/// Everything that a turn needs.
pub struct Controller {
    /// Drains and slots.
    pub store: Arc<dyn Store>,
    /// Pods and what they depend on.
    pub cluster: Arc<dyn Cluster>,
    /// People.
    pub events: Arc<dyn Events>,
    /// Backends.
    pub observer: Arc<Observer>,
    /// Owners of pods that wait.
    pub owners: Owners,
    /// What limits go by.
    pub censuses: Censuses,
    /// Policies in force.
    pub policies: Arc<ArcSwap<PolicyIndex>>,
    /// Waits that do not depend on a policy.
    pub settings: Settings,
    /// How long a request of the process that was leading before may still be under way.
    pub quiet: Duration,
    /// Counters.
    pub metrics: Metrics,
    /// Whether this process leads.
    pub is_leader: IsLeader,
    /// When this process began.
    pub started: Instant,
}

/// How long the controller sleeps at the most: it shows a sign of life at least so often.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);

/// For how long it may show no sign of life.
pub const SILENCE: Duration = Duration::from_mins(1);

/// So many changes are taken up before the next turns begin.
const TOGETHER: usize = 1000;

/// What is told of what a turn depends on.
enum Told {
    Drain(News<Drain>),
    Pod(News<Pod<'static>>),
}

impl Controller {
    /// Works until `stop` is done; then finishes the turns under way. Shows by `pulse` that it turns.
    pub async fn run(self: Arc<Self>, stop: impl Future<Output = ()>, pulse: Pulse) {
        let mut agenda = Agenda::default();
        let mut turns = Turns::default();
        let mut news = self.listen();
        agenda.quiet_until = self.now() + self.quiet;
        self.take_stock(&mut agenda, self.quiet);
        if agenda.len() > 0 {
            tracing::info!(outcomes = agenda.len(), "goes on with drains that were under way");
        }
        tokio::pin!(stop);
        let mut told = Vec::new();
        loop {
            pulse.beat();
            while let Some(begun) = agenda.begin(Instant::now()) {
                let (key, drain) = (Arc::clone(&begun.key), Arc::clone(&begun.drain));
                turns.begin(key, drain, Arc::clone(&self).turn(begun));
            }
            let latest = Instant::now() + LONGEST_SLEEP;
            let next = agenda.next().map_or(latest, |next| next.min(latest));
            tokio::select! {
                () = &mut stop => break,
                Some(ended) = turns.tasks.join_next_with_id() => turns.settle(&mut agenda, ended),
                _ = news.recv_many(&mut told, TOGETHER) => {
                    told.drain(..).for_each(|told| self.take_up(&mut agenda, told));
                }
                () = tokio::time::sleep_until(next) => {}
            }
        }
        pulse.rest();
        let ended = async { while turns.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(ENDING, ended).await;
    }

    /// What changes from now on.
    fn listen(&self) -> UnboundedReceiver<Told> {
        let (tell, news) = unbounded_channel();
        let of_pods = tell.clone();
        self.store.listen(Box::new(move |news| tell.send(Told::Drain(news)).is_ok()));
        self.cluster.listen(Box::new(move |news| of_pods.send(Told::Pod(news)).is_ok()));
        news
    }

    /// Compares what is watched with what the store holds.
    fn take_stock(&self, agenda: &mut Agenda, quiet: Duration) {
        let (mut drains, now) = (self.store.all(), Instant::now());
        agenda.keep_only(&drains.iter().map(|drain| key_of(drain)).collect(), now);
        // The line of a policy is theirs again in the same order, whichever process leads.
        drains.sort_by(|one, other| one.metadata.name.cmp(&other.metadata.name));
        for drain in &drains {
            agenda.take_up(drain, (self.now(), quiet), now);
        }
    }

    fn take_up(&self, agenda: &mut Agenda, told: Told) {
        let now = Instant::now();
        match told {
            Told::Drain(News::Any) => self.take_stock(agenda, Duration::ZERO),
            Told::Drain(News::One { now: Some(drain), before }) => {
                agenda.take_up(&drain, (self.now(), Duration::ZERO), now);
                if before.is_none_or(|before| before.status.phase != drain.status.phase) {
                    agenda.limit_changed(&drain.metadata.namespace, &drain.spec.policy, now);
                }
            }
            Told::Drain(News::One { now: None, before }) => {
                if let Some(gone) = before {
                    agenda.forget(&key_of(&gone), now);
                }
            }
            Told::Pod(News::Any) => agenda.anything_changed(now),
            Told::Pod(News::One { before, now: pod }) => {
                self.take_up_pod(agenda, before.as_deref(), pod.as_deref(), now);
            }
        }
    }

    /// A pod has changed: whom that concerns. What goes on in other namespaces, and at other policies, is no reason to
    /// look: in a large cluster something always does.
    fn take_up_pod(&self, agenda: &mut Agenda, before: Option<&Pod<'_>>, pod: Option<&Pod<'_>>, now: Instant) {
        let Some(known) = pod.or(before) else { return };
        agenda.pod_changed(&known.metadata.uid, now);
        if before.map(counts_as) == pod.map(counts_as) {
            return;
        }
        if let Some(owner) = known.controller() {
            agenda.owner_changed(&owner.uid, &seat_of(known), now);
        }
        let policies = self.policies.load();
        for pod in before.into_iter().chain(pod) {
            for policy in policies.of_pod(&pod.metadata.namespace, &pod.metadata.labels) {
                agenda.limit_changed(&policy.namespace, &policy.name, now);
            }
        }
    }

    /// Time since this process began.
    fn now(&self) -> Duration {
        self.started.elapsed()
    }
}

/// As what a pod counts in a limit: serving, away, or ended.
fn counts_as(pod: &Pod<'_>) -> (bool, bool) {
    (pod.is_ready() && !pod.is_terminating(), pod.is_finished())
}

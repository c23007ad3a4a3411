//! Brings drains about: looks, lets the lifecycle decide, writes that down, and does what it asked for.

pub mod cluster_reads;
pub mod log_events;
pub mod metrics;
pub mod observe;
pub mod owners;
mod retry;
pub mod sight;
mod surroundings;
mod turn;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use crate::lifecycle::{Drain, Memory, Settings};
use crate::policy::PolicyIndex;
use crate::runtime::liveness::Pulse;

use crate::ports::{Cluster, Events, Store};
use metrics::Metrics;
use observe::Observer;
use owners::Owners;
use retry::Retry;
use turn::{End, Report};

/// The most drains that are looked at side by side.
const SIDE_BY_SIDE: usize = 16;

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

/// Between two turns of a drain that a person ends, and whose turns fail, at the most.
const SHORT: Duration = Duration::from_secs(2);

/// How long the controller sleeps at the most: it shows a sign of life at least so often.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);

/// For how long it may show no sign of life.
pub const SILENCE: Duration = Duration::from_mins(1);

/// What is known of a drain between two turns.
struct Watched {
    memory: Memory,
    /// The version that the last turn has seen.
    version: String,
    /// The version of its namespace's pods that the last turn has seen, or an older one.
    pods: u64,
    due: Instant,
    retry: Retry,
    under_way: bool,
    /// A person ends it, and waits.
    is_ended: bool,
}

impl Controller {
    /// Works until `stop` is done; then finishes the turns under way. Shows by `pulse` that it turns.
    pub async fn run(self: Arc<Self>, stop: impl Future<Output = ()>, pulse: Pulse) {
        let mut watched: HashMap<String, Watched> = HashMap::new();
        let mut turns = Turns::default();
        let mut store_changes = self.store.changes();
        let mut pod_changes = self.cluster.changes();
        let found_at_start = self.take_stock(&mut watched, self.quiet);
        if found_at_start > 0 {
            tracing::info!(outcomes = found_at_start, "goes on with drains that were under way");
        }
        tokio::pin!(stop);
        loop {
            pulse.beat();
            let next = self.begin_turns(&mut watched, &mut turns);
            tokio::select! {
                () = &mut stop => break,
                Some(ended) = turns.tasks.join_next_with_id() => turns.settle(&mut watched, ended),
                _ = store_changes.changed() => { self.take_stock(&mut watched, Duration::ZERO); }
                _ = pod_changes.changed() => {}
                () = tokio::time::sleep_until(next) => {}
            }
        }
        pulse.rest();
        let ended = async { while turns.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(ENDING, ended).await;
    }

    /// Compares what is watched with what the store holds; a drain that is new is due at once.
    fn take_stock(&self, watched: &mut HashMap<String, Watched>, quiet: Duration) -> usize {
        let drains = self.store.all();
        let keys: std::collections::HashSet<String> = drains.iter().map(|drain| key(drain)).collect();
        watched.retain(|key, _| keys.contains(key));
        for drain in &drains {
            watched.entry(key(drain)).or_insert_with(|| Watched::new(Memory::new(drain, self.now(), quiet)));
        }
        drains.len()
    }

    /// Begins the turns that are due, by time or since the drain or a pod of its namespace has changed; tells when
    /// the next one is. What goes on in other namespaces is no reason: in a large cluster something always does.
    fn begin_turns(self: &Arc<Self>, watched: &mut HashMap<String, Watched>, turns: &mut Turns) -> Instant {
        let now = Instant::now();
        let mut next = now + LONGEST_SLEEP;
        for drain in self.store.all() {
            let Some(entry) = watched.get_mut(&key(&drain)) else { continue };
            if entry.under_way {
                continue;
            }
            let pods = self.cluster.pods_version(&drain.metadata.namespace);
            // What is new is known from now on, though the turn may fail.
            entry.memory.notice(&drain, self.now());
            if !entry.is_due(&drain, pods, now) || turns.tasks.len() >= SIDE_BY_SIDE {
                next = next.min(entry.due.max(now + Duration::from_millis(1)));
                continue;
            }
            (entry.under_way, entry.pods) = (true, pods);
            let (controller, memory) = (Arc::clone(self), entry.memory.clone());
            turns.begin(key(&drain), async move { controller.turn(drain, memory).await });
        }
        next
    }

    /// Time since this process began.
    fn now(&self) -> Duration {
        self.started.elapsed()
    }
}

fn key(drain: &Drain) -> String {
    format!("{}/{}", drain.metadata.namespace, drain.metadata.name)
}

/// Turns under way, and whose they are: one that ends abnormally stops no other.
#[derive(Default)]
struct Turns {
    tasks: JoinSet<Report>,
    keys: HashMap<Id, String>,
}

impl Turns {
    fn begin(&mut self, key: String, turn: impl Future<Output = Report> + Send + 'static) {
        let id = self.tasks.spawn(turn).id();
        self.keys.insert(id, key);
    }

    fn settle(&mut self, watched: &mut HashMap<String, Watched>, ended: Result<(Id, Report), JoinError>) {
        let report = match ended {
            Ok((id, report)) => {
                self.keys.remove(&id);
                report
            }
            Err(error) => {
                // Nothing is lost: whatever the turn had written is found again by the next one.
                let Some(key) = self.keys.remove(&error.id()) else { return };
                tracing::error!(drain = %key, %error, "a turn has ended abnormally; trying again");
                Report { key, version: String::new(), end: End::Failed }
            }
        };
        if let Some(entry) = watched.get_mut(&report.key) {
            entry.settle(report);
        }
    }
}

impl Watched {
    /// A drain that is due at once.
    fn new(memory: Memory) -> Self {
        let (version, retry) = (String::new(), Retry::default());
        Watched { memory, version, pods: 0, due: Instant::now(), retry, under_way: false, is_ended: false }
    }

    fn settle(&mut self, report: Report) {
        self.under_way = false;
        let again = match report.end {
            End::Done(memory, again) => {
                self.memory = *memory;
                self.retry.succeeded();
                again
            }
            End::LostARace => self.retry.lost_a_race(),
            End::Failed => self.retry.failed(retry::jitter()).min(if self.is_ended { SHORT } else { Duration::MAX }),
        };
        self.due = Instant::now() + again;
        self.version = report.version;
    }

    /// Whether a turn is to begin, where the namespace's pods are of this version. After a failure only time counts:
    /// what fails is not tried at each change, but that a person ends it.
    fn is_due(&mut self, drain: &Drain, pods: u64, now: Instant) -> bool {
        let was_ended = std::mem::replace(&mut self.is_ended, drain.is_cancelled());
        if self.is_ended && !was_ended {
            self.retry = Retry::default();
        }
        let is_new = self.version != drain.metadata.resource_version || self.pods != pods;
        if self.retry == Retry::default() && is_new {
            self.due = self.due.min(now);
        }
        !self.under_way && self.due <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::Pod;

    #[tokio::test(start_paused = true)]
    async fn who_ends_a_drain_does_not_wait_for_one_that_fails_again_and_again() {
        let mut drain = Drain::new(&Pod::default(), "db", "alice");
        let mut watched = Watched::new(Memory::new(&drain, Duration::ZERO, Duration::ZERO));
        let fail = |watched: &mut Watched| {
            for _ in 0..9 {
                watched.settle(Report { key: String::new(), version: String::new(), end: End::Failed });
            }
        };
        fail(&mut watched);
        assert!(!watched.is_due(&drain, 1, Instant::now() + SHORT));
        drain.metadata.kept.deleting = true;
        assert!(watched.is_due(&drain, 1, Instant::now()));
        fail(&mut watched);
        assert!(watched.is_due(&drain, 1, Instant::now() + SHORT));
    }
}

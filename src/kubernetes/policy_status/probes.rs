//! Tries, every few minutes and after each change of a policy, whether its backends can be seen: the reads of each
//! step, for one pod that it guards. Never an act.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::{StreamExt, stream};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::controller::ROUND_LIMIT;
use crate::controller::observe::{Observer, Probed};
use crate::facts::NodeFacts;
use crate::kubernetes::cache::Cache;
use crate::kubernetes::lease::Leadership;
use crate::kubernetes::pods::Pods;
use crate::lifecycle::{Drain, DrainStep};
use crate::plan::ClusterRead;
use crate::pod::Pod;
use crate::policy::{Policy, PolicyIndex};

use super::{Verdict, backend, is_selected};

/// Between two looks at a backend that was seen.
const SEEN_AGAIN: Duration = Duration::from_mins(3);

/// Between two looks at one that was not: whoever mends it wants to see that.
const UNSEEN_AGAIN: Duration = Duration::from_secs(30);

/// So often it is asked which looks are due.
const TICK: Duration = Duration::from_secs(5);

/// So many policies are looked at side by side.
const SIDE_BY_SIDE: usize = 8;

/// Tries it while this process leads.
pub struct Probes {
    observer: Arc<Observer>,
    index: Arc<ArcSwap<PolicyIndex>>,
    in_force: watch::Receiver<()>,
    pods: Arc<Pods>,
    nodes: Arc<Cache<NodeFacts>>,
    leadership: Leadership,
    sights: Mutex<HashMap<String, Sight>>,
    changes: watch::Sender<u64>,
}

/// What the last look has shown.
struct Sight {
    verdict: Verdict,
    /// The steps that were tried: others are tried at once.
    steps: Vec<DrainStep>,
    due: Instant,
}

/// A look that is due.
struct Due {
    key: String,
    drain: Drain,
}

impl Probes {
    /// Looks by this observer at the backends of these policies, for these pods; `in_force` changes with the index.
    pub fn new(
        observer: Arc<Observer>,
        index: Arc<ArcSwap<PolicyIndex>>,
        in_force: watch::Receiver<()>,
        pods: Arc<Pods>,
        nodes: Arc<Cache<NodeFacts>>,
        leadership: Leadership,
    ) -> Self {
        let (sights, changes) = (Mutex::default(), watch::Sender::new(0));
        Probes { observer, index, in_force, pods, nodes, leadership, sights, changes }
    }

    /// Looks whenever a look is due, for ever.
    pub async fn run(self: Arc<Self>) {
        let mut in_force = self.in_force.clone();
        self.pods.cache.filled().await;
        loop {
            in_force.mark_unchanged();
            if self.leadership.holds() {
                let looks =
                    stream::iter(self.due(Instant::now())).for_each_concurrent(SIDE_BY_SIDE, |due| self.look(due));
                looks.await;
            }
            tokio::select! {
                Ok(()) = in_force.changed() => {}
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    /// What is known of a policy's backends; `None` before the first look, and where there is no pod to look for.
    pub fn of(&self, policy: &Policy) -> Option<Verdict> {
        let sights = self.sights.lock().unwrap_or_else(PoisonError::into_inner);
        sights.get(&key(policy)).map(|sight| sight.verdict.clone())
    }

    /// Changes whenever something else is known.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The looks that are due; what is known of policies that are gone is forgotten.
    fn due(&self, now: Instant) -> Vec<Due> {
        let index = self.index.load();
        let mut sights = self.sights.lock().unwrap_or_else(PoisonError::into_inner);
        let there: HashSet<String> = index.all().map(|policy| key(policy)).collect();
        sights.retain(|key, _| there.contains(key));
        let is_due = |policy: &Policy, drain: &Drain| {
            sights.get(&key(policy)).is_none_or(|sight| sight.due <= now || sight.steps != drain.status.steps)
        };
        let mut due = Vec::new();
        for policy in index.all().filter(|policy| policy.steps.is_ok()) {
            let steps = Drain::new(&Pod::default(), &policy.name, "").following(None, Some(policy.as_ref()));
            if is_due(policy, &steps)
                && let Some(pod) = self.pod_of(policy)
            {
                let drain = Drain::new(&pod, &policy.name, "").following(Some(&pod), Some(policy.as_ref()));
                due.push(Due { key: key(policy), drain });
            }
        }
        due
    }

    /// A pod that the policy guards and that can be asked: one that is Ready.
    fn pod_of(&self, policy: &Policy) -> Option<Arc<Pod<'static>>> {
        let can_be_asked = |pod: &&Arc<Pod<'static>>| {
            pod.is_ready() && !pod.is_terminating() && is_selected(policy, pod, &*self.nodes)
        };
        let pods = self.pods.of_namespace(&policy.namespace);
        pods.iter().filter(can_be_asked).min_by(|one, other| one.metadata.name.cmp(&other.metadata.name)).cloned()
    }

    /// The pods among which those that were read should be: of the namespaces that were named, else of the pod's node.
    fn near(&self, drain: &Drain, probed: &[(String, Probed)]) -> Vec<Arc<Pod<'static>>> {
        let node = drain.status.pod.as_deref().map(|pod| pod.spec.node_name.as_str());
        let reads = probed.iter().flat_map(|(_, probed)| &probed.reads);
        let queries = reads.filter_map(|read| if let ClusterRead::Pods(query) = read { Some(query) } else { None });
        let near = queries.map(|query| match query.namespace.as_deref() {
            Some(namespace) => self.pods.find(Some(namespace), None),
            None => self.pods.find(None, node),
        });
        near.flatten().collect()
    }

    async fn look(&self, due: Due) {
        let Due { key, drain } = due;
        let probed = self.observer.probe(&drain, Instant::now() + ROUND_LIMIT).await;
        let names = drain.status.steps.iter().map(|step| step.name.clone());
        let probed: Vec<_> = names.zip(probed).collect();
        let mut verdict = backend::seen(&drain.spec.pod.name, &probed, &self.near(&drain, &probed));
        if verdict.reason == backend::NOTHING_SELECTED {
            // Only then all pods are taken apart, to tell where there are such.
            verdict = backend::seen(&drain.spec.pod.name, &probed, &self.pods.find(None, None));
        }
        let again = if verdict.holds { SEEN_AGAIN } else { UNSEEN_AGAIN };
        let sight = Sight { verdict, steps: drain.status.steps, due: Instant::now() + again };
        let mut sights = self.sights.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = sights.get(&key).map(|sight| &sight.verdict) != Some(&sight.verdict);
        sights.insert(key, sight);
        if is_news {
            self.changes.send_modify(|number| *number += 1);
        }
    }
}

fn key(policy: &Policy) -> String {
    format!("{}/{}", policy.namespace, policy.name)
}

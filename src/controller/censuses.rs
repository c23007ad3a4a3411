//! What the limits of policies go by, counted once as long as nothing of it changes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::facts::OwnerSeen;
use crate::lifecycle::{Census, Drain, Neighbourhood, Slots};
use crate::pod::{OwnerReference, Pod};
use crate::policy::Policy;

use super::owners;

/// For how long what nobody asks for is kept.
const KEPT: Duration = Duration::from_mins(1);

type Pods = Arc<[Arc<Pod<'static>>]>;
type Drains = Arc<[Arc<Drain>]>;

/// Counts by policy.
#[derive(Debug, Default)]
pub struct Censuses(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    all: HashMap<String, OfPolicy>,
    swept: Option<Instant>,
}

/// Drains, slots and owners, and what was counted of them.
type Counted = (Drains, Slots, BTreeMap<String, OwnerSeen>, Arc<Census>);

/// What was counted for a policy, and from what.
#[derive(Debug)]
struct OfPolicy {
    policy: Arc<Policy>,
    pods: Pods,
    owners: Arc<[OwnerReference<'static>]>,
    counted: Option<Counted>,
    used: Instant,
}

impl Censuses {
    /// The owners of a policy's pods.
    pub(super) fn owners(&self, policy: &Arc<Policy>, pods: &Pods) -> Arc<[OwnerReference<'static>]> {
        let now = Instant::now();
        let mut known = self.known();
        if known.swept.is_none_or(|swept| now - swept >= KEPT) {
            known.all.retain(|_, it| now - it.used < KEPT);
            known.swept = Some(now);
        }
        let key = format!("{}/{}", policy.namespace, policy.name);
        if let Some(it) = known.all.get_mut(&key)
            && Arc::ptr_eq(&it.policy, policy)
            && Arc::ptr_eq(&it.pods, pods)
        {
            it.used = now;
            return Arc::clone(&it.owners);
        }
        let selected = pods.iter().filter(|pod| policy.selects(pod, None)).filter_map(|pod| pod.controller());
        let owners: Arc<[_]> = owners::distinct(selected).into_iter().cloned().collect();
        let (policy, pods) = (Arc::clone(policy), Arc::clone(pods));
        known.all.insert(key, OfPolicy { policy, pods, owners: Arc::clone(&owners), counted: None, used: now });
        owners
    }

    /// The count, made now where something has changed since the last one. Nodes change unseen: a policy that selects by
    /// them is counted each time.
    pub(super) fn census(
        &self,
        policy: &Arc<Policy>,
        pods: &Pods,
        drains: &Drains,
        around: &Neighbourhood<'_>,
    ) -> Arc<Census> {
        let key = format!("{}/{}", policy.namespace, policy.name);
        let is_it =
            |it: &OfPolicy| Arc::ptr_eq(&it.policy, policy) && Arc::ptr_eq(&it.pods, pods) && !policy.goes_by_nodes();
        if let Some(it) = self.known().all.get_mut(&key).filter(|it| is_it(it))
            && let Some((known, slots, owners, census)) = &mut it.counted
            && slots == around.slots
            && owners == around.owners
            && count_alike(known, drains)
        {
            known.clone_from(drains);
            return Arc::clone(census);
        }
        let census = Arc::new(Census::of(around));
        if let Some(it) = self.known().all.get_mut(&key).filter(|it| is_it(it)) {
            it.counted = Some((Arc::clone(drains), around.slots.clone(), around.owners.clone(), Arc::clone(&census)));
        }
        census
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether limits count these drains as they count those: most writes tell of progress, and a policy may have thousands
/// of pods to be counted anew.
fn count_alike(some: &Drains, others: &Drains) -> bool {
    let alike = |(one, other): (&Arc<Drain>, &Arc<Drain>)| Arc::ptr_eq(one, other) || one.counts_as(other);
    Arc::ptr_eq(some, others) || (some.len() == others.len() && some.iter().zip(others.iter()).all(alike))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::lifecycle::Phase;
    use crate::lifecycle::step::StepProgress;
    use crate::plan::Progress;
    use crate::policy::NoPlans;

    /// A policy's pods and drains, and the count of them as it was made before.
    struct Scene {
        policy: Arc<Policy>,
        pods: Pods,
        censuses: Censuses,
    }

    impl Scene {
        fn new() -> Scene {
            let spec = json!({"selector": {"matchLabels": {"app": "db"}}, "steps": []});
            let policy = Policy::new("n", "p", serde_json::from_value(spec).unwrap(), &NoPlans);
            let pod = |number: u32| {
                let metadata =
                    json!({"name": format!("db-{number}"), "uid": number.to_string(), "labels": {"app": "db"}});
                let pod =
                    json!({"metadata": metadata, "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
                Arc::new(crate::pod::deserialize_owned(&pod).unwrap())
            };
            let pods = (0..2).map(pod).collect();
            Scene { policy: Arc::new(policy), pods, censuses: Censuses::default() }
        }

        fn drain(&self, change: impl FnOnce(&mut Drain)) -> Arc<Drain> {
            let mut drain = Drain::new(&self.pods[0], "p", "someone").following(Some(&self.pods[0]), None);
            drain.status.phase = Phase::Draining;
            change(&mut drain);
            Arc::new(drain)
        }

        fn census(&self, drains: &[Arc<Drain>]) -> Arc<Census> {
            let (policy, owners, slots, node_labels) =
                (&self.policy, &BTreeMap::new(), &Slots::default(), &|_: &str| None);
            let around = Neighbourhood { policy, pods: &self.pods, owners, drains, slots, node_labels };
            self.censuses.owners(policy, &self.pods);
            self.censuses.census(policy, &self.pods, &drains.into(), &around)
        }
    }

    #[test]
    fn a_write_that_tells_of_progress_has_nothing_counted_anew() {
        let scene = Scene::new();
        let first = scene.census(&[scene.drain(|_| ())]);
        let progress = scene.drain(|drain| {
            drain.metadata.resource_version = "2".to_owned();
            drain.status.message = "17 leaders left".to_owned();
            drain.status.progress = Some(StepProgress {
                step: "s".to_owned(),
                total: 20,
                left: Progress { remaining: 17, unit: "leaders".to_owned() },
            });
        });
        assert!(Arc::ptr_eq(&first, &scene.census(&[Arc::clone(&progress)])));
        assert!(Arc::ptr_eq(&first, &scene.census(&[progress])), "and the next look goes by the newest");
    }

    #[test]
    fn what_limits_go_by_is_counted_anew() {
        let scene = Scene::new();
        for change in [
            |drain: &mut Drain| drain.status.phase = Phase::Drained,
            |drain: &mut Drain| drain.spec.policy = "another".to_owned(),
            |drain: &mut Drain| drain.spec.pod.uid = "another".to_owned(),
            |drain: &mut Drain| drain.metadata.name = "another".to_owned(),
            |drain: &mut Drain| drain.status.pod = None,
        ] {
            let before = scene.census(&[scene.drain(|_| ())]);
            assert!(!Arc::ptr_eq(&before, &scene.census(&[scene.drain(change)])));
        }
    }
}

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
        if let Some(it) = self.known().all.get(&key).filter(|it| is_it(it))
            && let Some((known, slots, owners, census)) = &it.counted
            && Arc::ptr_eq(known, drains)
            && slots == around.slots
            && owners == around.owners
        {
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

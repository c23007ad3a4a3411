//! Owners of pods, as they were a moment ago.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use crate::facts::OwnerSeen;
use crate::pod::OwnerReference;
use crate::ports::Cluster;

/// For how long a read is good enough for a drain that only waits.
const MOMENT: Duration = Duration::from_secs(1);

/// So many owners of a policy's pods are asked how many they want: its pods have one or two.
pub const MOST: usize = 8;

/// What was read lately. Many pods of one owner may wait at the same time: it is read once for all of them.
#[derive(Debug, Default)]
pub struct Owners(Mutex<HashMap<String, (Instant, OwnerSeen)>>);

impl Owners {
    /// The owner as it was a second ago at most.
    pub async fn lately(&self, cluster: &dyn Cluster, namespace: &str, owner: &OwnerReference<'_>) -> OwnerSeen {
        let key = format!("{namespace}/{}/{}/{}", owner.kind, owner.name, owner.uid);
        let begun = Instant::now();
        let is_fresh = |read: &Instant| begun.saturating_duration_since(*read) < MOMENT;
        if let Some((_, seen)) = self.known().get(&key).filter(|(read, _)| is_fresh(read)) {
            return seen.clone();
        }
        let seen = cluster.owner(namespace, owner).await;
        let mut known = self.known();
        known.retain(|_, (read, _)| is_fresh(read));
        known.insert(key, (begun, seen.clone()));
        seen
    }

    /// These owners, by UID.
    pub async fn all(
        &self,
        cluster: &dyn Cluster,
        namespace: &str,
        owners: Vec<&OwnerReference<'static>>,
    ) -> BTreeMap<String, OwnerSeen> {
        let reads = owners.into_iter().map(|owner| async move {
            let seen = self.lately(cluster, namespace, owner).await;
            (owner.uid.to_string(), seen)
        });
        join_all(reads).await.into_iter().collect()
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, (Instant, OwnerSeen)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first `most` of these, none twice.
pub fn distinct<'a>(
    owners: impl Iterator<Item = &'a OwnerReference<'static>>,
    most: usize,
) -> Vec<&'a OwnerReference<'static>> {
    let mut met = BTreeSet::new();
    owners.filter(|owner| met.insert(owner.uid.as_str())).take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_owners_the_first_are_asked_and_the_pods_own_is_among_them() {
        let owner = |uid: &str| OwnerReference { uid: uid.to_owned().into(), ..OwnerReference::default() };
        // By their names the pod's own comes last.
        let all = ["z", "a", "z", "b", "a", "c"].map(owner);
        let asked = |most| distinct(all.iter(), most).into_iter().map(|owner| &*owner.uid).collect::<Vec<_>>();
        assert_eq!(asked(2), ["z", "a"]);
        assert_eq!(asked(9), ["z", "a", "b", "c"]);
    }
}

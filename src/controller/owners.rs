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

/// The pods of a policy have one owner, or two. For each so many more, a read is good enough for a moment longer:
/// a policy of a thousand Jobs is no reason to read each of them each second.
const A_FEW: usize = 8;

/// However many there are, a read is good enough for no longer than this.
const LONGEST: Duration = Duration::from_secs(30);

/// So many reads of a policy's owners are under way at the same time.
const AT_ONCE: usize = 32;

/// What was read lately. Many pods of one owner may wait at the same time: it is read once for all of them.
#[derive(Debug, Default)]
pub struct Owners(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    all: HashMap<String, (Instant, OwnerSeen)>,
    swept: Option<Instant>,
}

impl Owners {
    /// The owner as it was a second ago at most.
    pub async fn lately(&self, cluster: &dyn Cluster, namespace: &str, owner: &OwnerReference<'_>) -> OwnerSeen {
        self.within(MOMENT, cluster, namespace, owner).await
    }

    /// All of these owners, by UID.
    pub async fn all(
        &self,
        cluster: &dyn Cluster,
        namespace: &str,
        owners: Vec<&OwnerReference<'static>>,
    ) -> BTreeMap<String, OwnerSeen> {
        let fresh = freshness(owners.len());
        let mut all = BTreeMap::new();
        for some in owners.chunks(AT_ONCE) {
            let reads = some.iter().map(|owner| async move {
                let seen = self.within(fresh, cluster, namespace, owner).await;
                (owner.uid.to_string(), seen)
            });
            all.extend(join_all(reads).await);
        }
        all
    }

    async fn within(
        &self,
        fresh: Duration,
        cluster: &dyn Cluster,
        namespace: &str,
        owner: &OwnerReference<'_>,
    ) -> OwnerSeen {
        let key = format!("{namespace}/{}/{}/{}", owner.kind, owner.name, owner.uid);
        let begun = Instant::now();
        let is_fresh = |(read, seen): &&(Instant, OwnerSeen)| begun.duration_since(*read) < good_for(seen, fresh);
        if let Some((_, seen)) = self.known().all.get(&key).filter(is_fresh) {
            return seen.clone();
        }
        let seen = cluster.owner(namespace, owner).await;
        let mut known = self.known();
        if known.swept.is_none_or(|swept| begun.duration_since(swept) >= LONGEST) {
            known.all.retain(|_, (read, _)| begun.duration_since(*read) < LONGEST);
            known.swept = Some(begun);
        }
        known.all.insert(key, (begun, seen.clone()));
        seen
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For how long a read of one of so many owners is good enough.
fn freshness(owners: usize) -> Duration {
    let moments = u32::try_from(owners.div_ceil(A_FEW)).unwrap_or(u32::MAX);
    MOMENT.saturating_mul(moments.max(1)).min(LONGEST)
}

/// For how long it is good enough what a read has shown, where others of its policy are for so long. One that has shown
/// nothing holds pods.
fn good_for(seen: &OwnerSeen, fresh: Duration) -> Duration {
    if *seen == OwnerSeen::Unread { MOMENT } else { fresh }
}

/// These, none twice.
pub fn distinct<'a>(owners: impl Iterator<Item = &'a OwnerReference<'static>>) -> Vec<&'a OwnerReference<'static>> {
    let mut met = BTreeSet::new();
    owners.filter(|owner| met.insert(owner.uid.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_owners_are_read_less_often_each_but_within_half_a_minute() {
        assert_eq!([1, 8, 9, 80, 5000].map(|owners| freshness(owners).as_secs()), [1, 1, 2, 10, 30]);
    }

    #[test]
    fn one_that_could_not_be_read_is_read_again_soon_however_many_there_are() {
        let seen = [OwnerSeen::Unread, OwnerSeen::Unknown, OwnerSeen::DeletingOrGone];
        assert_eq!(seen.map(|seen| good_for(&seen, LONGEST).as_secs()), [1, 30, 30]);
    }
}

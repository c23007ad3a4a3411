//! How many pods of a policy may be away at once, and who takes the next place.
//!
//! Places follow from the open drains: one that is Draining, Drained, Departing or Restoring holds one in every policy
//! that selects its pod, whichever it began under. The list in the policy's status ([`Slots`]) is only the lock by
//! which two leaders can't both give out the last place. Besides, every pod that is not Ready, and every pod that its
//! owner misses, counts, each seat once. What has a name of chance is counted by its owner's number, not listed.

mod census;
mod zones;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::facts::OwnerSeen;
use crate::pod::Pod;
use crate::policy::Policy;
use crate::policy::freeze::Frozen;

use super::drain::Drain;
use super::explanation::Explanation;

pub use census::Census;

/// The list of slots that are taken, as a policy's status holds it. Changed only by conditional writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Slots {
    /// One entry a drain.
    pub departing: Vec<Slot>,
}

/// One slot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Slot {
    /// The place in the set.
    pub seat: String,
    /// The drain that holds it.
    pub drain: String,
}

impl Slots {
    /// Whether this drain holds a slot.
    #[must_use]
    pub fn held_by(&self, drain: &str) -> bool {
        self.departing.iter().any(|slot| slot.drain == drain)
    }

    /// The slots without this drain's.
    #[must_use]
    pub fn without(&self, drain: &str) -> Slots {
        Slots { departing: self.departing.iter().filter(|slot| slot.drain != drain).cloned().collect() }
    }

    /// The slots as they should be: those of drains that are over are dropped, those of open drains added.
    #[must_use]
    pub fn mended(&self, over: &[String], open: impl Iterator<Item = Slot>) -> Slots {
        let mut departing: Vec<Slot> =
            self.departing.iter().filter(|slot| !over.contains(&slot.drain)).cloned().collect();
        let mut listed: BTreeSet<String> = departing.iter().map(|slot| slot.drain.clone()).collect();
        departing.extend(open.filter(|slot| listed.insert(slot.drain.clone())));
        // One entry a seat: the API keeps the list by it.
        let mut seats = BTreeSet::new();
        departing.reverse();
        departing.retain(|slot| seats.insert(slot.seat.clone()));
        departing.reverse();
        Slots { departing }
    }
}

/// What the limit says to a drain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Room {
    /// It holds a place, and may go.
    Held,
    /// It holds a place, and may not go now: why, as `waits for db-0, which is not Ready (maxUnavailable 1)`.
    HeldBut(Explanation),
    /// It may take a place: these are the slots to write.
    Take(Slots),
    /// It holds none, and waits: why.
    Wait(Explanation),
    /// No policy guards the pod: there is no limit to keep.
    NoLimit,
}

impl Room {
    /// What a drain is told while its policy is frozen: one that waits begins nothing, one under way is held.
    #[must_use]
    pub fn frozen(drain: &Drain, frozen: &Frozen) -> Room {
        let why = format!("its policy is {frozen}").into();
        if drain.status.phase.holds_a_place() { Room::HeldBut(why) } else { Room::Wait(why) }
    }

    /// Whether a place is held.
    #[must_use]
    pub fn is_held(&self) -> bool {
        matches!(self, Room::Held | Room::HeldBut(_))
    }
}

/// Everything that the limit is told from: a policy's pods, their owners, and the drains of its namespace.
pub struct Neighbourhood<'a> {
    /// The policy that guards the pod now.
    pub policy: &'a Policy,
    /// The pods of the namespace, or those of them that the policy selects.
    pub pods: &'a [Arc<Pod<'static>>],
    /// The owners of those pods, by UID, as far as they are known.
    pub owners: &'a BTreeMap<String, OwnerSeen>,
    /// The drains of the namespace.
    pub drains: &'a [Arc<Drain>],
    /// The list of slots in the policy's status.
    pub slots: &'a Slots,
    /// The labels of nodes, asked for only where the policy selects by them; `None` where they are not known.
    pub node_labels: &'a dyn Fn(&str) -> Option<BTreeMap<String, String>>,
}

impl Neighbourhood<'_> {
    /// What the limit says to this drain.
    #[must_use]
    pub fn ask(&self, drain: &Drain, predecessor: Option<&str>, over: &[String]) -> Room {
        Census::of(self).ask(drain, predecessor, over)
    }

    /// Why the drain's pod may not leave now, if the limit is in its way.
    #[must_use]
    pub fn why_not(&self, drain: &Drain) -> Option<Explanation> {
        Census::of(self).why_not(drain)
    }

    fn selects(&self, pod: &Pod<'_>) -> bool {
        self.policy.selects_by(pod, self.node_labels)
    }

    /// Whether a drain counts for this policy: it began under it, or its pod is selected by it.
    fn concerns(&self, drain: &Drain) -> bool {
        drain.spec.policy == self.policy.name || drain.status.pod.as_deref().is_some_and(|pod| self.selects(pod))
    }
}

fn serves(pod: &Pod<'_>) -> bool {
    pod.is_ready() && !pod.is_terminating()
}

/// So many are named, where more are waited for.
const NAMED: usize = 3;

/// Which pods are away, besides the one that asks.
#[derive(Debug, Default)]
struct Away<'a> {
    /// Seats of drains that hold a place and whose pods are, or may soon be, away.
    departing: BTreeSet<&'a str>,
    /// Seats whose pods are not Ready.
    down: BTreeSet<&'a str>,
    /// Pods that are missing or not Ready, told by their owner's number alone.
    missing: usize,
}

impl Away<'_> {
    fn count(&self) -> usize {
        self.departing.len() + self.down.len() + self.missing
    }

    /// Those that are named.
    fn named(&self) -> impl Iterator<Item = &str> {
        self.departing.iter().take(NAMED).chain(self.down.iter().take(NAMED)).copied()
    }
}

/// `db-2`, `db-0, which is not Ready`, `2 pods that are missing`: whom a drain waits for.
impl std::fmt::Display for Away<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts: Vec<String> = self.departing.iter().take(NAMED).map(|seat| (*seat).to_owned()).collect();
        let down: Vec<&str> = self.down.iter().take(NAMED).copied().collect();
        match down.as_slice() {
            [] => {}
            [one] => parts.push(format!("{one}, which is not Ready")),
            some => parts.push(format!("{}, which are not Ready", some.join(", "))),
        }
        let unnamed = self.departing.len().saturating_sub(NAMED) + self.down.len().saturating_sub(NAMED);
        if unnamed + self.missing > 0 {
            parts.push(if parts.is_empty() { "pods that are missing or not Ready" } else { "others" }.to_owned());
        }
        formatter.write_str(&parts.join(" and "))
    }
}

#[cfg(test)]
mod tests;

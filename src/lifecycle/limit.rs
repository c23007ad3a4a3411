//! How many pods of a policy may be away at once, and who takes the next place.
//!
//! Places follow from the open drains: one that is Draining, Drained, Departing or Restoring holds one in every policy
//! that selects its pod, whichever it began under. The list in the policy's status ([`Slots`]) is only the lock by
//! which two leaders can't both give out the last place. Besides, every pod that is not Ready, and every pod that its
//! owner misses, counts, each seat once. What has a name of chance is counted by its owner's number, not listed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::facts::{OwnerKind, OwnerSeen};
use crate::pod::Pod;
use crate::policy::Policy;

use super::drain::{Drain, seat_of};
use super::status::Phase;

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
    pub fn mended<'a>(&self, over: &[String], open: impl Iterator<Item = &'a Drain>) -> Slots {
        let mut departing: Vec<Slot> =
            self.departing.iter().filter(|slot| !over.contains(&slot.drain)).cloned().collect();
        for drain in open {
            if !departing.iter().any(|slot| slot.drain == drain.metadata.name) {
                departing.push(Slot { seat: drain.seat(), drain: drain.metadata.name.clone() });
            }
        }
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
    HeldBut(String),
    /// It may take a place: these are the slots to write.
    Take(Slots),
    /// It holds none, and waits: why.
    Wait(String),
    /// No policy guards the pod: there is no limit to keep.
    NoLimit,
}

impl Room {
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

/// Which pods are away, besides the one that asks.
#[derive(Debug, Default)]
struct Away {
    /// Seats of drains that hold a place and whose pods are, or may soon be, away.
    departing: BTreeSet<String>,
    /// Seats whose pods are not Ready.
    down: BTreeSet<String>,
    /// Pods that are missing or not Ready, told by their owner's number alone.
    missing: usize,
}

impl Neighbourhood<'_> {
    /// What the limit says to this drain.
    #[must_use]
    pub fn ask(&self, drain: &Drain, predecessor: Option<&str>, over: &[String]) -> Room {
        let seat = drain.seat();
        let holds = drain.status.phase.holds_a_place();
        if holds {
            return match self.why_not(drain) {
                None => Room::Held,
                Some(why) => Room::HeldBut(why),
            };
        }
        if self.slots.held_by(&drain.metadata.name) {
            return Room::Held;
        }
        let in_its_place = self.others(drain).find(|other| {
            other.seat() == seat
                && (other.status.phase.holds_a_place() || self.slots.held_by(&other.metadata.name))
                && predecessor != Some(&other.metadata.name)
        });
        if let Some(other) = in_its_place {
            return Room::Wait(format!("waits until the drain of the pod before it, {}, is over", other.metadata.name));
        }
        if let Some(why) = self.why_not(drain) {
            return Room::Wait(why);
        }
        let open = self.drains.iter().map(Arc::as_ref).filter(|other| {
            other.status.phase.holds_a_place() && self.concerns(other) && predecessor != Some(&other.metadata.name)
        });
        let gone: Vec<String> = over.iter().cloned().chain(predecessor.map(str::to_owned)).collect();
        let mut slots = self.slots.mended(&gone, open);
        slots.departing.retain(|slot| slot.seat != seat);
        slots.departing.push(Slot { seat, drain: drain.metadata.name.clone() });
        Room::Take(slots)
    }

    /// Why the drain's pod may not leave now, if the limit is in its way. A pod that is not Ready takes no further
    /// place: it is away already.
    #[must_use]
    pub fn why_not(&self, drain: &Drain) -> Option<String> {
        let pod = self.pods.iter().find(|pod| pod.metadata.uid == *drain.pod_uid());
        let ready = pod.map_or_else(|| drain.status.pod.as_ref().is_none_or(Pod::is_ready), |pod| serves(pod));
        if !ready {
            return None;
        }
        let away = self.away(drain);
        let selected = self.pods.iter().filter(|pod| !pod.is_finished() && self.selects(pod)).count();
        let limit = self.policy.spec.max_unavailable.of(selected + away.missing).unwrap_or(1);
        (away.count() >= limit)
            .then(|| format!("waits for {} (maxUnavailable {})", away, self.policy.spec.max_unavailable))
    }

    fn selects(&self, pod: &Pod<'_>) -> bool {
        self.policy.selects_by(pod, self.node_labels)
    }

    /// Whether a drain counts for this policy: it began under it, or its pod is selected by it.
    fn concerns(&self, drain: &Drain) -> bool {
        drain.spec.policy == self.policy.name || drain.status.pod.as_ref().is_some_and(|pod| self.selects(pod))
    }

    fn others<'a>(&'a self, drain: &'a Drain) -> impl Iterator<Item = &'a Drain> {
        self.drains
            .iter()
            .map(Arc::as_ref)
            .filter(|other| other.metadata.name != drain.metadata.name && self.concerns(other))
    }

    fn away(&self, drain: &Drain) -> Away {
        let own = drain.seat();
        let mut away = Away::default();
        let mut counted: BTreeSet<&str> = BTreeSet::new();
        let uids: BTreeSet<&str> = self
            .pods
            .iter()
            .filter(|pod| self.selects(pod))
            .map(|pod| &**pod)
            .chain(
                self.drains.iter().filter(|drain| self.concerns(drain)).filter_map(|drain| drain.status.pod.as_ref()),
            )
            .filter_map(|pod| pod.controller().map(|owner| owner.uid.as_str()))
            .collect();
        for uid in uids {
            if let Some(missing) = self.missing(uid, &own) {
                away.missing += missing.number;
                away.down.extend(missing.seats);
                if missing.whole {
                    counted.insert(uid);
                }
            }
        }
        let by_number = |pod: &Pod<'_>| pod.controller().is_some_and(|owner| counted.contains(owner.uid.as_str()));
        let down = self.pods.iter().filter(|pod| !pod.is_finished() && self.selects(pod) && !serves(pod));
        away.down.extend(down.filter(|pod| !by_number(pod)).map(|pod| seat_of(pod)).filter(|seat| *seat != own));
        for other in self.others(drain).filter(|other| other.seat() != own && self.is_ahead(other, drain)) {
            let there = self.pods.iter().find(|pod| pod.metadata.uid == *other.pod_uid());
            // Whose pod no longer serves is counted by that already, where its owner says how many are missing.
            let told = other.status.pod.as_ref().is_some_and(by_number) && there.is_none_or(|pod| !serves(pod));
            if !told && !away.down.contains(&other.seat()) {
                away.departing.insert(other.seat());
            }
        }
        if !drain.status.phase.holds_a_place() {
            away.departing.extend(self.taken_unseen().filter(|seat| *seat != own && !away.down.contains(seat)));
        }
        away
    }

    /// The places in the list of slots whose drains are not in sight: made a moment ago, and this copy is behind.
    fn taken_unseen(&self) -> impl Iterator<Item = String> {
        let is_seen = |name: &str| self.drains.iter().any(|drain| drain.metadata.name == name);
        self.slots.departing.iter().filter(move |slot| !is_seen(&slot.drain)).map(|slot| slot.seat.clone())
    }

    /// Whether the other one's place counts for this drain. Of two that are both only prepared and whose pods still
    /// serve, which a lowered limit may leave over, the first by name goes first: or both would wait for each other.
    fn is_ahead(&self, other: &Drain, drain: &Drain) -> bool {
        match other.status.phase {
            Phase::Departing | Phase::Restoring => true,
            Phase::Draining | Phase::Drained => {
                !drain.status.phase.holds_a_place() || other.metadata.name < drain.metadata.name
            }
            // It has taken its slot, and is about to begin.
            Phase::Queued => !drain.status.phase.holds_a_place() && self.slots.held_by(&other.metadata.name),
            Phase::Completed | Phase::Unknown => false,
        }
    }

    /// What an owner misses; `None` where it can't be told. A policy that selects by node says nothing of how many of
    /// an owner's pods it has.
    fn missing(&self, uid: &str, own: &str) -> Option<Missing> {
        let owner = self.owners.get(uid)?;
        let wanted = owner.wanted()?;
        if !self.policy.spec.node_selector.is_empty() {
            return None;
        }
        let is_its = |pod: &&Arc<Pod<'static>>| {
            !pod.is_finished() && pod.controller().is_some_and(|owner| owner.uid.as_str() == uid)
        };
        let its: Vec<&Arc<Pod<'static>>> = self.pods.iter().filter(is_its).collect();
        match owner.facts()?.kind {
            OwnerKind::StatefulSet { first_ordinal, .. } => {
                Some(self.missing_ordinals(uid, (first_ordinal, wanted), &its, own))
            }
            OwnerKind::DaemonSet { .. } => {
                let seats: BTreeSet<String> = its.iter().map(|pod| seat_of(pod)).collect();
                let held = self.held_empty(uid, &seats, own);
                let number = (wanted as usize).saturating_sub(seats.len() + held);
                Some(Missing { number, ..Missing::default() })
            }
            OwnerKind::Other => {
                let ready = its.iter().filter(|pod| serves(pod)).count();
                Some(Missing { number: (wanted as usize).saturating_sub(ready), whole: true, ..Missing::default() })
            }
        }
    }

    /// The ordinals of a StatefulSet that have no pod: counted, of 2,000,000,000 too, and one of them named.
    fn missing_ordinals(&self, uid: &str, all: (u32, u32), its: &[&Arc<Pod<'static>>], own: &str) -> Missing {
        let (first, count) = all;
        let wanted = self.policy.ordinals_within(first, count);
        let is_wanted = |ordinal: u32| ordinal >= first && ordinal - first < count && self.policy.has_ordinal(ordinal);
        let there: BTreeSet<u32> =
            its.iter().filter_map(|pod| pod.ordinal()).filter(|ordinal| is_wanted(*ordinal)).collect();
        let seats: BTreeSet<String> = its.iter().map(|pod| seat_of(pod)).collect();
        let held = self.held_empty(uid, &seats, own);
        let mut number = usize::try_from(wanted).unwrap_or(usize::MAX).saturating_sub(there.len() + held);
        // The first empty place is among the first ones, of which there is one more than pods. One that is far away
        // is not looked for.
        let name = its.iter().find_map(|pod| pod.controller()).map(|owner| owner.name.as_str().to_owned());
        let first_empty = (first..first.saturating_add(count))
            .take(MOST_LOOKED_AT)
            .filter(|ordinal| is_wanted(*ordinal))
            .take(there.len() + held + 2)
            .filter(|ordinal| !there.contains(ordinal))
            .filter_map(|ordinal| name.as_ref().map(|name| format!("{name}-{ordinal}")))
            .find(|seat| seat != own && !self.is_held(seat));
        let seats = if number > 0 { first_empty.into_iter().collect::<Vec<_>>() } else { Vec::new() };
        number -= seats.len();
        Missing { number, seats, whole: false }
    }

    /// How many empty places of an owner are held by drains: those count there.
    fn held_empty(&self, uid: &str, seats: &BTreeSet<String>, own: &str) -> usize {
        let is_its = |pod: &&Pod<'static>| pod.controller().is_some_and(|owner| owner.uid.as_str() == uid);
        let held = self.drains.iter().filter(|drain| drain.status.phase.holds_a_place() && self.concerns(drain));
        let held: BTreeSet<String> =
            held.filter_map(|drain| drain.status.pod.as_ref()).filter(is_its).map(seat_of).collect();
        held.iter().filter(|seat| !seats.contains(*seat) && *seat != own).count()
    }

    fn is_held(&self, seat: &str) -> bool {
        self.drains
            .iter()
            .any(|drain| drain.status.phase.holds_a_place() && self.concerns(drain) && drain.seat() == seat)
    }
}

/// An empty place is looked for among so many ordinals, to be named in a message.
const MOST_LOOKED_AT: usize = 4096;

/// What an owner misses.
#[derive(Debug, Default)]
struct Missing {
    number: usize,
    /// Some of them by name, not in `number`.
    seats: Vec<String>,
    /// The number says everything of this owner: its pods that are not Ready are in it.
    whole: bool,
}

fn serves(pod: &Pod<'_>) -> bool {
    pod.is_ready() && !pod.is_terminating()
}

/// So many are named, where more are waited for.
const NAMED: usize = 3;

impl Away {
    fn count(&self) -> usize {
        self.departing.len() + self.down.len() + self.missing
    }
}

/// `db-2`, `db-0, which is not Ready`, `2 pods that are missing`: whom a drain waits for.
impl std::fmt::Display for Away {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts: Vec<String> = self.departing.iter().take(NAMED).cloned().collect();
        let down: Vec<&str> = self.down.iter().take(NAMED).map(String::as_str).collect();
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

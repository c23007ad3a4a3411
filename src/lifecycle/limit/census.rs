//! What the limit of a policy goes by, counted once for all of its drains: a policy may have thousands of pods, and
//! hundreds of drains that ask.

use std::collections::{BTreeMap, BTreeSet};

use crate::facts::{OwnerKind, OwnerSeen};
use crate::lifecycle::drain::{Drain, seat_of};
use crate::lifecycle::explanation::Explanation;
use crate::lifecycle::status::Phase;
use crate::pod::{OwnerReference, Pod};
use crate::policy::spec::Limit;

use super::zones::Zones;
use super::{Away, Neighbourhood, Room, Slot, Slots, serves};

/// An empty place is looked for among so many ordinals, to be named in a message.
const MOST_LOOKED_AT: usize = 4096;

/// Everything that the limit of a policy goes by.
#[derive(Debug)]
pub struct Census {
    limit: Limit,
    /// In which zone each place is, where the policy goes by zones.
    zones: Option<Zones>,
    /// Whether each pod serves, by UID.
    pods: BTreeMap<String, bool>,
    /// How many pods there are, and would be if none was missing.
    expected: usize,
    /// What owners miss, as far as it can be told.
    owners: Vec<Missing>,
    /// An owner that could not be read, by kind and name: any other of its pods may be missing.
    unread: Option<String>,
    /// Seats whose pods are not Ready, and in no owner's number.
    down: BTreeSet<String>,
    /// The drains that count for the policy.
    drains: Vec<Counted>,
    slots: Slots,
    /// Seats in the list of slots whose drains are not in sight: made a moment ago, and this copy is behind.
    unseen: Vec<String>,
}

/// A drain that counts for the policy.
#[derive(Debug)]
struct Counted {
    name: String,
    seat: String,
    phase: Phase,
    listed: bool,
    /// Its pod no longer serves, and is counted by that already, where its owner says how many are missing.
    told: bool,
}

/// What an owner misses.
#[derive(Debug, Default)]
struct Missing {
    /// How many, with places that drains hold.
    number: usize,
    /// Places without a pod that drains hold: those count there.
    held: BTreeSet<String>,
    /// Two of those that nobody holds, by name: one of them may be that of whoever asks.
    named: Vec<String>,
    /// The number says everything of this owner: its pods that are not Ready are in it.
    whole: bool,
}

impl Census {
    /// Counts.
    #[must_use]
    pub fn of(around: &Neighbourhood<'_>) -> Self {
        let concerned: Vec<&Drain> =
            around.drains.iter().map(AsRef::as_ref).filter(|drain| around.concerns(drain)).collect();
        let selected: Vec<&Pod<'static>> =
            around.pods.iter().map(AsRef::as_ref).filter(|pod| around.selects(pod)).collect();
        let pods: BTreeMap<String, bool> =
            around.pods.iter().map(|pod| (pod.metadata.uid.as_str().to_owned(), serves(pod))).collect();
        let of_drains = concerned.iter().filter_map(|drain| drain.status.pod.as_deref());
        let controllers = selected.iter().copied().chain(of_drains).filter_map(Pod::controller);
        let named: BTreeMap<&str, &OwnerReference<'_>> = controllers.map(|owner| (owner.uid.as_str(), owner)).collect();
        let owners: BTreeMap<&str, Missing> =
            named.keys().filter_map(|uid| Some((*uid, missing(around, &concerned, uid)?))).collect();
        let by_number = |pod: &Pod<'_>| {
            pod.controller().and_then(|owner| owners.get(owner.uid.as_str())).is_some_and(|it| it.whole)
        };
        let down = selected.iter().filter(|pod| !pod.is_finished() && !serves(pod) && !by_number(pod));
        let counted = |drain: &&Drain| Counted {
            name: drain.metadata.name.clone(),
            seat: drain.seat(),
            phase: drain.status.phase,
            listed: around.slots.held_by(&drain.metadata.name),
            told: drain.status.pod.as_deref().is_some_and(by_number) && pods.get(drain.pod_uid()) != Some(&true),
        };
        let in_sight: BTreeSet<&str> = around.drains.iter().map(|drain| drain.metadata.name.as_str()).collect();
        let unseen = around.slots.departing.iter().filter(|slot| !in_sight.contains(slot.drain.as_str()));
        Census {
            limit: around.policy.spec.limit(),
            zones: Zones::of(around, &selected, &concerned),
            // An owner's number has those of its pods that do not serve.
            expected: selected.iter().filter(|pod| !pod.is_finished() && (serves(pod) || !by_number(pod))).count()
                + owners.values().map(|missing| missing.number).sum::<usize>(),
            down: down.map(|pod| seat_of(pod)).collect(),
            drains: concerned.iter().map(counted).filter(|it| it.listed || it.phase != Phase::Completed).collect(),
            unseen: unseen.map(|slot| slot.seat.clone()).collect(),
            slots: around.slots.clone(),
            unread: around.unread(named.values().copied()),
            owners: owners.into_values().collect(),
            pods,
        }
    }

    /// What the limit says to this drain.
    #[must_use]
    pub fn ask(&self, drain: &Drain, predecessor: Option<&str>, over: &[String]) -> Room {
        if drain.status.phase.holds_a_place() {
            return match self.why_not(drain) {
                None => Room::Held,
                Some(why) => Room::HeldBut(why),
            };
        }
        let (name, seat) = (drain.metadata.name.as_str(), drain.seat());
        if self.slots.held_by(name) {
            return Room::Held;
        }
        let others = || self.drains.iter().filter(|other| other.name != name && predecessor != Some(&other.name));
        let is_before = |other: &&Counted| other.seat == seat && (other.phase.holds_a_place() || other.listed);
        if let Some(other) = others().find(is_before) {
            return Room::Wait(format!("waits until the drain of the pod before it, {}, is over", other.name).into());
        }
        if let Some(why) = self.why_not(drain) {
            return Room::Wait(why);
        }
        let open = others().filter(|other| other.phase.holds_a_place());
        let open = open.map(|other| Slot { seat: other.seat.clone(), drain: other.name.clone() });
        let gone: Vec<String> = over.iter().cloned().chain(predecessor.map(str::to_owned)).collect();
        let mut slots = self.slots.mended(&gone, open);
        slots.departing.retain(|slot| slot.seat != seat);
        slots.departing.push(Slot { seat, drain: name.to_owned() });
        Room::Take(slots)
    }

    /// Why the drain's pod may not leave now, if the limit is in its way. A pod that is not Ready takes no further
    /// place: it is away already.
    #[must_use]
    pub fn why_not(&self, drain: &Drain) -> Option<Explanation> {
        let serves = self.pods.get(drain.pod_uid()).copied();
        if !serves.unwrap_or_else(|| drain.status.pod.as_deref().is_none_or(Pod::is_ready)) {
            return None;
        }
        if let Some(owner) = &self.unread {
            return Some(format!("waits until {owner} can be read: others of its pods may be missing").into());
        }
        let own = drain.seat();
        let away = self.away(drain, &own);
        if away.count() < self.limit.most(self.expected) {
            return self.zones.as_ref().and_then(|zones| zones.why_not(&own, &away));
        }
        if away.count() == 0 {
            return Some(format!("{} leaves none of {} pods to go", self.limit, self.expected).into());
        }
        Some(Explanation::from(format!("waits for {away} ({})", self.limit)).waiting_for(away.named()))
    }

    /// How many places there are for those in line. One that has taken its place a moment ago still stands there.
    #[must_use]
    pub fn free(&self, drain: &Drain) -> usize {
        let own = drain.seat();
        let away = self.away(drain, &own);
        let just_taken = self.drains.iter().filter(|other| other.listed && other.phase == Phase::Queued).count();
        let in_zone = self.zones.as_ref().map_or(usize::MAX, |zones| zones.free(&own, &away));
        self.limit.most(self.expected).saturating_sub(away.count()).min(in_zone) + just_taken
    }

    fn away(&self, drain: &Drain, own: &str) -> Away<'_> {
        let holds = drain.status.phase.holds_a_place();
        let mut away = Away { down: self.down.iter().map(String::as_str).collect(), ..Away::default() };
        for missing in &self.owners {
            let mut number =
                missing.number.saturating_sub(missing.held.len() - usize::from(missing.held.contains(own)));
            let named = missing.named.iter().find(|seat| *seat != own).filter(|_| number > 0);
            number -= usize::from(named.is_some());
            away.missing += number;
            away.down.extend(named.map(String::as_str));
        }
        away.down.remove(own);
        let others = self.drains.iter().filter(|other| !other.told && other.is_ahead(drain, holds));
        away.departing = others.map(|other| other.seat.as_str()).filter(|seat| !away.down.contains(seat)).collect();
        if !holds {
            away.departing.extend(self.unseen.iter().map(String::as_str).filter(|seat| !away.down.contains(seat)));
        }
        away.departing.remove(own);
        away
    }
}

impl Counted {
    /// Whether this one's place counts for another drain. Of two that are both only prepared and whose pods still
    /// serve, which a lowered limit may leave over, the first by name goes first: or both would wait for each other.
    fn is_ahead(&self, drain: &Drain, holds: bool) -> bool {
        let name = &drain.metadata.name;
        self.name != *name
            && match self.phase {
                Phase::Departing | Phase::Restoring => true,
                Phase::Draining | Phase::Drained => !holds || self.name < *name,
                // It has taken its slot, and is about to begin.
                Phase::Queued => !holds && self.listed,
                Phase::Completed | Phase::Unknown => false,
            }
    }
}

impl Neighbourhood<'_> {
    /// Whether what an owner misses counts. A policy that selects by node says nothing of how many of an owner's pods
    /// it has.
    fn counts_the_missing(&self) -> bool {
        self.policy.spec.node_selector.is_empty()
    }

    /// One of these owners that could not be read.
    fn unread<'a>(&self, mut owners: impl Iterator<Item = &'a OwnerReference<'a>>) -> Option<String> {
        let is_unread = |owner: &&OwnerReference<'_>| self.owners.get(owner.uid.as_str()) == Some(&OwnerSeen::Unread);
        let owner = owners.find(is_unread).filter(|_| self.counts_the_missing())?;
        Some(format!("{} {}", owner.kind, owner.name))
    }
}

/// What an owner misses; `None` where it can't be told.
fn missing(around: &Neighbourhood<'_>, concerned: &[&Drain], uid: &str) -> Option<Missing> {
    let owner = around.owners.get(uid)?;
    let wanted = owner.wanted()?;
    if !around.counts_the_missing() {
        return None;
    }
    let is_its = |pod: &Pod<'_>| pod.controller().is_some_and(|owner| owner.uid.as_str() == uid);
    let its: Vec<&Pod<'static>> =
        around.pods.iter().map(AsRef::as_ref).filter(|pod| !pod.is_finished() && is_its(pod)).collect();
    if owner.facts()?.kind == OwnerKind::Other {
        let ready = its.iter().filter(|pod| serves(pod)).count();
        return Some(Missing { number: (wanted as usize).saturating_sub(ready), whole: true, ..Missing::default() });
    }
    let seats: BTreeSet<String> = its.iter().map(|pod| seat_of(pod)).collect();
    let holding = concerned.iter().filter(|drain| drain.status.phase.holds_a_place());
    let held = holding.filter_map(|drain| drain.status.pod.as_deref()).filter(|pod| is_its(pod)).map(seat_of);
    let held: BTreeSet<String> = held.filter(|seat| !seats.contains(seat)).collect();
    Some(match owner.ordinals() {
        Some(all) => missing_ordinals(around, all, &its, held, concerned),
        None => Missing { number: (wanted as usize).saturating_sub(seats.len()), held, ..Missing::default() },
    })
}

/// The ordinals of a StatefulSet that have no pod: counted, of 2,000,000,000 too, and two of them named.
fn missing_ordinals(
    around: &Neighbourhood<'_>,
    (first, count): (u32, u32),
    its: &[&Pod<'static>],
    held: BTreeSet<String>,
    concerned: &[&Drain],
) -> Missing {
    let policy = around.policy;
    let wanted = policy.ordinals_within(first, count);
    let is_wanted = |ordinal: u32| ordinal >= first && ordinal - first < count && policy.has_ordinal(ordinal);
    let there: BTreeSet<u32> =
        its.iter().filter_map(|pod| pod.ordinal()).filter(|ordinal| is_wanted(*ordinal)).collect();
    // The first empty places are among the first ones, of which there are two more than pods. Those that are far away
    // are not looked for.
    let name = its.iter().find_map(|pod| pod.controller()).map(|owner| owner.name.as_str());
    let is_held =
        |seat: &String| concerned.iter().any(|drain| drain.status.phase.holds_a_place() && drain.seat() == *seat);
    let empty = (first..first.saturating_add(count)).take(MOST_LOOKED_AT).filter(|ordinal| is_wanted(*ordinal));
    let empty = empty.take(there.len() + held.len() + 2).filter(|ordinal| !there.contains(ordinal));
    let empty = empty.filter_map(|ordinal| Some(format!("{}-{ordinal}", name?))).filter(|seat| !is_held(seat));
    Missing {
        number: usize::try_from(wanted).unwrap_or(usize::MAX).saturating_sub(there.len()),
        named: empty.take(2).collect(),
        held,
        whole: false,
    }
}

//! Where the places of a policy are: pods that are away at once must all be in one zone.

use std::collections::BTreeMap;

use crate::lifecycle::drain::{Drain, seat_of};
use crate::lifecycle::explanation::Explanation;
use crate::pod::Pod;
use crate::policy::spec::Spread;

use super::{Away, NAMED, Neighbourhood};

/// In which zone each place is.
#[derive(Debug)]
pub(super) struct Zones {
    spread: Spread,
    /// By place. One whose zone is not known counts as in a zone of its own.
    zones: BTreeMap<String, String>,
}

impl Zones {
    /// By the pods that are there; where one has left, by the pod that its drain is of.
    pub fn of(around: &Neighbourhood<'_>, selected: &[&Pod<'static>], concerned: &[&Drain]) -> Option<Self> {
        let spread = around.policy.spec.spread.clone()?;
        let left = concerned.iter().filter(|drain| drain.status.phase.holds_a_place());
        let left = left.filter_map(|drain| drain.status.pod.as_deref());
        let there = selected.iter().copied().filter(|pod| !pod.is_finished());
        let placed = |pod: &Pod<'static>| Some((seat_of(pod), zone_of(around, &spread, pod)?));
        let zones = left.chain(there).filter_map(placed).collect();
        Some(Zones { spread, zones })
    }

    /// Why a pod may not leave its place now, where those in `away` are away.
    pub fn why_not(&self, own: &str, away: &Away<'_>) -> Option<Explanation> {
        let (here, elsewhere) = self.parted(own, away);
        let waits_for = |seats: &[&str], why: String| {
            let named = &seats[..seats.len().min(NAMED)];
            Explanation::from(format!("waits for {} ({why})", named.join(" and "))).waiting_for(named.iter().copied())
        };
        let key = &self.spread.topology_key;
        if !elsewhere.is_empty() {
            return Some(waits_for(&elsewhere, format!("in another zone by {key}")));
        }
        if away.missing > 0 {
            let why = format!("waits for pods that are missing or not Ready (their zone by {key} is not known)");
            return Some(why.into());
        }
        let most = &self.spread.max_unavailable;
        (here.len() >= self.most(own)).then(|| waits_for(&here, format!("maxUnavailable {most} in a zone")))
    }

    /// How many more may leave in the zone of this place.
    pub fn free(&self, own: &str, away: &Away<'_>) -> usize {
        self.most(own).saturating_sub(self.parted(own, away).0.len())
    }

    /// Those that are away in the zone of this place, and those elsewhere.
    fn parted<'a>(&self, own: &str, away: &Away<'a>) -> (Vec<&'a str>, Vec<&'a str>) {
        let zone = self.zones.get(own);
        let is_here = |seat: &&str| zone.is_some() && self.zones.get(*seat) == zone;
        away.departing.union(&away.down).copied().partition(is_here)
    }

    /// How many places of a place's zone may be empty at once.
    fn most(&self, own: &str) -> usize {
        let zone = self.zones.get(own);
        let places = self.zones.values().filter(|other| Some(*other) == zone).count();
        self.spread.max_unavailable.at_most(places.max(1))
    }
}

/// The zone of a pod: by its own label, which newer API servers copy from the node, else by its node's.
fn zone_of(around: &Neighbourhood<'_>, spread: &Spread, pod: &Pod<'_>) -> Option<String> {
    let key = spread.topology_key.as_str();
    let own = pod.metadata.labels.get(key).map(|zone| zone.as_str().to_owned());
    own.or_else(|| (around.node_labels)(&pod.spec.node_name)?.remove(key))
}

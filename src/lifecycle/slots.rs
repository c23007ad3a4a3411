//! A policy's slots: how many of its pods may be away at once.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The slots that are taken, as a policy's status holds them. Changed only by conditional writes, so that two leaders
/// can't both give out the last one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Slots {
    /// One entry a seat.
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

/// A pod that the policy selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its place in the set.
    pub seat: String,
    /// Whether it serves: Ready and not terminating.
    pub ready: bool,
}

/// Who wants a slot.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Its place in the set.
    pub seat: &'a str,
    /// Its drain's name.
    pub drain: &'a str,
    /// Whether its pod is Ready: one that is not takes no further place.
    pub ready: bool,
    /// The drain that holds the same seat and may be taken over, if there is one.
    pub predecessor: Option<&'a str>,
}

/// The answer to a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has a slot.
    Held,
    /// It may take one: these are the slots to write.
    Take(Slots),
    /// It waits for these seats.
    Wait(Vec<String>),
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

    /// Whether the candidate may be away too, with at most `limit` pods away; `missing` pods have not come back yet.
    #[must_use]
    pub fn ask(&self, candidate: Candidate<'_>, peers: &[Peer], missing: usize, limit: usize) -> Answer {
        if self.held_by(candidate.drain) {
            return Answer::Held;
        }
        let mut slots = self.clone();
        if let Some(slot) = slots.departing.iter_mut().find(|slot| slot.seat == candidate.seat) {
            if candidate.predecessor == Some(slot.drain.as_str()) {
                candidate.drain.clone_into(&mut slot.drain);
                return Answer::Take(slots);
            }
            return Answer::Wait(vec![candidate.seat.to_owned()]);
        }
        let away = self.away(candidate.seat, peers);
        if candidate.ready && away.len() + missing >= limit {
            return Answer::Wait(away.into_iter().map(str::to_owned).collect());
        }
        slots.departing.push(Slot { seat: candidate.seat.to_owned(), drain: candidate.drain.to_owned() });
        Answer::Take(slots)
    }

    /// The seats, besides the candidate's own, whose pods are away: departing, or not Ready for whatever reason.
    fn away<'a>(&'a self, own: &str, peers: &'a [Peer]) -> BTreeSet<&'a str> {
        let departing = self.departing.iter().map(|slot| slot.seat.as_str());
        let down = peers.iter().filter(|peer| !peer.ready).map(|peer| peer.seat.as_str());
        departing.chain(down).filter(|seat| *seat != own).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(seat: &str, ready: bool) -> Candidate<'_> {
        Candidate { seat, drain: seat, ready, predecessor: None }
    }

    fn peers(ready: &[(&str, bool)]) -> Vec<Peer> {
        ready.iter().map(|(seat, ready)| Peer { seat: (*seat).to_owned(), ready: *ready }).collect()
    }

    fn taken(seats: &[&str]) -> Slots {
        Slots { departing: seats.iter().map(|seat| Slot { seat: (*seat).into(), drain: (*seat).into() }).collect() }
    }

    #[test]
    fn a_pod_waits_while_another_is_departing_or_not_ready_or_missing() {
        let all = peers(&[("a", true), ("b", true), ("c", true)]);
        assert_eq!(taken(&["b"]).ask(candidate("a", true), &all, 0, 1), Answer::Wait(vec!["b".into()]));
        let one_down = peers(&[("a", true), ("b", false)]);
        assert_eq!(taken(&[]).ask(candidate("a", true), &one_down, 0, 1), Answer::Wait(vec!["b".into()]));
        assert_eq!(taken(&[]).ask(candidate("a", true), &all, 1, 1), Answer::Wait(vec![]));
        assert_eq!(taken(&[]).ask(candidate("a", true), &all, 0, 1), Answer::Take(taken(&["a"])));
    }

    #[test]
    fn a_seat_that_is_departing_and_not_ready_counts_once() {
        let one_down = peers(&[("a", true), ("b", false), ("c", true)]);
        assert_eq!(taken(&["b"]).ask(candidate("a", true), &one_down, 0, 2), Answer::Take(taken(&["b", "a"])));
    }

    #[test]
    fn a_pod_that_is_not_ready_takes_no_further_place() {
        let down = peers(&[("a", false), ("b", false)]);
        assert_eq!(taken(&["b"]).ask(candidate("a", false), &down, 0, 1), Answer::Take(taken(&["b", "a"])));
    }

    #[test]
    fn a_successor_takes_over_the_seat_of_its_predecessor_and_of_nobody_else() {
        let slots = Slots { departing: vec![Slot { seat: "a".into(), drain: "old".into() }] };
        let mut successor = Candidate { seat: "a", drain: "new", ready: false, predecessor: None };
        assert_eq!(slots.ask(successor, &[], 0, 1), Answer::Wait(vec!["a".into()]));
        successor.predecessor = Some("old");
        let after = Slots { departing: vec![Slot { seat: "a".into(), drain: "new".into() }] };
        assert_eq!(slots.ask(successor, &[], 0, 1), Answer::Take(after));
    }
}

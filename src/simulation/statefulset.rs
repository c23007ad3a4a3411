//! How the StatefulSet controller rolls its pods, as far as a guard can tell. Pure.
//!
//! Measured on a real control plane: the highest ordinal first, one at a time, each only when all are Ready; after a
//! denial the next try comes 5 ms x 2^n later, at most 1000 s, or at once when a pod of the set changes.

use std::time::Duration;

/// A pod of the set, as its controller sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its number in the set.
    pub ordinal: u32,
    /// It has the set's newest revision.
    pub updated: bool,
    /// It is Ready.
    pub ready: bool,
    /// It is on its way out.
    pub terminating: bool,
}

/// What the controller does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make the missing pod of this ordinal.
    Create(u32),
    /// Ask for the delete of this pod.
    Delete(u32),
    /// Wait for a pod to change.
    Wait,
    /// Every pod that is to be updated is, and all are Ready.
    Finished,
}

/// What a rolling update of a set with `replicas` pods does next; pods below `partition` keep their revision.
#[must_use]
pub fn next_step(members: &[Member], replicas: u32, partition: u32) -> Step {
    let of = |ordinal: u32| members.iter().find(|member| member.ordinal == ordinal);
    if let Some(missing) = (0..replicas).find(|ordinal| of(*ordinal).is_none()) {
        return Step::Create(missing);
    }
    if members.iter().any(|member| member.terminating || !member.ready) {
        return Step::Wait;
    }
    let outdated = (partition..replicas).rev().find(|ordinal| of(*ordinal).is_some_and(|member| !member.updated));
    outdated.map_or(Step::Finished, Step::Delete)
}

/// The controller's rate limiter: each failure doubles the wait.
#[derive(Clone, Copy, Debug, Default)]
pub struct BackOff {
    failures: u32,
}

impl BackOff {
    /// One more failure: how long until the next try.
    pub fn failed(&mut self) -> Duration {
        let wait = Duration::from_millis(5).saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        self.failures = (self.failures + 1).min(31);
        wait.min(Duration::from_secs(1000))
    }

    /// A success: the next failure counts from the beginning.
    pub fn forget(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(ordinal: u32, updated: bool, ready: bool) -> Member {
        Member { ordinal, updated, ready, terminating: false }
    }

    #[test]
    fn rolls_from_the_highest_ordinal_down_to_the_partition_one_at_a_time() {
        let mut members: Vec<Member> = (0..4).map(|ordinal| member(ordinal, false, true)).collect();
        let mut deleted = Vec::new();
        while let Step::Delete(ordinal) = next_step(&members, 4, 1) {
            deleted.push(ordinal);
            members.retain(|member| member.ordinal != ordinal);
            assert_eq!(next_step(&members, 4, 1), Step::Create(ordinal));
            members.push(member(ordinal, true, false));
            assert_eq!(next_step(&members, 4, 1), Step::Wait);
            members.retain(|member| member.ordinal != ordinal);
            members.push(member(ordinal, true, true));
        }
        assert_eq!(deleted, [3, 2, 1]);
        assert_eq!(next_step(&members, 4, 1), Step::Finished);
    }

    #[test]
    fn tries_again_after_doubling_waits_of_at_most_1000_seconds() {
        let mut back_off = BackOff::default();
        let waits: Vec<u128> = (0..20).map(|_| back_off.failed().as_millis()).collect();
        assert_eq!(waits[..5], [5, 10, 20, 40, 80]);
        assert_eq!(waits[18..], [1_000_000, 1_000_000]);
        back_off.forget();
        assert_eq!(back_off.failed().as_millis(), 5);
    }
}

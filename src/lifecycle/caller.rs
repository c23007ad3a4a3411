//! Who asks for a pod's drain, and how that caller behaves after a denial.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A kind of caller. How each of them tries again was measured on a real control plane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Caller {
    /// Retries with growing gaps, and at once when the pod changes.
    StatefulSet,
    /// As a StatefulSet, but chooses its victim afresh.
    ReplicaSet,
    /// As a StatefulSet, but chooses its victim afresh.
    DaemonSet,
    /// Retries with growing gaps; a change of the pod wakes it.
    Job,
    /// Retries with growing gaps; a change of the pod does not wake it.
    GarbageCollector,
    /// Retries with growing gaps; the pod does not wake it.
    Namespace,
    /// Five quick tries, then none until the node's taints change.
    TaintEviction,
    /// Grace 0, every 40 s.
    PodGarbageCollector,
    /// Preemption: 50 tries a second, unless told to wait.
    Scheduler,
    /// The final delete of a terminating pod.
    Kubelet,
    /// `kubectl drain` and autoscalers: they try again by themselves.
    Eviction,
    /// A person, or a program of theirs: no retry.
    #[default]
    Person,
}

/// The longest gap between two tries of a workload controller: its back-off ends at 1000 s.
const LONGEST_GAP: Duration = Duration::from_secs(1060);

impl Caller {
    /// The caller behind this user name.
    #[must_use]
    pub fn of(username: &str, is_eviction: bool) -> Self {
        if is_eviction {
            return Caller::Eviction;
        }
        if username.starts_with("system:node:") {
            return Caller::Kubelet;
        }
        if username == "system:kube-scheduler" {
            return Caller::Scheduler;
        }
        match username.strip_prefix("system:serviceaccount:kube-system:").unwrap_or("") {
            "statefulset-controller" => Caller::StatefulSet,
            "replicaset-controller" => Caller::ReplicaSet,
            "daemon-set-controller" => Caller::DaemonSet,
            "job-controller" => Caller::Job,
            "generic-garbage-collector" => Caller::GarbageCollector,
            "namespace-controller" => Caller::Namespace,
            "node-controller" => Caller::TaintEviction,
            "pod-garbage-collector" => Caller::PodGarbageCollector,
            _ => Caller::Person,
        }
    }

    /// Whether a change to the pod makes this caller try again at once.
    #[must_use]
    pub fn is_woken_by_the_pod(self) -> bool {
        matches!(self, Caller::StatefulSet | Caller::ReplicaSet | Caller::DaemonSet | Caller::Job)
    }

    /// Whether this caller leaves it to chance whether it asks for the same pod again: a DaemonSet chooses afresh, and
    /// taint eviction forgets.
    #[must_use]
    pub fn may_forget(self) -> bool {
        matches!(self, Caller::DaemonSet | Caller::TaintEviction)
    }

    /// Whether this caller asks only because it has more pods than it wants, whichever they are.
    #[must_use]
    pub fn counts_pods(self) -> bool {
        matches!(self, Caller::ReplicaSet | Caller::Job)
    }

    /// Whether this caller, told to wait some seconds, waits without holding anything else up. Only these two do;
    /// without it the scheduler asks 50 times a second, and taint eviction gives the pod up.
    #[must_use]
    pub fn waits_when_told(self) -> bool {
        matches!(self, Caller::Scheduler | Caller::TaintEviction)
    }

    /// Who counts as the one that asks, when this caller comes after `before`: one that Castoff must do something for,
    /// wake it or delete in its place, is not forgotten because others ask too, nor is one whose gaps are long.
    #[must_use]
    pub fn after(self, before: Caller) -> Caller {
        if self.weight() < before.weight() { before } else { self }
    }

    fn weight(self) -> u8 {
        if self.is_woken_by_the_pod() || self.may_forget() {
            return 2;
        }
        u8::from(matches!(self, Caller::GarbageCollector | Caller::Namespace))
    }

    /// Whether it makes a difference which of the two asked.
    #[must_use]
    pub fn differs_from(self, other: Caller) -> bool {
        self != other && self.weight().max(other.weight()) > 0
    }

    /// Whether the caller tries again by itself, sooner or later.
    #[must_use]
    pub fn tries_again(self) -> bool {
        self != Caller::Person
    }

    /// How long this caller may be silent before its next try, when it was denied for `denied` so far.
    #[must_use]
    pub fn longest_gap(self, denied: Duration) -> Duration {
        match self {
            Caller::StatefulSet
            | Caller::ReplicaSet
            | Caller::DaemonSet
            | Caller::Job
            | Caller::GarbageCollector
            | Caller::Namespace => denied.mul_f32(1.25).min(LONGEST_GAP),
            _ => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_loop_is_told_from_a_person_by_the_eviction() {
        assert_eq!(Caller::of("alice", true), Caller::Eviction);
        assert_eq!(Caller::of("alice", false), Caller::Person);
    }

    #[test]
    fn a_controller_that_is_to_be_woken_is_not_forgotten_because_a_person_asks_too() {
        for controller in [Caller::StatefulSet, Caller::DaemonSet, Caller::TaintEviction, Caller::GarbageCollector] {
            for other in [Caller::Person, Caller::Eviction, Caller::Scheduler] {
                assert_eq!(other.after(controller), controller);
                assert_eq!(controller.after(other), controller);
            }
        }
        assert_eq!(Caller::TaintEviction.after(Caller::StatefulSet), Caller::TaintEviction);
        assert!(Caller::StatefulSet.differs_from(Caller::Person) && !Caller::Eviction.differs_from(Caller::Scheduler));
    }

    #[test]
    fn a_controllers_gap_grows_with_the_time_denied_and_ends_at_its_back_off() {
        let gap = |seconds| Caller::StatefulSet.longest_gap(Duration::from_secs(seconds)).as_secs();
        assert_eq!((gap(80), gap(800), gap(5000)), (100, 1000, 1060));
        assert_eq!(Caller::Person.longest_gap(Duration::from_secs(5000)), Duration::ZERO);
    }
}

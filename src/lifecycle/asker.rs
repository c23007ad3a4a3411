//! Who asks for a pod's departure, and how that caller behaves after a denial.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A kind of caller. How each of them tries again was measured on a real control plane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Asker {
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

impl Asker {
    /// The caller behind this user name.
    #[must_use]
    pub fn of(username: &str, is_eviction: bool) -> Self {
        if is_eviction {
            return Asker::Eviction;
        }
        if username.starts_with("system:node:") {
            return Asker::Kubelet;
        }
        if username == "system:kube-scheduler" {
            return Asker::Scheduler;
        }
        match username.strip_prefix("system:serviceaccount:kube-system:").unwrap_or("") {
            "statefulset-controller" => Asker::StatefulSet,
            "replicaset-controller" => Asker::ReplicaSet,
            "daemon-set-controller" => Asker::DaemonSet,
            "job-controller" => Asker::Job,
            "generic-garbage-collector" => Asker::GarbageCollector,
            "namespace-controller" => Asker::Namespace,
            "node-controller" => Asker::TaintEviction,
            "pod-garbage-collector" => Asker::PodGarbageCollector,
            _ => Asker::Person,
        }
    }

    /// Whether a change to the pod makes this caller try again at once.
    #[must_use]
    pub fn is_woken_by_the_pod(self) -> bool {
        matches!(self, Asker::StatefulSet | Asker::ReplicaSet | Asker::DaemonSet | Asker::Job)
    }

    /// Whether this caller leaves it to chance whether it asks for the same pod again: a DaemonSet chooses afresh, and
    /// taint eviction forgets.
    #[must_use]
    pub fn may_forget(self) -> bool {
        matches!(self, Asker::DaemonSet | Asker::TaintEviction)
    }

    /// Whether this caller asks only because it has more pods than it wants, whichever they are.
    #[must_use]
    pub fn counts_pods(self) -> bool {
        matches!(self, Asker::ReplicaSet | Asker::Job)
    }

    /// Whether this caller, told to wait some seconds, waits without holding anything else up. Only these two do;
    /// without it the scheduler asks 50 times a second, and taint eviction gives the pod up.
    #[must_use]
    pub fn waits_when_told(self) -> bool {
        matches!(self, Asker::Scheduler | Asker::TaintEviction)
    }

    /// Who counts as the one that asks, when this caller comes after `before`: one that Castoff must do something for,
    /// wake it or delete in its place, is not forgotten because others ask too, nor is one whose gaps are long.
    #[must_use]
    pub fn after(self, before: Asker) -> Asker {
        if self.weight() < before.weight() { before } else { self }
    }

    fn weight(self) -> u8 {
        if self.is_woken_by_the_pod() || self.may_forget() {
            return 2;
        }
        u8::from(matches!(self, Asker::GarbageCollector | Asker::Namespace))
    }

    /// Whether it makes a difference which of the two asked.
    #[must_use]
    pub fn differs_from(self, other: Asker) -> bool {
        self != other && self.weight().max(other.weight()) > 0
    }

    /// Whether the caller tries again by itself, sooner or later.
    #[must_use]
    pub fn tries_again(self) -> bool {
        self != Asker::Person
    }

    /// How long this caller may be silent before its next try, when it was denied for `denied` so far.
    #[must_use]
    pub fn longest_gap(self, denied: Duration) -> Duration {
        match self {
            Asker::StatefulSet
            | Asker::ReplicaSet
            | Asker::DaemonSet
            | Asker::Job
            | Asker::GarbageCollector
            | Asker::Namespace => denied.mul_f32(1.25).min(LONGEST_GAP),
            _ => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_loop_is_told_from_a_person_by_the_eviction() {
        assert_eq!(Asker::of("alice", true), Asker::Eviction);
        assert_eq!(Asker::of("alice", false), Asker::Person);
    }

    #[test]
    fn a_controller_that_is_to_be_woken_is_not_forgotten_because_a_person_asks_too() {
        for controller in [Asker::StatefulSet, Asker::DaemonSet, Asker::TaintEviction, Asker::GarbageCollector] {
            for other in [Asker::Person, Asker::Eviction, Asker::Scheduler] {
                assert_eq!(other.after(controller), controller);
                assert_eq!(controller.after(other), controller);
            }
        }
        assert_eq!(Asker::TaintEviction.after(Asker::StatefulSet), Asker::TaintEviction);
        assert!(Asker::StatefulSet.differs_from(Asker::Person) && !Asker::Eviction.differs_from(Asker::Scheduler));
    }

    #[test]
    fn a_controllers_gap_grows_with_the_time_denied_and_ends_at_its_back_off() {
        let gap = |seconds| Asker::StatefulSet.longest_gap(Duration::from_secs(seconds)).as_secs();
        assert_eq!((gap(80), gap(800), gap(5000)), (100, 1000, 1060));
        assert_eq!(Asker::Person.longest_gap(Duration::from_secs(5000)), Duration::ZERO);
    }
}

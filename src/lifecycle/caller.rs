//! Who asks for a pod to leave. How long a caller is silent between two tries is measured, not guessed; what stands
//! here is what Castoff must do differently for one than for another.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A kind of caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Caller {
    /// A person, or a program under a name that no program of Kubernetes has.
    #[default]
    Person,
    /// Preemption: 50 tries a second, unless told to wait.
    Scheduler,
    /// The controller of the pod's own StatefulSet, ReplicaSet, DaemonSet or Job, and nobody else: what it wants can be
    /// seen by that object.
    Owner,
    /// Five quick tries, then none until the node's taints change.
    TaintEviction,
    /// A controller, an operator, an autoscaler: tries again by itself, with growing pauses.
    #[serde(other)]
    Program,
}

/// The longest pause between two tries of a program: client-go's and controller-runtime's back-off ends at 1000 s, and
/// the try after it takes its time.
pub const LONGEST_BACK_OFF: Duration = Duration::from_secs(1060);

impl Caller {
    /// All of them.
    pub const ALL: [Caller; 5] =
        [Caller::Person, Caller::Scheduler, Caller::Owner, Caller::TaintEviction, Caller::Program];

    /// The caller behind this user name.
    #[must_use]
    pub fn of(username: &str) -> Self {
        match username.strip_prefix("system:") {
            // `admin`: kubectl with the certificate of kubeadm and its like.
            None | Some("admin") => Caller::Person,
            Some("kube-scheduler") => Caller::Scheduler,
            Some("serviceaccount:kube-system:node-controller") => Caller::TaintEviction,
            Some(
                "serviceaccount:kube-system:statefulset-controller"
                | "serviceaccount:kube-system:replicaset-controller"
                | "serviceaccount:kube-system:daemon-set-controller"
                | "serviceaccount:kube-system:job-controller",
            ) => Caller::Owner,
            Some(_) => Caller::Program,
        }
    }

    /// Whether this caller, told to wait some seconds, waits without holding anything else up. Only these two do;
    /// without it the scheduler asks 50 times a second, and taint eviction gives the pod up.
    #[must_use]
    pub fn waits_when_told(self) -> bool {
        matches!(self, Caller::Scheduler | Caller::TaintEviction)
    }

    /// Who counts as the caller, when this one comes after `before`: one that Castoff must do something for, or be
    /// patient with, is not forgotten because others ask too.
    #[must_use]
    pub fn after(self, before: Caller) -> Caller {
        match (before, self) {
            (Caller::TaintEviction, _) | (_, Caller::TaintEviction) => Caller::TaintEviction,
            // The owner is then not alone: its wish does not say what the other one wants.
            (Caller::Owner, other) | (other, Caller::Owner) if other != Caller::Owner => Caller::Program,
            (before, Caller::Person) => before,
            (_, now) => now,
        }
    }

    /// No drain of this caller is given up after a shorter silence than this.
    #[must_use]
    pub fn shortest_patience(self) -> Duration {
        if self == Caller::Person { Duration::ZERO } else { LONGEST_BACK_OFF }
    }

    /// Its name, as the API shows it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Caller::Person => "Person",
            Caller::Program => "Program",
            Caller::Scheduler => "Scheduler",
            Caller::Owner => "Owner",
            Caller::TaintEviction => "TaintEviction",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_a_name_of_kubernetes_is_a_program_and_has_the_patience_of_one() {
        let operator = "system:serviceaccount:operators:tidb-operator";
        let without_accounts = "system:kube-controller-manager";
        for name in [operator, without_accounts, "system:serviceaccount:kube-system:statefulset-controller"] {
            assert_eq!(Caller::of(name).shortest_patience(), LONGEST_BACK_OFF, "{name}");
        }
        for person in ["alice", "system:admin", ""] {
            assert_eq!(Caller::of(person).shortest_patience(), Duration::ZERO, "{person}");
        }
    }

    #[test]
    fn one_that_castoff_does_something_for_is_not_forgotten_because_others_ask_too() {
        assert_eq!(Caller::Person.after(Caller::TaintEviction), Caller::TaintEviction);
        assert_eq!(Caller::Program.after(Caller::Person), Caller::Program);
        assert_eq!(Caller::Person.after(Caller::Scheduler), Caller::Scheduler);
    }

    #[test]
    fn an_owner_counts_as_one_only_while_nobody_else_asks() {
        assert_eq!(Caller::Owner.after(Caller::Owner), Caller::Owner);
        for other in [Caller::Person, Caller::Program, Caller::Scheduler] {
            assert_eq!((Caller::Owner.after(other), other.after(Caller::Owner)), (Caller::Program, Caller::Program));
        }
        for other in [Caller::Person, Caller::Program, Caller::Scheduler, Caller::Owner] {
            assert_eq!(other.after(Caller::TaintEviction), Caller::TaintEviction);
            assert_eq!(Caller::TaintEviction.after(other), Caller::TaintEviction);
        }
    }

    #[test]
    fn the_list_has_the_order_of_the_kinds() {
        assert!(Caller::ALL.iter().enumerate().all(|(place, caller)| *caller as usize == place));
    }

    #[test]
    fn a_caller_of_a_newer_version_counts_as_a_program() {
        assert_eq!(serde_json::from_str::<Caller>(r#""Newer""#).ok(), Some(Caller::Program));
        assert_eq!(serde_json::to_value(Caller::Owner).ok(), Some(Caller::Owner.as_str().into()));
    }
}

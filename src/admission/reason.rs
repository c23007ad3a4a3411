//! The names of the gate's questions, as metrics, audit annotations and logs show them.

/// Declares the reasons, in the order in which they are asked, with their names.
macro_rules! reasons {
    ($($(#[$attribute:meta])* $name:ident,)*) => {
        /// The question that decided an answer. A bounded set: fit for a metric's label.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[$attribute])* $name,)*
        }

        impl Reason {
            /// All of them, in the order in which they are asked.
            pub const ALL: [Reason; [$(stringify!($name)),*].len()] = [$(Reason::$name),*];

            /// Its name.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Reason::$name => stringify!($name),)*
                }
            }
        }
    };
}

reasons! {
    /// Another resource or operation than the guard asks for.
    NotForUs,
    /// A pod that the review does not bring along and that nobody knows, where policies exist.
    UnknownPod,
    /// An eviction of a pod that is not there, by a live look.
    NoSuchPod,
    /// An eviction whose precondition names another pod than the one that runs under that name.
    OtherUid,
    /// The pod is on its way out already.
    Terminating,
    /// The pod has ended.
    Finished,
    /// The pod runs nowhere yet.
    Unscheduled,
    /// The pod only mirrors a file on its node.
    MirrorPod,
    /// No policy selects the pod.
    NotGuarded,
    /// A person lets the pod go, by annotation.
    Bypassed,
    /// The namespace is being deleted.
    NamespaceDeleted,
    /// The pod's owner is deleted or gone.
    OwnerDeleted,
    /// The pod's node is gone or does not answer.
    NodeLost,
    /// None of its containers runs, on a node that is Ready.
    NotRunning,
    /// The pod is not Ready.
    Unready,
    /// A delete with grace 0.
    Force,
    /// The policy only tells what would have happened.
    Audited,
    /// Two policies select the pod.
    Conflict,
    /// The policy can't be followed.
    InvalidPolicy,
    /// A person has frozen the policy.
    Frozen,
    /// What would let the pod go could not be confirmed by a live look.
    Unconfirmed,
    /// The drain can't be read by this version.
    UnknownPhase,
    /// The drain waits for its turn, or begins with this try.
    Queued,
    /// The backend is being prepared.
    Draining,
    /// The plan says "not now".
    Blocked,
    /// The preparation makes no progress.
    Stalled,
    /// Every step is done.
    Drained,
    /// An allow was given already and may be repeated.
    Departing,
    /// Every step is done, but the allow could not be claimed.
    NotClaimed,
    /// An earlier preparation is being undone.
    Restoring,
    /// An earlier preparation was undone, and the pod is tried again.
    Completed,
}

impl Reason {
    /// Whether what lets a pod go for this reason is to be looked up live before: what one process saw a moment ago is
    /// not what is.
    pub(crate) fn is_confirmed_live(self) -> bool {
        matches!(self, Reason::NamespaceDeleted | Reason::NodeLost | Reason::NotRunning | Reason::Unready)
    }

    /// Whether a denial for this reason goes away by itself, so that trying again is all that a caller has to do.
    pub(crate) fn passes_by_itself(self) -> bool {
        matches!(
            self,
            Reason::Unconfirmed
                | Reason::Frozen
                | Reason::Queued
                | Reason::Draining
                | Reason::Stalled
                | Reason::NotClaimed
                | Reason::Restoring
                | Reason::Completed
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_question_has_a_name_of_its_own_and_its_place_in_the_order() {
        let names: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
        assert!(Reason::ALL.is_sorted(), "the list and the enum must have the same order");
        for reason in Reason::ALL {
            assert_eq!(reason.as_str(), format!("{reason:?}"));
        }
    }
}

//! The names of the gate's questions, as metrics, audit annotations and logs show them.

/// The question that decided an answer. A bounded set: fit for a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Question {
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
    /// The departure is in a phase that a newer version wrote.
    UnknownPhase,
    /// The departure waits for its turn, or begins with this try.
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

impl Question {
    /// All of them, in the order in which they are asked.
    pub const ALL: [Question; 29] = [
        Question::NotForUs,
        Question::UnknownPod,
        Question::NoSuchPod,
        Question::OtherUid,
        Question::Terminating,
        Question::Finished,
        Question::Unscheduled,
        Question::MirrorPod,
        Question::NotGuarded,
        Question::Bypassed,
        Question::NamespaceDeleted,
        Question::OwnerDeleted,
        Question::NodeLost,
        Question::NotRunning,
        Question::Unready,
        Question::Force,
        Question::Audited,
        Question::Conflict,
        Question::InvalidPolicy,
        Question::UnknownPhase,
        Question::Queued,
        Question::Draining,
        Question::Blocked,
        Question::Stalled,
        Question::Drained,
        Question::Departing,
        Question::NotClaimed,
        Question::Restoring,
        Question::Completed,
    ];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Question::NotForUs => "NotForUs",
            Question::UnknownPod => "UnknownPod",
            Question::NoSuchPod => "NoSuchPod",
            Question::OtherUid => "OtherUid",
            Question::Terminating => "Terminating",
            Question::Finished => "Finished",
            Question::Unscheduled => "Unscheduled",
            Question::MirrorPod => "MirrorPod",
            Question::NotGuarded => "NotGuarded",
            Question::Bypassed => "Bypassed",
            Question::NamespaceDeleted => "NamespaceDeleted",
            Question::OwnerDeleted => "OwnerDeleted",
            Question::NodeLost => "NodeLost",
            Question::NotRunning => "NotRunning",
            Question::Unready => "Unready",
            Question::Force => "Force",
            Question::Audited => "Audited",
            Question::Conflict => "Conflict",
            Question::InvalidPolicy => "InvalidPolicy",
            Question::UnknownPhase => "UnknownPhase",
            Question::Queued => "Queued",
            Question::Draining => "Draining",
            Question::Blocked => "Blocked",
            Question::Stalled => "Stalled",
            Question::Drained => "Drained",
            Question::Departing => "Departing",
            Question::NotClaimed => "NotClaimed",
            Question::Restoring => "Restoring",
            Question::Completed => "Completed",
        }
    }

    /// Whether a denial for this reason goes away by itself, so that trying again is all that a caller has to do.
    #[must_use]
    pub fn passes_by_itself(self) -> bool {
        matches!(
            self,
            Question::Queued
                | Question::Draining
                | Question::Stalled
                | Question::NotClaimed
                | Question::Restoring
                | Question::Completed
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_question_has_a_name_of_its_own_and_its_place_in_the_order() {
        let names: BTreeSet<&str> = Question::ALL.iter().map(|question| question.as_str()).collect();
        assert_eq!(names.len(), Question::ALL.len());
        assert!(Question::ALL.is_sorted(), "the list and the enum must have the same order");
        for question in Question::ALL {
            assert_eq!(question.as_str(), format!("{question:?}"));
        }
    }
}

//! What each captured review is to be answered, and on which fact that rests.

use castoff::admission::Reason;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// It goes on.
    Allows,
    /// It is denied.
    Denies,
    /// It is denied, and a drain is made.
    Creates,
    /// It is denied, and the drain begins anew.
    BeginsAnew,
    /// It goes on if every step is seen done, live; else it is denied.
    Verifies,
}

pub type Outcome = (Reason, Does);

/// How things stand when the review comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    NoPolicy,
    NoDrain,
    Queued,
    Draining,
    Blocked,
    Stalled,
    Drained,
    Departing,
    Restoring,
    Completed,
}

pub const STATES: [State; 10] = [
    State::NoPolicy,
    State::NoDrain,
    State::Queued,
    State::Draining,
    State::Blocked,
    State::Stalled,
    State::Drained,
    State::Departing,
    State::Restoring,
    State::Completed,
];

/// Outcomes in the order of [`STATES`].
type Outcomes = [Outcome; STATES.len()];

/// What holds for a pod that nothing lets go: the policy and the drain decide.
const GUARDED: Outcomes = [
    (Reason::NotGuarded, Does::Allows),
    (Reason::Queued, Does::Creates),
    (Reason::Queued, Does::Denies),
    (Reason::Draining, Does::Denies),
    (Reason::Blocked, Does::Denies),
    (Reason::Stalled, Does::Denies),
    (Reason::Drained, Does::Verifies),
    (Reason::Departing, Does::Verifies),
    (Reason::Restoring, Does::Denies),
    (Reason::Completed, Does::BeginsAnew),
];

/// The same on a dry run: the same answers, but nothing is made.
const DRY_RUN: Outcomes = {
    let mut outcomes = GUARDED;
    outcomes[1] = (Reason::Queued, Does::Denies);
    outcomes[9] = (Reason::Completed, Does::Denies);
    outcomes
};

const TERMINATING: Outcomes = [(Reason::Terminating, Does::Allows); STATES.len()];
const FINISHED: Outcomes = [(Reason::Finished, Does::Allows); STATES.len()];
const UNSCHEDULED: Outcomes = [(Reason::Unscheduled, Does::Allows); STATES.len()];

const BOTH: &[&str] = &["1.20", "1.36"];
const OLD: &[&str] = &["1.20"];
const NEW: &[&str] = &["1.36"];

pub struct Row {
    /// The file's name, less `.json`.
    pub case: &'static str,
    pub versions: &'static [&'static str],
    /// What it rests on, of how API servers and callers behave.
    pub fact: &'static str,
    pub outcomes: Outcomes,
    /// Whether a denial tells the caller when to come back.
    pub told_to_wait: bool,
}

const fn row(case: &'static str, versions: &'static [&'static str], outcomes: Outcomes, fact: &'static str) -> Row {
    Row { case, versions, fact, outcomes, told_to_wait: false }
}

const fn waiting(case: &'static str, versions: &'static [&'static str], fact: &'static str) -> Row {
    Row { case, versions, fact, outcomes: GUARDED, told_to_wait: true }
}

pub const TABLE: &[Row] = &[
    row(
        "delete-by-user",
        BOTH,
        GUARDED,
        "A person's delete is one call and is not repeated: it is held like any other",
    ),
    row("delete-uid-precondition", BOTH, GUARDED, "A wrong precondition is refused before the call: what comes fits"),
    row("delete-now-grace-1", BOTH, GUARDED, "A short grace is not grace 0: the delete is an ordinary one"),
    row(
        "delete-force",
        BOTH,
        GUARDED,
        "A force delete's first call shows a pod that is not terminating; force is no exemption unless listed",
    ),
    row(
        "delete-force-second-call-terminating",
        BOTH,
        TERMINATING,
        "The last call of a grace 0 delete shows the pod terminating; a denial would strand it",
    ),
    row(
        "delete-terminating-shorter-grace",
        BOTH,
        TERMINATING,
        "A shorter grace for a terminating pod calls again, with deletionTimestamp set",
    ),
    row("delete-by-kubelet-final", BOTH, TERMINATING, "The kubelet's final delete, denied, hangs the pod for ever"),
    row("delete-unscheduled", BOTH, UNSCHEDULED, "A pod without a node has nothing at a backend; its grace becomes 0"),
    row("delete-dry-run", BOTH, DRY_RUN, "A dry-run delete says so in the request"),
    row("deletecollection-dry-run", BOTH, DRY_RUN, "A collection is a call a pod, and a dry run says so in each"),
    row(
        "deletecollection-by-user-no-name",
        BOTH,
        GUARDED,
        "A collection's call has no name and may lack a grace: the pod comes from oldObject",
    ),
    row(
        "deletecollection-by-namespace-controller",
        BOTH,
        GUARDED,
        "The namespace controller comes back up to every 60 s; only a namespace known to be deleted lets pods go",
    ),
    row("delete-by-statefulset-controller", BOTH, GUARDED, "It tries again 5 ms x 2^n, at once when the pod changes"),
    row(
        "delete-by-statefulset-controller-scale-in",
        NEW,
        GUARDED,
        "Scale-in asks for the highest ordinal till allowed",
    ),
    row(
        "delete-by-replicaset-controller-scale-in",
        NEW,
        GUARDED,
        "It chooses a victim afresh at each try: each is held",
    ),
    row("delete-by-daemonset-controller", NEW, GUARDED, "It chooses a victim afresh at each try: each is held"),
    row(
        "delete-by-garbage-collector",
        BOTH,
        GUARDED,
        "It repeats as a controller does, and what it asks for is exempt only where the owner is known to be gone",
    ),
    row(
        "delete-by-pod-garbage-collector",
        NEW,
        FINISHED,
        "It marks the pod Failed before it asks, with grace 0: denied, the pod would stay Failed",
    ),
    row(
        "delete-by-pod-garbage-collector",
        OLD,
        GUARDED,
        "The older one asks for a Pending pod on a node that is gone: let go only where the node is known to be gone",
    ),
    waiting("delete-by-taint-eviction", NEW, "It forgets after 5 tries unless told to wait, which delays nobody else"),
    waiting("delete-by-scheduler-preemption", BOTH, "It asks 50 times a second unless told to wait"),
    row("evict-by-kubectl-drain", BOTH, GUARDED, "drain tries again by itself on 429, every 5 s"),
    row(
        "evict-by-kubectl-drain-dry-run",
        NEW,
        DRY_RUN,
        "drain --dry-run=server says so only in the Eviction's deleteOptions, not in the request",
    ),
    row("evict-without-delete-options", BOTH, GUARDED, "An Eviction need not have deleteOptions at all"),
];

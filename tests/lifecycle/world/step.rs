//! What happens in the world, and what is broken in it on purpose.

use castoff::lifecycle::Caller;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Seconds pass.
    Pass(u16),
    /// The leader looks at the drain of a seat and decides.
    Turn(u8),
    /// The same, of the drain of one pod of that seat: the first has the number 0, its replacement 1.
    TurnOf { seat: u8, generation: u8 },
    /// The leader does the next thing that it decided: the write, or an effect.
    Do,
    /// The leader dies and begins anew.
    Crash,
    /// The other process comes into charge; what the old one has under way may still land.
    HandOver,
    /// What the old process had under way lands.
    Land,
    /// What the leader is about to send is cut off: it may land later, or never.
    CutOff,
    /// The leader's copies come up to date, where they lag.
    SyncLeader,
    /// A gate is asked for the pod of a seat.
    Try { gate: u8, seat: u8, caller: Caller },
    /// A gate that has read the drain looks at the backend.
    Observe(u8),
    /// A gate that has seen every step done claims.
    Claim(u8),
    /// The API server carries an allow out, or does not.
    CarryOut { gate: u8, really: bool },
    /// A gate dies in its call.
    Dies(u8),
    /// A gate's copies come up to date.
    Sync(u8),
    /// A pod ends, is made anew, becomes Ready: one of these.
    Kubelet(u8),
    /// A pod goes past the gate.
    PastTheGate(u8),
    /// The leaders of an evicted store leave; those of others come back.
    Leaders(u8),
    /// The backend begins to lie, or stops.
    Lie(bool),
    /// The backend begins to refuse what it is asked to do, or stops.
    Refuse(bool),
    /// The backend loses what was set at a store.
    Lose(u8),
    /// A person sets the entry of a store.
    Person(u8),
    /// A person cancels the drain of a seat.
    Cancel(u8),
    /// A person deletes the newest PodDrain of a seat.
    Delete(u8),
    /// A pod is no longer Ready, or is again.
    Flap(u8),
    /// A pod ends by itself; its object stays.
    End(u8),
    /// The policy is made anew: its list of slots is empty.
    Renew,
    /// The same, under another name.
    Rename,
    /// The policy's steps are others now.
    Edit(u8),
    /// The set is scaled in by one pod, or out again.
    ScaledIn(bool),
    /// The limit is raised to two, or lowered to one.
    Limit(bool),
    /// The owner can be read, or can not.
    Owner(bool),
    /// A person freezes the policy, or thaws it.
    Freeze(bool),
    /// The policy's limit is one zone at a time, or a number again.
    Zoned(bool),
}

/// What is broken on purpose, to see that it is noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Broken {
    #[default]
    Nothing,
    /// The claim is written whatever was written meanwhile.
    ClaimUnconditional,
    /// Slots are written whatever was written meanwhile.
    SlotsUnconditional,
    /// A new process does not find what was about to be set, only what is known to have been.
    IntentForgotten,
    /// A new process acts at once.
    NoQuiet,
    /// A new process is quiet only about drains that it knows from the beginning.
    QuietOnlyAtFirst,
    /// The limit is asked when a place is taken, and not again.
    LimitAskedOnlyOnce,
    /// Places follow from the policy's list alone.
    SlotsFromListOnly,
    /// A hole is never closed by what an owner of an unknown kind shows.
    HoleByKind,
    /// It is closed at once there.
    HoleClosedAtOnce,
    /// An allow that is not carried out is never taken back.
    NeverTakenBack,
    /// A PodDrain that is in the way of a new one stays.
    NotRemoved,
    /// That a PodDrain is deleted changes nothing.
    DeleteChangesNothing,
    /// A replacement takes over its predecessor's steps by their places.
    TakeoverByPlace,
    /// All pods are taken for pods of one zone.
    OneZoneForAll,
    /// That the policy is frozen only the gates know.
    FreezeOfGatesOnly,
    /// An owner that can't be read wants its pods back.
    UnknownIsDefault,
    /// The gate takes the drain's word for it that every step is done.
    BackendNotAsked,
    /// An act is sent without having been written down before.
    IntentNotWritten,
    /// A slot is never given back.
    SlotKept,
}

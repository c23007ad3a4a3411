//! What one turn of the lifecycle is told, and what it answers.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::plan::{Act, Mode, Round, Task};

use super::drain::Drain;
use super::hole::Hole;
use super::limit::{Room, Slots};
use super::memory::Memory;
use super::status::Outcome;
use super::wish::Wish;

/// What was seen since the last turn. Times are durations since this process began: only what a process measured
/// itself decides anything.
#[derive(Clone, Debug)]
pub struct World {
    /// Now.
    pub now: Duration,
    /// The pod with the drain's UID.
    pub pod: PodSeen,
    /// What is to be seen of the hole that the pod leaves.
    pub hole: Hole,
    /// Whether the pod's owner, or its node, wants it gone now.
    pub wish: Wish,
    /// Whether the pod's node shows what its policy prepares ahead for, or a NodeDrain names it.
    pub ahead: bool,
    /// Whether the pod is expected back; `None` where that can't be told now.
    pub mode: Option<Mode>,
    /// What the policy's limit says.
    pub room: Room,
    /// Whether a policy's list of slots names this drain.
    pub listed: bool,
    /// What the rounds found that [`super::look`] asked for, by the step's number.
    pub rounds: BTreeMap<usize, Round>,
    /// A drain of the same seat that this one may take over: its pod is gone, and this one's, which replaced it,
    /// is not Ready.
    pub predecessor: Option<Box<Drain>>,
    /// The drain that has taken this one over.
    pub successor: Option<Box<Drain>>,
    /// The namespace is being deleted: what a restore needs there may be gone for good.
    pub namespace_ending: bool,
    /// What has become of the policy.
    pub policy: PolicySeen,
    /// What is wrong with the policies that select the pod.
    pub wrong: Option<Wrong>,
    /// Waits that do not depend on the policy.
    pub settings: Settings,
}

/// What has become of the policy that a drain began under.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PolicySeen {
    /// Its steps are as they were.
    #[default]
    AsBegun,
    /// They are others now, or can't be followed.
    Changed,
    /// No policy selects the pod any more.
    Gone,
    /// Another policy guards the pod now.
    Other,
}

/// What is wrong with the policies that select a pod: it may not leave until a person mends that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// One word, as `PolicyConflict`.
    pub reason: &'static str,
    /// The sentence.
    pub message: String,
}

/// Waits that do not depend on the policy.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// After a claim, until a pod that still stands there shows that the allow was not carried out: the webhook's
    /// timeout and 20 s.
    pub claim_patience: Duration,
    /// Between two writes of progress alone.
    pub progress_every: Duration,
    /// How long a completed drain is kept.
    pub completed_ttl: Duration,
}

/// A pod, as far as it can be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodSeen {
    /// This installation can't look at pods.
    Unseen,
    /// There is no pod with this UID, or it has ended: it will not run again.
    Gone,
    /// It is on its way out.
    Terminating,
    /// It is there.
    Present {
        /// The value of the annotation that wakes its controller.
        wake_mark: Option<String>,
        /// Whether an owner controls it, who is woken by a change of the pod.
        controlled: bool,
    },
}

/// What a turn asks for, besides writing the drain down. Carried out in this order, after the write has succeeded.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Write these slots, if they are still as they were.
    TakeSlot(Slots),
    /// Take the drain off every policy's list of slots.
    GiveSlot,
    /// Send this act of this step.
    Send(usize, Box<Act>),
    /// Mark the pod, so that its controller tries again now.
    Wake(String),
    /// Take the mark off the pod.
    Unmark,
    /// Delete the pod: whoever asked for it does not ask again, and can be seen to want it still.
    Delete,
    /// Tell people.
    Tell(Event),
    /// A pod has left.
    Count(Outcome),
    /// Let the API server remove the drain, which somebody has deleted.
    Release,
    /// Remove the drain from the store.
    Remove,
}

/// Something that people are told, on the pod and on its drain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// One word, as `Drained`.
    pub reason: &'static str,
    /// Whether someone should look.
    pub warning: bool,
    /// The sentence.
    pub message: String,
}

/// What a turn decided.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The drain as it is to be written; written only where it differs.
    pub drain: Drain,
    /// What the process remembers; kept only if the write succeeds.
    pub memory: Memory,
    /// What to do after the write.
    pub effects: Vec<Effect>,
    /// How long from now until the next turn; zero for at once.
    pub again: Duration,
}

/// Which rounds a turn wants to be made before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// What for.
    pub task: Task,
    /// The steps' numbers.
    pub steps: Vec<usize>,
}

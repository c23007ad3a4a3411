//! One pod's drain: its states, the one function that moves it through them, and the slots that drains share.
//!
//! [`reconcile()`] is given the drain, what this process remembers of it and what was seen just now; it answers with
//! the drain as it is to be written, and what to do once that is written. It knows no clock and no socket.

pub mod caller;
pub mod claim;
pub mod drain;
mod memory;
mod preparing;
mod reconcile;
mod restoring;
pub mod slots;
mod world;

pub use caller::Caller;
pub use drain::{Drain, DrainStatus, DrainStep, Limits, Outcome, Ownership, Phase, StepStatus};
pub use memory::{LATE, Memory, StepMemory};
pub use reconcile::{look, must_be_written, reconcile};
pub use world::{Effect, Event, Look, PodSeen, PolicySeen, Settings, Successor, Turn, World};

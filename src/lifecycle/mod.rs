//! One pod's departure: its states, the one function that moves it through them, and the slots that departures share.
//!
//! [`reconcile()`] is given the departure, what this process remembers of it and what was seen just now; it answers with
//! the departure as it is to be written, and what to do once that is written. It knows no clock and no socket.

pub mod asker;
pub mod claim;
pub mod drain;
mod memory;
mod preparing;
mod reconcile;
mod restoring;
pub mod slots;
mod world;

pub use asker::Asker;
pub use drain::{Departure, Drain, DrainStatus, DrainStep, Limits, Ownership, Phase, StepStatus};
pub use memory::{LATE, Memory, StepMemory};
pub use reconcile::{look, must_be_written, reconcile};
pub use world::{Effect, Event, Look, PodSeen, PolicySeen, Settings, Successor, Turn, World};

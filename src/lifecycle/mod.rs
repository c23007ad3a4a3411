//! One pod's departure, and the slots that departures share.

pub mod asker;
pub mod drain;
pub mod slots;

pub use asker::Asker;
pub use drain::{Departure, Drain, DrainStatus, DrainStep, Limits, Ownership, Phase, StepStatus};

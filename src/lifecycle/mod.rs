//! One pod's drain: its states, the one function that moves it through them, and the limit that drains share.
//!
//! [`reconcile()`] is given the drain, what this process remembers of it and what was seen just now; it answers with
//! the drain as it is to be written, and what to do once that is written. It knows no clock and no socket.

pub mod ahead;
pub mod caller;
pub mod claim;
mod departing;
pub mod drain;
mod explanation;
mod held;
pub mod hole;
pub mod limit;
mod memory;
mod preparing;
mod reconcile;
mod restoring;
pub mod status;
pub mod step;
pub mod stored;
mod told;
pub mod wish;
mod world;

pub use caller::Caller;
pub use drain::Drain;
pub use explanation::{Awaited, Explanation, Prepared};
pub use hole::Hole;
pub use limit::{Census, Neighbourhood, Room, Slot, Slots};
pub use memory::{LATE, Memory, StepMemory};
pub use reconcile::{look, must_be_written, reconcile};
pub use status::{DrainStatus, Limits, Outcome, Phase};
pub use step::{DrainStep, Ownership};
pub use wish::Wish;
pub use world::{Effect, Event, Look, PodSeen, PolicySeen, Settings, Turn, World, Wrong};

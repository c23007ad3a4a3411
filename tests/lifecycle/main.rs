//! What must always hold of drains: rule by rule, and under random interleavings of everything that can happen.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod asked;
mod beginning;
mod case;
mod ending;
mod explorer;
mod giving_up;
mod held;
mod leaving;
mod model;
mod prepared;
mod preparing;
mod restoring;
mod sights;
mod world;

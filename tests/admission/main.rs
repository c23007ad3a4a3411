//! The gate, on the reviews that real API servers sent and on ones made to order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod captured;
mod exemptions;
mod fixtures;
mod holds;
mod next_steps;
mod parsing;
mod table;
mod texts;

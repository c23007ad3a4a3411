//! What the guard promises, shown on the real program with a simulated PD.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

mod audit;
mod cluster_reads;
mod hook_command;
mod hook_examples;
mod own_plan;
mod reload;
mod rolling;
mod scale_in;
mod trouble;

//! What the server promises, on real ports, with a gate of the test's own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

mod addresses;
mod clients;
mod ending;
mod limits;
mod requests;
mod tls;

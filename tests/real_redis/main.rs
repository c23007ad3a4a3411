//! The plans for Redis on real servers: `hack/test real-redis`. What they promise: a client that writes all the time
//! loses nothing that was acknowledged, and there is no more than one failover.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod cluster;
mod driver;
mod sentinel;
mod servers;
mod writer;

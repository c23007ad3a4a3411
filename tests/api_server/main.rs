//! What becomes of an API server that answers late, wrongly or not at all. Nothing here waits: the clock is tokio's.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod copies;
mod election;
mod policies;
mod proxied;
mod registration;
mod requests;

//! Requests to backends: where they may go, with which credentials, and what is made of each answer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod causes;
mod cluster;
mod credentials;
mod guard;
mod requests;
mod resp;
mod rounds;
mod support;
mod tenants;

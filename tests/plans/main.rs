//! What the plan language and the built-in plans promise, on answers that real backends gave where there are such.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cluster_reads;
mod commands;
mod consul;
mod etcd;
mod etcd_recorded;
mod http_hook;
mod in_flight;
mod language;
mod mistakes;
mod naming;
mod patroni;
mod pd;
mod properties;
mod redis;
mod tikv;

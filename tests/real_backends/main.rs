//! Built-in plans on real servers, three of each on loopback: `hack/test backends [NAME]` fetches and starts them.
//!
//! Rounds are those of the real [`castoff::backend::Backend`]; only DNS and the cluster are played. A fault is a server
//! that is killed. Nothing waits for a time: each test asks again until it sees what it waits for, some minutes at most.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod celery;
mod kafka;
mod members;
mod nats;
mod rabbitmq;
mod servers;
mod zookeeper;

//! What several tests share: each of them is a program of its own, and takes it from here.

pub mod api_server;
pub mod chance;
pub mod drains;
pub mod plans;
pub mod proxy;
pub mod resp;
pub mod stream;
pub mod world;

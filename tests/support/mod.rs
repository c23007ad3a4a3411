//! What several tests share.

pub mod api_server;
pub mod proxy;

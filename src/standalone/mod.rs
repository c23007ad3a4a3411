//! The surroundings without a cluster: drains in memory or in files, pods from files, policies from files.

pub mod cluster;
mod mistakes;
pub mod objects;
pub mod policies;
pub mod secrets;
pub mod store;

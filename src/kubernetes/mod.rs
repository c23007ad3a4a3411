//! Castoff in a cluster: state in resources of the API, pods and what they depend on from watches.

pub mod cache;
pub mod cluster;
pub mod conditions;
pub mod crds;
pub mod drains;
pub mod events;
pub mod lease;
pub mod policies;
pub mod policy_status;
pub mod resources;
pub mod secrets;
pub mod store;

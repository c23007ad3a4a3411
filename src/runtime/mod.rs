//! What a long-lived process needs: whether it is ready, how it stops, where it logs.

pub mod logging;
pub mod readiness;
pub mod shutdown;
pub mod supervised;

pub use readiness::Readiness;

//! What a long-lived process needs: whether it is ready and alive, how it stops, where it logs.

pub(crate) mod liveness;
pub(crate) mod logging;
pub(crate) mod readiness;
pub mod shutdown;
pub(crate) mod tasks;

pub use liveness::Liveness;
pub use readiness::Readiness;

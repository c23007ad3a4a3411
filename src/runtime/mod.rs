//! What a long-lived process needs: whether it is ready and alive, how it stops, where it logs.

pub mod liveness;
pub mod logging;
pub mod readiness;
pub mod shutdown;
pub mod supervised;
pub mod tasks;

pub use liveness::Liveness;
pub use readiness::Readiness;
pub use tasks::Tasks;

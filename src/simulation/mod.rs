//! Plays backends and a StatefulSet controller, for the demo and the tests. The guard knows nothing of it.

pub mod pd;
pub mod stand_in;
pub mod statefulset;
pub mod work;

//! What a cluster would keep, where there is none.

pub mod secrets;

//! What several tests share: each of them is a program of its own, and takes it from here.

pub mod chance;
pub mod plans;
pub mod stream;

//! What tests share.

pub mod drains;

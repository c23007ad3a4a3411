//! Certificates: authorities, the certificate that is served, and when they end.

pub mod authority;
pub mod expiry;
pub mod self_signed;
pub mod served;

pub use expiry::Expiry;
pub use served::Certificates;

//! Certificates: authorities, the certificate that is served, when they end, and those that callers show.

pub mod authority;
pub mod clients;
pub mod expiry;
pub mod self_signed;
pub mod served;

pub use clients::Clients;
pub use expiry::Expiry;
pub use served::Certificates;

//! Certificates: authorities, the certificate that is served, when they end, and those that callers show.

pub mod authority;
pub(crate) mod clients;
pub(crate) mod expiry;
pub mod self_signed;
pub(crate) mod served;

use std::fmt::Display;

pub use clients::Clients;
pub use expiry::Expiry;
pub use served::Certificates;

/// Why a certificate or a key can't be made, read, served or trusted: a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TrustError(String);

const NO_CERTIFICATE: &str = "there is no certificate in it (PEM, -----BEGIN CERTIFICATE-----)";

/// What is wrong with something, as an error.
fn at<E: Display>(place: impl Display) -> impl Fn(E) -> TrustError {
    move |error| TrustError(format!("{place}: {error}"))
}

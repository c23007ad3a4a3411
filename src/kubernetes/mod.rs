//! Castoff in a cluster: state in resources of the API, pods and what they depend on from watches, certificates and
//! the registration with the API server.

pub mod cache;
pub mod certificates;
pub mod client;
pub mod cluster;
pub(crate) mod conditions;
pub mod crds;
pub mod drains;
mod entries;
pub(crate) mod events;
pub mod evictions;
pub mod follow;
pub mod health;
pub mod history;
pub mod lease;
pub(crate) mod metrics;
pub mod node_drains;
mod owners;
pub mod pods;
pub mod policies;
pub(crate) mod policy_status;
pub mod registration;
pub mod resources;
pub(crate) mod secrets;
pub(crate) mod store;
mod views;

/// Whether a write came too late: somebody else has written meanwhile, or made the object already.
fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_conflict() || status.is_already_exists())
}

/// Whether what was asked for is not there. Of a kind that it does not know the API server says so in plain text, without
/// a reason.
pub(crate) fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// The labels of everything that Castoff makes for itself.
fn labels() -> [(String, String); 2] {
    [("app.kubernetes.io/name", "castoff"), ("app.kubernetes.io/managed-by", "castoff")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
}

/// What could not be read or written, and why not.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {}", cache::chain(.source))]
pub(crate) struct ApiError {
    what: String,
    source: kube::Error,
}

fn failed(what: impl Into<String>) -> impl FnOnce(kube::Error) -> ApiError {
    let what = what.into();
    move |source| ApiError { what, source }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn what_is_not_there_and_a_kind_that_is_not_known_are_not_found() {
        let answered = |reason: &str, code| kube::Error::Api(Box::new(Status::failure("x", reason).with_code(code)));
        assert!(is_not_found(&answered("NotFound", 404)));
        assert!(is_not_found(&answered("Failed to parse error data", 404)));
        assert!(!is_not_found(&answered("Forbidden", 403)));
    }
}

//! The state in a cluster: certificates that Castoff keeps itself, and the registration with the API server.

pub mod certificates;
pub mod registration;

/// Whether a write came too late: somebody else has written meanwhile, or made the object already.
fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

/// The labels of everything that Castoff makes for itself.
fn labels() -> [(String, String); 2] {
    [("app.kubernetes.io/name", "castoff"), ("app.kubernetes.io/managed-by", "castoff")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
}

//! At which paths AdmissionReviews are answered.

use std::hint::black_box;
use std::sync::Arc;

use arc_swap::ArcSwap;

/// The paths that are accepted now. In a cluster they are secrets: whoever does not know one can't pass for the API
/// server.
#[derive(Clone)]
pub struct WebhookPaths(Arc<ArcSwap<Vec<String>>>);

impl WebhookPaths {
    /// This path alone, as `/validate`.
    #[must_use]
    pub fn fixed(path: &str) -> Self {
        WebhookPaths(Arc::new(ArcSwap::from_pointee(vec![path.to_owned()])))
    }

    /// No path yet: every request is refused until [`Self::replace`] gives some.
    #[must_use]
    pub fn none_yet() -> Self {
        WebhookPaths(Arc::default())
    }

    /// Accepts these from the next request on, and no others.
    pub fn replace(&self, paths: impl IntoIterator<Item = String>) {
        self.0.store(Arc::new(paths.into_iter().collect()));
    }

    /// Whether reviews are answered at `path`. How long it takes tells of what was asked for, not how much of a path
    /// was right.
    pub(super) fn accept(&self, path: &str) -> bool {
        self.0.load().iter().fold(false, |found, accepted| found | same(accepted.as_bytes(), path.as_bytes()))
    }
}

/// Says how many, never which.
impl std::fmt::Debug for WebhookPaths {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "WebhookPaths({})", self.0.load().len())
    }
}

/// Compares all bytes, wherever the first difference is.
pub(crate) fn same(one: &[u8], other: &[u8]) -> bool {
    let differences = one.iter().zip(other).fold(0, |differences, (one, other)| black_box(differences | (one ^ other)));
    one.len() == other.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_paths_that_were_given_last_are_accepted() {
        let paths = WebhookPaths::fixed("/validate");
        assert!(paths.accept("/validate"));
        for other in ["", "/", "/validat", "/validate/", "/validatf", "/Validate", "/validate/more"] {
            assert!(!paths.accept(other), "{other}");
        }
        paths.clone().replace(["/new".to_owned(), "/old".to_owned()]);
        assert!(paths.accept("/new") && paths.accept("/old") && !paths.accept("/validate"));
    }

    #[test]
    fn nothing_is_accepted_before_there_is_a_path() {
        let paths = WebhookPaths::none_yet();
        assert!(!paths.accept("") && !paths.accept("/validate"));
    }

    #[test]
    fn a_path_does_not_get_into_a_log() {
        assert!(!format!("{:?}", WebhookPaths::fixed("/secret")).contains("secret"));
    }
}

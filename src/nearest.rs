//! "Did you mean": the known word that is nearest to a mistyped one.

use strsim::osa_distance;

/// So many letters of a word are looked at: mistyped ones may be as long as a document.
const LONGEST: usize = 64;

/// The candidate nearest to `word`, where one is near enough to be what was meant: at most a third of its letters
/// differ, and never more than three.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (osa_distance(&beginning(word), &beginning(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.chars().count())
        .min()
        .map(|(_, candidate)| candidate)
}

/// `did you mean X?`, for [`nearest`].
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, candidates).map(|candidate| format!("did you mean {candidate}?"))
}

fn beginning(word: &str) -> String {
    word.chars().take(LONGEST).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant_and_nothing_far_off() {
        assert_eq!(nearest("stroes", ["stores", "stored"]), Some("stores"));
        assert_eq!(nearest("pdd", ["pd", "tlsSecret"]), Some("pd"));
        assert_eq!(nearest("forEech", ["forEach", "for"]), Some("forEach"));
        assert_eq!(nearest("x", ["pd", "y"]), None);
        assert_eq!(nearest("entirely", ["stores"]), None);
    }
}

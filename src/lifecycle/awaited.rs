//! Whom a drain waits for, as its message says: for whoever shows it, and whoever must know whether more can be prepared.

use std::collections::{BTreeMap, BTreeSet};

/// What one is told that waits behind others of its policy.
pub const IN_LINE: &str = "waits in line: others of its policy have the next places";

/// The pods that a drain waits for, as its message names them: `waits for db-0, which is not Ready (maxUnavailable 1)`.
/// What stands in brackets is the limit.
#[must_use]
pub fn names(why: &str) -> Vec<String> {
    let Some((named, _)) = why.strip_prefix("waits for ").and_then(|rest| rest.split_once(" (")) else {
        return Vec::new();
    };
    if named.starts_with("pods that are missing") {
        return Vec::new();
    }
    let is_a_word = |word: &&str| ["", "and", "which", "is", "are", "not", "Ready", "others"].contains(word);
    named.split([',', ' ']).filter(|word| !is_a_word(word)).map(str::to_owned).collect()
}

/// Pods that are prepared and have not left, by namespace and name.
#[derive(Debug, Default)]
pub struct Prepared<'a>(BTreeMap<&'a str, BTreeSet<&'a str>>);

impl<'a> FromIterator<(&'a str, &'a str)> for Prepared<'a> {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pods: I) -> Self {
        let mut prepared = Prepared::default();
        for (namespace, name) in pods {
            prepared.0.entry(namespace).or_default().insert(name);
        }
        prepared
    }
}

impl Prepared<'_> {
    /// Whether one of this namespace that says so waits for them alone: it has its turn once they have left.
    #[must_use]
    pub fn go_before(&self, namespace: &str, why: &str) -> bool {
        let Some(prepared) = self.0.get(namespace) else { return false };
        let names = names(why);
        // One in line waits for those before it.
        why == IN_LINE || !names.is_empty() && names.iter().all(|name| prepared.contains(name.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pods_that_are_waited_for_are_read_from_the_message() {
        assert_eq!(names("waits for broker-1 (maxUnavailable 1)"), ["broker-1"]);
        assert_eq!(names("waits for a-1 (in another zone by topology.kubernetes.io/zone)"), ["a-1"]);
        assert_eq!(names("waits for a-0 and a-1, a-2, which are not Ready (maxUnavailable 1)"), ["a-0", "a-1", "a-2"]);
        assert_eq!(names("waits for a-0 and others (maxUnavailable 3)"), ["a-0"]);
        for nobody in ["it is to be prepared", "waits for pods that are missing or not Ready (maxUnavailable 1)"] {
            assert!(names(nobody).is_empty(), "{nobody}");
        }
    }

    #[test]
    fn who_waits_for_prepared_ones_alone_has_its_turn_once_they_have_left() {
        let prepared = Prepared::from_iter([("n", "db-0")]);
        assert!(prepared.go_before("n", "waits for db-0 (maxUnavailable 1)"));
        assert!(prepared.go_before("n", IN_LINE));
        for why in ["waits for db-0 and db-1 (maxUnavailable 2)", "the backend does not answer", ""] {
            assert!(!prepared.go_before("n", why), "{why}");
        }
        assert!(!prepared.go_before("other", IN_LINE), "nobody is prepared there yet");
        assert!(!Prepared::default().go_before("n", IN_LINE), "nobody is prepared yet");
    }
}

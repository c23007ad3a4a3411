//! Whom a drain waits for, as its message says: for whoever shows it, and whoever must know whether more can be prepared.

use std::collections::BTreeSet;

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

/// Whether one that says so has its turn once prepared ones have left; `prepared` are those of its namespace, by name.
#[must_use]
pub fn has_its_turn_after(prepared: &BTreeSet<&str>, why: &str) -> bool {
    let names = names(why);
    let waits = !names.is_empty() && names.iter().all(|name| prepared.contains(name.as_str()));
    // One in line waits for those before it.
    waits || why == IN_LINE && !prepared.is_empty()
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
        let prepared = BTreeSet::from(["db-0"]);
        assert!(has_its_turn_after(&prepared, "waits for db-0 (maxUnavailable 1)"));
        assert!(has_its_turn_after(&prepared, IN_LINE));
        for why in ["waits for db-0 and db-1 (maxUnavailable 2)", "the backend does not answer", ""] {
            assert!(!has_its_turn_after(&prepared, why), "{why}");
        }
        assert!(!has_its_turn_after(&BTreeSet::new(), IN_LINE), "nobody is prepared yet");
    }
}

//! What has to be there before this process may be asked, and what is not.

use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

/// Conditions of being ready. Each is given out as a handle; none can be forgotten.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<Vec<Condition>>>);

#[derive(Debug)]
struct Condition {
    name: &'static str,
    /// Why it does not hold; `None` once it does.
    missing: Option<String>,
    /// What is to be known of it all the same.
    remark: Option<String>,
}

/// One condition.
#[derive(Clone, Debug)]
pub struct Handle {
    readiness: Readiness,
    index: usize,
}

impl Readiness {
    /// No conditions yet.
    #[must_use]
    pub fn new() -> Self {
        Readiness::default()
    }

    /// Adds a condition that does not hold yet, for this reason.
    #[must_use]
    pub fn register(&self, name: &'static str, reason: &str) -> Handle {
        let mut conditions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        conditions.push(Condition { name, missing: Some(reason.to_owned()), remark: None });
        Handle { readiness: self.clone(), index: conditions.len() - 1 }
    }

    /// Whether all hold, and a line for each.
    #[must_use]
    pub fn report(&self) -> (bool, String) {
        let conditions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        for condition in conditions.iter() {
            // Writing to a text does not fail.
            let _ = match (&condition.missing, &condition.remark) {
                (None, None) => writeln!(text, "[+]{} ok", condition.name),
                (None, Some(remark)) => writeln!(text, "[+]{} ok, but {remark}", condition.name),
                (Some(reason), _) => writeln!(text, "[-]{}: {reason}", condition.name),
            };
        }
        (conditions.iter().all(|condition| condition.missing.is_none()), text)
    }
}

impl Handle {
    /// The condition holds.
    pub fn ready(&self) {
        self.set(None, None);
    }

    /// The condition holds, and this is to be known of it.
    pub fn ready_but(&self, remark: &str) {
        self.set(None, Some(remark.to_owned()));
    }

    /// The condition does not hold, for this reason.
    pub fn not_ready(&self, reason: &str) {
        self.set(Some(reason.to_owned()), None);
    }

    fn set(&self, missing: Option<String>, remark: Option<String>) {
        let mut conditions = self.readiness.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(condition) = conditions.get_mut(self.index) {
            condition.missing = missing;
            condition.remark = remark;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_ready_only_when_every_condition_holds_and_says_which_does_not() {
        let readiness = Readiness::new();
        let (policies, caches) =
            (readiness.register("policies", "not read yet"), readiness.register("caches", "empty"));
        policies.ready();
        assert_eq!(readiness.report(), (false, "[+]policies ok\n[-]caches: empty\n".to_owned()));
        caches.ready();
        assert!(readiness.report().0);
        policies.ready_but("older than the files");
        assert_eq!(readiness.report(), (true, "[+]policies ok, but older than the files\n[+]caches ok\n".to_owned()));
        policies.not_ready("gone");
        assert!(!readiness.report().0);
    }
}

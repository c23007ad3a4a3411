//! Why a drain does not go on: a sentence for people, and beside it what programs go by.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plan::Verdict;
use crate::remedy::Cause;

/// Why a drain does not go on; without words where nothing is in the way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Explanation {
    /// For people; constant for a cause.
    pub message: String,
    /// More of the same: errno, status, the beginning of a body.
    pub detail: String,
    /// What a person mends at the backend.
    pub cause: Cause,
    /// Whom it waits for.
    pub awaited: Awaited,
}

/// Whom a drain waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Awaited {
    /// Pods that are away, by the names of their places: the first few of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pods: Vec<String>,
    /// It waits behind others of its policy, which have the next places.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub in_line: bool,
}

impl From<&str> for Explanation {
    fn from(message: &str) -> Self {
        Explanation::from(message.to_owned())
    }
}

impl From<String> for Explanation {
    fn from(message: String) -> Self {
        Explanation { message, ..Explanation::default() }
    }
}

impl Explanation {
    /// What keeps a step from going on, if its round shows anything.
    #[must_use]
    pub fn of(verdict: &Verdict) -> Option<Self> {
        match verdict {
            Verdict::Blocked { message } | Verdict::Unknown { message } => Some(message.as_str().into()),
            Verdict::Failed { message, detail, cause } => {
                let (message, detail, cause) = (message.clone(), detail.clone(), cause.clone());
                Some(Explanation { message, detail, cause, ..Explanation::default() })
            }
            Verdict::Done | Verdict::Waiting | Verdict::Act(_) => None,
        }
    }

    /// What one is told that waits behind others of its policy.
    #[must_use]
    pub fn in_line() -> Self {
        let awaited = Awaited { pods: Vec::new(), in_line: true };
        Explanation { awaited, ..Explanation::from("waits in line: others of its policy have the next places") }
    }

    /// The same, for one that waits for these pods.
    #[must_use]
    pub fn waiting_for<'a>(self, pods: impl IntoIterator<Item = &'a str>) -> Self {
        let pods = pods.into_iter().map(str::to_owned).collect();
        Explanation { awaited: Awaited { pods, in_line: false }, ..self }
    }
}

impl Awaited {
    /// Whether it waits for nobody.
    #[must_use]
    pub fn is_nobody(&self) -> bool {
        *self == Awaited::default()
    }
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
    /// Whether one of this namespace waits for them alone: it has its turn once they have left.
    #[must_use]
    pub fn go_before(&self, namespace: &str, awaited: &Awaited) -> bool {
        let Some(prepared) = self.0.get(namespace) else { return false };
        let all = awaited.pods.iter().all(|name| prepared.contains(name.as_str()));
        // One in line waits for those before it.
        awaited.in_line || !awaited.pods.is_empty() && all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_prepared_ones_alone_has_its_turn_once_they_have_left() {
        let prepared = Prepared::from_iter([("n", "db-0")]);
        let waits_for = |pods: &[&str]| Explanation::default().waiting_for(pods.iter().copied()).awaited;
        let in_line = Explanation::in_line().awaited;
        assert!(prepared.go_before("n", &waits_for(&["db-0"])) && prepared.go_before("n", &in_line));
        assert!(!prepared.go_before("n", &waits_for(&["db-0", "db-1"])) && !prepared.go_before("n", &waits_for(&[])));
        assert!(!prepared.go_before("other", &in_line), "nobody is prepared there yet");
        assert!(!Prepared::default().go_before("n", &in_line), "nobody is prepared yet");
    }
}

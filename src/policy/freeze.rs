//! Freeze: for a while nothing of a policy begins to be prepared, and no pod of it leaves prepared. A person sets it by
//! annotations on the policy.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::temporary::{Temporary, Terms};

/// The annotation that says why.
pub const REASON: &str = "castoff.dev/freeze";

/// The annotation that says until when, as RFC 3339.
pub const UNTIL: &str = "castoff.dev/freeze-until";

/// The annotation that says who. The ValidatingAdmissionPolicy of the manifests holds it to the truth.
pub const BY: &str = "castoff.dev/freeze-by";

/// How many days ahead the end may lie.
pub const MOST_DAYS: u8 = 7;

const TERMS: Terms = Terms { reason: REASON, until: UNTIL, most_days: MOST_DAYS };

/// The clocks of replicas may differ so much: the leader thaws that much later, so that it wakes nobody whom another
/// replica would still deny.
const CLOCKS: SignedDuration = SignedDuration::from_secs(5);

/// A policy's annotations, as far as they speak of a freeze.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Freeze(BTreeMap<&'static str, String>);

/// A freeze that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frozen {
    /// Why.
    pub reason: String,
    /// Who froze it; empty where that is not said.
    pub by: String,
    /// Until when.
    pub until: Timestamp,
}

/// `frozen by alice until 2030-01-31T18:00:00Z: INC-4711`.
impl std::fmt::Display for Frozen {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let by = if self.by.is_empty() { String::new() } else { format!(" by {}", self.by) };
        write!(formatter, "frozen{by} until {}: {}", self.until, self.reason)
    }
}

impl Freeze {
    /// Of these annotations those that speak of it.
    #[must_use]
    pub fn of(annotations: &BTreeMap<String, String>) -> Self {
        let kept = [REASON, UNTIL, BY].into_iter().filter_map(|key| Some((key, annotations.get(key)?.clone())));
        Freeze(kept.collect())
    }

    /// Whether it is in force now; `Err` says why one that was meant is not.
    ///
    /// # Errors
    /// A clause for people.
    pub fn now(&self, now: Timestamp) -> Result<Option<Frozen>, String> {
        match TERMS.read(|key| self.0.get(key).map(String::as_str), now) {
            Temporary::None => Ok(None),
            Temporary::InForce { reason, until } => {
                let by = self.0.get(BY).cloned().unwrap_or_default();
                Ok(Some(Frozen { reason: reason.to_owned(), by, until }))
            }
            Temporary::DoesNotCount(flaw) => Err(TERMS.flaw(flaw)),
        }
    }

    /// What the gate goes by.
    #[must_use]
    pub fn in_force(&self, now: Timestamp) -> Option<Frozen> {
        self.now(now).ok().flatten()
    }

    /// What the leader goes by: until no replica's clock can be behind any more.
    #[must_use]
    pub fn in_force_anywhere(&self, now: Timestamp) -> Option<Frozen> {
        self.in_force(now).or_else(|| self.in_force(now.checked_sub(CLOCKS).ok()?))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn freeze(reason: &str, until: &str) -> Freeze {
        let annotations = [(REASON, reason), (UNTIL, until), (BY, "alice"), ("other", "x")];
        Freeze::of(&annotations.map(|(key, value)| (key.to_owned(), value.to_owned())).into())
    }

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    #[test]
    fn says_who_froze_why_and_until_when_for_a_week_at_most() {
        let week = freeze(" INC-4711 ", "2030-02-07T12:00:00Z");
        let frozen = week.in_force(at("2030-01-31T12:00:00Z")).unwrap();
        assert_eq!(frozen.to_string(), "frozen by alice until 2030-02-07T12:00:00Z: INC-4711");
        let why = week.now(at("2030-01-31T11:59:59Z")).unwrap_err();
        assert_eq!(why, "castoff.dev/freeze-until is more than 7 days ahead");
        assert_eq!(Freeze::default().now(at("2030-01-31T12:00:00Z")), Ok(None));
        assert!(freeze("", "2030-01-31T13:00:00Z").now(at("2030-01-31T12:00:00Z")).is_err());
    }

    #[test]
    fn the_leader_thaws_after_every_gate() {
        let freeze = freeze("INC", "2030-01-31T12:00:00Z");
        let (end, later) = (at("2030-01-31T12:00:00Z"), at("2030-01-31T12:00:05Z"));
        assert!(freeze.in_force(end).is_none() && freeze.in_force_anywhere(end).is_some());
        assert!(freeze.in_force_anywhere(later).is_none());
    }
}

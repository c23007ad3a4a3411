//! Break glass: a person lets pods go unprepared, by two annotations on the pod, its node, its namespace, or on the
//! webhook configuration for all.

use jiff::Timestamp;

use crate::policy::temporary::{Temporary, Terms};

/// The annotation that says why.
pub const REASON: &str = "castoff.dev/bypass";

/// The annotation that says until when, as RFC 3339.
pub const UNTIL: &str = "castoff.dev/bypass-until";

const TERMS: Terms = Terms { reason: REASON, until: UNTIL, most_days: 1 };

/// What the annotations of one object say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bypass<'a> {
    None,
    /// It is in force, for this reason.
    InForce(&'a str),
    /// It was meant, but does not count; this is why.
    DoesNotCount(String),
}

/// Reads the annotations of one object, given by `annotation`. It ends early, not late.
pub fn read<'a>(annotation: impl Fn(&str) -> Option<&'a str>, now: Timestamp) -> Bypass<'a> {
    match TERMS.read(annotation, now) {
        Temporary::None => Bypass::None,
        Temporary::InForce { reason, .. } => Bypass::InForce(reason),
        Temporary::DoesNotCount(flaw) => Bypass::DoesNotCount(TERMS.flaw(flaw)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn bypass(reason: Option<&'static str>, until: Option<&'static str>) -> Bypass<'static> {
        let now = "2030-01-31T12:00:00Z".parse().unwrap();
        read(|key| if key == REASON { reason } else { until.filter(|_| key == UNTIL) }, now)
    }

    #[test]
    fn counts_with_a_reason_and_an_end_within_a_day() {
        assert_eq!(bypass(None, None), Bypass::None);
        for until in ["2030-01-31T12:00:01Z", "2030-02-01T12:00:00Z", "2030-01-31T13:30:00+01:00"] {
            assert_eq!(bypass(Some(" INC-4711 "), Some(until)), Bypass::InForce("INC-4711"), "{until}");
        }
    }

    #[test]
    fn ends_early_not_late() {
        assert_eq!(
            bypass(Some("INC"), Some("2030-01-31T12:00:00Z")),
            Bypass::DoesNotCount("castoff.dev/bypass-until is past".to_owned())
        );
    }

    #[test]
    fn says_why_it_does_not_count() {
        for (reason, until, why) in [
            (None, Some("2030-01-31T13:00:00Z"), "reason, is missing"),
            (Some("INC"), None, "until is missing"),
            (Some("  "), Some("2030-01-31T13:00:00Z"), "gives no reason"),
            (Some("INC"), Some("tomorrow"), "no time such as"),
            (Some("INC"), Some("2030-01-31T13:00:00"), "no time such as"),
            (Some("INC"), Some("2030-01-30T13:00:00Z"), "is past"),
            (Some("INC"), Some("2030-02-01T12:00:01Z"), "more than a day ahead"),
            (Some("INC"), Some("9999-12-30T12:00:00Z"), "more than a day ahead"),
        ] {
            let found = bypass(reason, until);
            assert!(matches!(&found, Bypass::DoesNotCount(text) if text.contains(why)), "{found:?} instead of {why}");
        }
    }
}

//! What a person sets for a while, by two annotations of which one says why and the other until when. One that is
//! forgotten must end.

use jiff::{SignedDuration, Timestamp};

/// The annotations of one kind, and for how long it may be set.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The annotation that says why.
    pub reason: &'static str,
    /// The annotation that says until when, as RFC 3339.
    pub until: &'static str,
    /// How far ahead the end may lie, in days.
    pub most_days: u8,
}

/// What the annotations of one object say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temporary<'a> {
    /// Nothing.
    None,
    /// It is in force.
    InForce {
        /// Why.
        reason: &'a str,
        /// Until when.
        until: Timestamp,
    },
    /// It was meant, but does not count.
    DoesNotCount(Flaw),
}

/// Why it does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Only the end is there.
    NoReason,
    /// Only the reason is there.
    NoEnd,
    /// The reason is empty.
    EmptyReason,
    /// The end is no time.
    NoTime,
    /// It is over.
    Past,
    /// It would last longer than it may.
    TooLong,
}

impl Terms {
    /// Reads the annotations of one object, given by `annotation`. At the very time that was written it is over.
    pub fn read<'a>(&self, annotation: impl Fn(&str) -> Option<&'a str>, now: Timestamp) -> Temporary<'a> {
        let (reason, until) = match (annotation(self.reason), annotation(self.until)) {
            (None, None) => return Temporary::None,
            (None, _) => return Temporary::DoesNotCount(Flaw::NoReason),
            (Some(_), None) => return Temporary::DoesNotCount(Flaw::NoEnd),
            (Some(reason), Some(until)) => (reason.trim(), until.trim().parse::<Timestamp>()),
        };
        let longest = SignedDuration::from_hours(24 * i64::from(self.most_days));
        match until {
            _ if reason.is_empty() => Temporary::DoesNotCount(Flaw::EmptyReason),
            Err(_) => Temporary::DoesNotCount(Flaw::NoTime),
            Ok(until) if until <= now => Temporary::DoesNotCount(Flaw::Past),
            Ok(until) if until.duration_since(now) > longest => Temporary::DoesNotCount(Flaw::TooLong),
            Ok(until) => Temporary::InForce { reason, until },
        }
    }

    /// A flaw as a clause for people.
    #[must_use]
    pub fn flaw(&self, flaw: Flaw) -> String {
        let Terms { reason, until, most_days } = self;
        match flaw {
            Flaw::NoReason => format!("{reason}, the reason, is missing"),
            Flaw::NoEnd => format!("{until} is missing"),
            Flaw::EmptyReason => format!("{reason} gives no reason"),
            Flaw::NoTime => format!("{until} is no time such as 2030-01-31T18:00:00Z"),
            Flaw::Past => format!("{until} is past"),
            Flaw::TooLong if *most_days == 1 => format!("{until} is more than a day ahead"),
            Flaw::TooLong => format!("{until} is more than {most_days} days ahead"),
        }
    }
}

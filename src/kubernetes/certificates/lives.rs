//! How long what Castoff makes lives, and when it is due.

use jiff::{SignedDuration, Timestamp};

use crate::trust::authority::Validity;

/// How long certificates and paths live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lives {
    /// An authority's life. It is replaced after two thirds of it.
    pub authority: SignedDuration,
    /// A server certificate's life. It is renewed after two thirds of it.
    pub server: SignedDuration,
    /// How long a path of the webhook is used until another takes its place.
    pub path: SignedDuration,
    /// For how long two authorities are trusted, before and after what is served changes from one to the other, and two
    /// paths are answered. It must be enough for the registration and every replica to follow.
    pub overlap: SignedDuration,
    /// How far a certificate's life begins before it is made, for callers whose clocks are behind.
    pub backdate: SignedDuration,
}

impl Default for Lives {
    /// An authority lives a year, so that its replacement is an everyday thing and a stolen key is worth no more than
    /// that; a server certificate 90 days, so that 30 are left for whoever finds that it was not renewed; a path a
    /// week, since people get to see it in the errors of an API server that can't call.
    fn default() -> Self {
        Lives {
            authority: SignedDuration::from_hours(365 * 24),
            server: SignedDuration::from_hours(90 * 24),
            path: SignedDuration::from_hours(7 * 24),
            overlap: SignedDuration::from_hours(24),
            backdate: SignedDuration::from_hours(1),
        }
    }
}

impl Lives {
    pub(super) fn made(&self, validity: Validity) -> Timestamp {
        later(validity.from, self.backdate)
    }

    pub(super) fn validity(&self, life: SignedDuration, now: Timestamp) -> Validity {
        Validity { from: later(now, -self.backdate), until: later(now, life) }
    }

    /// Whether two thirds of a life are over.
    pub(super) fn is_due(&self, validity: Validity, now: Timestamp) -> bool {
        let made = self.made(validity);
        now >= later(made, validity.until.duration_since(made) * 2 / 3)
    }
}

/// `time` and `duration` later, or as late as can be written.
pub(super) fn later(time: Timestamp, duration: SignedDuration) -> Timestamp {
    time.saturating_add(duration).unwrap_or(time)
}

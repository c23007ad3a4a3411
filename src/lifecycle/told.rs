//! What people were told of a pod that is held, and when: of one cause not again and again.

use std::time::Duration;

use crate::remedy;

/// What passes within this time is no news.
const A_MOMENT: Duration = Duration::from_secs(3);

/// People are told of one cause no more often than this, however often it goes and comes back.
const TOLD_AGAIN: Duration = Duration::from_mins(10);

/// One thing to mend: what it is called, and why a backend can't be asked.
pub type Kind = (&'static str, remedy::Kind);

/// What people were told. There are few kinds of causes, so that this stays small.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    /// The process before has told of the cause that is met first.
    by_another: bool,
    since: Option<Duration>,
    last: Vec<(Kind, Duration)>,
}

/// What is to be done about a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: people know.
    Known,
    /// It may pass: to be looked for once more, soon.
    LookAgain,
    /// People are to be told.
    Tell,
}

impl Told {
    /// The memory of a process that meets a drain; `held` if that says itself why it does not go on.
    #[must_use]
    pub fn meeting(held: bool) -> Self {
        Told { by_another: held, ..Told::default() }
    }

    /// Nothing is in the way.
    pub fn nothing(&mut self) {
        (self.since, self.by_another) = (None, false);
    }

    /// Something is in the way; `lasts` if that is known already.
    pub fn of(&mut self, kind: Kind, lasts: bool, now: Duration) -> Next {
        let since = *self.since.get_or_insert(now);
        self.last.retain(|(_, told)| now.saturating_sub(*told) < TOLD_AGAIN);
        if std::mem::take(&mut self.by_another) {
            self.last.push((kind, now));
        }
        if self.last.iter().any(|(known, _)| *known == kind) {
            return Next::Known;
        }
        if !lasts && now.saturating_sub(since) < A_MOMENT {
            return Next::LookAgain;
        }
        self.last.push((kind, now));
        Next::Tell
    }
}

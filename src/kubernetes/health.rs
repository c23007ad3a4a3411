//! How well a copy follows what it is a copy of.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::runtime::readiness::Handle;

use super::follow::Told;

/// Signs of life less than this apart are no news.
const OFTEN: Duration = Duration::from_secs(1);

/// What is to be concluded from something that was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    None,
    /// The API server was heard of it.
    Life {
        /// A list has come in whole.
        filled: bool,
    },
    /// It could not be listed or watched.
    Trouble(String),
}

impl Sign {
    pub(crate) fn of(told: &Told) -> Self {
        match told {
            Told::Listing => Sign::None,
            Told::Failed(why) => Sign::Trouble(why.clone()),
            Told::ListedAll => Sign::Life { filled: true },
            Told::Listed(_) | Told::Written(_) | Told::Deleted(_) | Told::Alive => Sign::Life { filled: false },
        }
    }
}

/// What is known of a copy.
#[derive(Clone, Debug)]
pub struct Health {
    /// Whether the first list has come in whole.
    filled: bool,
    /// The last sign of life, or the beginning.
    heard: Instant,
    /// The same, for people.
    heard_at: Timestamp,
    /// Why the last list or watch failed, where nothing was heard since.
    trouble: Option<String>,
}

impl Health {
    /// Of a copy that is about to begin.
    pub(crate) fn unheard(now: Instant) -> Self {
        Health { filled: false, heard: now, heard_at: Timestamp::now(), trouble: None }
    }

    /// Whether the first list has come in whole.
    pub(crate) fn is_filled(&self) -> bool {
        self.filled
    }

    /// When it was last heard of.
    pub(crate) fn heard(&self) -> Instant {
        self.heard
    }

    /// Since when it was not heard of, and why.
    pub(crate) fn said(&self) -> String {
        format!("the API server has told nothing of it since {:.0}{}", self.heard_at, self.trouble())
    }

    /// Takes up a sign; whether it is news to whoever waits.
    pub(crate) fn note(&mut self, sign: Sign, now: Instant) -> bool {
        match sign {
            Sign::None => false,
            Sign::Trouble(why) => {
                let is_news = self.trouble.as_ref() != Some(&why);
                self.trouble = Some(why);
                is_news
            }
            Sign::Life { filled } => {
                let fills = filled && !self.filled;
                let is_news = fills || self.trouble.is_some() || now.duration_since(self.heard) >= OFTEN;
                self.filled |= filled;
                (self.heard, self.heard_at, self.trouble) = (now, Timestamp::now(), None);
                is_news
            }
        }
    }

    /// Why the copy can't be believed now; `None` where it can.
    pub(crate) fn doubt(&self, now: Instant, patience: Duration) -> Option<String> {
        if !self.filled {
            return Some(format!("the first list has not come in yet{}", self.trouble()));
        }
        (now.duration_since(self.heard) >= patience).then(|| self.said())
    }

    fn trouble(&self) -> String {
        self.trouble.as_deref().map(|trouble| format!(": {trouble}")).unwrap_or_default()
    }
}

/// Tells readiness whether a copy can be believed, for ever.
pub async fn tell_readiness(mut health: watch::Receiver<Health>, patience: Duration, handle: Handle) {
    let mut told = None;
    loop {
        let (doubt, silent_at) = {
            let health = health.borrow_and_update();
            (health.doubt(Instant::now(), patience), health.heard() + patience)
        };
        if told.as_ref() != Some(&doubt) {
            match &doubt {
                None => handle.ready(),
                Some(why) => handle.not_ready(why),
            }
        }
        let is_silent = silent_at <= Instant::now();
        told = Some(doubt);
        tokio::select! {
            changed = health.changed() => if changed.is_err() { return },
            () = sleep_until(silent_at), if !is_silent => {}
        }
    }
}

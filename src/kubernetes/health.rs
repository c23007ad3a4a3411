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
pub enum Sign {
    /// Nothing.
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
    /// The sign that this is.
    #[must_use]
    pub fn of<K>(told: &Told<K>) -> Self {
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
    #[must_use]
    pub fn unheard(now: Instant) -> Self {
        Health { filled: false, heard: now, heard_at: Timestamp::now(), trouble: None }
    }

    /// Whether the first list has come in whole.
    #[must_use]
    pub fn is_filled(&self) -> bool {
        self.filled
    }

    /// When it was last heard of.
    #[must_use]
    pub fn heard(&self) -> Instant {
        self.heard
    }

    /// Since when it was not heard of, and why.
    #[must_use]
    pub fn said(&self) -> String {
        let trouble = self.trouble.as_deref().map(|trouble| format!(": {trouble}")).unwrap_or_default();
        format!("the API server has told nothing of it since {:.0}{trouble}", self.heard_at)
    }

    /// Takes up a sign; whether it is news to whoever waits.
    pub fn note(&mut self, sign: Sign, now: Instant) -> bool {
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

    /// Whether the copy can be believed now.
    ///
    /// # Errors
    /// Why it can't, for readiness.
    pub fn judge(&self, now: Instant, patience: Duration) -> Result<(), String> {
        if !self.filled {
            let trouble = self.trouble.as_deref().map(|trouble| format!(": {trouble}")).unwrap_or_default();
            return Err(format!("the first list has not come in yet{trouble}"));
        }
        if now.duration_since(self.heard) >= patience {
            return Err(self.said());
        }
        Ok(())
    }
}

/// Tells readiness whether a copy can be believed, for ever.
pub async fn tell_readiness(mut health: watch::Receiver<Health>, patience: Duration, handle: Handle) {
    let mut told = None;
    loop {
        let (judged, silent_at) = {
            let health = health.borrow_and_update();
            (health.judge(Instant::now(), patience), health.heard() + patience)
        };
        if told.as_ref() != Some(&judged) {
            match &judged {
                Ok(()) => handle.ready(),
                Err(why) => handle.not_ready(why),
            }
        }
        let is_silent = silent_at <= Instant::now();
        told = Some(judged);
        tokio::select! {
            changed = health.changed() => if changed.is_err() { return },
            () = sleep_until(silent_at), if !is_silent => {}
        }
    }
}

//! What is known of one drain between two turns.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::lifecycle::{Drain, Memory};

use super::report::{End, Report};
use super::retry::{self, Retry};

/// The longest pause between two looks at a backend that does not answer.
const LONGEST_SILENCE: Duration = Duration::from_secs(30);

/// The longest pause between two turns of a drain that a person ends, and whose turns fail.
const SHORT: Duration = Duration::from_secs(2);

/// One drain between two turns.
pub(super) struct Watched {
    pub drain: Arc<Drain>,
    pub memory: Memory,
    pub stand: Stand,
    pub retry: Retry,
    /// For how many turns running its backend did not answer.
    pub silent: u32,
    /// How its last turn went; `None` before the first.
    pub went: Option<Went>,
    /// Prepared, and waits for the policy's limit alone.
    pub held: bool,
    /// The policy that it began under.
    pub group: Arc<str>,
    /// Its place in the policy's line, while it waits for a slot.
    pub ticket: Option<u64>,
}

/// How a drain stands for its next turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// It is due then.
    Due(Instant),
    /// It is due, and others of its policy are under way.
    Next,
    /// Its turn is under way.
    UnderWay {
        /// Something has happened since it began.
        overtaken: bool,
        /// How the last one went by which it was let begin.
        went: Option<Went>,
        /// When it began.
        since: Instant,
    },
}

/// How a turn went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Went {
    /// Within no time to speak of.
    Promptly,
    /// It took long, or its backend did not answer.
    Slowly,
}

/// A turn that takes so long is a slow one: usual ones take some milliseconds.
const LONG: Duration = Duration::from_secs(1);

/// How it goes on after a turn.
pub(super) struct Ended {
    /// How long until the next turn.
    pub again: Duration,
    /// It lets those behind it in the line go first: its backend is in the way.
    pub to_the_end: bool,
}

impl Watched {
    /// One that is new, and due.
    pub fn new(drain: &Arc<Drain>, memory: Memory, now: Instant) -> Self {
        Watched {
            drain: Arc::clone(drain),
            memory,
            stand: Stand::Due(now),
            retry: Retry::default(),
            silent: 0,
            went: None,
            held: false,
            group: format!("{}/{}", drain.metadata.namespace, drain.spec.policy).into(),
            ticket: None,
        }
    }

    /// Whether this is the version that is known, or one before it.
    pub fn is_as_old_as(&self, drain: &Drain) -> bool {
        version_of(drain) <= version_of(&self.drain)
    }

    /// Takes up what somebody has written. What fails is tried again at once when a person ends it.
    /// What is new in it is known from now on, though the next turn may fail; `since` is how long this process runs, and
    /// `quiet` for how long the leader before may still be heard.
    pub fn take_up(&mut self, drain: &Arc<Drain>, since: Duration, quiet: Duration) {
        self.memory.notice(drain, since);
        self.memory.quiet_until = self.memory.quiet_until.max(since + quiet);
        if drain.is_cancelled() && !self.drain.is_cancelled() {
            self.retry.succeeded();
        }
        self.drain = Arc::clone(drain);
    }

    /// Takes up how a turn has ended.
    pub fn settle(&mut self, report: Report, now: Instant) -> Ended {
        let overtaken = matches!(self.stand, Stand::UnderWay { overtaken: true, .. });
        let long = matches!(self.stand, Stand::UnderWay { since, .. } if now.duration_since(since) >= LONG);
        let silent = matches!(&report.end, End::Done(done) if done.silent);
        self.went = Some(if long || silent { Went::Slowly } else { Went::Promptly });
        let written_since = !self.is_as_old_as(&report.drain) || version_of(&report.drain) == version_of(&self.drain);
        if written_since {
            self.drain = report.drain;
        }
        let mut ended = Ended { again: Duration::ZERO, to_the_end: false };
        match report.end {
            End::Done(done) => {
                self.memory = done.memory;
                self.retry.succeeded();
                self.silent = if done.silent { self.silent.saturating_add(1) } else { 0 };
                self.held = done.held;
                ended = Ended { again: paused(done.again, self.silent), to_the_end: done.hindered };
            }
            End::LostARace => ended.again = self.retry.lost_a_race(),
            End::Failed => {
                let longest = if self.drain.is_cancelled() { SHORT } else { Duration::MAX };
                ended.again = self.retry.failed(retry::jitter()).min(longest);
            }
        }
        if (overtaken || !written_since) && !self.retry.has_failed() {
            ended.again = Duration::ZERO;
        }
        ended
    }
}

/// How long until a backend is looked at again that did not answer for so many turns running.
fn paused(again: Duration, silent: u32) -> Duration {
    let longer = again.saturating_mul(1 << silent.min(10)).min(LONGEST_SILENCE);
    again.max(longer)
}

/// Versions of one kind of object are ordered decimal numbers.
fn version_of(drain: &Drain) -> u64 {
    drain.metadata.resource_version.parse().unwrap_or(0)
}

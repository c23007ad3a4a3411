//! What a turn is given, and what it leaves behind.

use std::sync::Arc;
use std::time::Duration;

use crate::lifecycle::{Drain, Memory};

/// A drain, by namespace and name.
pub(super) type Key = Arc<str>;

/// The name under which a drain is watched.
pub(super) fn key_of(drain: &Drain) -> Key {
    format!("{}/{}", drain.metadata.namespace, drain.metadata.name).into()
}

/// A turn that is to begin.
pub(super) struct Begun {
    pub key: Key,
    pub drain: Arc<Drain>,
    pub memory: Memory,
    /// How many of its policy's line are before it, as far as it matters.
    pub before: usize,
}

/// What a turn leaves behind.
pub(super) struct Report {
    pub key: Key,
    /// The drain as it was seen, or written.
    pub drain: Arc<Drain>,
    pub end: End,
}

/// How a turn ended.
pub(super) enum End {
    /// As it should.
    Done(Box<Done>),
    /// Somebody else has written meanwhile.
    LostARace,
    /// Something could not be done, and is tried again.
    Failed,
}

/// What a turn found that ended as it should.
pub(super) struct Done {
    /// What is remembered now.
    pub memory: Memory,
    /// How long until the next one.
    pub again: Duration,
    /// A backend that was asked did not answer.
    pub silent: bool,
    /// A backend is in the way of one that could have a slot.
    pub hindered: bool,
    /// The policy's limit alone is in the way.
    pub held: bool,
}

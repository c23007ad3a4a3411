//! The drains of one policy: which of them stand in line for a slot, and how many have a turn.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use super::report::Key;
use super::watched::Went;

/// The most turns of one policy that are under way at once: a policy's slow backend is to keep no other waiting.
pub(super) const OF_A_POLICY: usize = 4;

/// The drains of one policy.
#[derive(Default)]
pub(super) struct Group {
    members: BTreeSet<Key>,
    /// Those that wait for a slot, in their order.
    line: BTreeMap<u64, Key>,
    tickets: u64,
    under_way: usize,
    /// Those that are due while enough others are under way.
    next: VecDeque<Key>,
    /// Until when a look counts whose backend was in the way: so many look in a period as could go, and no more.
    in_the_way: VecDeque<Instant>,
    /// How the last turn of any of them went.
    pub went: Option<Went>,
}

impl Group {
    pub fn join(&mut self, key: &Key) {
        self.members.insert(Arc::clone(key));
    }

    /// One leaves for good; gives who have their turns now in its place.
    pub fn leave(&mut self, key: &Key, ticket: Option<u64>, under_way: bool) -> Vec<Key> {
        self.members.remove(key);
        self.next.retain(|next| next != key);
        if let Some(ticket) = ticket {
            self.leave_line(ticket);
        }
        if under_way { self.end() } else { Vec::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub fn members(&self) -> impl Iterator<Item = &Key> {
        self.members.iter()
    }

    /// Comes to the end of the line.
    pub fn join_line(&mut self, key: &Key) -> u64 {
        self.tickets += 1;
        self.line.insert(self.tickets, Arc::clone(key));
        self.tickets
    }

    pub fn leave_line(&mut self, ticket: u64) {
        self.line.remove(&ticket);
    }

    /// The first of the line.
    pub fn first(&self) -> impl Iterator<Item = &Key> {
        self.line.values().take(OF_A_POLICY)
    }

    /// How many are before this one, as far as it matters: those that have looked in vain a moment ago among them.
    pub fn before(&mut self, ticket: u64, now: Instant) -> usize {
        self.in_the_way.retain(|until| *until > now);
        self.in_the_way.len() + self.line.range(..ticket).take(OF_A_POLICY).count()
    }

    /// One has looked in vain, and will again then.
    pub fn looked_in_vain(&mut self, until: Instant) {
        self.in_the_way.push_back(until);
    }

    /// Whether a turn may begin; else its drain is among the next. Of a backend of which nothing is known yet one is
    /// asked for all.
    pub fn begin(&mut self, key: &Key) -> bool {
        let may = self.under_way < if self.went.is_some() { OF_A_POLICY } else { 1 };
        if may {
            self.under_way += 1;
        } else {
            self.next.push_back(Arc::clone(key));
        }
        may
    }

    /// A turn has ended; gives whose come now.
    pub fn end(&mut self) -> Vec<Key> {
        self.under_way -= 1;
        let room = OF_A_POLICY.saturating_sub(self.under_way).min(self.next.len());
        self.next.drain(..room).collect()
    }
}

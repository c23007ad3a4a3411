//! Which drain has its next turn when. Nothing here is found by walking: what is due stands in the order of time, and a
//! change leads by name to those whom it concerns.
//!
//! No policy has many turns under way, so that a backend that does not answer delays nobody but its own.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::lifecycle::{Drain, Memory, Phase};

use super::line::{Group, OF_A_POLICY};
use super::report::{Begun, Key, Report, key_of};
use super::watched::{Stand, Watched, Went};

/// The most turns that are under way at once: each takes memory. Those that usually are over at once must not wait for those
/// that are slow, nor for those of which nothing is known yet.
const AT_ONCE: [usize; 3] = [64, 32, 64];

/// Where in [`AT_ONCE`] a turn counts.
fn kind_of(went: Option<Went>) -> usize {
    match went {
        Some(Went::Promptly) => 0,
        Some(Went::Slowly) => 1,
        None => 2,
    }
}

/// All drains that are watched.
#[derive(Default)]
pub(super) struct Agenda {
    all: HashMap<Key, Watched>,
    due: BTreeSet<(Instant, Key)>,
    by_pod: HashMap<String, Key>,
    /// Those whose pods have left, by the UID of the pod's owner.
    departing: HashMap<String, BTreeSet<Key>>,
    groups: HashMap<Arc<str>, Group>,
    /// Until then, in this process's time, what the leader before has sent may still be under way.
    pub quiet_until: Duration,
    /// How many turns are under way, and those that are due while enough are: as in [`AT_ONCE`].
    under_way: [usize; 3],
    next: [VecDeque<Key>; 3],
}

impl Agenda {
    /// How many are watched.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Takes up a drain as it is now. One that is new, or that somebody else has written, is due at once. `since` is how
    /// long this process runs, and `quiet` for how long it is to be quiet about a drain that it meets.
    pub fn take_up(&mut self, drain: &Arc<Drain>, (since, quiet): (Duration, Duration), now: Instant) {
        let key = key_of(drain);
        // What the leader before has sent for it may still be under way, however late this one hears of that.
        let rest = if drain.owns_anything() { self.quiet_until.saturating_sub(since) } else { Duration::ZERO };
        let quiet = quiet.max(rest);
        if let Some(known) = self.all.get_mut(&key) {
            if known.is_as_old_as(drain) {
                return;
            }
            known.take_up(drain, since, quiet);
            if let Stand::UnderWay { .. } = known.stand {
                // Whether its own turn has written it is told when that ends.
                return;
            }
        } else {
            let watched = Watched::new(drain, Memory::new(drain, since, quiet), now);
            self.groups.entry(Arc::clone(&watched.group)).or_default().join(&key);
            self.by_pod.insert(drain.pod_uid().to_owned(), Arc::clone(&key));
            self.due.insert((now, Arc::clone(&key)));
            self.all.insert(Arc::clone(&key), watched);
        }
        self.find_place(&key, false);
        self.hurry(&key, now);
    }

    /// Forgets a drain that is no more.
    pub fn forget(&mut self, key: &Key, now: Instant) {
        let Some(gone) = self.all.remove(key) else { return };
        if let Stand::Due(due) = gone.stand {
            self.due.remove(&(due, Arc::clone(key)));
        }
        self.by_pod.remove(gone.drain.pod_uid());
        self.note_departing(&gone.drain, key, false);
        let under_way = matches!(gone.stand, Stand::UnderWay { .. });
        let freed =
            self.groups.get_mut(&gone.group).map(|group| group.leave(key, gone.ticket, under_way)).unwrap_or_default();
        if self.groups.get(&gone.group).is_some_and(Group::is_empty) {
            self.groups.remove(&gone.group);
        }
        for next in freed {
            self.stand(&next, Stand::Due(now));
        }
        self.ended(gone.stand, now);
        self.hurry_line(&gone.group, now);
    }

    /// Forgets all but these.
    pub fn keep_only(&mut self, keys: &BTreeSet<Key>, now: Instant) {
        let gone: Vec<Key> = self.all.keys().filter(|key| !keys.contains(*key)).cloned().collect();
        for key in &*gone {
            self.forget(key, now);
        }
    }

    /// The drain of this pod is due: its pod has changed.
    pub fn pod_changed(&mut self, uid: &str, now: Instant) {
        let Some(key) = self.by_pod.get(uid).cloned() else { return };
        if let Some(watched) = self.all.get_mut(&key) {
            watched.silent = 0;
        }
        self.hurry(&key, now);
    }

    /// The pods of a policy have changed: those are due that wait for its limit, and the first of its line.
    pub fn limit_changed(&mut self, namespace: &str, policy: &str, now: Instant) {
        let name: Arc<str> = format!("{namespace}/{policy}").into();
        let Some(group) = self.groups.get(&name) else { return };
        let is_held = |key: &&Key| self.all.get(*key).is_some_and(|watched| watched.held);
        let held: Vec<Key> = group.members().filter(is_held).take(OF_A_POLICY).cloned().collect();
        for key in &*held {
            self.hurry(key, now);
        }
        self.hurry_line(&name, now);
    }

    /// A pod of this owner has changed: those are due whose place it may have taken. Where pods have names of chance,
    /// that may be anybody's.
    pub fn owner_changed(&mut self, owner: &str, seat: &str, now: Instant) {
        let Some(departing) = self.departing.get(owner) else { return };
        let few = departing.len() <= OF_A_POLICY;
        let is_its = |key: &&Key| few || self.all.get(*key).is_some_and(|watched| watched.drain.seat() == seat);
        let its: Vec<Key> = departing.iter().filter(is_its).cloned().collect();
        for key in &*its {
            self.hurry(key, now);
        }
    }

    /// All are due: anything may have changed.
    pub fn anything_changed(&mut self, now: Instant) {
        let all: Vec<Key> = self.all.keys().cloned().collect();
        for key in &*all {
            self.hurry(key, now);
        }
    }

    /// The next turn that is to begin now, if there is one.
    pub fn begin(&mut self, now: Instant) -> Option<Begun> {
        loop {
            let (due, key) = self.due.first()?.clone();
            if due > now {
                return None;
            }
            self.due.pop_first();
            let Some(watched) = self.all.get_mut(&key) else { continue };
            let Some(group) = self.groups.get_mut(&watched.group) else { continue };
            // One that is new goes by what is known of its policy's backend.
            let went = watched.went.or(group.went);
            let kind = kind_of(went);
            if self.under_way[kind] >= AT_ONCE[kind] {
                self.next[kind].push_back(key);
                watched.stand = Stand::Next;
                continue;
            }
            if !group.begin(&key) {
                watched.stand = Stand::Next;
                continue;
            }
            self.under_way[kind] += 1;
            watched.stand = Stand::UnderWay { overtaken: false, went, since: now };
            let before = watched.ticket.map_or(0, |ticket| group.before(ticket, now));
            let (drain, memory) = (Arc::clone(&watched.drain), watched.memory.clone());
            return Some(Begun { key, drain, memory, before });
        }
    }

    /// When the next turn is due.
    pub fn next(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Takes up how a turn has ended.
    pub fn settle(&mut self, report: Report, now: Instant) {
        let key = Arc::clone(&report.key);
        // One that was forgotten meanwhile, and is back, begins anew.
        let is_its = |watched: &&mut Watched| matches!(watched.stand, Stand::UnderWay { .. });
        let Some(watched) = self.all.get_mut(&key).filter(is_its) else { return };
        let (was_silent, stood) = (watched.silent > 0, watched.stand);
        let ended = watched.settle(report, now);
        let went = watched.went;
        let (group, answers) = (Arc::clone(&watched.group), was_silent && watched.silent == 0);
        self.find_place(&key, ended.to_the_end);
        self.stand(&key, Stand::Due(now + ended.again));
        let next = self.groups.get_mut(&group).map(|group| {
            if ended.to_the_end {
                group.looked_in_vain(now + ended.again);
            }
            group.went = went;
            group.end()
        });
        for next in next.unwrap_or_default() {
            self.stand(&next, Stand::Due(now));
        }
        self.ended(stood, now);
        if answers {
            self.backend_answers(&group, now);
        }
    }

    /// A turn is no longer under way: the next ones of its kind are due that could not begin.
    fn ended(&mut self, stood: Stand, now: Instant) {
        let Stand::UnderWay { went, .. } = stood else { return };
        let kind = kind_of(went);
        self.under_way[kind] -= 1;
        let room = AT_ONCE[kind].saturating_sub(self.under_way[kind]);
        for key in self.next[kind].drain(..room.min(self.next[kind].len())).collect::<Vec<_>>() {
            // Some have been forgotten meanwhile.
            if self.all.get(&key).is_some_and(|watched| watched.stand == Stand::Next) {
                self.stand(&key, Stand::Due(now));
            }
        }
    }

    /// The backend of a policy has answered again: whoever paused because it did not, looks now.
    fn backend_answers(&mut self, group: &Arc<str>, now: Instant) {
        let members: Vec<Key> =
            self.groups.get(group).map(|group| group.members().cloned().collect()).unwrap_or_default();
        for key in members {
            if self.all.get_mut(&key).is_some_and(|watched| std::mem::take(&mut watched.silent) > 0) {
                self.hurry(&key, now);
            }
        }
    }

    /// A drain is due now, unless its last turn failed: what fails is not tried at each change.
    fn hurry(&mut self, key: &Key, now: Instant) {
        let Some(watched) = self.all.get_mut(key) else { return };
        match &mut watched.stand {
            Stand::UnderWay { overtaken, .. } => *overtaken = true,
            Stand::Due(due) if *due > now && !watched.retry.has_failed() => self.stand(key, Stand::Due(now)),
            Stand::Due(_) | Stand::Next => {}
        }
    }

    fn hurry_line(&mut self, group: &Arc<str>, now: Instant) {
        let first: Vec<Key> = self.groups.get(group).map(|group| group.first().cloned().collect()).unwrap_or_default();
        for key in &*first {
            self.hurry(key, now);
        }
    }

    fn stand(&mut self, key: &Key, stand: Stand) {
        let Some(watched) = self.all.get_mut(key) else { return };
        if let Stand::Due(before) = watched.stand {
            self.due.remove(&(before, Arc::clone(key)));
        }
        if let Stand::Due(due) = stand {
            self.due.insert((due, Arc::clone(key)));
        }
        watched.stand = stand;
    }

    /// The place in its policy's line that a drain has while it waits for a slot, and among those that have left.
    fn find_place(&mut self, key: &Key, to_the_end: bool) {
        let Some(watched) = self.all.get_mut(key) else { return };
        let Some(group) = self.groups.get_mut(&watched.group) else { return };
        let waits = watched.drain.status.phase == Phase::Queued;
        if let Some(ticket) = watched.ticket.filter(|_| !waits || to_the_end) {
            group.leave_line(ticket);
            watched.ticket = None;
        }
        if waits && watched.ticket.is_none() {
            watched.ticket = Some(group.join_line(key));
        }
        let (drain, left) = (Arc::clone(&watched.drain), watched.drain.status.phase == Phase::Departing);
        self.note_departing(&drain, key, left);
    }

    fn note_departing(&mut self, drain: &Drain, key: &Key, departing: bool) {
        let Some(owner) = drain.status.pod.as_deref().and_then(|pod| pod.controller()) else { return };
        if departing {
            self.departing.entry(owner.uid.as_str().to_owned()).or_default().insert(Arc::clone(key));
        } else if let Some(others) = self.departing.get_mut(owner.uid.as_str()) {
            others.remove(key);
            if others.is_empty() {
                self.departing.remove(owner.uid.as_str());
            }
        }
    }
}

#[cfg(test)]
mod tests;

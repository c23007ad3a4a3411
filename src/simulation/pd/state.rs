//! What PD knows, and how it changes with time. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The peers of each region; so many stores must stay up.
pub(super) const REPLICAS: u64 = 3;

/// How long a store without regions stays Offline: PD looks that seldom.
const TOMBSTONE_AFTER: Duration = Duration::from_secs(10);

/// How long a PD that has just begun answers that it has not.
const STARTING: u32 = 10;

/// A store, as PD and TiKV know it.
#[derive(Clone, Debug)]
pub struct Store {
    /// Its address.
    pub address: String,
    /// The leaders on it.
    pub leaders: u64,
    /// The regions with a peer on it.
    pub regions: u64,
    /// Since when it has been Offline without regions.
    pub empty_since: Option<Duration>,
    /// Its state.
    pub state: StoreState,
    /// PD reads its leader count as 0, whatever it is.
    pub stale_count: bool,
}

/// A store's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreState {
    /// It reports.
    Up,
    /// It has not reported for a while.
    Disconnected,
    /// It is being removed.
    Offline,
    /// It is removed.
    Tombstone,
}

impl Store {
    /// Whether it reports is seen only of a store that is not being removed.
    fn set_away(&mut self, away: bool) {
        if matches!(self.state, StoreState::Up | StoreState::Disconnected) {
            self.state = if away { StoreState::Disconnected } else { StoreState::Up };
        }
    }
}

impl StoreState {
    /// As PD spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            StoreState::Up => "Up",
            StoreState::Disconnected => "Disconnected",
            StoreState::Offline => "Offline",
            StoreState::Tombstone => "Tombstone",
        }
    }
}

/// The time after a PD start in which it lies.
#[derive(Clone, Debug)]
struct Window {
    /// Until then requests are answered 500.
    starting_until: Duration,
    until: Duration,
    /// The evict-leader scheduler that was made in the window, if one was: it wins over the stored one.
    made: Option<BTreeSet<u64>>,
}

/// What PD knows.
#[derive(Clone, Debug)]
pub struct State {
    stores: BTreeMap<u64, Store>,
    /// Stores with a stored evict-leader entry.
    entries: BTreeSet<u64>,
    /// When a paused evict-leader scheduler goes on.
    paused_until: Option<Duration>,
    window: Option<Window>,
    /// Leaders and regions stay where they are.
    pub stuck: bool,
    /// How long a store without regions stays Offline, 10 s as in the real one; shorter where a test has no time.
    pub tombstone_after: Duration,
    leaders_per_second: u64,
    leaders_lost: u64,
    now: Duration,
    /// Until when leaders have moved.
    moved_until: Duration,
}

impl State {
    /// A PD with these stores: id, address and leaders.
    #[must_use]
    pub fn new(stores: Vec<(u64, String, u64)>, leaders_per_second: u64) -> Self {
        let store = |(id, address, leaders)| {
            let (regions, state) = (leaders * REPLICAS, StoreState::Up);
            (id, Store { address, leaders, regions, empty_since: None, state, stale_count: false })
        };
        State {
            stores: stores.into_iter().map(store).collect(),
            entries: BTreeSet::new(),
            paused_until: None,
            window: None,
            stuck: false,
            tombstone_after: TOMBSTONE_AFTER,
            leaders_per_second: leaders_per_second.max(1),
            leaders_lost: 0,
            now: Duration::ZERO,
            moved_until: Duration::ZERO,
        }
    }

    /// Lets time come to `now`: windows end, leaders and regions move, stores without regions are buried.
    pub fn advance(&mut self, now: Duration) {
        self.now = self.now.max(now);
        if let Some(window) = self.window.take_if(|window| window.until <= now) {
            if let Some(made) = window.made {
                self.entries = made;
            }
            self.moved_until = window.until;
        }
        self.paused_until.take_if(|until| *until <= now);
        let between_moves = Duration::from_secs(1) / u32::try_from(self.leaders_per_second).unwrap_or(u32::MAX);
        while self.moved_until + between_moves <= self.now {
            self.moved_until += between_moves;
            if self.window.is_none() && !self.stuck {
                self.move_leaders();
                self.move_regions();
            }
            self.bury();
        }
    }

    /// Two regions leave each store that is Offline; one goes back to a store that has too few.
    fn move_regions(&mut self) {
        let mut moves: Vec<u64> = Vec::new();
        for (id, store) in self.stores.iter().filter(|(_, store)| store.state == StoreState::Offline) {
            moves.extend((0..store.regions.min(2)).map(|_| *id));
        }
        let up = |store: &&Store| store.state == StoreState::Up;
        let fewest = self.stores.values().filter(up).map(|store| store.regions).min();
        let fullest = self.stores.iter().filter(|(_, store)| up(store)).max_by_key(|(_, store)| store.regions);
        if let (Some((id, most)), Some(fewest)) = (fullest, fewest)
            && most.regions > fewest + 1
        {
            moves.push(*id);
        }
        for from in moves {
            let target = self.stores.iter().filter(|(_, store)| up(store)).min_by_key(|(_, store)| store.regions);
            let Some(to) = target.map(|(id, _)| *id).filter(|to| *to != from) else { continue };
            if let Some(store) = self.stores.get_mut(&from) {
                store.regions -= 1;
            }
            if let Some(store) = self.stores.get_mut(&to) {
                store.regions += 1;
            }
        }
    }

    /// Stores that have been Offline without regions for a while are removed.
    fn bury(&mut self) {
        let (now, patience) = (self.moved_until, self.tombstone_after);
        for store in self.stores.values_mut() {
            if store.state != StoreState::Offline || store.regions + store.leaders > 0 {
                store.empty_since = None;
            } else if now.saturating_sub(*store.empty_since.get_or_insert(now)) >= patience {
                store.state = StoreState::Tombstone;
            }
        }
    }

    /// One leader leaves each store that is evicted or Offline; one goes back to a store that has too few.
    fn move_leaders(&mut self) {
        let evicting = self.paused_until.is_none();
        let leaves = |(id, store): &(&u64, &Store)| {
            store.leaders > 0 && (store.state == StoreState::Offline || evicting && self.entries.contains(id))
        };
        let leaving: Vec<u64> = self.stores.iter().filter(leaves).map(|(id, _)| *id).collect();
        for id in leaving {
            if let Some(target) = self.emptiest_store() {
                self.move_leader(id, target);
            }
        }
        if let (Some(fullest), Some(emptiest)) = (self.fullest_store(), self.emptiest_store())
            && self.leaders(fullest) > self.leaders(emptiest) + 1
        {
            self.move_leader(fullest, emptiest);
        }
    }

    fn move_leader(&mut self, from: u64, to: u64) {
        if let Some(store) = self.stores.get_mut(&from) {
            store.leaders -= 1;
        }
        if let Some(store) = self.stores.get_mut(&to) {
            store.leaders += 1;
        }
    }

    /// The stores that may get leaders.
    fn open_stores(&self) -> impl Iterator<Item = (&u64, &Store)> {
        self.stores.iter().filter(|(id, store)| store.state == StoreState::Up && !self.entries.contains(id))
    }

    fn emptiest_store(&self) -> Option<u64> {
        self.open_stores().min_by_key(|(_, store)| store.leaders).map(|(id, _)| *id)
    }

    fn fullest_store(&self) -> Option<u64> {
        self.open_stores().max_by_key(|(_, store)| store.leaders).map(|(id, _)| *id)
    }

    /// A store's process ends: its leaders are lost for a moment, then elected elsewhere.
    pub fn end_store(&mut self, id: u64) {
        let Some(store) = self.stores.get_mut(&id) else { return };
        let leaders = std::mem::take(&mut store.leaders);
        store.set_away(true);
        self.leaders_lost += leaders;
        for _ in 0..leaders {
            if let Some(target) = self.emptiest_store().and_then(|target| self.stores.get_mut(&target)) {
                target.leaders += 1;
            }
        }
    }

    /// A store stops to report, or reports again; its process goes on.
    pub fn set_away(&mut self, id: u64, away: bool) {
        if let Some(store) = self.stores.get_mut(&id) {
            store.set_away(away);
        }
    }

    /// A store's process has been down for a while: its leaders were elected elsewhere long ago.
    pub fn crash_store(&mut self, id: u64) {
        let lost = self.leaders_lost;
        self.end_store(id);
        self.leaders_lost = lost;
    }

    /// A store's process begins.
    pub fn start_store(&mut self, id: u64, address: &str) {
        if let Some(store) = self.stores.get_mut(&id) {
            address.clone_into(&mut store.address);
            store.set_away(false);
        }
    }

    /// PD is killed and begins anew.
    pub fn restart(&mut self, window: Duration) {
        let starting_until = self.now + window / STARTING;
        self.window = Some(Window { starting_until, until: self.now + window, made: None });
        self.paused_until = None;
    }

    /// The leaders on a store, as TiKV knows it.
    #[must_use]
    pub fn leaders(&self, id: u64) -> u64 {
        self.stores.get(&id).map_or(0, |store| store.leaders)
    }

    /// A store's state, unless nothing is known of it any more.
    #[must_use]
    pub fn state_of(&self, id: u64) -> Option<StoreState> {
        self.stores.get(&id).map(|store| store.state)
    }

    /// The leaders that were on a store when its process ended.
    #[must_use]
    pub fn leaders_lost(&self) -> u64 {
        self.leaders_lost
    }

    /// The stores with a stored entry, also while PD hides it. One that was made in the window counts already.
    #[must_use]
    pub fn stored_entries(&self) -> Vec<u64> {
        let made = self.window.as_ref().and_then(|window| window.made.as_ref());
        made.unwrap_or(&self.entries).iter().copied().collect()
    }

    /// Sets an entry, as a person would with pd-ctl.
    pub fn set_entry(&mut self, id: u64) {
        self.entries.insert(id);
    }

    /// Removes an entry, as a person would with pd-ctl.
    pub fn remove_entry(&mut self, id: u64) {
        self.entries.remove(&id);
    }

    /// Makes PD read a store's leader count as 0, whatever it is.
    pub fn set_stale_count(&mut self, id: u64, stale: bool) {
        if let Some(store) = self.stores.get_mut(&id) {
            store.stale_count = stale;
        }
    }

    // What follows is what PD itself answers by.

    pub(super) fn stores(&self) -> &BTreeMap<u64, Store> {
        &self.stores
    }

    /// Whether every other store that is up is evicted: then there is nowhere for leaders to go.
    pub(super) fn has_no_other_open_store(&self, id: u64) -> bool {
        self.open_stores().all(|(other, _)| *other == id)
    }

    /// Forgets the stores that are removed.
    pub(super) fn forget_tombstones(&mut self) {
        self.stores.retain(|_, store| store.state != StoreState::Tombstone);
    }

    pub(super) fn store_mut(&mut self, id: u64) -> Option<&mut Store> {
        self.stores.get_mut(&id)
    }

    /// Answers 500 to everything.
    pub(super) fn is_starting(&self) -> bool {
        self.window.as_ref().is_some_and(|window| self.now < window.starting_until)
    }

    /// Has not heard of its regions yet.
    pub(super) fn is_lying(&self) -> bool {
        self.window.is_some()
    }

    /// The entries of the scheduler that runs; `None` where none does.
    pub(super) fn running_entries(&self) -> Option<&BTreeSet<u64>> {
        let entries = match &self.window {
            Some(window) => window.made.as_ref(),
            None => Some(&self.entries),
        };
        entries.filter(|entries| !entries.is_empty())
    }

    /// Whether an entry of any store is stored, running or not.
    pub(super) fn stores_scheduler(&self) -> bool {
        !self.stored_entries().is_empty()
    }

    pub(super) fn add_entry(&mut self, id: u64) {
        match &mut self.window {
            Some(window) => window.made.get_or_insert_default().insert(id),
            None => self.entries.insert(id),
        };
    }

    /// Removes an entry of the scheduler that runs; false where it has none of this store.
    pub(super) fn drop_entry(&mut self, id: u64) -> bool {
        match &mut self.window {
            None => self.entries.remove(&id),
            Some(window) => {
                let Some(made) = &mut window.made else { return false };
                let removed = made.remove(&id);
                if made.is_empty() {
                    // Nothing made in the window is left, so what was stored before comes back.
                    window.made = None;
                }
                removed
            }
        }
    }

    /// Removes the scheduler that runs, with all its entries; false where none does.
    pub(super) fn drop_scheduler(&mut self) -> bool {
        let runs = self.running_entries().is_some();
        match &mut self.window {
            Some(window) => window.made = None,
            None => self.entries.clear(),
        }
        runs
    }

    pub(super) fn pause(&mut self, delay: Duration) {
        self.paused_until = (!delay.is_zero()).then(|| self.now + delay);
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused_until.is_some()
    }
}

#[cfg(test)]
mod tests;

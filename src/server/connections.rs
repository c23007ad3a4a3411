//! Who has a connection, and whose is closed where there are too many.
//!
//! A full house turns nobody away as long as somebody sits idle: what is idle longest makes room for what is new, first
//! of all among those who have never been answered well. So connections that ask for nothing keep no probe and no review
//! from an answer, however many they are and wherever they come from.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore};

/// The connections of one listener.
#[derive(Debug)]
pub(super) struct Connections {
    /// How many there may be.
    limit: usize,
    /// How many of them may come from one address.
    share: usize,
    /// How many bytes the bodies of one address may take.
    share_of_bytes: usize,
    book: Mutex<Book>,
}

/// Connections by number, so the oldest comes first.
#[derive(Debug, Default)]
struct Book {
    next: u64,
    open: BTreeMap<u64, Open>,
}

#[derive(Debug)]
struct Open {
    address: IpAddr,
    share: Share,
    standing: Standing,
    /// Has to make room.
    leaving: bool,
    told: Arc<Notify>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Standing {
    /// It has not asked for anything.
    #[default]
    New,
    /// A request is being answered.
    Asking,
    /// The last request was refused.
    Refused,
    /// The last request was answered well.
    Trusted,
}

/// A connection that was let in; it counts until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    connections: Arc<Connections>,
    number: u64,
    pub share: Share,
    told: Arc<Notify>,
}

/// The room, in bytes, that bodies from one address may take together.
#[derive(Clone, Debug)]
pub(super) struct Share(pub Arc<Semaphore>);

/// Whether one more connection fits.
#[derive(Debug, PartialEq, Eq)]
enum Admission {
    Free,
    /// If this one goes.
    InsteadOf(u64),
    Full,
}

impl Connections {
    pub fn new(limit: usize, share: usize, share_of_bytes: usize) -> Arc<Self> {
        Arc::new(Connections { limit, share, share_of_bytes, book: Mutex::default() })
    }

    /// Lets a connection from `address` in, where necessary in place of one that is idle. `None` where all are busy.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        // An IPv4 peer of a socket for both is the same peer as that of a socket for IPv4.
        let address = address.to_canonical();
        let mut book = self.book();
        match book.admission(address, self.limit, self.share) {
            Admission::Free => {}
            Admission::InsteadOf(number) => book.send_away(number),
            Admission::Full => return None,
        }
        let of_same = book.open.values().find(|open| open.address == address);
        let share = of_same.map(|open| open.share.clone());
        let share = share.unwrap_or_else(|| Share(Arc::new(Semaphore::new(self.share_of_bytes))));
        let (told, number) = (Arc::new(Notify::new()), book.next);
        let open =
            Open { address, share: share.clone(), standing: Standing::New, leaving: false, told: Arc::clone(&told) };
        book.open.insert(number, open);
        book.next += 1;
        Some(Place { connections: Arc::clone(self), number, share, told })
    }

    /// Makes room for something else.
    pub fn send_one_away(&self) {
        let mut book = self.book();
        if let Some(number) = book.idle(|_| true) {
            book.send_away(number);
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn admission(&self, address: IpAddr, limit: usize, share: usize) -> Admission {
        let staying = || self.open.values().filter(|open| !open.leaving);
        let instead = |number: Option<u64>| number.map_or(Admission::Full, Admission::InsteadOf);
        if staying().filter(|open| open.address == address).count() >= share {
            instead(self.idle(|open| open.address == address))
        } else if staying().count() >= limit {
            instead(self.idle(|_| true))
        } else {
            Admission::Free
        }
    }

    /// The one among `these` that makes room first.
    fn idle(&self, these: impl Fn(&Open) -> bool) -> Option<u64> {
        let idle =
            self.open.iter().filter(|(_, open)| open.standing != Standing::Asking && !open.leaving && these(open));
        idle.min_by_key(|(number, open)| (open.standing == Standing::Trusted, **number)).map(|(number, _)| *number)
    }

    fn send_away(&mut self, number: u64) {
        if let Some(open) = self.open.get_mut(&number) {
            open.leaving = true;
            open.told.notify_one();
        }
    }
}

impl Place {
    /// Waits until this connection has to make room; never while a request is being answered.
    pub async fn wanted(&self) {
        loop {
            self.told.notified().await;
            if !self.with(|open| open.standing == Standing::Asking) {
                return;
            }
        }
    }

    /// A request has come in.
    pub fn begin(&self) {
        self.with(|open| open.standing = Standing::Asking);
    }

    /// Whether any request has come in.
    pub fn has_asked(&self) -> bool {
        self.with(|open| open.standing != Standing::New)
    }

    /// It has been answered, well or not; whether the connection has to end with that.
    pub fn end(&self, well: bool) -> bool {
        self.with(|open| {
            open.standing = if well { Standing::Trusted } else { Standing::Refused };
            open.leaving
        })
    }

    fn with<T: Default>(&self, act: impl FnOnce(&mut Open) -> T) -> T {
        self.connections.book().open.get_mut(&self.number).map(act).unwrap_or_default()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.book().open.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures_util::FutureExt;

    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn wanted(place: &Place) -> bool {
        place.wanted().now_or_never().is_some()
    }

    #[test]
    fn the_oldest_idle_connection_makes_room_in_a_full_house() {
        let connections = Connections::new(2, 2, 1);
        let first = connections.admit(address(1)).unwrap();
        let second = connections.admit(address(2)).unwrap();
        assert!(!wanted(&first));
        let third = connections.admit(address(3)).unwrap();
        assert!(wanted(&first) && !wanted(&second) && !wanted(&third));
    }

    #[test]
    fn whoever_was_answered_well_stays_longer_than_whoever_was_not() {
        let connections = Connections::new(2, 2, 1);
        let known = connections.admit(address(1)).unwrap();
        known.begin();
        assert!(!known.end(true));
        let stranger = connections.admit(address(2)).unwrap();
        let _third = connections.admit(address(3)).unwrap();
        assert!(!wanted(&known) && wanted(&stranger));
    }

    #[test]
    fn one_address_has_its_share_and_makes_room_for_itself_alone() {
        let connections = Connections::new(100, 2, 1);
        let other = connections.admit(address(2)).unwrap();
        let mapped = "::ffff:10.0.0.1".parse().unwrap();
        let (first, second) = (connections.admit(mapped).unwrap(), connections.admit(address(1)).unwrap());
        let _third = connections.admit(address(1)).unwrap();
        assert!(wanted(&first) && !wanted(&second) && !wanted(&other));
    }

    #[test]
    fn what_is_being_answered_is_not_interrupted() {
        let connections = Connections::new(1, 1, 1);
        let busy = connections.admit(address(1)).unwrap();
        busy.begin();
        assert!(connections.admit(address(2)).is_none() && connections.admit(address(1)).is_none());
        busy.end(false);
        assert!(connections.admit(address(2)).is_some());
    }

    #[test]
    fn a_request_at_the_last_moment_is_answered_and_then_ends_the_connection() {
        let connections = Connections::new(1, 1, 1);
        let leaving = connections.admit(address(1)).unwrap();
        let _new = connections.admit(address(2)).unwrap();
        leaving.begin();
        assert!(!wanted(&leaving));
        assert!(leaving.end(true));
    }

    #[test]
    fn what_is_closed_no_longer_counts() {
        let connections = Connections::new(1, 1, 1);
        drop(connections.admit(address(1)));
        let next = connections.admit(address(1)).unwrap();
        assert!(!wanted(&next));
        connections.send_one_away();
        assert!(wanted(&next));
    }

    #[test]
    fn connections_of_one_address_share_their_room_for_bodies() {
        let connections = Connections::new(9, 9, 7);
        let (one, same) = (connections.admit(address(1)).unwrap(), connections.admit(address(1)).unwrap());
        let other = connections.admit(address(2)).unwrap();
        let _taken = one.share.0.try_acquire_many(7).unwrap();
        assert_eq!((same.share.0.available_permits(), other.share.0.available_permits()), (0, 7));
    }
}

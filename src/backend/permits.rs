//! So many at once of each kind, and no more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Semaphore;

/// Permits by name. Nothing is kept of a name that nobody uses.
#[derive(Debug)]
pub struct Permits {
    at_once: usize,
    known: Mutex<HashMap<String, Weak<Semaphore>>>,
}

impl Permits {
    /// So many at once of each name.
    #[must_use]
    pub fn new(at_once: usize) -> Self {
        Permits { at_once, known: Mutex::default() }
    }

    /// The permits of this name; they are its as long as somebody holds them.
    pub fn of(&self, name: &str) -> Arc<Semaphore> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(permits) = known.get(name).and_then(Weak::upgrade) {
            return permits;
        }
        // Now and then, so that it costs nothing each time.
        if known.len() >= known.capacity() {
            known.retain(|_, permits| permits.strong_count() > 0);
        }
        let permits = Arc::new(Semaphore::new(self.at_once));
        known.insert(name.to_owned(), Arc::downgrade(&permits));
        permits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_its_own_and_nothing_stays_of_those_that_nobody_uses() {
        let permits = Permits::new(1);
        let (one, other) = (permits.of("one"), permits.of("other"));
        let _held = one.try_acquire();
        assert!(permits.of("one").try_acquire().is_err() && other.try_acquire().is_ok());
        for number in 0..10_000 {
            permits.of(&number.to_string());
        }
        assert!(permits.known.lock().is_ok_and(|known| known.len() < 100 && known.contains_key("one")));
    }
}

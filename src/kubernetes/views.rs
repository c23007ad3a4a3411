//! What lives in a place, as others want to see it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What lives in a place, as others want to see it: made anew only when something of it has changed.
#[derive(Debug)]
pub struct Views<A, B>(Mutex<HashMap<String, View<A, B>>>);

/// What was made, and from what.
type View<A, B> = (Arc<[Arc<A>]>, Arc<[Arc<B>]>);

impl<A, B> Default for Views<A, B> {
    fn default() -> Self {
        Views(Mutex::default())
    }
}

impl<A, B> Views<A, B> {
    /// What `make` makes of each of `now`, which is what lives in this place.
    pub fn of(&self, place: &str, now: Arc<[Arc<A>]>, make: impl Fn(&A) -> Arc<B>) -> Arc<[Arc<B>]> {
        if let Some((before, made)) = self.all().get(place)
            && Arc::ptr_eq(before, &now)
        {
            return Arc::clone(made);
        }
        let views: Arc<[_]> = now.iter().map(|one| make(one)).collect();
        self.all().insert(place.to_owned(), (now, Arc::clone(&views)));
        views
    }

    /// Whether somebody has looked at this place.
    #[must_use]
    pub fn was_asked_for(&self, place: &str) -> bool {
        self.all().contains_key(place)
    }

    /// Forgets all of it.
    pub fn clear(&self) {
        self.all().clear();
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, View<A, B>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

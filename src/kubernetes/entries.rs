//! What a cache holds, and what of it lives where.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// All entries of a cache, by key, and by the place where each lives.
#[derive(Debug)]
pub(super) struct Entries<T> {
    pub all: HashMap<Arc<str>, Entry<T>>,
    pub places: HashMap<Arc<str>, Place<T>>,
    place_of: PlaceOf<T>,
}

/// Where an entry lives, by its key and itself.
pub type PlaceOf<T> = for<'a> fn(&'a str, &'a T) -> &'a str;

/// What lives in one place.
#[derive(Debug)]
pub(super) struct Place<T> {
    keys: HashSet<Arc<str>>,
    /// All of it, as long as nothing of it has changed: many ask for the same.
    together: Option<Arc<[Arc<T>]>>,
}

#[derive(Debug)]
pub(super) struct Entry<T> {
    pub version: u64,
    pub value: Arc<T>,
    /// How many lists had begun when this process wrote it itself; 0 for what came in otherwise.
    pub written: u64,
}

impl<T> Entries<T> {
    /// None yet; each will live where this says.
    pub fn placed(place_of: PlaceOf<T>) -> Self {
        Entries { all: HashMap::new(), places: HashMap::new(), place_of }
    }

    /// What lives in a place, where nothing of it has changed since somebody asked.
    pub fn known_together(&self, place: &str) -> Option<Arc<[Arc<T>]>> {
        match self.places.get(place) {
            None => Some(Arc::default()),
            Some(place) => place.together.clone(),
        }
    }

    pub fn insert(&mut self, key: &str, entry: Entry<T>) -> Option<Arc<T>> {
        let before = self.remove(key);
        let key: Arc<str> = key.into();
        let place = (self.place_of)(&key, &entry.value);
        if !self.places.contains_key(place) {
            self.places.insert(place.into(), Place { keys: HashSet::new(), together: None });
        }
        if let Some(place) = self.places.get_mut(place) {
            place.keys.insert(Arc::clone(&key));
            place.together = None;
        }
        self.all.insert(key, entry);
        before
    }

    pub fn remove(&mut self, key: &str) -> Option<Arc<T>> {
        let gone = self.all.remove(key)?;
        let name = (self.place_of)(key, &gone.value);
        if let Some(place) = self.places.get_mut(name) {
            place.keys.remove(key);
            place.together = None;
            if place.keys.is_empty() {
                self.places.remove(name);
            }
        }
        Some(gone.value)
    }

    pub fn clear(&mut self) {
        self.all = HashMap::new();
        self.places = HashMap::new();
    }

    pub fn together(&mut self, place: &str) -> Arc<[Arc<T>]> {
        let Entries { all, places, .. } = self;
        let Some(place) = places.get_mut(place) else { return Arc::default() };
        let values =
            || place.keys.iter().filter_map(|key| all.get(key)).map(|entry| Arc::clone(&entry.value)).collect();
        if place.together.is_none() {
            place.together = Some(values());
        }
        place.together.clone().unwrap_or_default()
    }
}

//! Work on what backends answered: parsing and evaluating, which long answers make long. It runs beside the threads that
//! answer reviews, and no namespace does much of it at once, so that one tenant's backend delays nobody else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

/// So many pieces of work of one namespace run at once.
const AT_ONCE: usize = 2;

/// The work that is under way, by namespace.
#[derive(Debug, Default)]
pub struct Evaluations(Mutex<HashMap<String, Weak<Semaphore>>>);

impl Evaluations {
    /// Does `work` for this namespace once less than [`AT_ONCE`] of its pieces are under way; `None` where that is not
    /// so before `limit`.
    pub async fn run<T>(&self, namespace: &str, limit: Instant, work: impl FnOnce() -> T) -> Option<T> {
        let permits = self.permits(namespace);
        let _permit = timeout_at(limit, permits.acquire()).await.ok()?.ok()?;
        // Only there other threads take over what this one would have done meanwhile.
        match Handle::current().runtime_flavor() {
            RuntimeFlavor::MultiThread => Some(tokio::task::block_in_place(work)),
            _ => Some(work()),
        }
    }

    fn permits(&self, namespace: &str) -> Arc<Semaphore> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(permits) = all.get(namespace).and_then(Weak::upgrade) {
            return permits;
        }
        all.retain(|_, permits| permits.strong_count() > 0);
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        all.insert(namespace.to_owned(), Arc::downgrade(&permits));
        permits
    }
}

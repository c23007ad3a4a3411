//! Work on what backends answered: parsing and evaluating, which long answers make long. It runs beside the threads that
//! answer reviews, and no namespace does much of it at once, so that one tenant's backend delays nobody else.

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::{Instant, timeout_at};

use super::permits::Permits;

/// So many pieces of work of one namespace run at once.
const AT_ONCE: usize = 2;

/// The work that is under way, by namespace.
#[derive(Debug)]
pub struct Evaluations(Permits);

impl Default for Evaluations {
    fn default() -> Self {
        Evaluations(Permits::new(AT_ONCE))
    }
}

impl Evaluations {
    /// Does `work` for this namespace once less than [`AT_ONCE`] of its pieces are under way; `None` where that is not
    /// so before `limit`.
    pub async fn run<T>(&self, namespace: &str, limit: Instant, work: impl FnOnce() -> T) -> Option<T> {
        let permits = self.0.of(namespace);
        let _permit = timeout_at(limit, permits.acquire()).await.ok()?.ok()?;
        // Only there other threads take over what this one would have done meanwhile.
        match Handle::current().runtime_flavor() {
            RuntimeFlavor::MultiThread => Some(tokio::task::block_in_place(work)),
            _ => Some(work()),
        }
    }
}

//! Tasks that have names, so that whoever finds one dead can say which.

use std::any::Any;
use std::collections::HashMap;
use std::future::{Future, pending};
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use tokio::task::{Id, JoinSet};

/// Tasks that belong to something. Those that still run are ended when it is dropped.
#[derive(Debug)]
pub(crate) struct Tasks<T = ()> {
    set: JoinSet<T>,
    names: HashMap<Id, &'static str>,
}

/// A task that is no more, although it must not end, or has ended without what it was to give.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    #[error("the task {0} has ended")]
    Returned(&'static str),
    #[error("the task {0} has panicked: {1}")]
    Panicked(&'static str, String),
}

impl<T: Send + 'static> Tasks<T> {
    pub fn new() -> Self {
        Tasks { set: JoinSet::new(), names: HashMap::new() }
    }

    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = T> + Send + 'static) {
        let id = self.set.spawn(task).id();
        self.names.insert(id, name);
    }

    /// Waits for the next one to end, and gives what it ended with; `None` where there is none.
    pub async fn next_end(&mut self) -> Option<Result<T, Ended>> {
        Some(self.next().await?.1)
    }

    /// Waits until one of those has ended of which none may; for ever, where there are none.
    pub async fn ended(&mut self) -> Ended {
        match self.next().await {
            None => pending().await,
            Some((name, Ok(_))) => Ended::Returned(name),
            Some((_, Err(ended))) => ended,
        }
    }

    /// Ends all of them, and waits until they have.
    pub async fn stop(mut self) {
        self.set.shutdown().await;
    }

    async fn next(&mut self) -> Option<(&'static str, Result<T, Ended>)> {
        let ended = self.set.join_next_with_id().await?;
        let id = ended.as_ref().map_or_else(tokio::task::JoinError::id, |(id, _)| *id);
        let name = self.names.remove(&id).unwrap_or("without a name");
        let result = ended.map(|(_, result)| result).map_err(|error| match error.try_into_panic() {
            Ok(panic) => Ended::Panicked(name, words(&*panic)),
            Err(_) => Ended::Returned(name),
        });
        Some((name, result))
    }
}

/// Does something here, and tells by name where it panics.
///
/// # Errors
/// When it has panicked.
pub(crate) async fn caught<T>(name: &'static str, work: impl Future<Output = T>) -> Result<T, Ended> {
    let worked = AssertUnwindSafe(work).catch_unwind().await;
    worked.map_err(|panic| Ended::Panicked(name, words(&*panic)))
}

/// What was said in a panic.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word").to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_or_panics_is_told_by_its_name() {
        let mut tasks = Tasks::new();
        tasks.spawn("goes on", pending());
        tasks.spawn("nodes", async { panic!("no node {}", 3) });
        assert_eq!(tasks.ended().await.to_string(), "the task nodes has panicked: no node 3");
        tasks.spawn("events", async {});
        assert_eq!(tasks.ended().await.to_string(), "the task events has ended");
    }

    #[tokio::test]
    async fn what_a_task_ends_with_is_given_and_a_panic_told() {
        let mut tasks = Tasks::new();
        tasks.spawn("controller", async { panic!("index {} out of bounds", 7) });
        let ended: Result<u8, Ended> = tasks.next_end().await.unwrap();
        assert_eq!(ended.unwrap_err().to_string(), "the task controller has panicked: index 7 out of bounds");
        tasks.spawn("listener", async { 5 });
        assert_eq!(tasks.next_end().await.unwrap().unwrap(), 5);
        assert!(tasks.next_end().await.is_none());
    }

    #[tokio::test]
    async fn what_panics_here_ends_nothing_else() {
        let caught = caught("controller", async { panic!("lost") }).await;
        assert_eq!(
            caught.map_err(|ended| ended.to_string()),
            Err::<(), _>("the task controller has panicked: lost".to_owned())
        );
    }
}

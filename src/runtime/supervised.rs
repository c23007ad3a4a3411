//! Tasks that are to go on for as long as what they belong to, each with a name.

use std::any::Any;
use std::collections::HashMap;
use std::future::{Future, pending};
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use tokio::task::{Id, JoinSet};

/// Tasks of which none may end. Those that still run are ended when it is dropped.
#[derive(Debug, Default)]
pub struct Supervised {
    tasks: JoinSet<()>,
    names: HashMap<Id, &'static str>,
}

/// A task that has ended, although none may.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// It is done, and nobody knows why.
    #[error("the task {0} has ended")]
    Returned(&'static str),
    /// It has panicked.
    #[error("the task {0} has panicked: {1}")]
    Panicked(&'static str, String),
}

impl Supervised {
    /// No tasks yet.
    #[must_use]
    pub fn new() -> Self {
        Supervised::default()
    }

    /// Begins a task.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let handle = self.tasks.spawn(task);
        self.names.insert(handle.id(), name);
    }

    /// Waits until one of them has ended; for ever, where there are none.
    pub async fn ended(&mut self) -> Ended {
        match self.tasks.join_next_with_id().await {
            None => pending().await,
            Some(Ok((id, ()))) => Ended::Returned(self.name(id)),
            Some(Err(error)) => {
                let name = self.name(error.id());
                match error.try_into_panic() {
                    Ok(panic) => Ended::Panicked(name, said(panic.as_ref())),
                    Err(_) => Ended::Returned(name),
                }
            }
        }
    }

    /// Ends all of them, and waits until they have.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }

    fn name(&self, id: Id) -> &'static str {
        self.names.get(&id).copied().unwrap_or("a task")
    }
}

/// Does something here, and tells by name where it panics.
///
/// # Errors
/// When it has panicked.
pub async fn caught<T>(name: &'static str, work: impl Future<Output = T>) -> Result<T, Ended> {
    let worked = AssertUnwindSafe(work).catch_unwind().await;
    worked.map_err(|panic| Ended::Panicked(name, said(panic.as_ref())))
}

/// What was said in a panic.
fn said(panic: &(dyn Any + Send)) -> String {
    let said = panic.downcast_ref::<&str>().map(|said| (*said).to_owned());
    said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "nothing that can be read".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_or_panics_is_told_by_its_name() {
        let mut tasks = Supervised::new();
        tasks.spawn("goes on", pending());
        tasks.spawn("nodes", async { panic!("no node {}", 3) });
        assert_eq!(tasks.ended().await.to_string(), "the task nodes has panicked: no node 3");
        tasks.spawn("events", async {});
        assert_eq!(tasks.ended().await.to_string(), "the task events has ended");
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

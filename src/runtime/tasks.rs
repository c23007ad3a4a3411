//! Tasks that have names, so that whoever finds one dead can say which.

use std::any::Any;
use std::collections::HashMap;

use tokio::task::{Id, JoinError, JoinSet};

/// Tasks that end with this.
#[derive(Debug)]
pub struct Tasks<T = ()> {
    set: JoinSet<T>,
    names: HashMap<Id, &'static str>,
}

/// A task that is no more.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended<T> {
    /// What it was called.
    pub name: &'static str,
    /// What it ended with, or why it ended with nothing.
    pub result: Result<T, String>,
}

impl<T: Send + 'static> Tasks<T> {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Tasks { set: JoinSet::new(), names: HashMap::new() }
    }

    /// Begins one.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = T> + Send + 'static) {
        let id = self.set.spawn(task).id();
        self.names.insert(id, name);
    }

    /// Waits for the next one to end; `None` where there is none.
    pub async fn next_end(&mut self) -> Option<Ended<T>> {
        let (id, result) = match self.set.join_next_with_id().await? {
            Ok((id, result)) => (id, Ok(result)),
            Err(error) => (error.id(), Err(why(error))),
        };
        Some(Ended { name: self.names.remove(&id).unwrap_or("a task"), result })
    }
}

impl<T: Send + 'static> Default for Tasks<T> {
    fn default() -> Self {
        Tasks::new()
    }
}

impl<T> Ended<T> {
    /// That a task has ended which must not, in one sentence.
    #[must_use]
    pub fn told(&self) -> String {
        match &self.result {
            Ok(_) => format!("{} has ended, and must not", self.name),
            Err(why) => format!("{} has ended: {why}", self.name),
        }
    }
}

fn why(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => format!("it panicked: {}", words(&*panic)),
        Err(error) => error.to_string(),
    }
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[tokio::test]
    async fn a_task_that_has_ended_is_named_and_says_why() {
        let mut tasks = Tasks::new();
        tasks.spawn("the controller", async { panic!("index {} out of bounds", 7) });
        let ended: Ended<()> = tasks.next_end().await.unwrap();
        assert_eq!(ended.told(), "the controller has ended: it panicked: index 7 out of bounds");
        tasks.spawn("the listener", async {});
        assert_eq!(tasks.next_end().await.unwrap().told(), "the listener has ended, and must not");
        assert_eq!(tasks.next_end().await, None);
    }
}

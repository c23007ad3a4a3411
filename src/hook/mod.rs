//! Answers the contract of the plan `http-hook` for an application that can't do so itself, by running commands that the
//! pod's owner wrote: a sidecar, so that Castoff needs no right to run anything anywhere.
//!
//! [`memory`] says what a request changes and what follows from how a command ended, [`command`] runs one, [`kept`] keeps
//! what must outlive the container, and `routes` answers.

pub mod command;
pub mod kept;
pub mod memory;
mod routes;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, MutexGuard, Notify};

use command::{Command, Ended, How};
use kept::{Kept, NotKept};
use memory::{Answer, Due, Memory};

pub use routes::router;

/// What the pod's owner wrote.
#[derive(Clone, Debug)]
pub struct Commands {
    /// Gets the application ready to leave.
    pub prepare: Command,
    /// Says whether it is ready.
    pub status: Option<Command>,
    /// Takes it back.
    pub undo: Option<Command>,
    /// How long `prepare` and `undo` may take.
    pub limit: Duration,
    /// How long `status` may take: less than Castoff waits for an answer.
    pub status_limit: Duration,
}

/// A hook that answers.
#[derive(Debug)]
pub struct Hook {
    commands: Commands,
    kept: Kept,
    memory: Mutex<Memory>,
    /// Whoever holds it runs a command: one at a time.
    turn: Mutex<()>,
    /// Told when what is being prepared is not wanted any more.
    given_up: Notify,
}

impl Hook {
    /// Goes on where the container before this one was.
    ///
    /// # Errors
    /// When what that one kept can't be read.
    pub fn new(commands: Commands, kept: Kept) -> Result<Arc<Hook>, NotKept> {
        let memory = Memory::new(kept.read()?);
        let given_up = Notify::new();
        Ok(Arc::new(Hook { commands, kept, memory: Mutex::new(memory), turn: Mutex::new(()), given_up }))
    }

    /// How things stand. Asks the application where it may be ready.
    pub async fn look(self: &Arc<Self>) -> Answer {
        let mut memory = self.memory.lock().await;
        match memory.due(Instant::now(), self.commands.status.is_some()) {
            Due::Nothing => {}
            Due::Prepare => self.begin_to_prepare(&mut memory),
            Due::Status => {
                drop(memory);
                memory = self.ask_for_status().await;
            }
        }
        memory.answer(self.commands.status.is_some())
    }

    /// The pod is to leave.
    ///
    /// # Errors
    /// When that can't be kept: then nothing is begun.
    pub async fn prepare(self: &Arc<Self>, removal: bool) -> Result<Answer, NotKept> {
        let mut memory = self.memory.lock().await;
        let mut next = memory.clone();
        if next.wanted(removal) {
            self.keep(&mut memory, next)?;
            self.begin_to_prepare(&mut memory);
        }
        Ok(memory.answer(self.commands.status.is_some()))
    }

    /// The pod is to stay. Gives the former trouble where one is left of the last time that this was asked.
    ///
    /// # Errors
    /// When that can't be kept, or the command failed the last time; it is begun again all the same.
    pub async fn undo(self: &Arc<Self>) -> Result<Answer, NotUndone> {
        let mut memory = self.memory.lock().await;
        let failed = memory.undo_failed();
        let mut next = memory.clone();
        if next.unwanted(self.commands.undo.is_some()) {
            self.keep(&mut memory, next).map_err(NotUndone::NotKept)?;
            self.given_up.notify_waiters();
        }
        if memory.begins_to_undo() {
            let hook = Arc::clone(self);
            tokio::spawn(async move { hook.carry_out_undo().await });
        }
        failed.map_or_else(|| Ok(memory.answer(self.commands.status.is_some())), |why| Err(NotUndone::Failed(why)))
    }

    fn keep(&self, memory: &mut Memory, next: Memory) -> Result<(), NotKept> {
        self.kept.write(&next.kept)?;
        *memory = next;
        Ok(())
    }

    fn begin_to_prepare(self: &Arc<Self>, memory: &mut Memory) {
        let (hook, cycle, removal) = (Arc::clone(self), memory.begin(), memory.kept.removal);
        tokio::spawn(async move { hook.carry_out_prepare(cycle, removal).await });
    }

    async fn carry_out_prepare(&self, cycle: u64, removal: bool) {
        let _turn = self.turn.lock().await;
        let given_up = self.given_up.notified();
        tokio::pin!(given_up);
        given_up.as_mut().enable();
        if self.memory.lock().await.is_given_up(cycle) {
            return;
        }
        let ended = self.commands.prepare.run(removal, self.commands.limit, given_up).await;
        self.note(&ended, |memory| memory.prepared(cycle, &ended, Instant::now())).await;
    }

    async fn carry_out_undo(&self) {
        let _turn = self.turn.lock().await;
        let Some(undo) = &self.commands.undo else { return };
        let removal = self.memory.lock().await.kept.removal;
        let ended = undo.run(removal, self.commands.limit, std::future::pending()).await;
        self.note(&ended, |memory| memory.undone(&ended)).await;
    }

    async fn ask_for_status(&self) -> MutexGuard<'_, Memory> {
        let _turn = self.turn.lock().await;
        let memory = self.memory.lock().await;
        // Where it waited for another command, that has changed what is due.
        let (Due::Status, Some(status)) = (memory.due(Instant::now(), true), &self.commands.status) else {
            return memory;
        };
        let removal = memory.kept.removal;
        drop(memory);
        let ended = status.run(removal, self.commands.status_limit, std::future::pending()).await;
        self.note(&ended, |memory| memory.told(&ended)).await;
        self.memory.lock().await
    }

    /// Takes in how a command ended. What can't be kept is told, and repeated after the container's next start: all that
    /// is lost is that it had ended.
    async fn note(&self, ended: &Ended, change: impl FnOnce(&mut Memory)) {
        if !matches!(ended.how, How::Code(0)) {
            tracing::warn!(command = %ended.command, how = %ended.how, "{}", ended.last_line);
        }
        let mut memory = self.memory.lock().await;
        let before = memory.kept.clone();
        change(&mut memory);
        if memory.kept != before
            && let Err(error) = self.kept.write(&memory.kept)
        {
            tracing::error!(%error, "it is carried out again if this container starts anew");
        }
    }
}

/// Why the pod is not as it was before.
#[derive(Debug, thiserror::Error)]
pub enum NotUndone {
    /// That it is wanted could not be written down.
    #[error(transparent)]
    NotKept(NotKept),
    /// The command failed the last time.
    #[error("{0}")]
    Failed(String),
}

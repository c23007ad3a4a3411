//! The end: begun by the first signal, closed after a while, and at once on the second signal.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// Not at all.
    Serving,
    /// Readiness fails; requests are still answered.
    Begun,
    /// No new connections; what is in flight is answered.
    Closing,
    /// Everything ends now.
    AtOnce,
}

/// Tells everybody how far the end has come.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Sender<Stage>);

impl Shutdown {
    /// A shutdown that somebody begins by calling [`Self::begin`].
    #[must_use]
    pub fn new() -> Self {
        Shutdown(watch::Sender::new(Stage::Serving))
    }

    /// A shutdown that SIGTERM or SIGINT begins, and a second one of them ends at once.
    ///
    /// # Errors
    /// When the signals can't be listened to.
    pub fn on_signals() -> io::Result<Self> {
        let shutdown = Shutdown::new();
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let told = shutdown.clone();
        // Lives as long as the process, and does nothing but wait.
        tokio::spawn(async move {
            either(&mut terminate, &mut interrupt).await;
            told.begin();
            either(&mut terminate, &mut interrupt).await;
            told.end_at_once();
        });
        Ok(shutdown)
    }

    /// Begins the end.
    pub fn begin(&self) {
        self.advance(Stage::Begun);
    }

    /// Closes the listeners.
    pub(crate) fn close(&self) {
        self.advance(Stage::Closing);
    }

    /// Ends at once.
    pub fn end_at_once(&self) {
        self.advance(Stage::AtOnce);
    }

    /// Whether the end has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        *self.0.borrow() >= Stage::Begun
    }

    /// Waits for the end to begin.
    pub async fn begun(&self) {
        self.reached(Stage::Begun).await;
    }

    /// Waits for the listeners to close.
    pub(crate) async fn closing(&self) {
        self.reached(Stage::Closing).await;
    }

    /// Waits for the order to end at once.
    pub(crate) async fn at_once(&self) {
        self.reached(Stage::AtOnce).await;
    }

    fn advance(&self, stage: Stage) {
        self.0.send_if_modified(|now| {
            let later = stage > *now;
            if later {
                *now = stage;
            }
            later
        });
    }

    async fn reached(&self, stage: Stage) {
        // The sender is `self`: it can't be gone.
        let _ = self.0.subscribe().wait_for(|now| *now >= stage).await;
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Shutdown::new()
    }
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

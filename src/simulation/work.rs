//! An application with work in flight that gets itself ready when it is asked to, and a client that counts what failed.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// A kubelet has asked whether the pod is Ready, and every proxy has heard of it, in less.
const QUIET: Duration = Duration::from_secs(2);

/// What an application works on.
#[derive(Debug)]
pub struct Work {
    quiet: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    preparing: bool,
    inflight: u64,
    last: Instant,
}

impl Default for Work {
    fn default() -> Self {
        Work::believing_after(QUIET)
    }
}

/// A piece of work, until it is dropped.
#[derive(Debug)]
pub struct Begun<'a>(&'a Work);

impl Work {
    /// One that believes, after so long without new work, that nobody sends it any more.
    #[must_use]
    pub fn believing_after(quiet: Duration) -> Self {
        Work { quiet, state: Mutex::new(State { preparing: false, inflight: 0, last: Instant::now() }) }
    }

    /// Begins a piece.
    pub fn begin(&self) -> Begun<'_> {
        self.with(|state| {
            state.inflight += 1;
            state.last = Instant::now();
        });
        Begun(self)
    }

    /// Takes no new work, if it can be helped: what comes is done all the same.
    pub fn prepare(&self) {
        self.with(|state| {
            if !state.preparing {
                state.preparing = true;
                state.last = Instant::now();
            }
        });
    }

    /// Goes on as before.
    pub fn go_on(&self) {
        self.with(|state| state.preparing = false);
    }

    /// Whether new work is welcome.
    #[must_use]
    pub fn takes_new(&self) -> bool {
        self.with(|state| !state.preparing)
    }

    /// What `http-hook` reads.
    #[must_use]
    pub fn answer(&self) -> Value {
        self.with(|state| {
            let word = match state {
                State { preparing: false, .. } => "Idle",
                State { inflight: 0, last, .. } if last.elapsed() >= self.quiet => "Prepared",
                _ => "Preparing",
            };
            json!({"state": word, "inflight": state.inflight})
        })
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.0.with(|state| state.inflight -= 1);
    }
}

/// Sends the same request again and again.
#[derive(Debug)]
pub struct Client {
    server: SocketAddr,
    request: String,
    sent: AtomicU64,
    answered: AtomicU64,
    failures: Mutex<Vec<String>>,
}

/// An answer that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(30);

impl Client {
    /// A client that asks for this path.
    #[must_use]
    pub fn new(server: SocketAddr, path: &str) -> Arc<Self> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
        let (sent, answered, failures) = Default::default();
        Arc::new(Client { server, request, sent, answered, failures })
    }

    /// Sends for ever, without waiting for answers.
    pub async fn send(self: Arc<Self>, every: Duration) {
        let mut turn = interval(every);
        turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turn.tick().await;
            self.sent.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(Arc::clone(&self).once());
        }
    }

    async fn once(self: Arc<Self>) {
        let failure = match timeout(PATIENCE, self.ask()).await {
            Ok(Ok(answer)) if answer.starts_with("HTTP/1.1 200 ") => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Ok(Ok(answer)) => format!("answered: {answer:?}"),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {PATIENCE:?}"),
        };
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).push(failure);
    }

    /// By hand, so that every request has a connection of its own and none is sent twice.
    async fn ask(&self) -> io::Result<String> {
        let mut connection = TcpStream::connect(self.server).await?;
        connection.write_all(self.request.as_bytes()).await?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    /// How many were sent, answered, and failed, with what was said of the last ten failures.
    #[must_use]
    pub fn figures(&self) -> Value {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let last = &failures[failures.len().saturating_sub(10)..];
        json!({
            "sent": self.sent.load(Ordering::Relaxed),
            "answered": self.answered.load(Ordering::Relaxed),
            "failed": failures.len(),
            "failures": last,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_prepared_once_nothing_is_in_flight() {
        let work = Work::believing_after(Duration::ZERO);
        assert_eq!(work.answer(), json!({"state": "Idle", "inflight": 0}));
        let begun = work.begin();
        work.prepare();
        assert!(!work.takes_new());
        assert_eq!(work.answer(), json!({"state": "Preparing", "inflight": 1}));
        drop(begun);
        assert_eq!(work.answer()["state"], "Prepared");
        work.go_on();
        assert_eq!((work.answer()["state"].as_str(), work.takes_new()), (Some("Idle"), true));
    }

    #[test]
    fn is_not_prepared_while_somebody_still_sends() {
        let work = Work::believing_after(Duration::from_hours(1));
        work.prepare();
        drop(work.begin());
        assert_eq!(work.answer(), json!({"state": "Preparing", "inflight": 0}));
    }
}

//! A PD (TiKV's placement driver) that answers as the real one does, v8.5.7, with stores whose leaders move.
//!
//! [`state`] is what PD knows, moved by time that is given to it; `answers` are its routes; here are the sockets.
//! What it answers is held against recordings of a real PD by a test. It differs from the real one where a drain does
//! not look: stores are simulated with their leader counts alone, and a store whose process ended is Disconnected at
//! once, not after 20 s.

mod answers;
pub mod state;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State as Shared};
use axum::response::Response;
use http::header::CONTENT_TYPE;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use answers::{Answer, Kind};
pub use state::{State, Store, StoreState};

/// What a PD begins with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Id, address and leaders of each store.
    pub stores: Vec<(u64, String, u64)>,
    /// How many leaders leave a store each second, once it is evicted.
    pub leaders_per_second: u64,
    /// Time, where a test drives it; the real one otherwise.
    pub clock: Option<ManualClock>,
}

impl Config {
    /// These stores, and 40 leaders a second.
    #[must_use]
    pub fn with_stores(stores: Vec<(u64, String, u64)>) -> Self {
        Config { stores, leaders_per_second: 40, clock: None }
    }
}

/// Time that somebody else drives.
#[derive(Clone, Debug, Default)]
pub struct ManualClock(Arc<Mutex<Duration>>);

impl ManualClock {
    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }

    fn now(&self) -> Duration {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A fault of the process or the network; faults of the cluster are in [`State`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Connections are closed without an answer.
    Refuse,
    /// Requests get no answer.
    Hang,
    /// Every request is answered 500.
    Status500,
    /// Every request is answered 200 and something that is no JSON.
    Garbage,
    /// Every answer takes so long.
    Slow(Duration),
    /// Leaders stay where they are.
    StuckLeaders,
}

/// A request that came in, with the status that it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedRequest {
    /// Its method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Its body.
    pub body: String,
    /// The answer's status; 0 where there was none.
    pub code: u16,
}

/// A PD that listens on a loopback port, for as long as this value lives.
#[derive(Debug)]
pub struct SimulatedPd {
    inner: Arc<Inner>,
    address: SocketAddr,
    serving: JoinHandle<()>,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    clock: Clock,
    fault: watch::Sender<Option<Fault>>,
    log: Mutex<Vec<LoggedRequest>>,
}

#[derive(Debug)]
enum Clock {
    Real(Instant),
    Manual(ManualClock),
}

impl SimulatedPd {
    /// Begins to listen on a free loopback port.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start(config: Config) -> io::Result<Self> {
        Self::start_at(([127, 0, 0, 1], 0).into(), config).await
    }

    /// Begins to listen at this address.
    ///
    /// # Errors
    /// When it can't be listened at.
    pub async fn start_at(listen: SocketAddr, config: Config) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let inner = Arc::new(Inner {
            state: Mutex::new(State::new(config.stores, config.leaders_per_second)),
            clock: config.clock.map_or_else(|| Clock::Real(Instant::now()), Clock::Manual),
            fault: watch::Sender::new(None),
            log: Mutex::default(),
        });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&inner));
        let serving = tokio::spawn(async move {
            // Ends only with the task.
            let _ = axum::serve(listener, router).await;
        });
        Ok(SimulatedPd { inner, address, serving })
    }

    /// Where it answers.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many leaders are on a store, as TiKV knows it.
    #[must_use]
    pub fn leaders(&self, store: u64) -> u64 {
        self.with_state(|state| state.leaders(store))
    }

    /// How many leaders were on a store when its process ended, over all that have.
    #[must_use]
    pub fn leaders_lost(&self) -> u64 {
        self.with_state(|state| state.leaders_lost())
    }

    /// The stores with an evict-leader entry that is stored, also while PD hides it.
    #[must_use]
    pub fn evict_entries(&self) -> Vec<u64> {
        self.with_state(|state| state.stored_entries())
    }

    /// A store's process ends.
    pub fn pod_ended(&self, store: u64) {
        self.with_state(|state| state.end_store(store));
    }

    /// A store's process begins.
    pub fn pod_started(&self, store: u64, address: &str) {
        self.with_state(|state| state.start_store(store, address));
    }

    /// PD's process is killed and begins anew: for `window` it answers as if nothing were stored.
    pub fn restart(&self, window: Duration) {
        self.with_state(|state| state.restart(window));
    }

    /// Makes everything from now on go wrong in this way; `None` ends it.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.with_state(|state| state.stuck = fault == Some(Fault::StuckLeaders));
        self.inner.fault.send_replace(fault);
    }

    /// What came in so far.
    #[must_use]
    pub fn requests(&self) -> Vec<LoggedRequest> {
        lock(&self.inner.log).clone()
    }

    /// Looks at or changes what PD knows, at the present time.
    pub fn with_state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        self.inner.with_state(look)
    }
}

impl Drop for SimulatedPd {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Inner {
    fn with_state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        let now = match &self.clock {
            Clock::Real(began) => began.elapsed(),
            Clock::Manual(clock) => clock.now(),
        };
        let mut state = lock(&self.state);
        state.advance(now);
        look(&mut state)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The longest body that is read.
const BODY_LIMIT: usize = 64 * 1024;

async fn answer(Shared(inner): Shared<Arc<Inner>>, request: Request) -> Response {
    let method = request.method().as_str().to_owned();
    let path = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
    let body = to_bytes(request.into_body(), BODY_LIMIT).await.unwrap_or_default();
    let body = String::from_utf8_lossy(&body).into_owned();
    let fault = *inner.fault.borrow();
    let answer = match fault {
        Some(Fault::Refuse) => None,
        Some(Fault::Hang) => {
            // Until somebody ends the fault; then it is too late for an answer.
            let _ = inner.fault.subscribe().wait_for(|fault| *fault != Some(Fault::Hang)).await;
            None
        }
        Some(Fault::Status500) => Some(Answer::text(500, "internal error\n")),
        Some(Fault::Garbage) => Some(Answer::text(200, "<html>not what you asked for</html>")),
        Some(Fault::Slow(wait)) => {
            tokio::time::sleep(wait).await;
            Some(inner.with_state(|state| answers::answer(state, &method, &path, &body)))
        }
        Some(Fault::StuckLeaders) | None => {
            Some(inner.with_state(|state| answers::answer(state, &method, &path, &body)))
        }
    };
    let code = answer.as_ref().map_or(0, |answer| answer.code);
    lock(&inner.log).push(LoggedRequest { method, path, body, code });
    answer.map_or_else(cut_off, to_response)
}

fn to_response(answer: Answer) -> Response {
    let kind = match answer.kind {
        Kind::Json => "application/json; charset=UTF-8",
        Kind::Text => "text/plain; charset=utf-8",
    };
    let response = Response::builder().status(answer.code).header(CONTENT_TYPE, kind);
    response.body(Body::from(answer.body)).unwrap_or_default()
}

/// An answer that breaks off: the caller sees the connection closed.
#[must_use]
pub fn cut_off() -> Response {
    let broken = futures_util::stream::once(async { Err::<bytes::Bytes, _>(io::Error::other("cut off")) });
    let response = Response::builder().header(http::header::CONTENT_LENGTH, 1);
    response.body(Body::from_stream(broken)).unwrap_or_default()
}

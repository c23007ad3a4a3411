//! Takes connections and gives each to a task of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_rustls::TlsAcceptor;

use super::Limits;
use super::connection;
use super::connections::{Connections, Place};
use super::metrics::Metrics;
use crate::runtime::liveness::Pulse;
use crate::runtime::shutdown::Shutdown;

/// After the listener has closed: how long what is in flight may take. No call of a webhook takes longer.
const LAST_ANSWERS: Duration = Duration::from_secs(30);

/// After an error of `accept`, as when the process has no file descriptors left.
const BREATH: Duration = Duration::from_millis(50);

/// How often callers that are refused are told of.
const TOLD_EVERY: Duration = Duration::from_mins(1);

/// How often a listener shows that it turns.
const BEAT: Duration = Duration::from_secs(5);

/// A port that was taken, and what may come in through it.
pub(super) struct Listener {
    /// Does not block.
    pub socket: std::net::TcpListener,
    pub connections: Arc<Connections>,
    pub limits: Limits,
    pub pulse: Pulse,
    pub shutdown: Shutdown,
}

impl Listener {
    /// Serves over TLS.
    pub async fn serve_tls(self, acceptor: TlsAcceptor, router: Router, metrics: Metrics) -> io::Result<()> {
        let (limits, shutdown) = (self.limits, self.shutdown.clone());
        let strangers = Arc::new(Strangers::default());
        self.take_connections(move |stream, place| {
            let (acceptor, router, strangers) = (acceptor.clone(), router.clone(), Arc::clone(&strangers));
            let (metrics, shutdown) = (metrics.clone(), shutdown.clone());
            async move {
                let _open = metrics.connection();
                let first_by = Instant::now() + limits.first_request;
                match tokio::time::timeout_at(first_by, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => connection::serve(stream, router, &place, limits, first_by, &shutdown).await,
                    Ok(Err(error)) => {
                        metrics.handshake_failed();
                        strangers.note(&error);
                    }
                    Err(_) => metrics.handshake_failed(),
                }
            }
        })
        .await
    }

    /// Serves without TLS, on a thread of its own: whatever keeps the others busy, who asks here is answered.
    pub async fn serve_apart(self, router: Router) -> io::Result<()> {
        let (mut tell, told) = oneshot::channel();
        let thread = std::thread::Builder::new().name("admin".to_owned());
        thread.spawn(move || {
            let served = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(async {
                    tokio::select! {
                        served = self.serve_plain(router) => Some(served),
                        () = tell.closed() => None,
                    }
                }),
                Err(error) => Some(Err(error)),
            };
            served.map(|served| tell.send(served))
        })?;
        told.await.map_err(io::Error::other)?
    }

    /// Serves without TLS.
    pub async fn serve_plain(self, router: Router) -> io::Result<()> {
        let (limits, shutdown) = (self.limits, self.shutdown.clone());
        self.take_connections(move |stream, place| {
            let (router, shutdown) = (router.clone(), shutdown.clone());
            let first_by = Instant::now() + limits.first_request;
            async move { connection::serve(stream, router, &place, limits, first_by, &shutdown).await }
        })
        .await
    }

    /// Takes connections until the shutdown closes the listener; then waits for those that are open.
    async fn take_connections<F>(self, serve: impl Fn(TcpStream, Arc<Place>) -> F) -> io::Result<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut open = JoinSet::new();
        let socket = TcpListener::from_std(self.socket.try_clone()?)?;
        loop {
            tokio::select! {
                () = self.shutdown.closing() => break,
                _ = beat.tick() => self.pulse.beat(),
                Some(ended) = open.join_next() => note_end(ended),
                accepted = socket.accept() => match accepted {
                    Ok(accepted) => self.take(accepted, &serve, &mut open),
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be taken");
                        self.connections.send_one_away();
                        tokio::time::sleep(BREATH).await;
                    }
                },
            }
        }
        self.pulse.rest();
        drop((socket, self.socket));
        wait_for(open, &self.shutdown).await;
        Ok(())
    }

    fn take<F>(
        &self,
        (stream, peer): (TcpStream, SocketAddr),
        serve: &impl Fn(TcpStream, Arc<Place>) -> F,
        open: &mut JoinSet<()>,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let Some(place) = self.connections.admit(peer.ip()).map(Arc::new) else {
            tracing::debug!(%peer, "a connection is refused: all others are being answered");
            return;
        };
        // Without it an answer waits for the acknowledgement of what went before it.
        let _ = stream.set_nodelay(true);
        let serving = serve(stream, Arc::clone(&place));
        open.spawn(async move {
            tokio::select! {
                () = serving => {}
                () = place.wanted() => tracing::debug!(%peer, "an idle connection makes room for another"),
            }
        });
    }
}

/// Tells of callers without a fitting certificate, which may be an API server whose configuration is wrong; once a minute,
/// since whoever else it is may try as often as it likes.
#[derive(Default)]
struct Strangers(Mutex<Option<Instant>>);

impl Strangers {
    fn note(&self, error: &io::Error) {
        let reason = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let of_caller =
            matches!(reason, Some(rustls::Error::NoCertificatesPresented | rustls::Error::InvalidCertificate(_)));
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if of_caller && told.is_none_or(|told| told.elapsed() > TOLD_EVERY) {
            *told = Some(Instant::now());
            tracing::warn!(%error, "a caller is refused: it shows no certificate that --client-ca and --client-name allow");
        } else {
            tracing::debug!(%error, "a handshake failed");
        }
    }
}

/// Waits for connections to end, a while, or until everything ends at once.
async fn wait_for(mut open: JoinSet<()>, shutdown: &Shutdown) {
    let finish = async {
        while let Some(ended) = open.join_next().await {
            note_end(ended);
        }
    };
    tokio::select! {
        () = finish => {}
        () = tokio::time::sleep(LAST_ANSWERS) => tracing::warn!("some connections did not end in time"),
        () = shutdown.at_once() => {}
    }
}

fn note_end(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task ended abnormally");
    }
}

//! Sockets: TLS, deadlines, the admission route, the admin routes, and a graceful end.
//!
//! `listener` takes connections, `routes` answers requests on them, and asks a [`Gate`] what to say.

mod admin;
mod listener;
pub mod metrics;
mod paths;
mod routes;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::admission::Malformed;
use crate::runtime::shutdown::Shutdown;
use crate::runtime::{Liveness, Readiness};
use crate::trust::Certificates;

use listener::Limits;
use metrics::Metrics;

pub use paths::WebhookPaths;

/// Answers AdmissionReviews.
#[async_trait]
pub trait Gate: Send + Sync + 'static {
    /// The answer to the review in `body`, as JSON; always there by `deadline`.
    ///
    /// # Errors
    /// When the body is no review; the caller gets status 400 with the message.
    async fn answer(&self, body: Bytes, deadline: Instant) -> Result<Bytes, Malformed>;
}

/// Where and how to serve.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to answer AdmissionReviews, over TLS.
    pub listen: SocketAddr,
    /// Where to answer health checks and metrics, without TLS.
    pub admin_listen: SocketAddr,
    /// What to serve with.
    pub certificates: Certificates,
    /// At which paths AdmissionReviews are answered.
    pub paths: WebhookPaths,
    /// How long to go on serving after the first signal.
    pub shutdown_delay: Duration,
    /// How long a connection may take for its handshake.
    pub handshake_timeout: Duration,
    /// How long a request's head may take; an idle connection is kept as long.
    pub head_timeout: Duration,
    /// How long a request's body may take.
    pub body_timeout: Duration,
    /// How many connections may be open at once; further ones wait.
    pub connections: usize,
}

impl Config {
    /// The usual configuration, on the usual addresses.
    #[must_use]
    pub fn new(certificates: Certificates) -> Self {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 8443)),
            admin_listen: SocketAddr::from(([127, 0, 0, 1], 8081)),
            certificates,
            paths: WebhookPaths::fixed("/validate"),
            shutdown_delay: Duration::from_secs(5),
            handshake_timeout: Duration::from_secs(10),
            // The API server keeps idle connections for 90 s.
            head_timeout: Duration::from_secs(100),
            body_timeout: Duration::from_secs(10),
            connections: 2048,
        }
    }
}

/// A server that has its ports.
pub struct Server {
    config: Config,
    listener: TcpListener,
    admin_listener: TcpListener,
    address: SocketAddr,
    admin_address: SocketAddr,
}

impl Server {
    /// Takes the ports.
    ///
    /// # Errors
    /// When one of them can't be had; the error names it.
    pub async fn bind(config: Config) -> io::Result<Self> {
        let listener = bind(config.listen).await?;
        let admin_listener = bind(config.admin_listen).await?;
        let (address, admin_address) = (listener.local_addr()?, admin_listener.local_addr()?);
        Ok(Server { config, listener, admin_listener, address, admin_address })
    }

    /// Where AdmissionReviews are answered.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Where health checks and metrics are answered.
    #[must_use]
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_address
    }

    /// Serves until `shutdown` begins and what is in flight has been answered.
    ///
    /// # Errors
    /// When a listener can't go on, or the metrics can't be registered.
    pub async fn run(
        self,
        gate: Arc<dyn Gate>,
        readiness: Readiness,
        liveness: Liveness,
        registry: Registry,
        shutdown: Shutdown,
    ) -> io::Result<()> {
        let metrics = Metrics::register(&registry).map_err(io::Error::other)?;
        let stopping = readiness.register("shutdown", "stopping");
        stopping.ready();
        let webhook = listener::serve_tls(
            self.listener,
            self.config.certificates.acceptor().map_err(io::Error::other)?,
            routes::router(
                gate,
                self.config.paths.clone(),
                metrics.clone(),
                self.config.body_timeout,
                shutdown.clone(),
            ),
            Limits::of(&self.config),
            metrics,
            shutdown.clone(),
        );
        let admin = listener::serve_plain(
            self.admin_listener,
            admin::router(readiness, liveness, registry),
            Limits { connections: 64, ..Limits::of(&self.config) },
            shutdown.clone(),
        );
        let mut tasks = JoinSet::new();
        tasks.spawn(webhook);
        tasks.spawn(admin);
        let delay = self.config.shutdown_delay;
        let signals = shutdown.clone();
        tasks.spawn(async move {
            signals.begun().await;
            tracing::info!(?delay, "stopping: goes on serving for a while, then ends");
            stopping.not_ready("stopping");
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = signals.at_once() => tracing::warn!("ends at once"),
            }
            signals.close();
            Ok(())
        });
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(io::Error::other)??;
        }
        Ok(())
    }
}

async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("{address} can't be listened on: {error}")))
}

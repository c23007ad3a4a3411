//! Sockets: TLS, deadlines, the admission route, the admin routes, and a graceful end.
//!
//! `listener` takes connections as far as `connections` lets them in, `connection` speaks HTTP on each, `routes` answers
//! its requests, of which `bodies` reads what comes after the head, and asks a [`Gate`] what to say.

mod admin;
mod bind;
mod bodies;
mod connection;
mod connections;
mod listener;
pub(crate) mod metrics;
mod paths;
mod routes;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use bytes::Bytes;
use prometheus::Registry;
use tokio::time::Instant;

use crate::admission::Malformed;
use crate::runtime::shutdown::Shutdown;
use crate::runtime::tasks::Tasks;
use crate::runtime::{Liveness, Readiness};
use crate::trust::{Certificates, Clients};

use bind::bind;
use bodies::Bodies;
use connections::Connections;
use listener::Listener;
use metrics::Metrics;

pub use paths::WebhookPaths;
pub(crate) use paths::same;

/// For how long a listener may show no sign of life.
const SILENCE: Duration = Duration::from_secs(30);

/// What a port for health checks may take, or for few callers.
const FEW: Limits = Limits {
    connections: 128,
    of_one_address: 32,
    // Less than a probe has.
    first_request: Duration::from_secs(2),
    idle: None,
};

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
    /// Who may send AdmissionReviews; `None` for whoever knows a path.
    pub clients: Option<Clients>,
    /// At which paths AdmissionReviews are answered.
    pub paths: WebhookPaths,
    /// How long to go on serving after the first signal.
    pub shutdown_delay: Duration,
    /// What connections for AdmissionReviews may take.
    pub webhook: Limits,
    /// What connections for health checks and metrics may take.
    pub admin: Limits,
    /// How long a request's body may take.
    pub body_timeout: Duration,
    /// How many bytes all bodies together may take, a quarter of them those of short ones; further ones wait.
    pub bytes: usize,
    /// How many of them the bodies from one address may take: no less than the longest body.
    pub bytes_of_one_address: usize,
}

/// What the connections of a listener may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many may be open at once. One more takes the place of one that is idle.
    pub connections: usize,
    /// How many of them may come from one address.
    pub of_one_address: usize,
    /// How long the first request may take to come, handshake included.
    pub first_request: Duration,
    /// How long a connection is kept for the next request; `None` for not at all.
    pub idle: Option<Duration>,
}

impl Config {
    /// The usual configuration, on the usual addresses.
    #[must_use]
    pub fn new(certificates: Certificates) -> Self {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 8443)),
            admin_listen: SocketAddr::from(([127, 0, 0, 1], 8081)),
            certificates,
            clients: None,
            paths: WebhookPaths::fixed("/validate"),
            shutdown_delay: Duration::from_secs(5),
            webhook: Limits {
                connections: 2048,
                // An API server asks for no more than it has requests under way, 200 of those that change something; and
                // several may come from one address where they come through a proxy.
                of_one_address: 512,
                first_request: Duration::from_secs(5),
                // The API server keeps idle connections for 90 s.
                idle: Some(Duration::from_secs(100)),
            },
            admin: FEW,
            body_timeout: Duration::from_secs(10),
            bytes: 64 * 1024 * 1024,
            bytes_of_one_address: 16 * 1024 * 1024,
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
    #[allow(clippy::unused_async)] // What takes a port may come to wait.
    pub async fn bind(config: Config) -> io::Result<Self> {
        let listener = bind(config.listen)?;
        let admin_listener = bind(config.admin_listen)?;
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
        let config = self.config;
        let bodies = Bodies::new(config.bytes, config.body_timeout);
        let routes = routes::router(gate, config.paths, metrics.clone(), bodies, shutdown.clone());
        let acceptor = config.certificates.acceptor(config.clients).map_err(io::Error::other)?;
        let listen = |socket, limits: Limits, pulse| Listener {
            socket,
            connections: Connections::new(limits.connections, limits.of_one_address, config.bytes_of_one_address),
            limits,
            pulse,
            shutdown: shutdown.clone(),
        };
        let webhook = listen(self.listener, config.webhook, liveness.register("webhook", SILENCE));
        let admin = listen(self.admin_listener, config.admin, liveness.register("admin", SILENCE));
        let webhook = webhook.serve_tls(acceptor, routes, metrics);
        let admin = admin.serve_apart(admin::router(readiness, liveness, registry));
        let mut tasks = Tasks::new();
        tasks.spawn("webhook listener", webhook);
        tasks.spawn("admin listener", admin);
        let delay = config.shutdown_delay;
        let signals = shutdown.clone();
        tasks.spawn("shutdown", async move {
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
        while let Some(ended) = tasks.next_end().await {
            ended.map_err(io::Error::other)??;
        }
        Ok(())
    }
}

/// Serves without TLS until `shutdown` begins, for few callers.
///
/// # Errors
/// When the address can't be had, or the listener can't go on.
pub async fn serve_plain(address: SocketAddr, router: Router, shutdown: Shutdown) -> io::Result<()> {
    let listener = Listener {
        socket: bind(address)?,
        connections: Connections::new(FEW.connections, FEW.of_one_address, 0),
        limits: FEW,
        pulse: Liveness::new().register("listener", SILENCE),
        shutdown: shutdown.clone(),
    };
    tokio::select! {
        served = listener.serve_plain(router) => served,
        () = async { shutdown.begun().await; shutdown.close(); std::future::pending().await } => Ok(()),
    }
}

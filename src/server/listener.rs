//! Takes connections and serves HTTP/1.1 on them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::Config;
use super::metrics::Metrics;
use crate::runtime::shutdown::Shutdown;

/// After the listener has closed: how long what is in flight may take. No call of a webhook takes longer.
const LAST_ANSWERS: Duration = Duration::from_secs(30);

/// After an error of `accept`, as when the process has no file descriptors left.
const BREATH: Duration = Duration::from_millis(50);

/// The longest head of a request.
const HEAD_LIMIT: usize = 32 * 1024;

/// What a connection may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub connections: usize,
    pub handshake_timeout: Duration,
    pub head_timeout: Duration,
}

impl Limits {
    pub fn of(config: &Config) -> Self {
        Limits {
            connections: config.connections,
            handshake_timeout: config.handshake_timeout,
            head_timeout: config.head_timeout,
        }
    }
}

/// Serves over TLS.
pub(super) async fn serve_tls(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    router: Router,
    limits: Limits,
    metrics: Metrics,
    shutdown: Shutdown,
) -> io::Result<()> {
    let stop = shutdown.clone();
    take_connections(listener, limits, shutdown, move |stream| {
        let (acceptor, router, metrics, shutdown) = (acceptor.clone(), router.clone(), metrics.clone(), stop.clone());
        async move {
            let _open = metrics.connection();
            match tokio::time::timeout(limits.handshake_timeout, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => serve_http(stream, router, limits, &shutdown).await,
                Ok(Err(error)) => {
                    metrics.handshake_failed();
                    tracing::debug!(%error, "a handshake failed");
                }
                Err(_) => metrics.handshake_failed(),
            }
        }
    })
    .await
}

/// Serves without TLS.
pub(super) async fn serve_plain(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    shutdown: Shutdown,
) -> io::Result<()> {
    let stop = shutdown.clone();
    take_connections(listener, limits, shutdown, move |stream| {
        let (router, shutdown) = (router.clone(), stop.clone());
        async move { serve_http(stream, router, limits, &shutdown).await }
    })
    .await
}

/// Takes connections until the shutdown closes the listener; then waits for those that are open.
async fn take_connections<F>(
    listener: TcpListener,
    limits: Limits,
    shutdown: Shutdown,
    serve: impl Fn(TcpStream) -> F,
) -> io::Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.closing() => break,
            Some(ended) = open.join_next() => {
                note_end(ended);
                continue;
            }
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, place)) => {
                // Without it an answer waits for the acknowledgement of what went before it.
                let _ = stream.set_nodelay(true);
                let connection = serve(stream);
                open.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
    drop(listener);
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
    Ok(())
}

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

fn note_end(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task ended abnormally");
    }
}

/// Serves one connection to its end, or until the shutdown closes: then what is in flight is still answered.
async fn serve_http<S>(stream: S, router: Router, limits: Limits, shutdown: &Shutdown)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(router);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(HEAD_LIMIT)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let mut closing = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended early");
                }
                return;
            }
            () = shutdown.closing(), if !closing => {
                closing = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

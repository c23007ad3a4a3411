//! One connection, from its first byte to its end.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use http::header::CONNECTION;
use http::{HeaderValue, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::Limits;
use super::connections::Place;
use crate::runtime::shutdown::Shutdown;

/// The longest head of a request.
const HEAD_LIMIT: usize = 32 * 1024;

/// After the last answer: how much is read on, how long, and with what pauses. Who still writes a body that was refused
/// would else have the connection reset under the answer, and never see it.
const LINGER_BYTES: usize = 16 * 1024 * 1024;
const LINGER: Duration = Duration::from_secs(5);
const LINGER_PAUSE: Duration = Duration::from_secs(1);

/// Serves HTTP/1.1 on a connection to its end, or until the shutdown closes: then what is in flight is still answered.
/// `first_by` is when its first request must have come.
pub(super) async fn serve<S>(
    mut stream: S,
    router: Router,
    place: &Place,
    limits: Limits,
    first_by: Instant,
    shutdown: &Shutdown,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let inner = TowerToHyperService::new(router);
    let service = service_fn(|request| answer(&inner, place, request));
    {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .keep_alive(limits.idle.is_some())
            .header_read_timeout(limits.idle.unwrap_or(limits.first_request))
            .max_buf_size(HEAD_LIMIT)
            .serve_connection(TokioIo::new(&mut stream), service);
        tokio::pin!(connection);
        let (mut closing, mut waiting) = (false, true);
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = &ended {
                        tracing::debug!(%error, "a connection ended early");
                    }
                    break;
                }
                () = shutdown.closing(), if !closing => {
                    closing = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = tokio::time::sleep_until(first_by), if waiting => {
                    if !place.has_asked() {
                        return;
                    }
                    waiting = false;
                }
            }
        }
    }
    let _ = timeout(LINGER, linger(&mut stream)).await;
}

/// Answers one request, and lets nobody close the connection meanwhile.
async fn answer(
    inner: &TowerToHyperService<Router>,
    place: &Place,
    mut request: http::Request<Incoming>,
) -> Result<Response, Infallible> {
    place.begin();
    request.extensions_mut().insert(place.share.clone());
    let mut response = inner.call(request).await?;
    let well = response.status() == StatusCode::OK;
    let leaves = place.end(well);
    // Who has once been refused is no API server, or one that has to begin anew.
    if leaves || !well {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// Says that nothing more comes, and reads on a little.
async fn linger(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let _ = stream.shutdown().await;
    let (mut rest, mut left) = (vec![0; 4096], LINGER_BYTES);
    while let Ok(Ok(read @ 1..)) = timeout(LINGER_PAUSE, stream.read(&mut rest)).await {
        left = left.saturating_sub(read);
        if left == 0 {
            return;
        }
    }
}

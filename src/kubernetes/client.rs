//! The client for the API server: no request of it goes on for ever.

use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use kube::client::{Body, ClientBuilder, DynBody};
use kube::{Client, Config};
use tower::{BoxError, Layer, Service};

/// How long the API server may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Until there is a connection, its TLS included.
    pub connect: Duration,
    /// From a request to the end of its answer. A watch has no end: its first line counts.
    pub answer: Duration,
}

impl Default for Limits {
    /// The API server itself gives up what it does for a request after a minute; half of that is long for all of ours.
    fn default() -> Self {
        Limits { connect: Duration::from_secs(5), answer: Duration::from_secs(30) }
    }
}

/// A client that keeps to these limits, and tries nothing again by itself.
///
/// # Errors
/// When the configuration can't be used.
pub fn build(mut config: Config, limits: Limits) -> kube::Result<Client> {
    // A denial, too, is a 429: it is an answer, and what is to be tried again is decided by whoever asks.
    config.default_retry = false;
    config.connect_timeout = Some(limits.connect);
    config.write_timeout = Some(limits.answer);
    Ok(ClientBuilder::try_from(config)?.with_layer(&limits).build())
}

/// The API server has not answered in time.
#[derive(Debug, thiserror::Error)]
#[error("the API server has not answered within {0:?}")]
pub struct TooLate(Duration);

impl<S> Layer<S> for Limits {
    type Service = Limited<S>;

    fn layer(&self, inner: S) -> Limited<S> {
        Limited { inner, answer: self.answer }
    }
}

/// A service whose answers are whole within a limit.
#[derive(Clone, Debug)]
pub struct Limited<S> {
    inner: S,
    answer: Duration,
}

impl<S> Service<Request<Body>> for Limited<S>
where
    S: Service<Request<Body>, Response = Response<Box<DynBody>>, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response<UnsyncBoxBody<Bytes, BoxError>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (limit, endless) = (self.answer, is_watch(&request));
        let answer = self.inner.call(request);
        let whole = async move {
            let (head, body) = answer.await?.into_parts();
            let body = if endless { body.boxed_unsync() } else { held(body.collect().await?.to_bytes()) };
            Ok(Response::from_parts(head, body))
        };
        Box::pin(async move { tokio::time::timeout(limit, whole).await.map_err(|_| TooLate(limit))? })
    }
}

fn held(bytes: Bytes) -> UnsyncBoxBody<Bytes, BoxError> {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// Whether the answer goes on for as long as there is something to tell.
fn is_watch(request: &Request<Body>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    query.split('&').any(|part| part == "watch=true")
}

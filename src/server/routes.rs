//! The POST of an AdmissionReview.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, BodyDataStream};
use axum::extract::{Query, Request, State};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, StreamExt};
use http::header::{ALLOW, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tokio::time::Instant;

use super::Gate;
use super::metrics::Metrics;
use super::paths::WebhookPaths;
use crate::runtime::shutdown::Shutdown;

/// The longest review. The API server takes objects of 3 MiB, and a review may hold one twice.
pub const BODY_LIMIT: usize = 8 * 1024 * 1024;

/// What the API server waits where it does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest that a webhook may take, by the API.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Kept for the way back: an answer that comes late is a 500 for the caller.
const MARGIN: Duration = Duration::from_millis(500);

struct Shared {
    gate: Arc<dyn Gate>,
    paths: WebhookPaths,
    metrics: Metrics,
    body_timeout: Duration,
    shutdown: Shutdown,
}

/// The routes of the webhook's listener.
pub(super) fn router(
    gate: Arc<dyn Gate>,
    paths: WebhookPaths,
    metrics: Metrics,
    body_timeout: Duration,
    shutdown: Shutdown,
) -> Router {
    let shared = Arc::new(Shared { gate, paths, metrics, body_timeout, shutdown });
    // Paths come and go, and routes do not.
    Router::new().fallback(validate).with_state(shared)
}

#[derive(serde::Deserialize)]
struct Parameters {
    timeout: Option<String>,
}

async fn validate(
    State(shared): State<Arc<Shared>>,
    parameters: Query<Parameters>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    if !shared.paths.accept(request.uri().path()) {
        return wrong_path();
    }
    if request.method() != Method::POST {
        return wrong_method();
    }
    let began = Instant::now();
    let _in_flight = shared.metrics.in_flight();
    let deadline = began + time_allowed(parameters.timeout.as_deref());
    let answered = AssertUnwindSafe(answer(&shared, &headers, request, deadline)).catch_unwind().await;
    let mut response = answered.unwrap_or_else(|_| {
        tracing::error!("the answer to a review failed in a way that it must not");
        refusal(StatusCode::INTERNAL_SERVER_ERROR, "the guard has failed on this request; its log says why")
    });
    if shared.shutdown.has_begun() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    shared.metrics.answered(response.status(), began.elapsed());
    response
}

async fn answer(shared: &Shared, headers: &HeaderMap, request: Request, deadline: Instant) -> Response {
    let body = match check_headers(headers) {
        Ok(length) => read_body(request.into_body(), length, deadline.min(Instant::now() + shared.body_timeout)).await,
        Err(refusal) => Err(refusal),
    };
    let body = match body {
        Ok(body) => body,
        Err(Refusal(status, message)) => return refusal(status, message),
    };
    // The gate keeps the deadline itself. Should it ever not, this is better than no answer at all.
    match tokio::time::timeout_at(deadline + MARGIN / 2, shared.gate.answer(body, deadline)).await {
        Ok(Ok(answer)) => ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], answer).into_response(),
        Ok(Err(malformed)) => refusal(StatusCode::BAD_REQUEST, &malformed.message),
        Err(_) => refusal(StatusCode::SERVICE_UNAVAILABLE, "there was no answer within the time allowed"),
    }
}

/// Refuses what is no review by its headers; the body's length, where it is given.
fn check_headers(headers: &HeaderMap) -> Result<usize, Refusal> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
    let media_type = text(CONTENT_TYPE).split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if media_type != "application/json" {
        let message = "send an AdmissionReview as content-type: application/json";
        return Err(Refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(Refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send the body without a content-encoding"));
    }
    let length = text(CONTENT_LENGTH).parse().unwrap_or(0);
    if length > BODY_LIMIT { Err(TOO_LARGE) } else { Ok(length) }
}

/// The body, in one piece. One that comes in one piece is not copied.
async fn read_body(body: Body, length: usize, limit: Instant) -> Result<Bytes, Refusal> {
    let mut chunks = body.into_data_stream();
    let Some(first) = next_chunk(&mut chunks, limit, BODY_LIMIT).await? else { return Ok(Bytes::new()) };
    let Some(second) = next_chunk(&mut chunks, limit, BODY_LIMIT - first.len()).await? else { return Ok(first) };
    let mut body = BytesMut::with_capacity(length.max(first.len() + second.len()));
    body.extend_from_slice(&first);
    body.extend_from_slice(&second);
    while let Some(chunk) = next_chunk(&mut chunks, limit, BODY_LIMIT - body.len()).await? {
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// The next piece of the body, of at most `room` bytes.
async fn next_chunk(chunks: &mut BodyDataStream, limit: Instant, room: usize) -> Result<Option<Bytes>, Refusal> {
    match tokio::time::timeout_at(limit, chunks.next()).await {
        Ok(Some(Ok(chunk))) if chunk.len() > room => Err(TOO_LARGE),
        Ok(Some(Ok(chunk))) => Ok(Some(chunk)),
        Ok(None) => Ok(None),
        Ok(Some(Err(_))) => Err(Refusal(StatusCode::BAD_REQUEST, "the body ended early")),
        Err(_) => Err(Refusal(StatusCode::REQUEST_TIMEOUT, "the body did not come in time")),
    }
}

/// A request that is not taken: its status, and what to do instead.
#[derive(Clone, Copy, Debug)]
struct Refusal(StatusCode, &'static str);

const TOO_LARGE: Refusal = Refusal(StatusCode::PAYLOAD_TOO_LARGE, "a review is at most 8 MiB");

fn wrong_method() -> Response {
    let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, "POST an AdmissionReview here");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    response
}

fn wrong_path() -> Response {
    let message = "reviews are not answered at this path, but at the one in the webhook's clientConfig: without a cluster, \
                   POST them to /validate";
    refusal(StatusCode::NOT_FOUND, message)
}

fn refusal(status: StatusCode, message: &str) -> Response {
    (status, format!("{message}\n")).into_response()
}

/// The time that the API server allows, less what the way back takes.
fn time_allowed(timeout: Option<&str>) -> Duration {
    let allowed = timeout.and_then(parse_duration).unwrap_or(DEFAULT_TIMEOUT).min(LONGEST_TIMEOUT);
    allowed.saturating_sub(MARGIN).max(allowed / 2)
}

/// A duration as Go writes it: `10s`, `1m30s`, `500ms`.
fn parse_duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let (number, unit_on) = rest.split_at(end);
        let unit_end = unit_on.find(|character: char| character.is_ascii_digit()).unwrap_or(unit_on.len());
        let (unit, after) = unit_on.split_at(unit_end);
        let seconds = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        total += Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        rest = after;
    }
    (!total.is_zero()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations_as_go_writes_them() {
        for (text, milliseconds) in [("10s", 10_000), ("1m30s", 90_000), ("500ms", 500), ("1.5s", 1500)] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for wrong in ["", "10", "s", "10x", "0s", "-1s"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn keeps_a_margin_but_never_all_of_the_time() {
        assert_eq!(time_allowed(Some("10s")), Duration::from_millis(9500));
        assert_eq!(time_allowed(Some("600ms")), Duration::from_millis(300));
        assert_eq!(time_allowed(Some("nonsense")), Duration::from_millis(9500));
        assert_eq!(time_allowed(Some("9h")), Duration::from_millis(29_500));
    }
}

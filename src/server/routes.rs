//! The POST of an AdmissionReview.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Extension, Query, Request, State};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, StatusCode};
use tokio::time::Instant;

use super::Gate;
use super::bodies::Bodies;
use super::connections::Share;
use super::metrics::Metrics;
use super::paths::WebhookPaths;
use crate::runtime::shutdown::Shutdown;

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
    bodies: Bodies,
    shutdown: Shutdown,
}

/// The routes of the webhook's listener.
pub(super) fn router(
    gate: Arc<dyn Gate>,
    paths: WebhookPaths,
    metrics: Metrics,
    bodies: Bodies,
    shutdown: Shutdown,
) -> Router {
    let shared = Arc::new(Shared { gate, paths, metrics, bodies, shutdown });
    // Paths come and go, and routes do not.
    Router::new().fallback(validate).with_state(shared)
}

#[derive(serde::Deserialize)]
struct Parameters {
    timeout: Option<String>,
}

async fn validate(
    State(shared): State<Arc<Shared>>,
    Extension(share): Extension<Share>,
    parameters: Query<Parameters>,
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
    let answered = AssertUnwindSafe(answer(&shared, &share, request, deadline)).catch_unwind().await;
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

async fn answer(shared: &Shared, share: &Share, request: Request, deadline: Instant) -> Response {
    let (parts, body) = request.into_parts();
    let held = match shared.bodies.read(&parts.headers, body, share, deadline).await {
        Ok(held) => held,
        Err(Refusal(status, message)) => return refusal(status, message),
    };
    // The gate keeps the deadline itself. Should it ever not, this is better than no answer at all.
    match tokio::time::timeout_at(deadline + MARGIN / 2, shared.gate.answer(held.body.clone(), deadline)).await {
        Ok(Ok(answer)) => ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], answer).into_response(),
        Ok(Err(malformed)) => refusal(StatusCode::BAD_REQUEST, &malformed.message),
        Err(_) => refusal(StatusCode::SERVICE_UNAVAILABLE, "there was no answer within the time allowed"),
    }
}

/// A request that is not taken: its status, and what to do instead.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal(pub StatusCode, pub &'static str);

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
    let mut response = (status, format!("{message}\n")).into_response();
    if status == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
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

//! `/livez`, `/readyz` and `/metrics`, on a listener of their own.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use prometheus::{Encoder, Registry, TextEncoder};
use tokio::time::Instant;

use crate::runtime::{Liveness, Readiness};

struct Shared {
    readiness: Readiness,
    liveness: Liveness,
    registry: Registry,
}

/// The routes of the admin listener.
pub(super) fn router(readiness: Readiness, liveness: Liveness, registry: Registry) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(|| async { (StatusCode::NOT_FOUND, "there is /livez, /readyz and /metrics\n") })
        .with_state(Arc::new(Shared { readiness, liveness, registry }))
}

async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    health(shared.readiness.report())
}

async fn livez(State(shared): State<Arc<Shared>>) -> Response {
    health(shared.liveness.report(Instant::now()))
}

fn health((good, text): (bool, String)) -> Response {
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, text).into_response()
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    match encoder.encode(&shared.registry.gather(), &mut text) {
        Ok(()) => ([(CONTENT_TYPE, encoder.format_type().to_owned())], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

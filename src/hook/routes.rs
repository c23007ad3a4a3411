//! The three requests of the contract.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;

use super::Hook;

/// The longest body that is read, in bytes.
const LONGEST: usize = 4096;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Wanted {
    removal: bool,
}

/// Answers at `path`.
pub fn router(hook: Arc<Hook>, path: &str) -> Router {
    Router::new()
        .route(path, get(look).post(prepare).delete(undo))
        .layer(DefaultBodyLimit::max(LONGEST))
        .with_state(hook)
}

async fn look(State(hook): State<Arc<Hook>>) -> Response {
    Json(hook.look().await).into_response()
}

async fn prepare(State(hook): State<Arc<Hook>>, body: Bytes) -> Response {
    let wanted = if body.is_empty() { Ok(Wanted::default()) } else { serde_json::from_slice(&body) };
    let wanted = match wanted {
        Ok(wanted) => wanted,
        Err(error) => {
            return (StatusCode::BAD_REQUEST, format!("the body is {{\"removal\": true or false}}: {error}"))
                .into_response();
        }
    };
    match hook.prepare(wanted.removal).await {
        Ok(answer) => Json(answer).into_response(),
        Err(error) => failed(&error),
    }
}

async fn undo(State(hook): State<Arc<Hook>>) -> Response {
    match hook.undo().await {
        Ok(answer) => Json(answer).into_response(),
        Err(error) => failed(&error),
    }
}

/// Castoff shows people what a backend says that refuses.
fn failed(error: &dyn std::error::Error) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
}

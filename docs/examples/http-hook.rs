//! An application that is asked to get itself ready before its pod leaves.
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

use axum::{Json, Router, http::Method, routing::any};
use serde_json::{Value, json};

static PREPARING: AtomicBool = AtomicBool::new(false);
static JOBS: AtomicU32 = AtomicU32::new(0); // counted up and down by your code

async fn hook(method: Method) -> Json<Value> {
    if method != Method::GET {
        PREPARING.store(method == Method::POST, SeqCst);
    }
    let state = if PREPARING.load(SeqCst) { "Prepared" } else { "Idle" };
    Json(json!({"state": state, "inflight": JOBS.load(SeqCst)}))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::var("LISTEN").unwrap_or("0.0.0.0:8080".to_owned());
    let listener = tokio::net::TcpListener::bind(address).await?;
    axum::serve(listener, Router::new().route("/prestop", any(hook))).await
}

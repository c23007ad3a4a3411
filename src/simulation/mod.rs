//! Plays backends and a StatefulSet controller, for the demo and the tests. The guard knows nothing of it.

pub mod pd;
pub mod stand_in;
pub mod statefulset;
pub mod work;

use std::net::SocketAddr;

use axum::Router;
use tokio::net::TcpListener;

/// Answers at an address, for as long as it is awaited.
///
/// # Errors
///
/// Where nothing can be heard at that address, which the message names.
pub async fn serve(listen: SocketAddr, routes: Router) -> std::io::Result<()> {
    let with_address = |error: std::io::Error| std::io::Error::new(error.kind(), format!("{listen}: {error}"));
    let listener = TcpListener::bind(listen).await.map_err(with_address)?;
    axum::serve(listener, routes).await
}

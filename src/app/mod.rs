//! From a checked config to a guard that serves, with a cluster and without.

pub mod assemble;
mod cluster;
pub mod config;
mod failure;
mod reload;
pub mod standalone;

use crate::runtime::readiness::{Handle, Readiness};
use crate::runtime::shutdown::Shutdown;
use crate::server;
use crate::trust::{Certificates, Clients};

pub use config::ServeConfig;
pub use failure::Failure;

/// Serves until a signal says to stop.
///
/// # Errors
/// What could not be used, or what has ended and the guard with it.
pub async fn serve(config: ServeConfig) -> Result<(), Failure> {
    let shutdown = Shutdown::on_signals().map_err(Failure::no)?;
    match config {
        ServeConfig::Standalone(config) => standalone::run(*config, shutdown).await,
        ServeConfig::Cluster(config) => Box::pin(cluster::run(*config, shutdown)).await,
    }
}

/// A condition that holds: what it is about was read before anything listened.
fn registered(readiness: &Readiness, name: &'static str) -> Handle {
    let handle = readiness.register(name, "not read yet");
    handle.ready();
    handle
}

fn server_config(listen: &config::Listen, certificates: Certificates, clients: Option<Clients>) -> server::Config {
    server::Config {
        listen: listen.webhook,
        admin_listen: listen.admin,
        clients,
        shutdown_delay: listen.shutdown_delay,
        ..server::Config::new(certificates)
    }
}

//! `castoff serve`.

use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::server::shutdown::Shutdown;
use crate::server::{self, Certificates, Readiness, Server, logging, self_signed};

use super::assemble::{Guard, Parts};
use super::{Failure, Serve};

/// Serves until it is told to stop.
pub(super) async fn run(command: Serve) -> Result<(), Failure> {
    logging::init(command.log_format.into(), &command.log).map_err(Failure::Usage)?;
    let shutdown = Shutdown::on_signals().map_err(|error| Failure::No(error.to_string()))?;
    let parts = Parts::read(&command.sources)?;
    tell_of(&command, &parts);
    let certificates = certificates(&command)?;
    let config = server::Config {
        listen: command.listen,
        admin_listen: command.admin_listen,
        shutdown_delay: Duration::from_secs(command.shutdown_delay),
        ..server::Config::new(certificates)
    };
    let following = command.sources.pods.clone().map(|directory| (Arc::clone(&parts.cluster), directory));
    let registry = Registry::new();
    let guard = parts.assemble(&registry)?;
    let server = Server::bind(config).await.map_err(|error| Failure::No(error.to_string()))?;
    tracing::info!(address = %server.local_addr(), admin = %server.admin_addr(), "answers AdmissionReviews");
    let mut background = JoinSet::new();
    if let Some((cluster, directory)) = following {
        background.spawn(cluster.follow(directory));
    }
    let answering = guarded(guard, server, registry, shutdown);
    tokio::select! {
        ended = answering => ended,
        Some(ended) = background.join_next() => {
            Err(Failure::No(format!("the reader of --pods has ended, and the guard with it: {ended:?}")))
        }
    }
}

/// Runs the guard behind a server: the controller works as long as the server answers, and a little longer.
pub(super) async fn guarded(
    guard: Guard,
    server: Server,
    registry: Registry,
    shutdown: Shutdown,
) -> Result<(), Failure> {
    let readiness = Readiness::new();
    readiness.register("policies", "not read yet").ready();
    let (stop, stopped) = oneshot::channel::<()>();
    let controller = tokio::spawn(guard.controller.run(async move {
        let _ = stopped.await;
    }));
    let serving = server.run(guard.gate, readiness, registry, shutdown);
    tokio::pin!(serving, controller);
    let outcome = tokio::select! {
        ended = &mut serving => ended.map_err(|error| Failure::No(error.to_string())),
        ended = &mut controller => {
            return Err(Failure::No(format!("the controller has ended, and the guard with it: {ended:?}")));
        }
    };
    drop(stop);
    let _ = controller.await;
    outcome
}

fn certificates(command: &Serve) -> Result<Certificates, Failure> {
    let said = |error: &dyn std::fmt::Display| Failure::Usage(error.to_string());
    match (&command.self_signed, &command.tls_cert, &command.tls_key) {
        (Some(directory), _, _) => {
            let files = self_signed::make(directory, &[]).map_err(|error| said(&error))?;
            tracing::info!(ca = %files.ca.display(), "callers trust this CA");
            Certificates::load(&files.certificate, &files.key).map_err(|error| said(&error))
        }
        (None, Some(certificate), Some(key)) => Certificates::load(certificate, key).map_err(|error| said(&error)),
        _ => Err(Failure::Usage("give --tls-cert and --tls-key, or --self-signed".to_owned())),
    }
}

/// Says at the start what this guard can and can't do.
fn tell_of(command: &Serve, parts: &Parts) {
    let policies = parts.policies.all().count();
    tracing::info!(policies, directory = %command.sources.policies.display(), "policies read");
    if policies == 0 {
        tracing::warn!("there is no policy: every pod may leave");
    }
    if command.sources.state.is_none() {
        tracing::warn!("no --state: what was set at a backend is forgotten if this process is killed");
    }
    if command.sources.pods.is_none() {
        tracing::warn!(
            "no --pods: it can't be seen that a pod has left, so its departure stays open and holds its slot"
        );
    }
}

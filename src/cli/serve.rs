//! `castoff serve`.

use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::server::readiness::Handle;
use crate::server::shutdown::Shutdown;
use crate::server::{self, Readiness, Server, logging, self_signed};

use super::assemble::{Guard, Standalone};
use super::reload::{self, CertificateFiles, PolicyFiles};
use super::{Failure, Serve};

/// Serves until it is told to stop.
pub(super) async fn run(command: Serve) -> Result<(), Failure> {
    logging::init(command.log_format.into(), &command.log).map_err(Failure::Usage)?;
    let said = |error: &dyn std::fmt::Display| Failure::No(error.to_string());
    let shutdown = Shutdown::on_signals().map_err(|error| said(&error))?;
    if !command.standalone {
        return super::cluster::run(command, shutdown).await;
    }
    let directory = command.sources.policies.clone().unwrap_or_default();
    let policies_before = reload::print_of_policies(&directory);
    let parts = Standalone::read(&command.sources)?;
    tell_of(&command, &parts);
    let (registry, readiness) = (Registry::new(), Readiness::new());
    let (certificate_files, certificates_before) = certificates(&command, &registry)?;
    let config = server::Config {
        listen: command.listen,
        admin_listen: command.admin_listen,
        shutdown_delay: Duration::from_secs(command.shutdown_delay),
        ..server::Config::new(certificate_files.certificates.clone())
    };
    let mut background = JoinSet::new();
    if let Some(directory) = command.sources.pods.clone() {
        background.spawn(Arc::clone(&parts.cluster).follow(directory));
    }
    let guard = parts.assemble(&registry)?;
    let reloads = reload::counter(&registry).map_err(|error| said(&error))?;
    let hangup = || signal(SignalKind::hangup()).map_err(|error| said(&error));
    let policies = PolicyFiles(directory, Arc::clone(&guard.gate.policies));
    let ready = registered(&readiness, "policies");
    background.spawn(reload::follow(policies, policies_before, ready, reloads.clone(), hangup()?));
    let ready = registered(&readiness, "certificates");
    background.spawn(reload::follow(certificate_files, certificates_before, ready, reloads, hangup()?));
    let server = Server::bind(config).await.map_err(|error| said(&error))?;
    tracing::info!(address = %server.local_addr(), admin = %server.admin_addr(), "answers AdmissionReviews");
    tokio::select! {
        ended = guarded(guard, server, readiness, registry, shutdown) => ended,
        Some(ended) = background.join_next() => {
            Err(Failure::No(format!("what follows the files has ended, and the guard with it: {ended:?}")))
        }
    }
}

/// A condition that holds: what it is about was read before anything listened.
pub(super) fn registered(readiness: &Readiness, name: &'static str) -> Handle {
    let handle = readiness.register(name, "not read yet");
    handle.ready();
    handle
}

/// Runs the guard behind a server: the controller works as long as the server answers, and a little longer.
pub(super) async fn guarded(
    guard: Guard,
    server: Server,
    readiness: Readiness,
    registry: Registry,
    shutdown: Shutdown,
) -> Result<(), Failure> {
    let (stop, stopped) = oneshot::channel::<()>();
    // In a set of its own: whoever drops this future ends the controller too.
    let mut controller = JoinSet::new();
    controller.spawn(guard.controller.run(async move {
        let _ = stopped.await;
    }));
    let serving = server.run(guard.gate, readiness, registry, shutdown);
    let outcome = tokio::select! {
        ended = serving => ended.map_err(|error| Failure::No(error.to_string())),
        ended = controller.join_next() => {
            return Err(Failure::No(format!("the controller has ended, and the guard with it: {ended:?}")));
        }
    };
    drop(stop);
    let _ = controller.join_next().await;
    outcome
}

/// The certificate to serve with the files that it came from, and their print.
fn certificates(command: &Serve, registry: &Registry) -> Result<(CertificateFiles, u64), Failure> {
    let pair = match (&command.self_signed, &command.tls_cert, &command.tls_key) {
        (Some(directory), _, _) => {
            let files = self_signed::make(directory, &[]).map_err(Failure::Usage)?;
            tracing::info!(ca = %files.ca.display(), "callers trust this CA");
            (files.certificate, files.key)
        }
        (None, Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
        _ => return Err(Failure::Usage("give --tls-cert and --tls-key, or --self-signed".to_owned())),
    };
    CertificateFiles::load(pair, registry).map_err(Failure::Usage)
}

/// Says at the start what this guard can and can't do.
fn tell_of(command: &Serve, parts: &Standalone) {
    let policies = parts.policies.all().count();
    tracing::info!(policies, directory = %command.sources.policies.clone().unwrap_or_default().display(), "policies read");
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

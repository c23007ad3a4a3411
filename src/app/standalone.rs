//! `castoff serve --standalone`.

use std::sync::Arc;

use prometheus::Registry;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::runtime::shutdown::Shutdown;
use crate::runtime::{Liveness, Readiness};
use crate::server::Server;
use crate::trust::self_signed;

use super::assemble::{Guard, Standalone};
use super::config::{Sources, StandaloneConfig, Tls};
use super::reload::{self, CertificateFiles, PolicyFiles};
use super::{Failure, registered, server_config};

/// Serves until it is told to stop.
pub(super) async fn run(config: StandaloneConfig, shutdown: Shutdown) -> Result<(), Failure> {
    let StandaloneConfig { listen, tls, sources } = config;
    let directory = sources.policies.clone();
    let policies_before = reload::print_of_policies(&directory);
    let parts = Standalone::read(&sources)?;
    tell_of(&sources, &parts);
    let (registry, readiness) = (Registry::new(), Readiness::new());
    let (certificate_files, certificates_before) = certificates(&tls, &registry)?;
    let config = server_config(listen, certificate_files.certificates.clone());
    let mut background = JoinSet::new();
    if let Some(directory) = sources.pods.clone() {
        background.spawn(Arc::clone(&parts.cluster).follow(directory));
    }
    let guard = parts.assemble(&registry)?;
    let reloads = reload::counter(&registry).map_err(Failure::no)?;
    let hangup = || signal(SignalKind::hangup()).map_err(Failure::no);
    let policies = PolicyFiles(directory, Arc::clone(&guard.gate.policies));
    let ready = registered(&readiness, "policies");
    background.spawn(reload::follow(policies, policies_before, ready, reloads.clone(), hangup()?));
    let ready = registered(&readiness, "certificates");
    background.spawn(reload::follow(certificate_files, certificates_before, ready, reloads, hangup()?));
    let server = Server::bind(config).await.map_err(Failure::no)?;
    tracing::info!(address = %server.local_addr(), admin = %server.admin_addr(), "answers AdmissionReviews");
    tokio::select! {
        ended = guarded(guard, server, readiness, registry, shutdown) => ended,
        Some(ended) = background.join_next() => {
            Err(Failure::No(format!("what follows the files has ended, and the guard with it: {ended:?}")))
        }
    }
}

/// Runs the guard behind a server: the controller works as long as the server answers, and a little longer.
///
/// # Errors
/// What has ended, and the guard with it.
pub async fn guarded(
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
    let serving = server.run(guard.gate, readiness, Liveness::new(), registry, shutdown);
    let outcome = tokio::select! {
        ended = serving => ended.map_err(Failure::no),
        ended = controller.join_next() => {
            return Err(Failure::No(format!("the controller has ended, and the guard with it: {ended:?}")));
        }
    };
    drop(stop);
    let _ = controller.join_next().await;
    outcome
}

/// The certificate to serve with the files that it came from, and their print.
fn certificates(tls: &Tls, registry: &Registry) -> Result<(CertificateFiles, u64), Failure> {
    let pair = match tls {
        Tls::SelfSigned(directory) => {
            let files = self_signed::make(directory, &[]).map_err(Failure::Usage)?;
            tracing::info!(ca = %files.ca.display(), "callers trust this CA");
            (files.certificate, files.key)
        }
        Tls::Files { certificate, key } => (certificate.clone(), key.clone()),
        Tls::Managed => return Err(Failure::Usage("give --tls-cert and --tls-key, or --self-signed".to_owned())),
    };
    CertificateFiles::load(pair, registry).map_err(Failure::Usage)
}

/// Says at the start what this guard can and can't do.
fn tell_of(sources: &Sources, parts: &Standalone) {
    let policies = parts.policies.all().count();
    tracing::info!(policies, directory = %sources.policies.display(), "policies read");
    if policies == 0 {
        tracing::warn!("there is no policy: every pod may leave");
    }
    if sources.state.is_none() {
        tracing::warn!("no --state: what was set at a backend is forgotten if this process is killed");
    }
    if sources.pods.is_none() {
        tracing::warn!("no --pods: it can't be seen that a pod has left, so its drain stays open and holds its slot");
    }
}

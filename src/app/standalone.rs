//! `castoff serve --standalone`.

use std::sync::Arc;

use prometheus::Registry;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::controller;
use crate::runtime::shutdown::Shutdown;
use crate::runtime::tasks::Tasks;
use crate::runtime::{Liveness, Readiness};
use crate::server::Server;
use crate::trust::self_signed;

use super::assemble::{Guard, Standalone};
use super::config::{Sources, StandaloneConfig, Tls};
use super::reload::{self, CertificateFiles, ClientCaFile, PolicyFiles};
use super::{Failure, registered, server_config};

/// Serves until it is told to stop.
pub(super) async fn run(config: StandaloneConfig, shutdown: Shutdown) -> Result<(), Failure> {
    let StandaloneConfig { listen, tls, sources } = config;
    let directory = sources.policies.clone();
    let policies_before = reload::print_of_policies(&directory);
    let parts = Standalone { labels: listen.metrics_labels, ..Standalone::read(&sources)? };
    tell_of(&sources, &parts);
    let (registry, readiness) = (Registry::new(), Readiness::new());
    let (certificate_files, certificates_before) = certificates(&tls, &registry)?;
    let client_ca = listen.clients.as_ref().map(ClientCaFile::load).transpose()?;
    let clients = client_ca.as_ref().map(|(file, _)| file.clients.clone());
    let config = server_config(&listen, certificate_files.certificates.clone(), clients);
    let mut background = Tasks::new();
    if let Some(directory) = sources.pods.clone() {
        background.spawn("that follows --pods", Arc::clone(&parts.cluster).follow(directory));
    }
    let guard = parts.assemble(&registry)?;
    let reloads = reload::counter(&registry).map_err(Failure::no)?;
    let hangup = || signal(SignalKind::hangup()).map_err(Failure::no);
    let policies = PolicyFiles(directory, Arc::clone(&guard.gate.policies));
    let ready = registered(&readiness, "policies");
    let followed = reload::follow(policies, policies_before, ready, reloads.clone(), hangup()?);
    background.spawn("that follows --policies", followed);
    let ready = registered(&readiness, "certificates");
    let followed = reload::follow(certificate_files, certificates_before, ready, reloads.clone(), hangup()?);
    background.spawn("that follows the certificate's files", followed);
    if let Some((file, before)) = client_ca {
        let ready = registered(&readiness, "client-ca");
        background.spawn("that follows --client-ca", reload::follow(file, before, ready, reloads, hangup()?));
    }
    let server = Server::bind(config).await.map_err(Failure::no)?;
    tracing::info!(address = %server.local_addr(), admin = %server.admin_addr(), "answers AdmissionReviews");
    tokio::select! {
        ended = guarded(guard, server, readiness, registry, shutdown) => ended,
        ended = background.ended() => Err(Failure::no(ended)),
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
    let mut controller = Tasks::new();
    let liveness = Liveness::new();
    let pulse = liveness.register("controller", controller::SILENCE);
    let stopped = async move {
        let _ = stopped.await;
    };
    controller.spawn("controller", guard.controller.run(stopped, pulse));
    let serving = server.run(guard.gate, readiness, liveness, registry, shutdown);
    let outcome = tokio::select! {
        ended = serving => ended.map_err(Failure::no),
        ended = controller.ended() => return Err(Failure::no(ended)),
    };
    drop(stop);
    let _ = controller.next_end().await;
    outcome
}

/// The certificate to serve with the files that it came from, and their print.
fn certificates(tls: &Tls, registry: &Registry) -> Result<(CertificateFiles, u64), Failure> {
    let pair = match tls {
        Tls::SelfSigned(directory) => {
            let files = self_signed::make(directory, &[]).map_err(Failure::usage)?;
            tracing::info!(ca = %files.ca.display(), "callers trust this CA");
            (files.certificate, files.key)
        }
        Tls::Files { certificate, key } => (certificate.clone(), key.clone()),
        Tls::Managed => return Err(Failure::Usage("give --tls-cert and --tls-key, or --self-signed".to_owned())),
    };
    CertificateFiles::load(pair, registry)
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

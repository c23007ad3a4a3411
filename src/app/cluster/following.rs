//! What every replica follows, whether it leads or not.

use std::sync::Arc;

use kube::Client;
use kube::runtime::events::{Recorder, Reporter};
use prometheus::Registry;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::app::config::{ClusterConfig, Tls};
use crate::app::reload::{self, CertificateFiles};
use crate::app::{Failure, registered};
use crate::kubernetes::certificates::{self, Bundle};
use crate::kubernetes::registration::{Registration, Seen};
use crate::runtime::supervised::Supervised;
use crate::runtime::{Liveness, Readiness};
use crate::trust::{Certificates, Expiry};

use super::caches::Caches;
use super::connection::Connection;
use super::place;

/// What every replica follows.
pub(super) struct Following {
    pub readiness: Readiness,
    pub liveness: Liveness,
    pub registry: Registry,
    pub tasks: Supervised,
    pub caches: Caches,
    pub certificates: Certificates,
    pub bundle: watch::Receiver<Bundle>,
    pub registration: Arc<Registration>,
    pub seen: watch::Receiver<Seen>,
}

impl Following {
    pub fn begin(connection: &Connection, config: &ClusterConfig) -> Result<Self, Failure> {
        let client = &connection.client;
        let (registry, readiness) = (Registry::new(), Readiness::new());
        let liveness = Liveness::new();
        let mut tasks = Supervised::new();
        let (tell_seen, seen) = watch::channel(Seen::NotYet);
        let caches =
            Caches::follow(client, (seen.clone(), config.registration.manage), (&readiness, &liveness), &mut tasks);
        let (tell_bundle, bundle) = watch::channel(None);
        let certificates = follow_certificates(client, config, &registry, &readiness, &mut tasks, tell_bundle)?;
        let guarded = caches.guarded(client, &mut tasks);
        let reporter = Reporter { controller: "castoff".to_owned(), instance: Some(connection.identity.clone()) };
        let recorder = Recorder::new(client.clone(), reporter);
        let registration = Registration::new(client.clone(), config.registration.clone(), guarded, recorder, &registry);
        let registration = Arc::new(registration.map_err(Failure::no)?);
        let ready = readiness.register("registration", "not seen yet");
        let follower = Arc::clone(&registration);
        tasks.spawn("registration", async move { follower.follow(tell_seen, ready).await });
        Ok(Following { readiness, liveness, registry, tasks, caches, certificates, bundle, registration, seen })
    }
}

/// The certificate that is served: from files, or from the Secret that the leader keeps.
fn follow_certificates(
    client: &Client,
    config: &ClusterConfig,
    registry: &Registry,
    readiness: &Readiness,
    tasks: &mut Supervised,
    tell_bundle: watch::Sender<Bundle>,
) -> Result<Certificates, Failure> {
    if let Tls::Files { certificate, key } = &config.tls {
        let pair = (certificate.clone(), key.clone());
        let (files, before) = CertificateFiles::load(pair, registry).map_err(Failure::Usage)?;
        let certificates = files.certificates.clone();
        let reloads = reload::counter(registry).map_err(Failure::no)?;
        let hangup = signal(SignalKind::hangup()).map_err(Failure::no)?;
        let ready = registered(readiness, "certificates");
        tasks.spawn("certificates", async move {
            // Nobody is told of an authority: the files hold none.
            let _bundle = tell_bundle;
            reload::follow(files, before, ready, reloads, hangup).await;
        });
        return Ok(certificates);
    }
    let certificates = Certificates::none_yet();
    let ready = readiness.register("certificates", "there is none yet");
    let expiry = Expiry::register(registry).map_err(Failure::no)?;
    let served = certificates.clone();
    let followed = certificates::follow(client.clone(), place(config), served, expiry, ready, tell_bundle);
    tasks.spawn("certificates", followed);
    Ok(certificates)
}

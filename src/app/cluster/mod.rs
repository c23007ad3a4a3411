//! `castoff serve` in a cluster, in stages: connected, following, assembled, serving and leading.

mod caches;
mod leader;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, PostParams};
use kube::runtime::events::{Recorder, Reporter};
use kube::{Client, Config};
use prometheus::{IntCounterVec, Registry};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use crate::backend::guard;
use crate::controller;
use crate::kubernetes::cache::chain;
use crate::kubernetes::certificates::{self, Bundle, Lives, Place};
use crate::kubernetes::events::ClusterEvents;
use crate::kubernetes::lease::{self, Election, Leadership, Timing};
use crate::kubernetes::registration::{Registration, Seen};
use crate::kubernetes::secrets::ClusterSecrets;
use crate::kubernetes::store::ClusterStore;
use crate::lifecycle;
use crate::runbook::Links;
use crate::runtime::shutdown::Shutdown;
use crate::runtime::{Liveness, Readiness};
use crate::server::Server;
use crate::trust::{Certificates, Clients, Expiry};

use super::assemble::{self, Guard, Parts};
use super::config::{ClusterConfig, Tls};
use super::reload::{self, CertificateFiles, ClientCaFile};
use super::{Failure, registered, server_config};

use caches::Caches;
use leader::Leader;

/// Between two writes of progress alone.
const PROGRESS_EVERY: Duration = Duration::from_mins(1);

/// Serves until it is told to stop.
pub(super) async fn run(config: ClusterConfig, shutdown: Shutdown) -> Result<(), Failure> {
    let connection = Connection::establish(&config).await?;
    let mut following = Following::begin(&connection, &config)?;
    let leadership = Leadership::none();
    let guard = assemble(&connection, &config, &mut following, &leadership)?;
    let listen = server_config(&config.listen, following.certificates.clone(), following.clients.clone());
    let server = Server::bind(listen).await.map_err(Failure::no)?;
    tracing::info!(address = %server.local_addr(), admin = %server.admin_addr(), "answers AdmissionReviews");
    let leases: Api<Lease> = Api::namespaced(connection.client.clone(), &config.namespace);
    let timing = Timing::of(config.lease_duration);
    let election = Election::new(leases, lease::NAME, &connection.identity, timing, leadership.clone());
    let Following { readiness, registry, mut tasks, caches, registration, bundle, seen, .. } = following;
    let liveness = Liveness::new();
    let leader = Leader {
        client: connection.client,
        caches,
        controller: guard.controller,
        leadership,
        registration,
        certificates: matches!(config.tls, Tls::Managed).then(|| (place(&config), Lives::default())),
        bundle,
        seen,
        pulse: liveness.register("controller", controller::SILENCE),
        runbook: runbook(&config),
    };
    // Only the leader's turns.
    leader.pulse.rest();
    // The leader stays until the server has ended: what follows the cluster ends when nobody listens to it any more.
    let leading = take_part(election, &leader, shutdown.clone());
    tokio::select! {
        ended = async { tokio::join!(server.run(guard.gate, readiness, liveness, registry, shutdown), leading).0 } => {
            ended.map_err(Failure::no)
        }
        Some(ended) = tasks.join_next() => {
            Err(Failure::No(format!("what follows the cluster has ended, and the guard with it: {ended:?}")))
        }
    }
}

/// The API server, and who this process is to it.
struct Connection {
    client: Client,
    own_user: String,
    identity: String,
}

impl Connection {
    async fn establish(config: &ClusterConfig) -> Result<Self, Failure> {
        let client = connect().await?;
        let own_user = whoami(&client).await?;
        let identity = config.identity.clone().unwrap_or_else(identity);
        tracing::info!(user = %own_user, %identity, "speaks to the API server");
        Ok(Connection { client, own_user, identity })
    }
}

/// What every replica follows, whether it leads or not.
struct Following {
    readiness: Readiness,
    registry: Registry,
    tasks: JoinSet<()>,
    caches: Caches,
    certificates: Certificates,
    clients: Option<Clients>,
    bundle: watch::Receiver<Bundle>,
    registration: Arc<Registration>,
    seen: watch::Receiver<Seen>,
}

impl Following {
    fn begin(connection: &Connection, config: &ClusterConfig) -> Result<Self, Failure> {
        let client = &connection.client;
        let (registry, readiness) = (Registry::new(), Readiness::new());
        let mut tasks = JoinSet::new();
        let (tell_seen, seen) = watch::channel(Seen::NotYet);
        let caches = Caches::follow(client, seen.clone(), &readiness, &mut tasks);
        let (tell_bundle, bundle) = watch::channel(None);
        let reloads = reload::counter(&registry).map_err(Failure::no)?;
        let clients = follow_client_ca(config, &reloads, &readiness, &mut tasks)?;
        let certificates =
            follow_certificates(client, config, &registry, reloads, &readiness, &mut tasks, tell_bundle)?;
        let guarded = caches.guarded(client, &mut tasks);
        let reporter = Reporter { controller: "castoff".to_owned(), instance: Some(connection.identity.clone()) };
        let recorder = Recorder::new(client.clone(), reporter);
        let registration = Registration::new(client.clone(), config.registration.clone(), guarded, recorder, &registry);
        let registration = Arc::new(registration.map_err(Failure::no)?);
        let ready = readiness.register("registration", "not seen yet");
        let follower = Arc::clone(&registration);
        tasks.spawn(async move { follower.follow(tell_seen, ready).await });
        Ok(Following { readiness, registry, tasks, caches, certificates, clients, bundle, registration, seen })
    }
}

/// Who may send reviews, where callers have to show a certificate.
fn follow_client_ca(
    config: &ClusterConfig,
    reloads: &IntCounterVec,
    readiness: &Readiness,
    tasks: &mut JoinSet<()>,
) -> Result<Option<Clients>, Failure> {
    let Some(callers) = &config.listen.clients else { return Ok(None) };
    let (file, before) = ClientCaFile::load(callers).map_err(Failure::Usage)?;
    let clients = file.clients.clone();
    let hangup = signal(SignalKind::hangup()).map_err(Failure::no)?;
    tasks.spawn(reload::follow(file, before, registered(readiness, "client-ca"), reloads.clone(), hangup));
    Ok(Some(clients))
}

/// The certificate that is served: from files, or from the Secret that the leader keeps.
fn follow_certificates(
    client: &Client,
    config: &ClusterConfig,
    registry: &Registry,
    reloads: IntCounterVec,
    readiness: &Readiness,
    tasks: &mut JoinSet<()>,
    tell_bundle: watch::Sender<Bundle>,
) -> Result<Certificates, Failure> {
    if let Tls::Files { certificate, key } = &config.tls {
        let pair = (certificate.clone(), key.clone());
        let (files, before) = CertificateFiles::load(pair, registry).map_err(Failure::Usage)?;
        let certificates = files.certificates.clone();
        let hangup = signal(SignalKind::hangup()).map_err(Failure::no)?;
        let ready = registered(readiness, "certificates");
        tasks.spawn(async move {
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
    tasks.spawn(certificates::follow(client.clone(), place(config), served, expiry, ready, tell_bundle));
    Ok(certificates)
}

/// The guard on what is followed: it acts only while this process leads.
fn assemble(
    connection: &Connection,
    config: &ClusterConfig,
    following: &mut Following,
    leadership: &Leadership,
) -> Result<Guard, Failure> {
    let client = &connection.client;
    let (events, write_events) = ClusterEvents::new(client.clone(), &connection.identity, runbook(config));
    following.tasks.spawn(write_events);
    let caches = &following.caches;
    let (drains, policies) = (Arc::clone(&caches.drains), Arc::clone(&caches.policies));
    let leads = leadership.clone();
    let parts = Parts {
        policies: Arc::clone(&caches.index),
        store: Arc::new(ClusterStore::new(client.clone(), drains, policies)),
        cluster: Arc::clone(&caches.cluster) as _,
        secrets: Arc::new(ClusterSecrets(client.clone())),
        events: Arc::new(events),
        endpoints: guard::Settings {
            loopback: config.allow_loopback,
            allowed: config.allow_endpoints.clone(),
            ..guard::Settings::default()
        },
        is_leader: Arc::new(move || leads.holds()),
        settings: lifecycle::Settings {
            progress_every: PROGRESS_EVERY,
            completed_ttl: config.completed_ttl,
            ..assemble::settings()
        },
        own_user: Some(connection.own_user.clone()),
    };
    parts.assemble(&following.registry)
}

/// Takes part in the election, and works where it is won; the lease is given back once that work has ended.
async fn take_part(election: Election, leader: &Leader, shutdown: Shutdown) {
    let (led, has_led) = oneshot::channel::<()>();
    tokio::join!(
        election.run(async move {
            let _ = has_led.await;
        }),
        async move {
            leader.run(&shutdown).await;
            drop(led);
        }
    );
}

/// Where certificates are kept.
fn place(config: &ClusterConfig) -> Place {
    Place {
        further_names: config.further_names.clone(),
        service: config.service.clone(),
        ..Place::new(&config.namespace)
    }
}

/// Where people read on.
fn runbook(config: &ClusterConfig) -> Links {
    Links::to(config.runbook_url.as_deref())
}

/// A client for the cluster that this process runs in, or that the kubeconfig names.
///
/// # Errors
/// When there is neither, or it can't be used.
pub async fn connect() -> Result<Client, Failure> {
    let mut config = Config::infer().await.map_err(|error| {
        Failure::Usage(format!("no cluster: {}. Give KUBECONFIG, or --standalone to work without one", chain(&error)))
    })?;
    // A denial, too, is a 429: what is to be tried again is decided by whoever asks.
    config.default_retry = false;
    Client::try_from(config).map_err(|error| Failure::No(chain(&error)))
}

/// As whom this process speaks. Waits for an API server that does not answer yet.
async fn whoami(client: &Client) -> Result<String, Failure> {
    let api: Api<SelfSubjectReview> = Api::all(client.clone());
    loop {
        match api.create(&PostParams::default(), &SelfSubjectReview::default()).await {
            Ok(review) => {
                let user = review.status.and_then(|status| status.user_info).and_then(|user| user.username);
                return Ok(user.unwrap_or_default());
            }
            Err(kube::Error::Api(status)) if matches!(status.code, 401 | 403) => {
                return Err(Failure::No(format!("the API server does not know who this is: {}", status.message)));
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), "the API server does not answer; trying again");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// The host's name, and a number that a process started after this one in the same pod does not have.
fn identity() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "castoff".to_owned());
    let started = jiff::Timestamp::now().as_millisecond();
    format!("{host}_{}_{started}", std::process::id())
}

//! `castoff serve` in a cluster, in stages: connected, following, assembled, serving and leading.

mod access;
mod caches;
mod connection;
mod following;
mod leader;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::Api;
use tokio::sync::oneshot;

use crate::backend::guard;
use crate::controller::{self, IsLeader};
use crate::kubernetes::certificates::{Lives, Place};
use crate::kubernetes::events::ClusterEvents;
use crate::kubernetes::follow::Pace;
use crate::kubernetes::lease::{self, Election, Leadership, Timing};
use crate::kubernetes::metrics;
use crate::kubernetes::secrets::ClusterSecrets;
use crate::kubernetes::store::ClusterStore;
use crate::lifecycle;
use crate::metrics::Whose;
use crate::ports::Asks;
use crate::runbook::Links;
use crate::runtime::shutdown::Shutdown;
use crate::runtime::tasks::Ended;
use crate::server::{self, Server};

use super::assemble::{Guard, Parts};
use super::config::{ClusterConfig, Tls, WebhookPath};
use super::{Failure, server_config};

use connection::Connection;
use following::Following;
use leader::Leader;

/// Between two writes of progress alone.
const PROGRESS_EVERY: Duration = Duration::from_mins(1);

/// After the webhook's timeout, until a pod that still stands there shows that an allow was not carried out.
const ALLOWED_IS_CARRIED_OUT: Duration = Duration::from_secs(20);

/// The longest time from one look at the Lease to the next.
const LEADERSHIP_LIMIT: Duration = Duration::from_mins(2);

/// Serves until it is told to stop.
pub(super) async fn run(config: ClusterConfig, shutdown: Shutdown) -> Result<(), Failure> {
    let connection = Connection::establish(&config).await?;
    let mut following = Following::begin(&connection, &config)?;
    let leadership = Leadership::none();
    let pulse = following.liveness.register("controller", controller::SILENCE);
    // Only the leader's controller works.
    pulse.rest();
    let guard = assemble(&connection, &config, &mut following, &leadership)?;
    let server_config = server::Config {
        paths: following.asked.paths.clone(),
        ..server_config(&config.listen, following.asked.certificates.clone(), following.asked.clients.clone())
    };
    let server = Server::bind(server_config).await.map_err(Failure::no)?;
    tracing::info!(address = %server.local_addr(), admin = %server.admin_addr(), "answers AdmissionReviews");
    let leases: Api<Lease> = Api::namespaced(connection.client.clone(), &config.namespace);
    let timing = Timing::of(config.lease_duration);
    let Following { readiness, liveness, registry, mut tasks, caches, registration, asked, seen } = following;
    let election = Election::new(leases, lease::NAME, &connection.identity, timing, leadership.clone())
        .beating(liveness.register("leadership", LEADERSHIP_LIMIT));
    let responds = config.eviction_responder.then(|| Arc::clone(&guard.gate) as Arc<dyn Asks>);
    let leader = Leader {
        responds,
        client: connection.client,
        caches,
        controller: guard.controller,
        leadership,
        registration,
        kept: Some(place(&config)).filter(Place::keeps_something).map(|place| (place, Lives::default())),
        access: asked.access,
        seen,
        runbook: runbook(&config),
        liveness: liveness.clone(),
        pulse,
        pace: Pace::default(),
    };
    let leading = async { take_part(election, &leader, shutdown.clone()).await.map_err(dead) };
    let serving =
        async { server.run(guard.gate, readiness, liveness, registry, shutdown.clone()).await.map_err(Failure::no) };
    // The leader stays until the server has ended: what follows the cluster ends when nobody listens to it any more.
    tokio::select! {
        ended = async { tokio::try_join!(serving, leading) } => ended.map(|_| ()),
        ended = tasks.ended() => Err(dead(ended)),
    }
}

/// One task of the process is dead, and so it ends.
#[allow(clippy::needless_pass_by_value)] // As `map_err` gives it.
fn dead(ended: Ended) -> Failure {
    Failure::No(format!("{ended}, and the guard with it"))
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
    following.tasks.spawn("events", write_events);
    let caches = &following.caches;
    let (drains, policies) = (Arc::clone(&caches.drains), Arc::clone(&caches.policies));
    let leads = leadership.clone();
    let is_leader: IsLeader = Arc::new(move || leads.holds());
    let labels = config.listen.metrics_labels;
    let whose = Whose::new(labels, Arc::clone(&caches.index));
    let (of_drains, of_policies) = (&caches.drains, Arc::clone(&caches.policies));
    metrics::register(&following.registry, &whose, of_drains, of_policies, Arc::clone(&is_leader))
        .map_err(Failure::no)?;
    let parts = Parts {
        policies: Arc::clone(&caches.index),
        store: Arc::new(ClusterStore::new(client.clone(), drains, policies)),
        cluster: Arc::clone(&caches.cluster) as _,
        secrets: Arc::new(ClusterSecrets { client: client.clone(), own_user: connection.own_user.clone() }),
        events: Arc::new(events),
        endpoints: guard::Settings {
            loopback: config.allow_loopback,
            allowed: config.allow_endpoints.clone(),
            ..guard::Settings::default()
        },
        is_leader,
        settings: lifecycle::Settings {
            progress_every: PROGRESS_EVERY,
            completed_ttl: config.completed_ttl,
            claim_patience: Duration::from_secs(config.registration.timeout_seconds.into()) + ALLOWED_IS_CARRIED_OUT,
        },
        own_user: Some(connection.own_user.clone()),
        labels,
    };
    parts.assemble(&following.registry)
}

/// Takes part in the election, and works where it is won; the lease is given back once that work has ended.
async fn take_part(election: Election, leader: &Leader, shutdown: Shutdown) -> Result<(), Ended> {
    let (led, has_led) = oneshot::channel::<()>();
    let ((), ended) = tokio::join!(
        election.run(async move {
            let _ = has_led.await;
        }),
        async move {
            let ended = leader.run(&shutdown).await;
            drop(led);
            ended
        }
    );
    ended
}

/// Where certificates and paths are kept, as far as they are.
fn place(config: &ClusterConfig) -> Place {
    Place {
        certificates: matches!(config.tls, Tls::Managed),
        // Where the registration is others', so is its path.
        paths: config.registration.manage && matches!(config.path, WebhookPath::Kept),
        further_names: config.further_names.clone(),
        service: config.service.clone(),
        ..Place::new(&config.namespace)
    }
}

/// Where people read on.
fn runbook(config: &ClusterConfig) -> Links {
    Links::to(config.runbook_url.as_deref())
}

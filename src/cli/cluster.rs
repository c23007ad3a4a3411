//! `castoff serve` in a cluster: every replica answers, one of them brings departures about.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, PostParams};
use kube::core::{ApiResource, DynamicObject};
use kube::{Client, Config};
use prometheus::Registry;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::backend::guard;
use crate::controller::Controller;
use crate::kubernetes::cache::{Cache, Read, chain};
use crate::kubernetes::cluster::{self, WatchedCluster};
use crate::kubernetes::drains::Kept;
use crate::kubernetes::events::ClusterEvents;
use crate::kubernetes::lease::{Charge, Election, Timing};
use crate::kubernetes::policies::{self, PlanObject, PolicyObject};
use crate::kubernetes::policy_status::Writer;
use crate::kubernetes::resources;
use crate::kubernetes::secrets::ClusterSecrets;
use crate::kubernetes::store::{ClusterStore, read_drain};
use crate::lifecycle::Settings;
use crate::policy::PolicyIndex;
use crate::server::shutdown::Shutdown;
use crate::server::{self, Certificates, Readiness, Server};

use super::assemble::{self, Parts};
use super::{Failure, Serve};

/// The Lease's name.
const LEASE: &str = "castoff";

/// Between two writes of progress alone.
const PROGRESS_EVERY: Duration = Duration::from_secs(60);

/// Copies of what the API holds.
struct Caches {
    policies: Arc<Cache<PolicyObject>>,
    plans: Arc<Cache<PlanObject>>,
    drains: Arc<Cache<Kept>>,
    cluster: Arc<WatchedCluster>,
    index: Arc<ArcSwap<PolicyIndex>>,
}

/// Serves until it is told to stop.
pub(super) async fn run(command: Serve, shutdown: Shutdown) -> Result<(), Failure> {
    let said = |error: &dyn std::fmt::Display| Failure::No(error.to_string());
    let client = connect().await?;
    let own_user = whoami(&client).await?;
    let identity = command.cluster.identity.clone().unwrap_or_else(identity);
    tracing::info!(user = %own_user, %identity, "speaks to the API server");
    let (registry, readiness) = (Registry::new(), Readiness::new());
    let mut tasks = JoinSet::new();
    let caches = Caches::follow(&client, &readiness, &mut tasks);
    let certificates = certificates(&command)?;
    let config = server::Config {
        listen: command.listen,
        admin_listen: command.admin_listen,
        shutdown_delay: Duration::from_secs(command.shutdown_delay),
        ..server::Config::new(certificates)
    };
    let charge = Charge::none();
    let (events, write_events) = ClusterEvents::new(client.clone(), &identity);
    tasks.spawn(write_events);
    let holds = charge.clone();
    let parts = Parts {
        policies: Arc::clone(&caches.index),
        store: Arc::new(ClusterStore::new(client.clone(), Arc::clone(&caches.drains), Arc::clone(&caches.policies))),
        cluster: Arc::clone(&caches.cluster) as _,
        secrets: Arc::new(ClusterSecrets(client.clone())),
        events: Arc::new(events),
        endpoints: guard::Settings {
            loopback: command.cluster.allow_loopback,
            allowed: command.sources.allow_endpoints.clone(),
            ..guard::Settings::default()
        },
        in_charge: Arc::new(move || holds.holds()),
        settings: Settings {
            progress_every: PROGRESS_EVERY,
            completed_ttl: command.cluster.completed_ttl,
            ..assemble::settings()
        },
        own_user: Some(own_user),
    };
    let guard = parts.assemble(&registry)?;
    let server = Server::bind(config).await.map_err(|error| said(&error))?;
    tracing::info!(address = %server.local_addr(), admin = %server.admin_addr(), "answers AdmissionReviews");
    let leader = Leader { client: client.clone(), caches, controller: guard.controller, charge: charge.clone() };
    let (led, has_led) = oneshot::channel::<()>();
    let leases: Api<Lease> = Api::namespaced(client, &command.cluster.namespace);
    let timing = Timing::of(command.cluster.lease_duration);
    let election = Election::new(leases, LEASE, &identity, timing, charge);
    let stop = shutdown.clone();
    let in_charge = async move {
        tokio::join!(
            election.run(async move {
                let _ = has_led.await;
            }),
            async move {
                leader.run(&stop).await;
                drop(led);
            }
        );
    };
    tokio::select! {
        ended = async { tokio::join!(server.run(guard.gate, readiness, registry, shutdown), in_charge).0 } => {
            ended.map_err(|error| said(&error))
        }
        Some(ended) = tasks.join_next() => {
            Err(Failure::No(format!("what follows the cluster has ended, and the guard with it: {ended:?}")))
        }
    }
}

/// What the one in charge does, besides answering.
struct Leader {
    client: Client,
    caches: Caches,
    controller: Arc<Controller>,
    charge: Charge,
}

impl Leader {
    /// Works whenever this process is in charge, until `shutdown` begins.
    async fn run(self, shutdown: &Shutdown) {
        loop {
            tokio::select! {
                () = self.charge.gained() => {}
                () = shutdown.begun() => return,
            }
            tokio::select! {
                () = self.lead(shutdown) => return,
                // A lease in doubt: what is under way is dropped where it stands.
                () = self.charge.lost() => self.caches.cluster.pods.clear(),
            }
        }
    }

    async fn lead(&self, shutdown: &Shutdown) {
        // Pods are watched once for the cluster, by the one in charge.
        let mut tasks = JoinSet::new();
        let pods = Arc::clone(&self.caches.cluster.pods);
        tasks.spawn(pods.follow(Api::all_with(self.client.clone(), &cluster::pods()), "pods", cluster::read_pod));
        self.caches.cluster.pods.filled().await;
        let writer = Writer {
            client: self.client.clone(),
            objects: Arc::clone(&self.caches.policies),
            index: Arc::clone(&self.caches.index),
            pods: Arc::clone(&self.caches.cluster.pods),
            nodes: Arc::clone(&self.caches.cluster.nodes),
            called: Arc::new(|_| Ok(())),
            charge: self.charge.clone(),
        };
        tasks.spawn(writer.run());
        self.caches.drains.filled().await;
        self.caches.policies.filled().await;
        Arc::clone(&self.controller).run(shutdown.begun()).await;
    }
}

impl Caches {
    /// Begins to follow; readiness waits for each first list.
    fn follow(client: &Client, readiness: &Readiness, tasks: &mut JoinSet<()>) -> Self {
        let cluster = Arc::new(WatchedCluster::new(client.clone()));
        let caches = Caches {
            policies: Arc::default(),
            plans: Arc::default(),
            drains: Arc::default(),
            index: Arc::default(),
            cluster,
        };
        follow(
            client,
            readiness,
            tasks,
            "drainpolicies",
            &caches.policies,
            &resources::drain_policies(),
            policies::read_policy,
        );
        follow(client, readiness, tasks, "drainplans", &caches.plans, &resources::drain_plans(), policies::read_plan);
        follow(client, readiness, tasks, "poddrains", &caches.drains, &resources::pod_drains(), read_drain);
        follow(client, readiness, tasks, "nodes", &caches.cluster.nodes, &cluster::nodes(), cluster::read_node);
        let namespaces = &caches.cluster.namespaces;
        follow(client, readiness, tasks, "namespaces", namespaces, &cluster::namespaces(), cluster::read_namespace);
        let compiled = readiness.register("policies", "not compiled yet");
        let index = Arc::clone(&caches.index);
        tasks.spawn(policies::follow(Arc::clone(&caches.policies), Arc::clone(&caches.plans), index, move || {
            compiled.ready();
        }));
        caches
    }
}

fn follow<T: Send + Sync + 'static>(
    client: &Client,
    readiness: &Readiness,
    tasks: &mut JoinSet<()>,
    name: &'static str,
    cache: &Arc<Cache<T>>,
    resource: &ApiResource,
    read: Read<T>,
) {
    let handle = readiness.register(name, "the first list has not come in yet");
    let filled = Arc::clone(cache);
    let api: Api<DynamicObject> = Api::all_with(client.clone(), resource);
    let followed = Arc::clone(cache).follow(api, name, read);
    tasks.spawn(async move {
        let ready = async {
            filled.filled().await;
            handle.ready();
        };
        tokio::join!(followed, ready);
    });
}

/// A client for the cluster that this process runs in, or that the kubeconfig names.
pub(super) async fn connect() -> Result<Client, Failure> {
    let config = Config::infer().await.map_err(|error| {
        Failure::Usage(format!("no cluster: {}. Give KUBECONFIG, or --standalone to work without one", chain(&error)))
    })?;
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

fn certificates(command: &Serve) -> Result<Certificates, Failure> {
    let pair: Option<(PathBuf, PathBuf)> = command.tls_cert.clone().zip(command.tls_key.clone());
    match pair {
        Some((certificate, key)) => Certificates::load(&certificate, &key).map_err(Failure::Usage),
        None => Err(Failure::Usage("give --tls-cert and --tls-key".to_owned())),
    }
}

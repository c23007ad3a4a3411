//! Copies of what the API holds, followed by every replica.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use kube::Client;
use kube::api::{Api, ListParams};
use kube::core::{ApiResource, DynamicObject};
use tokio::sync::watch;

use crate::kubernetes::cache::{Cache, Read, Source, chain};
use crate::kubernetes::cluster::{self, WatchedCluster};
use crate::kubernetes::drains::Kept;
use crate::kubernetes::follow::Pace;
use crate::kubernetes::health::tell_readiness;
use crate::kubernetes::policies::{self, PlanObject, PolicyObject};
use crate::kubernetes::registration::{Guarded, Seen};
use crate::kubernetes::resources::{drain_plans, drain_policies, pod_drains};
use crate::kubernetes::store::read_drain;
use crate::lifecycle::Phase;
use crate::policy::PolicyIndex;
use crate::runtime::tasks::Tasks;
use crate::runtime::{Liveness, Readiness};

/// The longest time from one thing that a copy hears or tries to the next: a silent watch, a request that fails, and a
/// pause.
const COPY_LIMIT: Duration = Duration::from_mins(4);

/// Waits around the copy of policies. While its watch is dead, a second policy of a namespace is hidden from the gate,
/// and nothing else would show that: so it is noticed sooner.
const PACE_OF_POLICIES: Pace =
    Pace { watch_seconds: 10, silence: Duration::from_secs(15), patience: Duration::from_mins(2) };

/// Copies of what the API holds.
pub(super) struct Caches {
    pub policies: Arc<Cache<PolicyObject>>,
    pub plans: Arc<Cache<PlanObject>>,
    pub drains: Arc<Cache<Kept>>,
    pub cluster: Arc<WatchedCluster>,
    /// The policies in force.
    pub index: Arc<ArcSwap<PolicyIndex>>,
    /// Changes once others are in force: later than the copies that they are compiled from.
    pub in_force: watch::Receiver<()>,
}

impl Caches {
    /// Begins to follow; readiness waits for each first list.
    pub fn follow(
        client: &Client,
        (registration, registration_is_ours): (watch::Receiver<Seen>, bool),
        (readiness, liveness): (&Readiness, &Liveness),
        tasks: &mut Tasks,
    ) -> Self {
        let (tell, in_force) = watch::channel(());
        let caches = Caches {
            policies: Arc::default(),
            plans: Arc::default(),
            drains: Arc::default(),
            index: Arc::default(),
            in_force,
            cluster: Arc::new(WatchedCluster::new(client.clone(), registration, registration_is_ours)),
        };
        let mut follower = Follower { client, readiness, liveness, tasks, pace: PACE_OF_POLICIES };
        follower.follow("drainpolicies", &caches.policies, &drain_policies(), policies::read_policy);
        follower.pace = Pace::default();
        follower.follow("drainplans", &caches.plans, &drain_plans(), policies::read_plan);
        follower.follow("poddrains", &caches.drains, &pod_drains(), read_drain);
        follower.follow("nodes", &caches.cluster.nodes, &cluster::nodes(), cluster::read_node);
        follower.follow("namespaces", &caches.cluster.namespaces, &cluster::namespaces(), cluster::read_namespace);
        let compiled = readiness.register("policies", "not compiled yet");
        let index = Arc::clone(&caches.index);
        let compiled = policies::follow(Arc::clone(&caches.policies), Arc::clone(&caches.plans), index, move || {
            compiled.ready();
            tell.send_replace(());
        });
        tasks.spawn("policies", compiled);
        caches
    }

    /// What tells which namespaces are guarded.
    pub fn guarded(&self, client: &Client, tasks: &mut Tasks) -> Arc<dyn Guarded> {
        let changes = watch::Sender::new(0);
        let (mut policies, mut drains) = (self.policies.changes(), self.drains.changes());
        let told = changes.clone();
        tasks.spawn("guarded namespaces", async move {
            loop {
                tokio::select! {
                    Ok(()) = policies.changed() => {}
                    Ok(()) = drains.changed() => {}
                    else => return,
                }
                told.send_modify(|count| *count += 1);
            }
        });
        let (policies, drains) = (Arc::clone(&self.policies), Arc::clone(&self.drains));
        Arc::new(GuardedNamespaces { client: client.clone(), policies, drains, changes })
    }
}

struct Follower<'a> {
    client: &'a Client,
    readiness: &'a Readiness,
    liveness: &'a Liveness,
    tasks: &'a mut Tasks,
    pace: Pace,
}

impl Follower<'_> {
    fn follow<T: Send + Sync + 'static>(
        &mut self,
        name: &'static str,
        cache: &Arc<Cache<T>>,
        resource: &ApiResource,
        read: Read<T>,
    ) {
        let mut source = Source::new(Api::all_with(self.client.clone(), resource), name, read);
        source.pace = self.pace;
        source.pulse = Some(self.liveness.register(name, COPY_LIMIT));
        let handle = self.readiness.register(name, "the first list has not come in yet");
        let told = tell_readiness(cache.health(), source.pace.patience, handle);
        let followed = Arc::clone(cache).follow(source);
        self.tasks.spawn(name, async move {
            tokio::join!(followed, told);
        });
    }
}

/// Namespaces with policies, or with drains that are not over.
struct GuardedNamespaces {
    client: Client,
    policies: Arc<Cache<PolicyObject>>,
    drains: Arc<Cache<Kept>>,
    changes: watch::Sender<u64>,
}

impl GuardedNamespaces {
    fn with_open_departures(&self) -> impl Iterator<Item = String> {
        let open = self.drains.pick(|kept| kept.drain.status.phase != Phase::Completed);
        open.into_iter().map(|kept| kept.drain.metadata.namespace.clone())
    }
}

#[async_trait]
impl Guarded for GuardedNamespaces {
    fn namespaces(&self) -> BTreeSet<String> {
        let with_policies = self.policies.all().into_iter().map(|policy| policy.namespace.clone());
        with_policies.chain(self.with_open_departures()).collect()
    }

    async fn namespaces_now(&self) -> Option<BTreeSet<String>> {
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &drain_policies());
        let listed = api.list_metadata(&ListParams::default()).await.inspect_err(|error| {
            tracing::warn!(error = %chain(error), "policies can't be listed: no namespace is taken out of the registration");
        });
        let with_policies = listed.ok()?.items.into_iter().filter_map(|policy| policy.metadata.namespace);
        self.drains.is_filled().then(|| with_policies.chain(self.with_open_departures()).collect())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

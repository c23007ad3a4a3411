//! Puts the guard together. What `serve`, `review` and the demo run is this.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus::Registry;
use tokio::time::Instant;

use crate::backend::Backend;
use crate::backend::credentials::Secrets;
use crate::backend::dns::SystemDns;
use crate::backend::guard;
use crate::backend::metrics::Metrics as BackendMetrics;
use crate::controller::censuses::Censuses;
use crate::controller::log_events::LogEvents;
use crate::controller::observe::Observer;
use crate::controller::owners::Owners;
use crate::controller::{self, Controller};
use crate::gate::{self, Gatekeeper, Tries};
use crate::lifecycle::{self, Settings};
use crate::metrics::{Labels, Whose};
use crate::policy::PolicyIndex;
use crate::ports::{Cluster, Events, Store};
use crate::standalone::cluster::LocalCluster;
use crate::standalone::objects::Objects;
use crate::standalone::policies;
use crate::standalone::secrets::DirectorySecrets;
use crate::standalone::store::FileStore;

use super::Failure;
use super::config::Sources;

/// After a claim, until a pod that still stands there shows that the allow was not carried out: the longest timeout
/// that a webhook may have, and 20 s.
const CLAIM_PATIENCE: Duration = Duration::from_secs(50);

/// What the guard is made of.
pub struct Parts {
    /// Policies in force.
    pub policies: Arc<ArcSwap<PolicyIndex>>,
    /// Drains.
    pub store: Arc<dyn Store>,
    /// Pods and what they depend on.
    pub cluster: Arc<dyn Cluster>,
    /// Secrets.
    pub secrets: Arc<dyn Secrets>,
    /// People.
    pub events: Arc<dyn Events>,
    /// Where plans may send requests.
    pub endpoints: guard::Settings,
    /// Whether this process leads of drains.
    pub is_leader: controller::IsLeader,
    /// Waits that do not depend on a policy.
    pub settings: Settings,
    /// As whom this process acts.
    pub own_user: Option<String>,
    /// Which labels say whose a metric is.
    pub labels: Labels,
}

/// The guard: what answers, and what brings drains about.
pub struct Guard {
    /// Answers.
    pub gate: Arc<Gatekeeper>,
    /// Brings drains about.
    pub controller: Arc<Controller>,
}

/// The usual waits.
#[must_use]
pub fn settings() -> Settings {
    Settings { claim_patience: CLAIM_PATIENCE, progress_every: Duration::ZERO, completed_ttl: Duration::from_hours(1) }
}

/// What the guard is made of without a cluster.
pub struct Standalone {
    /// Policies in force.
    pub policies: PolicyIndex,
    /// Drains.
    pub store: Arc<dyn Store>,
    /// Pods and what they depend on.
    pub cluster: Arc<LocalCluster>,
    /// Where secrets are.
    pub secrets: DirectorySecrets,
    /// Further endpoints that plans may use.
    pub allow_endpoints: Vec<guard::Pattern>,
    /// Which labels say whose a metric is.
    pub labels: Labels,
}

impl Standalone {
    /// The parts that these sources name.
    ///
    /// # Errors
    /// When one of them can't be read.
    pub fn read(sources: &Sources) -> Result<Self, Failure> {
        let policies = policies::read(&sources.policies).map_err(Failure::usage)?;
        let store = match &sources.state {
            Some(directory) => FileStore::open(directory).map_err(Failure::usage)?,
            None => FileStore::in_memory(),
        };
        let cluster = match &sources.pods {
            Some(directory) => LocalCluster::new(Objects::read(directory).map_err(Failure::usage)?),
            None => LocalCluster::unseen(),
        };
        Ok(Standalone {
            policies,
            store: Arc::new(store),
            cluster: Arc::new(cluster),
            secrets: DirectorySecrets::new(sources.secrets.clone().unwrap_or_default()),
            allow_endpoints: sources.allow_endpoints.clone(),
            labels: Labels::default(),
        })
    }

    /// Puts the guard together; its metrics go into `registry`.
    ///
    /// # Errors
    /// When its metrics are there already.
    pub fn assemble(self, registry: &Registry) -> Result<Guard, Failure> {
        let endpoints = guard::Settings { loopback: true, allowed: self.allow_endpoints, ..Default::default() };
        let parts = Parts {
            policies: Arc::new(ArcSwap::from_pointee(self.policies)),
            store: self.store,
            cluster: self.cluster,
            secrets: Arc::new(self.secrets),
            events: Arc::new(LogEvents),
            endpoints,
            is_leader: Arc::new(|| true),
            settings: settings(),
            own_user: None,
            labels: self.labels,
        };
        parts.assemble(registry)
    }
}

impl Parts {
    /// Puts the guard together; its metrics go into `registry`.
    ///
    /// # Errors
    /// When its metrics are there already.
    pub fn assemble(self, registry: &Registry) -> Result<Guard, Failure> {
        let metric = |error: prometheus::Error| Failure::No(format!("metrics could not be set up: {error}"));
        let backend_metrics = BackendMetrics::register(registry).map_err(metric)?;
        let backend = Backend::new(self.endpoints, self.secrets, Arc::new(SystemDns::new()), backend_metrics);
        let observer = Arc::new(Observer::new(backend, Arc::clone(&self.cluster)));
        let (store, is_leader) = (Arc::clone(&self.store), Arc::clone(&self.is_leader));
        let whose = Whose::new(self.labels, Arc::clone(&self.policies));
        let controller_metrics =
            controller::metrics::Metrics::register(registry, whose.clone(), store, is_leader).map_err(metric)?;
        let gate = Gatekeeper {
            policies: Arc::clone(&self.policies),
            store: Arc::clone(&self.store),
            cluster: Arc::clone(&self.cluster),
            observer: Arc::clone(&observer),
            events: Arc::clone(&self.events),
            metrics: gate::metrics::Metrics::register(registry, whose, controller_metrics.clone()).map_err(metric)?,
            tries: Tries::default(),
            own_user: self.own_user,
        };
        let controller = Controller {
            store: self.store,
            cluster: self.cluster,
            events: self.events,
            observer,
            owners: Owners::default(),
            censuses: Censuses::default(),
            policies: self.policies,
            settings: self.settings,
            quiet: lifecycle::LATE,
            metrics: controller_metrics,
            is_leader: self.is_leader,
            started: Instant::now(),
        };
        Ok(Guard { gate: Arc::new(gate), controller: Arc::new(controller) })
    }
}

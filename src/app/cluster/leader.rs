//! What the leader does, besides answering.

use std::sync::Arc;
use std::time::Duration;

use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::controller::Controller;
use crate::kubernetes::cache::Source;
use crate::kubernetes::certificates::{self, Access, Lives, Place};
use crate::kubernetes::evictions::Responder;
use crate::kubernetes::follow::Pace;
use crate::kubernetes::lease::Leadership;
use crate::kubernetes::policy_status::{Elsewhere, Probes, Writer};
use crate::kubernetes::registration::{Registration, Seen};
use crate::kubernetes::{node_drains, pods, resources};
use crate::ports::Asks;
use crate::runbook::Links;
use crate::runtime::liveness::{Liveness, Pulse};
use crate::runtime::shutdown::Shutdown;
use crate::runtime::tasks::{self, Ended, Tasks};

use super::caches::Caches;

/// How often the leader asks itself whether it still works.
const LOOK: Duration = Duration::from_secs(10);

/// What the leader works with.
pub(super) struct Leader {
    pub client: Client,
    pub caches: Caches,
    pub controller: Arc<Controller>,
    pub leadership: Leadership,
    pub registration: Arc<Registration>,
    /// Where certificates and paths are kept; `None` where others make them.
    pub kept: Option<(Place, Lives)>,
    pub access: watch::Receiver<Access>,
    pub seen: watch::Receiver<Seen>,
    pub runbook: Links,
    pub liveness: Liveness,
    /// The controller's.
    pub pulse: Pulse,
    /// Waits around the pods that it follows.
    pub pace: Pace,
    /// The gate, where Castoff is to respond to Evictions.
    pub responds: Option<Arc<dyn Asks>>,
}

impl Leader {
    /// Works whenever this process leads, until `shutdown` begins.
    ///
    /// # Errors
    /// When a task that it works by has ended.
    pub async fn run(&self, shutdown: &Shutdown) -> Result<(), Ended> {
        loop {
            tokio::select! {
                () = self.leadership.gained() => {}
                () = shutdown.begun() => return Ok(()),
            }
            let pods = &self.caches.cluster.pods;
            // What was seen the last time this process led is over.
            pods.clear();
            self.caches.cluster.node_drains.clear();
            let mut tasks = self.begin();
            let unable = tokio::select! {
                worked = tasks::caught("controller", self.control(shutdown)) => return worked,
                ended = tasks.ended() => return Err(ended),
                // A lease in doubt: what is under way is dropped where it stands.
                () = self.leadership.lost() => None,
                why = pods.cache.fell_silent(self.pace.patience) => Some(format!("pods can't be followed: {why}")),
                why = self.stands_still() => Some(why),
            };
            self.pulse.rest();
            tasks.stop().await;
            pods.clear();
            if let Some(why) = unable {
                self.leadership.give_up(why);
            }
        }
    }

    /// What goes on beside the controller.
    fn begin(&self) -> Tasks {
        let mut tasks = Tasks::new();
        if let Some((place, lives)) = &self.kept {
            let kept = certificates::keep(self.client.clone(), place.clone(), *lives, self.access.clone());
            tasks.spawn("certificates", kept);
        }
        let (registration, access, seen) = (Arc::clone(&self.registration), self.access.clone(), self.seen.clone());
        tasks.spawn("registration", async move { registration.keep(access, seen).await });
        // Pods are watched once for the cluster, by the leader.
        let pace = Pace { streams: true, ..self.pace };
        let pods = Source { pace, ..Source::new(Api::all(self.client.clone()), "pods", pods::read) };
        tasks.spawn("pods", Arc::clone(&self.caches.cluster.pods.cache).follow(pods));
        let node_drains = Api::all_with(self.client.clone(), &resources::node_drains());
        let node_drains = Source::new(node_drains, "nodedrains", node_drains::read);
        tasks.spawn("nodedrains", Arc::clone(&self.caches.cluster.node_drains).follow(node_drains));
        tasks.spawn("status of nodedrains", self.writer_of_node_drains().run());
        let probes = Arc::new(self.probes());
        tasks.spawn("backend probes", Arc::clone(&probes).run());
        tasks.spawn("policy status", self.writer(probes).run());
        if let Some(gate) = &self.responds {
            tasks.spawn("eviction responder", self.responder(gate).run());
        }
        tasks
    }

    /// Waits until a part of this process stands still; says which.
    async fn stands_still(&self) -> String {
        loop {
            tokio::time::sleep(LOOK).await;
            let (alive, report) = self.liveness.report(Instant::now());
            if !alive {
                return report.lines().filter(|line| line.starts_with("[-]")).collect::<Vec<_>>().join(", ");
            }
        }
    }

    /// Brings drains about, until what is under way has ended: only then the lease is given back.
    async fn control(&self, shutdown: &Shutdown) {
        tokio::select! {
            () = self.caches_filled() => {}
            () = shutdown.begun() => return,
        }
        tokio::select! {
            () = Arc::clone(&self.controller).run(shutdown.begun(), self.pulse.clone()) => {}
            () = self.controller.prepare_ahead() => {}
        }
    }

    async fn caches_filled(&self) {
        self.caches.cluster.pods.cache.filled().await;
        self.caches.drains.filled().await;
        self.caches.policies.filled().await;
    }

    fn probes(&self) -> Probes {
        let Caches { index, in_force, cluster, .. } = &self.caches;
        let observer = Arc::clone(&self.controller.observer);
        let (pods, nodes) = (Arc::clone(&cluster.pods), Arc::clone(&cluster.nodes));
        Probes::new(observer, Arc::clone(index), in_force.clone(), pods, nodes, self.leadership.clone())
    }

    fn responder(&self, gate: &Arc<dyn Asks>) -> Responder {
        let Controller { store, cluster, events, is_leader, .. } = &*self.controller;
        Responder {
            client: self.client.clone(),
            gate: Arc::clone(gate),
            store: Arc::clone(store),
            cluster: Arc::clone(cluster),
            events: Arc::clone(events),
            is_leader: Arc::clone(is_leader),
            found: Arc::default(),
        }
    }

    fn writer_of_node_drains(&self) -> node_drains::Writer {
        node_drains::Writer {
            client: self.client.clone(),
            index: Arc::clone(&self.caches.index),
            in_force: self.caches.in_force.clone(),
            store: Arc::clone(&self.controller.store),
            cluster: Arc::clone(&self.caches.cluster),
            leadership: self.leadership.clone(),
        }
    }

    fn writer(&self, probes: Arc<Probes>) -> Writer {
        Writer {
            probes,
            client: self.client.clone(),
            objects: Arc::clone(&self.caches.policies),
            index: Arc::clone(&self.caches.index),
            in_force: self.caches.in_force.clone(),
            pods: Arc::clone(&self.caches.cluster.pods),
            drains: Arc::clone(&self.caches.drains),
            nodes: Arc::clone(&self.caches.cluster.nodes),
            registration: Arc::clone(&self.registration),
            seen: self.seen.clone(),
            leadership: self.leadership.clone(),
            runbook: self.runbook.clone(),
            elsewhere: Elsewhere::default(),
        }
    }
}

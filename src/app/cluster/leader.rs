//! What the leader does, besides answering.

use std::sync::Arc;

use kube::{Api, Client};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::controller::Controller;
use crate::kubernetes::certificates::{self, Bundle, Lives, Place};
use crate::kubernetes::cluster;
use crate::kubernetes::lease::Leadership;
use crate::kubernetes::policy_status::Writer;
use crate::kubernetes::registration::{Registration, Seen};
use crate::runbook::Links;
use crate::runtime::liveness::Pulse;
use crate::runtime::shutdown::Shutdown;

use super::caches::Caches;

/// What the leader works with.
pub(super) struct Leader {
    pub client: Client,
    pub caches: Caches,
    pub controller: Arc<Controller>,
    pub leadership: Leadership,
    pub registration: Arc<Registration>,
    /// Where certificates are kept; `None` where others make them.
    pub certificates: Option<(Place, Lives)>,
    pub bundle: watch::Receiver<Bundle>,
    pub seen: watch::Receiver<Seen>,
    /// Beats while the controller turns.
    pub pulse: Pulse,
    pub runbook: Links,
}

impl Leader {
    /// Works whenever this process leads, until `shutdown` begins.
    pub async fn run(&self, shutdown: &Shutdown) {
        loop {
            tokio::select! {
                () = self.leadership.gained() => {}
                () = shutdown.begun() => return,
            }
            tokio::select! {
                () = self.lead(shutdown) => return,
                // A lease in doubt: what is under way is dropped where it stands.
                () = self.leadership.lost() => {
                    self.pulse.rest();
                    self.caches.cluster.pods.clear();
                }
            }
        }
    }

    async fn lead(&self, shutdown: &Shutdown) {
        let mut tasks = JoinSet::new();
        if let Some((place, lives)) = &self.certificates {
            tasks.spawn(certificates::keep(self.client.clone(), place.clone(), *lives, self.bundle.clone()));
        }
        let (registration, bundle, seen) = (Arc::clone(&self.registration), self.bundle.clone(), self.seen.clone());
        tasks.spawn(async move { registration.keep(bundle, seen).await });
        // Pods are watched once for the cluster, by the leader.
        let pods = Arc::clone(&self.caches.cluster.pods);
        tasks.spawn(pods.follow(Api::all_with(self.client.clone(), &cluster::pods()), "pods", cluster::read_pod));
        tokio::select! {
            () = self.caches_filled() => {}
            () = shutdown.begun() => return,
        }
        tasks.spawn(self.writer().run());
        // Until what is under way has ended: only then the lease is given back.
        Arc::clone(&self.controller).run(shutdown.begun(), self.pulse.clone()).await;
    }

    async fn caches_filled(&self) {
        self.caches.cluster.pods.filled().await;
        self.caches.drains.filled().await;
        self.caches.policies.filled().await;
    }

    fn writer(&self) -> Writer {
        Writer {
            client: self.client.clone(),
            objects: Arc::clone(&self.caches.policies),
            index: Arc::clone(&self.caches.index),
            pods: Arc::clone(&self.caches.cluster.pods),
            nodes: Arc::clone(&self.caches.cluster.nodes),
            registration: Arc::clone(&self.registration),
            seen: self.seen.clone(),
            leadership: self.leadership.clone(),
            runbook: self.runbook.clone(),
        }
    }
}

//! What every replica follows, whether it leads or not.

use std::sync::Arc;

use kube::runtime::events::{Recorder, Reporter};
use prometheus::Registry;
use tokio::sync::watch;

use crate::app::Failure;
use crate::app::config::ClusterConfig;
use crate::kubernetes::registration::{Registration, Seen};
use crate::runtime::tasks::Tasks;
use crate::runtime::{Liveness, Readiness};

use super::access::Asked;
use super::caches::Caches;
use super::connection::Connection;

/// What every replica follows.
pub(super) struct Following {
    pub readiness: Readiness,
    pub liveness: Liveness,
    pub registry: Registry,
    pub tasks: Tasks,
    pub caches: Caches,
    pub asked: Asked,
    pub registration: Arc<Registration>,
    pub seen: watch::Receiver<Seen>,
}

impl Following {
    pub fn begin(connection: &Connection, config: &ClusterConfig) -> Result<Self, Failure> {
        let client = &connection.client;
        let (registry, readiness) = (Registry::new(), Readiness::new());
        let liveness = Liveness::new();
        let mut tasks = Tasks::new();
        let (tell_seen, seen) = watch::channel(Seen::NotYet);
        let caches =
            Caches::follow(client, (seen.clone(), config.registration.manage), (&readiness, &liveness), &mut tasks);
        let asked = Asked::follow(client, config, &registry, &readiness, &mut tasks, seen.clone())?;
        let guarded = caches.guarded(client, &mut tasks);
        let reporter = Reporter { controller: "castoff".to_owned(), instance: Some(connection.identity.clone()) };
        let recorder = Recorder::new(client.clone(), reporter);
        let registration = Registration::new(client.clone(), config.registration.clone(), guarded, recorder, &registry);
        let registration = Arc::new(registration.map_err(Failure::no)?);
        let ready = readiness.register("registration", "not seen yet");
        let follower = Arc::clone(&registration);
        tasks.spawn("registration", async move { follower.follow(tell_seen, ready).await });
        Ok(Following { readiness, liveness, registry, tasks, caches, asked, registration, seen })
    }
}

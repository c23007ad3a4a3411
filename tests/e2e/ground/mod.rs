//! Where the scenarios are played: who runs the pods, and where the webhook runs. What differs from one ground to
//! another is here and nowhere else.

mod clock;
mod in_cluster;
mod loopback;
mod stand_ins;

use async_trait::async_trait;
use kube::Client;
use serde_json::Value;

use crate::backends::Hooks;

pub use clock::Clocks;
pub use loopback::{Loopback, free_ports};

/// Castoff's replicas, and the pods that it guards.
#[async_trait]
pub trait Ground: Send + Sync {
    /// Starts the replicas that do not run, and waits until both are ready.
    async fn make_whole(&self);

    /// Makes all as it was before a scenario that may have taken things away, and may have failed before it put them
    /// back.
    async fn put_back(&self) {
        self.make_whole().await;
    }

    /// The replicas, where they are processes that a test may start as it likes.
    fn processes(&self) -> Option<&Loopback> {
        None
    }

    /// Ends a replica as a power cut would. No other takes its place.
    async fn kill(&self, number: usize);

    /// Asks a replica to end, and waits until it has. No other takes its place.
    async fn terminate(&self, number: usize);

    /// Which replica leads now.
    async fn leader(&self) -> Option<usize>;

    /// A replica's metrics, as Prometheus would read them.
    async fn metrics(&self, number: usize) -> String;

    /// The lines of all replicas' logs that hold `word`.
    async fn log(&self, word: &str) -> String;

    /// Takes the replicas away, and what they have registered.
    async fn stop(&self);

    /// The spec of a pod whose application is played by the tests' hooks.
    fn pod(&self) -> Value;

    /// Where the guard finds a backend that listens at `url` on this machine.
    async fn reach(&self, url: &str) -> String;

    /// Why what a scenario needs is not here.
    fn lacks(&self, need: Need) -> Option<&'static str>;

    /// The parts of the control plane that end by themselves when it is disturbed.
    fn to_be_revived(&self) -> &'static [&'static str];
}

/// What a scenario needs that not every ground has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A control plane that may be disturbed, and whose files can be read.
    OwnControlPlane,
    /// Nodes that are objects and nothing else: they can be taken away, and pods on them do whatever a test says.
    SimulatedNodes,
    /// More than one node.
    Nodes(usize),
    /// Replicas that can be killed.
    Kill,
    /// Replicas that are processes on this machine, started as a test likes; see [`Ground::processes`].
    Processes,
    /// [`GATE`], which is off as shipped.
    Gate,
    /// [`EVICTIONS`], which is off as shipped, and not there before Kubernetes 1.37; with replicas that are processes.
    Evictions,
    /// An API server without [`EVICTIONS`]; with replicas that are processes.
    NoEvictions,
    /// Pods that run on this machine, at the one address of IPv6 that every machine has for itself.
    Ipv6,
}

/// By which a StatefulSet rolls several pods at once, where its `maxUnavailable` says so.
const GATE: &str = "MaxUnavailableStatefulSet=true";

/// By which the API server has Evictions of its own.
const EVICTIONS: &str = "EvictionRequestAPI=true";

/// Why the control plane has not what a scenario needs of it.
fn lacks(need: Need) -> Option<&'static str> {
    let gates = std::env::var("CASTOFF_TEST_CLUSTER_FEATURE_GATES").unwrap_or_default();
    let is_on = |wanted: &str| gates.split(',').any(|gate| gate == wanted);
    match need {
        Need::Evictions if !is_on(EVICTIONS) => {
            Some("needs hack/cluster up --kubernetes 1.37 --feature-gates EvictionRequestAPI=true")
        }
        Need::NoEvictions if is_on(EVICTIONS) => Some("needs hack/cluster up without EvictionRequestAPI=true"),
        Need::OwnControlPlane if std::env::var_os("CASTOFF_TEST_CLUSTER").is_none() => {
            Some("needs a control plane of hack/cluster")
        }
        Need::Gate if !is_on(GATE) => Some("needs hack/cluster up --feature-gates MaxUnavailableStatefulSet=true"),
        Need::Ipv6 if std::net::TcpListener::bind("[::1]:0").is_err() => Some("needs IPv6"),
        _ => None,
    }
}

/// The ground that `hack/test` has asked for, with the hooks of the pods there. `deployment` is what the manifests run
/// Castoff by.
pub async fn choose(client: &Client, deployment: &str) -> (Hooks, Box<dyn Ground>) {
    if std::env::var_os("CASTOFF_TEST_IN_CLUSTER").is_some() {
        let hooks = Hooks::at_port(in_cluster::HOOK_PORT);
        let ground = in_cluster::InCluster::start(client, &hooks, deployment).await;
        return (hooks, Box::new(ground));
    }
    (Hooks::listening().await, Box::new(loopback::Loopback::start().await))
}

//! `castoff demo`: a rolling update of simulated TiKV pods, with the guard that `serve` runs, over HTTPS.

mod api_server;
mod fault;
mod guard;
mod outcome;
mod rollout;
mod screen;

use std::sync::Arc;
use std::time::Duration;

use crate::runtime::logging;
use crate::simulation::pd::{Config as PdConfig, SimulatedPd};
use crate::standalone::cluster::LocalCluster;
use crate::standalone::objects::Objects;

use super::{Demo, DemoOutput, Failure};
use api_server::ApiServer;
pub(super) use fault::Fault;
use guard::GuardProcess;
use rollout::RollOut;
use screen::Screen;

/// Pods of the StatefulSet, each with a store; the lowest keeps its revision.
const REPLICAS: u32 = 4;

/// Pods below this ordinal are not rolled.
const PARTITION: u32 = 1;

/// Leaders on each store at the beginning.
const LEADERS: u64 = 100;

/// Longer than any roll-out of the demo takes.
const PATIENCE: Duration = Duration::from_mins(2);

/// Runs the demo and prints what came out.
pub(super) async fn run(command: Demo) -> Result<(), Failure> {
    let said = |error: &dyn std::fmt::Display| Failure::No(error.to_string());
    logging::init(logging::Format::Human, "error").map_err(|error| said(&error))?;
    let pd = Arc::new(SimulatedPd::start(PdConfig::with_stores(stores())).await.map_err(|error| said(&error))?);
    let cluster = Arc::new(LocalCluster::new(Objects::default()));
    let guard = if command.unguarded {
        None
    } else {
        Some(GuardProcess::start(&pd.url(), Arc::clone(&cluster), command.fault).await?)
    };
    let api = ApiServer::new(cluster, guard.as_ref().map(GuardProcess::address))?;
    let screen = Screen::new(command.output == DemoOutput::Text, command.unguarded);
    let rolling = RollOut::new(api, pd, guard, screen, command.fault);
    let outcome = tokio::time::timeout(PATIENCE, rolling.run()).await;
    let outcome = outcome.map_err(|_| Failure::No(format!("the roll-out was not over after {PATIENCE:?}")))??;
    outcome.print(command.output);
    Ok(())
}

fn stores() -> Vec<(u64, String, u64)> {
    (0..REPLICAS).map(|ordinal| (u64::from(ordinal) + 1, address(ordinal), LEADERS)).collect()
}

/// A store's address, as TiKV pods announce it.
fn address(ordinal: u32) -> String {
    format!("basic-tikv-{ordinal}.basic-tikv-peer.tidb.svc:20160")
}

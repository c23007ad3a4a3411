//! `castoff demo`: a rolling update of simulated TiKV pods, with the guard that `serve` runs, over HTTPS.

mod api_server;
mod fault;
mod guard;
mod outcome;
mod rollout;
mod screen;
mod stores;

use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use crate::runtime::logging;
use crate::simulation::pd::{Config as PdConfig, SimulatedPd};
use crate::standalone::cluster::LocalCluster;
use crate::standalone::objects::Objects;

use super::Failure;
use api_server::ApiServer;
use fault::Fault;
use guard::GuardProcess;
use outcome::DemoOutput;
use rollout::RollOut;
use screen::Screen;

/// Rolls three of four simulated TiKV pods, and counts what the roll-out costs.
///
/// The guard is the one that `serve` runs, asked over HTTPS. A simulated PD moves leaders, and counts from what it saw
/// itself: leaders that were on a store when its pod ended, and evict-leader entries left behind.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Leave the guard out, to see what it is for
    #[arg(long, conflicts_with = "fault")]
    unguarded: bool,

    /// Let something go wrong, and see what the guard does
    #[arg(long, value_name = "FAULT")]
    fault: Option<Fault>,

    /// How to print
    #[arg(short, long, default_value = "text", value_name = "FORMAT")]
    output: DemoOutput,
}

/// Longer than any roll-out of the demo takes.
const PATIENCE: Duration = Duration::from_mins(2);

/// Runs the demo and prints what came out.
pub(super) async fn run(command: Demo) -> Result<(), Failure> {
    logging::init(logging::Format::Human, "error").map_err(Failure::no)?;
    let pd = Arc::new(SimulatedPd::start(PdConfig::with_stores(stores::all())).await.map_err(Failure::no)?);
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

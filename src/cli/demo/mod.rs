//! `castoff demo`: a rolling update of simulated TiKV pods, with the guard that `serve` runs, over HTTPS.

mod api_server;
mod outcome;
mod rollout;
mod screen;

use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;

use crate::server::shutdown::Shutdown;
use crate::server::{self, Certificates, Readiness, Server, logging, self_signed};
use crate::simulation::pd::{Config as PdConfig, SimulatedPd};
use crate::standalone::cluster::LocalCluster;
use crate::standalone::objects::Objects;
use crate::standalone::policies;
use crate::standalone::secrets::DirectorySecrets;
use crate::standalone::store::FileStore;

use super::assemble::Parts;
use super::{Demo, DemoOutput, Failure, serve};
use api_server::ApiServer;
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
    let directory = tempfile_directory().map_err(|error| said(&error))?;
    let store = Arc::new(FileStore::in_memory());

    let stop = Shutdown::new();
    let guard = if command.unguarded {
        None
    } else {
        Some(begin_guard(&directory.0, &pd, &cluster, &store, stop.clone()).await?)
    };
    let api = ApiServer::new(Arc::clone(&cluster), guard.as_ref().map(|guard| &guard.address))?;
    let screen = Screen::new(command.output == DemoOutput::Text, command.unguarded);
    let rolling = RollOut::new(api, Arc::clone(&pd), Arc::clone(&store), screen);
    let outcome = tokio::time::timeout(PATIENCE, rolling.run()).await;
    stop.begin();
    if let Some(guard) = guard {
        let _ = guard.serving.await;
    }
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

/// The guard, serving.
struct Serving {
    address: api_server::GuardAddress,
    serving: tokio::task::JoinHandle<Result<(), Failure>>,
}

/// Begins the guard as `serve --standalone --self-signed` does, but with pods that the demo tells it of.
async fn begin_guard(
    directory: &std::path::Path,
    pd: &SimulatedPd,
    cluster: &Arc<LocalCluster>,
    store: &Arc<FileStore>,
    stop: Shutdown,
) -> Result<Serving, Failure> {
    let said = |error: &dyn std::fmt::Display| Failure::No(error.to_string());
    let policy = include_str!("policy.yaml").replace("{pd}", &pd.url());
    let policy_file = directory.join("policy.yaml");
    std::fs::write(&policy_file, policy).map_err(|error| said(&error))?;
    let parts = Parts {
        policies: policies::read(directory).map_err(Failure::No)?,
        store: Arc::clone(store) as _,
        cluster: Arc::clone(cluster),
        secrets: DirectorySecrets::new(directory.to_owned()),
        allow_endpoints: Vec::new(),
    };
    let files = self_signed::make(&directory.join("certificates"), &[]).map_err(|error| said(&error))?;
    let certificates = Certificates::load(&files.certificate, &files.key).map_err(|error| said(&error))?;
    let any_port = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let config = server::Config {
        listen: any_port,
        admin_listen: any_port,
        shutdown_delay: Duration::ZERO,
        ..server::Config::new(certificates)
    };
    let registry = Registry::new();
    let guard = parts.assemble(&registry)?;
    let server = Server::bind(config).await.map_err(|error| said(&error))?;
    let ca = std::fs::read(&files.ca).map_err(|error| said(&error))?;
    let address = api_server::GuardAddress { port: server.local_addr().port(), ca };
    let serving = tokio::spawn(serve::guarded(guard, server, Readiness::new(), registry, stop));
    Ok(Serving { address, serving })
}

/// A directory that goes with the demo.
struct Directory(std::path::PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn tempfile_directory() -> std::io::Result<Directory> {
    let directory = std::env::temp_dir().join(format!("castoff-demo-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    Ok(Directory(directory))
}

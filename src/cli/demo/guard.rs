//! The guard of the demo: the one that `serve` runs, with pods that the demo tells it of.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use tokio::task::JoinHandle;

use crate::metrics::Labels;
use crate::runtime::Readiness;
use crate::runtime::shutdown::Shutdown;
use crate::server::{self, Server};
use crate::standalone::cluster::LocalCluster;
use crate::standalone::policies;
use crate::standalone::secrets::DirectorySecrets;
use crate::standalone::store::FileStore;
use crate::trust::{Certificates, self_signed};

use super::fault::Fault;
use crate::app::assemble::Standalone;
use crate::app::{Failure, standalone};

/// A guard that serves, with its files.
pub(super) struct GuardProcess {
    directory: Directory,
    cluster: Arc<LocalCluster>,
    address: GuardAddress,
    store: Arc<FileStore>,
    serving: JoinHandle<Result<(), Failure>>,
}

/// Where the guard answers.
#[derive(Clone)]
pub(super) struct GuardAddress {
    pub port: u16,
    /// The CA that its certificate is of (PEM).
    pub ca: Vec<u8>,
}

impl GuardProcess {
    /// Begins a guard for the demo's pods, which asks the PD at `pd`.
    pub async fn start(pd: &str, cluster: Arc<LocalCluster>, fault: Option<Fault>) -> Result<Self, Failure> {
        let directory = Directory::new().map_err(|error| Failure::No(error.to_string()))?;
        // Nobody waits ten minutes to see a roll-out given up.
        let abandon_after = if fault == Some(Fault::PersonGivesUp) { "3" } else { "600" };
        let policy = include_str!("policy.yaml").replace("{pd}", pd).replace("{abandonAfter}", abandon_after);
        let policies = directory.path("policies");
        std::fs::create_dir_all(&policies)
            .and_then(|()| std::fs::write(policies.join("policy.yaml"), policy))
            .map_err(|error| Failure::No(error.to_string()))?;
        let (address, store, serving) = serve_in(&directory, &cluster).await?;
        Ok(GuardProcess { directory, cluster, address, store, serving })
    }

    /// Ends the guard in the midst of what it does, and begins another on the same files.
    pub async fn kill_and_restart(&mut self) -> Result<(), Failure> {
        self.serving.abort();
        let _ = (&mut self.serving).await;
        (self.address, self.store, self.serving) = serve_in(&self.directory, &self.cluster).await?;
        Ok(())
    }

    pub fn address(&self) -> &GuardAddress {
        &self.address
    }

    pub fn store(&self) -> &Arc<FileStore> {
        &self.store
    }
}

impl Drop for GuardProcess {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Begins what `serve --standalone --self-signed --state` begins.
async fn serve_in(
    directory: &Directory,
    cluster: &Arc<LocalCluster>,
) -> Result<(GuardAddress, Arc<FileStore>, JoinHandle<Result<(), Failure>>), Failure> {
    let store = Arc::new(FileStore::open(&directory.path("state")).map_err(Failure::no)?);
    let parts = Standalone {
        policies: policies::read(&directory.path("policies")).map_err(Failure::no)?,
        store: Arc::clone(&store) as _,
        cluster: Arc::clone(cluster),
        secrets: DirectorySecrets::new(directory.path("secrets")),
        allow_endpoints: Vec::new(),
        labels: Labels::default(),
    };
    let files = self_signed::make(&directory.path("certificates"), &[]).map_err(Failure::no)?;
    let certificates = Certificates::load(&files.certificate, &files.key).map_err(Failure::no)?;
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = server::Config {
        listen: any_port,
        admin_listen: any_port,
        shutdown_delay: Duration::ZERO,
        ..server::Config::new(certificates)
    };
    let registry = Registry::new();
    let guard = parts.assemble(&registry)?;
    let server = Server::bind(config).await.map_err(Failure::no)?;
    let ca = std::fs::read(&files.ca).map_err(Failure::no)?;
    let address = GuardAddress { port: server.local_addr().port(), ca };
    let serving = standalone::guarded(guard, server, Readiness::new(), registry, Shutdown::new());
    Ok((address, store, tokio::spawn(serving)))
}

/// A directory that goes with the demo.
struct Directory(PathBuf);

impl Directory {
    fn new() -> std::io::Result<Self> {
        let directory = std::env::temp_dir().join(format!("castoff-demo-{}", std::process::id()));
        std::fs::create_dir(&directory)?;
        Ok(Directory(directory))
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new(&self.0).join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

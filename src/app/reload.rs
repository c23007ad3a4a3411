//! Takes up files that have changed, policies, plans and certificates, while the guard goes on.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use prometheus::{IntCounterVec, Registry};
use tokio::signal::unix::Signal;

use crate::metrics::{Labels, RELOADS};
use crate::policy::PolicyIndex;
use crate::runtime::readiness::Handle;
use crate::standalone::policies;
use crate::trust::{Certificates, Clients, Expiry};

use super::config::ClientCertificates;
use super::failure::Failure;

/// How often files are looked at. What they hold is compared, not their times: a mounted Secret changes by a link that
/// is swapped, and editors write in their own ways.
const PERIOD: Duration = Duration::from_secs(2);

/// Files that can change while the guard runs.
pub(super) trait Files: Send + Sync {
    /// What they are, in one word.
    fn what(&self) -> &'static str;

    /// Differs whenever what they hold does.
    fn print(&self) -> u64;

    /// Puts what they hold in force, and says so; else the former stays in force.
    fn take_up(&self) -> Result<String, Failure>;

    /// What people should know of what is in force.
    fn remark(&self) -> Option<String> {
        None
    }
}

/// A directory of policies and plans, and the policies in force.
pub(super) struct PolicyFiles(pub PathBuf, pub Arc<ArcSwap<PolicyIndex>>);

/// A certificate's file and its key's, the certificate in force, and where its end is told.
pub(super) struct CertificateFiles {
    pair: (PathBuf, PathBuf),
    pub certificates: Certificates,
    expiry: Expiry,
}

/// The file of the CA that signs callers' certificates, and the callers that are let in.
pub(super) struct ClientCaFile {
    ca: PathBuf,
    pub clients: Clients,
}

/// The counter of reloads.
pub(super) fn counter(registry: &Registry) -> prometheus::Result<IntCounterVec> {
    let reloads = RELOADS.counters(Labels::None)?;
    registry.register(Box::new(reloads.clone()))?;
    Ok(reloads)
}

/// The print of a directory of policies and plans. To be taken before they are read: a change that comes between
/// the two is then taken up, not missed.
pub(super) fn print_of_policies(directory: &Path) -> u64 {
    print_of(&policies::read_directory(directory).map_err(|error| error.to_string()))
}

/// Looks at the files again and again, and at once on `hangup`; for ever. What is in force was read after `before` was
/// taken. What can't be taken up is told in the log, in `reloads` and in `ready`.
pub(super) async fn follow(
    files: impl Files,
    mut before: u64,
    ready: Handle,
    reloads: IntCounterVec,
    mut hangup: Signal,
) {
    let mut refused = None;
    loop {
        match refused.clone().or_else(|| files.remark()) {
            Some(remark) => ready.ready_but(&remark),
            None => ready.ready(),
        }
        let told = tokio::select! {
            _ = hangup.recv() => true,
            () = tokio::time::sleep(PERIOD) => false,
        };
        let now = files.print();
        if !told && now == before {
            continue;
        }
        before = now;
        let what = files.what();
        match files.take_up() {
            Ok(message) => {
                tracing::info!(what, message, "reloaded");
                reloads.with_label_values(&[what, "ok"]).inc();
                refused = None;
            }
            Err(error) => {
                tracing::error!(what, %error, "changed files can't be taken up; the former ones stay in force");
                reloads.with_label_values(&[what, "refused"]).inc();
                refused = Some(format!("the files have changed and can't be taken up: {error}"));
            }
        }
    }
}

impl Files for PolicyFiles {
    fn what(&self) -> &'static str {
        "policies"
    }

    fn print(&self) -> u64 {
        print_of_policies(&self.0)
    }

    fn take_up(&self) -> Result<String, Failure> {
        let index = policies::read(&self.0).map_err(Failure::usage)?;
        let message = format!("{} policies", index.all().count());
        self.1.store(Arc::new(index));
        Ok(message)
    }
}

impl CertificateFiles {
    /// Reads the pair, and its print before it; when it ends goes into `registry`.
    pub fn load(pair: (PathBuf, PathBuf), registry: &Registry) -> Result<(Self, u64), Failure> {
        let before = print_of_pair(&pair);
        let certificates = Certificates::load(&pair.0, &pair.1).map_err(Failure::usage)?;
        let expiry = Expiry::register(registry).map_err(Failure::no)?;
        Ok((CertificateFiles { pair, certificates, expiry }, before))
    }
}

impl ClientCaFile {
    /// Reads the file, and its print before it.
    pub fn load(config: &ClientCertificates) -> Result<(Self, u64), Failure> {
        let before = print_of_file(&config.ca);
        let clients = Clients::load(&config.ca, config.names.clone()).map_err(Failure::usage)?;
        Ok((ClientCaFile { ca: config.ca.clone(), clients }, before))
    }
}

impl Files for ClientCaFile {
    fn what(&self) -> &'static str {
        "client-ca"
    }

    fn print(&self) -> u64 {
        print_of_file(&self.ca)
    }

    fn take_up(&self) -> Result<String, Failure> {
        self.clients.replace(&self.ca).map(|()| "replaced".to_owned()).map_err(Failure::usage)
    }
}

impl Files for CertificateFiles {
    fn what(&self) -> &'static str {
        "certificates"
    }

    fn print(&self) -> u64 {
        print_of_pair(&self.pair)
    }

    fn take_up(&self) -> Result<String, Failure> {
        let replaced = self.certificates.replace(&self.pair.0, &self.pair.1);
        replaced.map(|()| "replaced".to_owned()).map_err(Failure::usage)
    }

    fn remark(&self) -> Option<String> {
        self.expiry.note(&self.certificates, None, Timestamp::now())
    }
}

fn print_of_pair(pair: &(PathBuf, PathBuf)) -> u64 {
    print_of(&(print_of_file(&pair.0), print_of_file(&pair.1)))
}

fn print_of_file(path: &Path) -> u64 {
    print_of(&std::fs::read(path).map_err(|error| error.to_string()))
}

pub(super) fn print_of(content: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    hasher.finish()
}

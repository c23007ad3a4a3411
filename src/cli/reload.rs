//! Takes up policies, plans and certificates that have changed, while the guard goes on.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus::{IntCounterVec, Opts, Registry};
use tokio::signal::unix::Signal;

use crate::policy::PolicyIndex;
use crate::server::Certificates;
use crate::server::readiness::Handle;
use crate::standalone::policies;

/// How often files are looked at. What they hold is compared, not their times: a mounted Secret changes by a link that
/// is swapped, and editors write in their own ways.
const PERIOD: Duration = Duration::from_secs(2);

/// What can change while the guard runs. What can't be taken up leaves the former in force, and is told.
pub(super) struct Reload {
    /// The directory of policies and plans.
    pub directory: PathBuf,
    /// The policies in force.
    pub policies: Arc<ArcSwap<PolicyIndex>>,
    /// The certificate's file and its key's.
    pub pair: (PathBuf, PathBuf),
    /// The certificate in force.
    pub certificates: Certificates,
    /// Where people look whether policies are as the files say.
    pub policies_ready: Handle,
    /// The same for certificates.
    pub certificates_ready: Handle,
    /// Counts what was taken up and what was not.
    pub reloads: IntCounterVec,
}

/// The counter of reloads.
pub(super) fn counter(registry: &Registry) -> prometheus::Result<IntCounterVec> {
    let options = Opts::new("castoff_reloads_total", "Files that have changed, by whether they could be taken up.");
    let reloads = IntCounterVec::new(options, &["what", "outcome"])?;
    for what in ["policies", "certificates"] {
        for outcome in ["ok", "refused"] {
            reloads.with_label_values(&[what, outcome]);
        }
    }
    registry.register(Box::new(reloads.clone()))?;
    Ok(reloads)
}

impl Reload {
    /// Looks at the files again and again, and at once on `hangup`; for ever.
    pub async fn run(self, mut hangup: Signal) {
        let (mut policies, mut pair) = (self.print_of_policies(), self.print_of_pair());
        loop {
            let told = tokio::select! {
                _ = hangup.recv() => true,
                () = tokio::time::sleep(PERIOD) => false,
            };
            let (policies_now, pair_now) = (self.print_of_policies(), self.print_of_pair());
            if told || std::mem::replace(&mut policies, policies_now) != policies_now {
                self.take_up("policies", &self.policies_ready, self.reload_policies());
            }
            if told || std::mem::replace(&mut pair, pair_now) != pair_now {
                let replaced = self.certificates.replace(&self.pair.0, &self.pair.1);
                self.take_up("certificates", &self.certificates_ready, replaced.map(|()| "replaced".to_owned()));
            }
        }
    }

    fn reload_policies(&self) -> Result<String, String> {
        let index = policies::read(&self.directory)?;
        let message = format!("{} policies", index.all().count());
        self.policies.store(Arc::new(index));
        Ok(message)
    }

    fn take_up(&self, what: &str, ready: &Handle, taken: Result<String, String>) {
        match taken {
            Ok(message) => {
                tracing::info!(what, message, "reloaded");
                self.reloads.with_label_values(&[what, "ok"]).inc();
                ready.ready();
            }
            Err(error) => {
                tracing::error!(what, %error, "changed files can't be taken up; the former ones stay in force");
                self.reloads.with_label_values(&[what, "refused"]).inc();
                ready.ready_but(&format!("the files have changed and can't be taken up: {error}"));
            }
        }
    }

    fn print_of_policies(&self) -> u64 {
        print_of(&policies::read_directory(&self.directory))
    }

    fn print_of_pair(&self) -> u64 {
        let read = |path: &Path| std::fs::read(path).map_err(|error| error.to_string());
        print_of(&(read(&self.pair.0), read(&self.pair.1)))
    }
}

fn print_of(content: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    hasher.finish()
}

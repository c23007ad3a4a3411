//! How the API server asks this replica: under which certificate, and on which paths.

use std::path::PathBuf;
use std::sync::Arc;

use kube::Client;
use prometheus::Registry;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::app::config::{self, ClusterConfig, Tls, WebhookPath};
use crate::app::reload::{self, CertificateFiles, ClientCaFile, Files, print_of};
use crate::app::{Failure, registered};
use crate::kubernetes::certificates::{self, Access, Served};
use crate::kubernetes::registration::Seen;
use crate::runtime::Readiness;
use crate::runtime::tasks::Tasks;
use crate::server::WebhookPaths;
use crate::trust::{Certificates, Clients, Expiry};

/// What is served, and what the API server is to be told.
pub(super) struct Asked {
    pub certificates: Certificates,
    pub paths: WebhookPaths,
    /// Who may ask, where callers have to show a certificate.
    pub clients: Option<Clients>,
    pub access: watch::Receiver<Access>,
}

impl Asked {
    /// Begins to follow files and the Secret that the leader keeps, whichever it is to be; and the registration.
    pub fn follow(
        client: &Client,
        config: &ClusterConfig,
        registry: &Registry,
        readiness: &Readiness,
        tasks: &mut Tasks,
        seen: watch::Receiver<Seen>,
    ) -> Result<Self, Failure> {
        let (tell, access) = watch::channel(Access::default());
        let reloads = reload::counter(registry).map_err(Failure::no)?;
        match &config.path {
            WebhookPath::Kept => {}
            WebhookPath::Given(path) => tell.send_modify(|access| access.paths = [path.clone()].into()),
            WebhookPath::File(file) => {
                let files = PathFile { file: file.clone(), tell: tell.clone() };
                let before = files.print();
                files.take_up()?;
                let ready = registered(readiness, "paths");
                tasks.spawn("paths", reload::follow(files, before, ready, reloads.clone(), hangup()?));
            }
        }
        let clients = match &config.listen.clients {
            None => None,
            Some(callers) => {
                let (file, before) = ClientCaFile::load(callers)?;
                let clients = file.clients.clone();
                let ready = registered(readiness, "client-ca");
                tasks.spawn("client-ca", reload::follow(file, before, ready, reloads.clone(), hangup()?));
                Some(clients)
            }
        };
        let (certificates, served) = match &config.tls {
            Tls::Files { certificate, key } => {
                let (files, before) = CertificateFiles::load((certificate.clone(), key.clone()), registry)?;
                let certificates = files.certificates.clone();
                let ready = registered(readiness, "certificates");
                tasks.spawn("certificates", reload::follow(files, before, ready, reloads, hangup()?));
                (certificates, None)
            }
            Tls::SelfSigned(_) | Tls::Managed => {
                let certificates = Certificates::none_yet();
                let expiry = Expiry::register(registry).map_err(Failure::no)?;
                let ready = readiness.register("certificates", "there is none yet");
                (certificates.clone(), Some(Served { certificates, expiry, ready }))
            }
        };
        let place = super::place(config);
        if place.keeps_something() {
            tasks.spawn("access", certificates::follow(client.clone(), place, served, tell));
        }
        let paths = WebhookPaths::none_yet();
        tasks.spawn("answered paths", answer(paths.clone(), access.clone(), seen));
        Ok(Asked { certificates, paths, clients, access })
    }
}

/// Answers on the paths that are Castoff's, and on those that the API server is told to use, whoever told it: a
/// registration in git, or one whose path the leader is about to replace. Ends only when dropped.
async fn answer(paths: WebhookPaths, mut access: watch::Receiver<Access>, mut seen: watch::Receiver<Seen>) {
    loop {
        let registered = seen.borrow_and_update().paths();
        let own = Arc::clone(&access.borrow_and_update().paths);
        paths.replace(own.iter().cloned().chain(registered));
        tokio::select! {
            Ok(()) = access.changed() => {}
            Ok(()) = seen.changed() => {}
            else => std::future::pending().await,
        }
    }
}

/// A file with a path a line: the first is to be registered, and each of them is answered.
struct PathFile {
    file: PathBuf,
    tell: watch::Sender<Access>,
}

impl Files for PathFile {
    fn what(&self) -> &'static str {
        "paths"
    }

    fn print(&self) -> u64 {
        print_of(&std::fs::read(&self.file).ok())
    }

    fn take_up(&self) -> Result<String, Failure> {
        let wrong = |why: &dyn std::fmt::Display| Failure::Usage(format!("{}: {why}", self.file.display()));
        let text = std::fs::read_to_string(&self.file).map_err(|error| wrong(&error))?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let paths: Vec<String> =
            lines.map(config::webhook_path).collect::<Result<_, _>>().map_err(|error| wrong(&error))?;
        if paths.is_empty() {
            return Err(wrong(&"there is no path in it"));
        }
        let message = format!("{} paths", paths.len());
        self.tell.send_modify(|access| access.paths = paths.into());
        Ok(message)
    }
}

fn hangup() -> Result<Signal, Failure> {
    signal(SignalKind::hangup()).map_err(Failure::no)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_line_of_a_file_is_a_path_and_a_mistake_leaves_the_former_ones_in_force() {
        let folder = tempfile::tempdir().unwrap();
        let (tell, access) = watch::channel(Access::default());
        let files = PathFile { file: folder.path().join("paths"), tell };
        let hold = |text: &str| {
            std::fs::write(&files.file, text).unwrap();
            (files.take_up().is_ok(), access.borrow().paths.to_vec())
        };
        let both = vec!["/validate/new".to_owned(), "/validate/former".to_owned()];
        assert_eq!(hold("/validate/new\n\n/validate/former \n"), (true, both.clone()));
        for mistake in ["", "\n", "validate/new", "/", "/validate/new?a=b", "/validate/new\n/two words"] {
            assert_eq!(hold(mistake), (false, both.clone()), "{mistake:?}");
        }
    }
}

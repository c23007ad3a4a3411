//! Every replica's part: what the Secret holds is served, and told to whoever registers it.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use tokio::sync::watch;

use crate::kubernetes::cache::chain;
use crate::runtime::readiness::Handle;
use crate::trust::{Certificates, Expiry};

use super::Place;
use super::secret::Held;

/// How often a replica looks whether a certificate is over.
const LOOK: Duration = Duration::from_mins(1);

/// How the API server is to ask, as far as it is known.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// The authorities that it is to trust (PEM).
    pub bundle: Option<Arc<str>>,
    /// The paths that are answered, the one that it is to use first.
    pub paths: Arc<[String]>,
}

impl Access {
    /// The path that is to be used.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        self.paths.first().map(String::as_str)
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Access { bundle, paths } = self;
        formatter.debug_struct("Access").field("bundle", bundle).field("paths", &paths.len()).finish()
    }
}

/// Certificates that are served from the Secret.
#[derive(Debug)]
pub struct Served {
    /// What is served.
    pub certificates: Certificates,
    /// When it ends.
    pub expiry: Expiry,
    /// Says whether there is a certificate, and when one was not renewed.
    pub ready: Handle,
}

/// Serves what the Secret holds, from the moment that it does; ends only when dropped. Without `served` others make
/// the certificates, and only paths are taken from it. `access` is told of every change of the Secret.
pub async fn follow(client: Client, place: Place, served: Option<Served>, access: watch::Sender<Access>) {
    let secrets: Api<Secret> = Api::namespaced(client, &place.namespace);
    let mut seen = pin!(watcher::watch_object(secrets, &place.secret).default_backoff());
    let mut trusted: Option<Arc<str>> = None;
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            event = seen.next() => match event {
                Some(Ok(Some(secret))) => {
                    let held = Held::read(&secret);
                    trusted = served.as_ref().and_then(|served| serve(served, &held, &place)).or(trusted);
                    let bundle = trusted.clone();
                    // Also where nothing has changed: whoever leads looks again, and mends what could not be served.
                    access.send_modify(|access| {
                        access.bundle = bundle;
                        if place.paths {
                            access.paths = held.paths.all().into();
                        }
                    });
                }
                Some(Ok(None)) => {
                    access.send_modify(|_| {});
                    tracing::warn!(secret = place.secret, "the Secret is not there; the leader makes it");
                }
                Some(Err(error)) => tracing::warn!(secret = place.secret, error = %chain(&error), "the Secret can't be watched"),
                None => return,
            },
            _ = look.tick() => {}
        }
        if let (Some(served), Some(trusted)) = (&served, &trusted) {
            match served.expiry.note(&served.certificates, Some(trusted), Timestamp::now()) {
                Some(remark) => served.ready.ready_but(&remark),
                None => served.ready.ready(),
            }
        }
    }
}

/// Serves the certificate; gives the authorities that are to be trusted for it. What can't be served changes nothing:
/// what was served is served on.
fn serve(served: &Served, held: &Held, place: &Place) -> Option<Arc<str>> {
    let content = &held.certificates;
    match served.certificates.serve(content.certificate.as_bytes(), content.key.as_bytes()) {
        Ok(()) => {
            tracing::info!(secret = place.secret, "serves the certificate that the Secret holds");
            Some(Arc::from(content.bundle.as_str()))
        }
        Err(error) => {
            tracing::error!(secret = place.secret, error, "the Secret's certificate can't be served");
            None
        }
    }
}

//! Every replica's part: what the Secret holds is served, and told to whoever registers it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::core::ApiResource;
use kube::{Api, Client};
use tokio::sync::watch;

use crate::kubernetes::follow::{Pace, follow_object};
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
    pub(crate) fn path(&self) -> Option<&str> {
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
    let resource = ApiResource::erase::<Secret>(&());
    let secrets = Api::namespaced_with(client, &place.namespace, &resource);
    let news = access.subscribe();
    let following = follow_object(secrets, &place.secret, Pace::default(), |secret| {
        let Some(held) = secret.and_then(|secret| secret.try_parse().ok()).as_ref().map(Held::read) else {
            tracing::warn!(secret = place.secret, "the Secret is not there; the leader makes it");
            return access.send_modify(|_| {});
        };
        let trusted = served.as_ref().and_then(|served| serve(served, &held, &place));
        // Also where nothing has changed: whoever leads looks again, and mends what could not be served.
        access.send_modify(|access| {
            access.bundle = trusted.or(access.bundle.take());
            if place.paths {
                access.paths = held.paths.all().into();
            }
        });
    });
    tokio::join!(following, tell(served.as_ref(), news));
}

/// Tells readiness and metrics of what is served, and when that ends.
async fn tell(served: Option<&Served>, mut access: watch::Receiver<Access>) {
    let Some(served) = served else { return };
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            Ok(()) = access.changed() => {}
            _ = look.tick() => {}
        }
        let Some(trusted) = access.borrow_and_update().bundle.clone() else { continue };
        match served.expiry.note(&served.certificates, Some(&trusted), Timestamp::now()) {
            Some(remark) => served.ready.ready_but(&remark),
            None => served.ready.ready(),
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
            tracing::error!(secret = place.secret, %error, "the Secret's certificate can't be served");
            None
        }
    }
}

//! The Secret: the leader writes it, every replica serves what is in it.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use tokio::sync::watch;

use crate::kubernetes::cache::chain;
use crate::kubernetes::{is_conflict, labels, lease};
use crate::runtime::readiness::Handle;
use crate::trust::{Certificates, Expiry};

use super::{Content, Lives, renew};

/// The authorities that callers are to trust (PEM), once they are known.
pub type Bundle = Option<Arc<str>>;

/// How long after a failure the leader tries again.
const PAUSE: Duration = Duration::from_secs(2);

/// How often the leader looks whether something is due, and replicas whether something is over.
const LOOK: Duration = Duration::from_mins(1);

/// Where the Secret is, and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The namespace that Castoff runs in.
    pub namespace: String,
    /// The Secret's name.
    pub secret: String,
    /// The Service by which the API server reaches Castoff.
    pub service: String,
    /// Further names and addresses that the certificate is for: where the API server is given a URL.
    pub further_names: Vec<String>,
}

impl Place {
    /// The usual names in this namespace.
    #[must_use]
    pub fn new(namespace: &str) -> Self {
        let (secret, service) = ("castoff-tls".to_owned(), "castoff".to_owned());
        Place { namespace: namespace.to_owned(), secret, service, further_names: Vec::new() }
    }

    /// The names that the certificate is for.
    fn names(&self) -> Vec<String> {
        let Place { namespace, secret: _, service, further_names } = self;
        // The API server asks for the first.
        let mut names = vec![
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}.svc.cluster.local"),
            format!("{service}.{namespace}"),
            service.clone(),
        ];
        names.extend(further_names.iter().cloned());
        names
    }
}

/// Keeps certificates in the Secret, for as long as this replica leads: drop it when it no longer does. Looks again
/// whenever `bundle` changes, which [`follow`] sees to. A write names the version that was read, so that of two
/// leaders one reads what the other wrote.
pub async fn keep(client: Client, place: Place, lives: Lives, mut bundle: watch::Receiver<Bundle>) {
    let leases = Api::namespaced(client.clone(), &place.namespace);
    let secrets = Api::namespaced(client, &place.namespace);
    // With lives of minutes, as in tests, a minute is long.
    let look = LOOK.min(Duration::try_from(lives.overlap / 10).unwrap_or(LOOK)).max(Duration::from_secs(1));
    loop {
        bundle.mark_unchanged();
        let pause = match look_after(&secrets, &leases, &place, &lives).await {
            Ok(Looked::AsItShouldBe) => look,
            Ok(Looked::SomebodyElseWrote) => Duration::ZERO,
            Err(error) => {
                tracing::error!(secret = place.secret, error, "certificates can't be kept; tries again");
                PAUSE
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            // The sender is gone only when the process ends.
            Ok(()) = bundle.changed() => {}
        }
    }
}

/// What came of a look at the Secret.
enum Looked {
    AsItShouldBe,
    SomebodyElseWrote,
}

async fn look_after(
    secrets: &Api<Secret>,
    leases: &Api<Lease>,
    place: &Place,
    lives: &Lives,
) -> Result<Looked, String> {
    let said = |error: kube::Error| format!("the Secret {}/{}: {}", place.namespace, place.secret, chain(&error));
    let found = secrets.get_opt(&place.secret).await.map_err(said)?;
    let lease = leases.get_opt(lease::NAME).await.map_err(|error| format!("the Lease: {}", chain(&error)))?;
    let now = Timestamp::now();
    let written = found.as_ref().and_then(|secret| last_written(&secret.metadata));
    let renewed = lease.as_ref().and_then(|lease| last_written(&lease.metadata));
    in_step(written, renewed, now, lives.backdate)?;
    let held = found.as_ref().map(read).unwrap_or_default();
    let (content, changes) = renew(&held, &place.names(), lives, now)?;
    if changes.is_empty() {
        return Ok(Looked::AsItShouldBe);
    }
    let parameters = PostParams { field_manager: Some("castoff".to_owned()), ..PostParams::default() };
    let written = match found {
        None => secrets.create(&parameters, &write(Secret::default(), place, &content)).await,
        // With the version that was read.
        Some(secret) => secrets.replace(&place.secret, &parameters, &write(secret, place, &content)).await,
    };
    match written {
        Ok(_) => {
            for change in changes {
                tracing::info!(secret = place.secret, %change, "certificates have changed");
            }
            Ok(Looked::AsItShouldBe)
        }
        Err(error) if is_conflict(&error) => Ok(Looked::SomebodyElseWrote),
        Err(error) => Err(said(error)),
    }
}

/// When the API server last saw the object written, by its own clock.
fn last_written(metadata: &ObjectMeta) -> Option<Timestamp> {
    let managed = metadata.managed_fields.iter().flatten().filter_map(|entry| entry.time.as_ref());
    let newest = managed.chain(&metadata.creation_timestamp).map(|time| time.0.as_second()).max()?;
    Timestamp::from_second(newest).ok()
}

/// Whether this node's clock agrees with the API server's, by when that saw the Secret written, and the Lease renewed,
/// which the leader does all the time. With a clock that is off by more than `slack`, certificates would be made
/// that callers do not accept, and good ones be taken for those that are over.
fn in_step(
    written: Option<Timestamp>,
    renewed: Option<Timestamp>,
    now: Timestamp,
    slack: SignedDuration,
) -> Result<(), String> {
    let off = |server: Timestamp, how: &str| {
        Err(format!("this node's clock is {how}: it says {now:.0}, and the API server said {server:.0}"))
    };
    match (written.max(renewed), renewed) {
        (Some(server), _) if server.duration_since(now) > slack => off(server, "behind"),
        (_, Some(server)) if now.duration_since(server) > slack => off(server, "ahead"),
        _ => Ok(()),
    }
}

fn read(secret: &Secret) -> Content {
    let text = |key: &str| {
        let data = secret.data.as_ref().and_then(|data| data.get(key));
        // What is not text is no PEM, and is made anew.
        data.and_then(|bytes| String::from_utf8(bytes.0.clone()).ok()).unwrap_or_default()
    };
    Content {
        bundle: text("ca.crt"),
        authority_key: text("ca.key"),
        certificate: text("tls.crt"),
        key: text("tls.key"),
    }
}

/// The Secret with this content, and all else as it was.
fn write(mut secret: Secret, place: &Place, content: &Content) -> Secret {
    let Content { bundle, authority_key, certificate, key } = content;
    secret.metadata.name = Some(place.secret.clone());
    secret.metadata.namespace = Some(place.namespace.clone());
    secret.metadata.labels.get_or_insert_with(BTreeMap::new).extend(labels());
    let data = secret.data.get_or_insert_with(BTreeMap::new);
    for (name, text) in [("ca.crt", bundle), ("ca.key", authority_key), ("tls.crt", certificate), ("tls.key", key)] {
        data.insert(name.to_owned(), ByteString(text.clone().into_bytes()));
    }
    secret
}

/// Serves what the Secret holds, from the moment that it does; ends only when dropped. `ready` says whether there is a
/// certificate, and when one was not renewed; `bundle` is told of every change of the Secret.
pub async fn follow(
    client: Client,
    place: Place,
    certificates: Certificates,
    expiry: Expiry,
    ready: Handle,
    bundle: watch::Sender<Bundle>,
) {
    let secrets: Api<Secret> = Api::namespaced(client, &place.namespace);
    let mut seen = pin!(watcher::watch_object(secrets, &place.secret).default_backoff());
    let mut trusted: Option<String> = None;
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            event = seen.next() => match event {
                Some(Ok(Some(secret))) => {
                    let content = read(&secret);
                    match certificates.serve(content.certificate.as_bytes(), content.key.as_bytes()) {
                        Ok(()) => {
                            bundle.send_replace(Some(Arc::from(content.bundle.as_str())));
                            trusted = Some(content.bundle);
                            tracing::info!(secret = place.secret, "serves the certificate that the Secret holds");
                        }
                        Err(error) => {
                            // Whoever leads is told, and mends it; until then what was served is served on.
                            bundle.send_modify(|_| {});
                            tracing::error!(secret = place.secret, error, "the Secret's certificate can't be served");
                        }
                    }
                }
                Some(Ok(None)) => {
                    bundle.send_modify(|_| {});
                    tracing::warn!(secret = place.secret, "the Secret is not there; the leader makes it");
                }
                Some(Err(error)) => tracing::warn!(secret = place.secret, error = %chain(&error), "the Secret can't be watched"),
                None => return,
            },
            _ = look.tick() => {}
        }
        if trusted.is_some() {
            match expiry.note(&certificates, trusted.as_deref(), Timestamp::now()) {
                Some(remark) => ready.ready_but(&remark),
                None => ready.ready(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_secret_keeps_what_others_put_into_it() {
        let place = Place::new("castoff-system");
        let mut secret = Secret::default();
        secret.metadata.resource_version = Some("7".to_owned());
        secret.data = Some(BTreeMap::from([("theirs".to_owned(), ByteString(b"x".to_vec()))]));
        let (content, _) = renew(&Content::default(), &place.names(), &Lives::default(), Timestamp::now()).unwrap();
        let written = write(secret, &place, &content);
        assert_eq!(read(&written), content);
        assert_eq!(written.data.unwrap().len(), 5);
        assert_eq!(written.metadata.resource_version.unwrap(), "7", "the write is conditional");
    }

    #[test]
    fn the_certificate_is_for_the_names_of_the_service() {
        let place = Place { further_names: vec!["127.0.0.1".to_owned()], ..Place::new("castoff-system") };
        let service = "castoff.castoff-system.svc";
        assert_eq!(
            place.names(),
            [service, "castoff.castoff-system.svc.cluster.local", "castoff.castoff-system", "castoff", "127.0.0.1"]
        );
    }

    #[test]
    fn a_clock_that_is_off_the_api_servers_makes_no_certificates() {
        let written = serde_json::json!({"creationTimestamp": "2030-01-01T00:00:00Z", "managedFields": [
            {"manager": "castoff", "operation": "Update", "time": "2030-03-01T00:00:00Z"}]});
        let written = last_written(&serde_json::from_value(written).unwrap()).unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let said = |renewed: Option<&str>, now: &str| {
            in_step(Some(written), renewed.map(at), at(now), Lives::default().backdate).err()
        };
        let behind = "this node's clock is behind: it says 1970-01-01T00:10:00Z, and the API server said ";
        assert_eq!(said(None, "1970-01-01T00:10:00Z").unwrap(), format!("{behind}2030-03-01T00:00:00Z"));
        let renewed = Some("2030-06-01T00:00:00Z");
        assert_eq!(said(renewed, "1970-01-01T00:10:00Z").unwrap(), format!("{behind}2030-06-01T00:00:00Z"));
        let ahead = "this node's clock is ahead: it says 2031-01-01T00:00:00Z, and the API server said ";
        assert_eq!(said(renewed, "2031-01-01T00:00:00Z").unwrap(), format!("{ahead}2030-06-01T00:00:00Z"));
        // A Secret that was written long ago says nothing, nor does some difference.
        for (renewed, now) in [
            (None, "2031-01-01T00:00:00Z"),
            (None, "2030-02-28T23:30:00Z"),
            (renewed, "2030-05-31T23:30:00Z"),
            (renewed, "2030-06-01T00:30:00Z"),
        ] {
            assert_eq!(said(renewed, now), None, "{renewed:?} {now}");
        }
    }
}

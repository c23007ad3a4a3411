//! The leader's part: what is due is made, and written into the Secret.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::watch;

use crate::kubernetes::{ApiError, failed, is_conflict, lease};
use crate::trust::TrustError;

use super::clock::{ClockError, in_step, last_written};
use super::secret::Held;
use super::{Access, Change, Lives, Place, renew};

/// How long after a failure the leader tries again.
const PAUSE: Duration = Duration::from_secs(2);

/// How often it looks whether something is due.
const LOOK: Duration = Duration::from_mins(1);

/// Keeps the Secret, for as long as this replica leads: drop it when it no longer does. Looks again whenever `access`
/// changes, which [`follow()`](super::follow()) sees to. A write names the version that was read, so that of two leaders
/// one reads what the other wrote.
pub async fn keep(client: Client, place: Place, lives: Lives, mut access: watch::Receiver<Access>) {
    let leases = Api::namespaced(client.clone(), &place.namespace);
    let secrets = Api::namespaced(client, &place.namespace);
    // With lives of minutes, as in tests, a minute is long.
    let look = LOOK.min(Duration::try_from(lives.overlap / 10).unwrap_or(LOOK)).max(Duration::from_secs(1));
    loop {
        access.mark_unchanged();
        let pause = match look_after(&secrets, &leases, &place, &lives).await {
            Ok(Looked::AsItShouldBe) => look,
            Ok(Looked::SomebodyElseWrote) => Duration::ZERO,
            Err(error) => {
                tracing::error!(secret = place.secret, %error, "certificates can't be kept; tries again");
                PAUSE
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            // The sender is gone only when the process ends.
            Ok(()) = access.changed() => {}
        }
    }
}

/// Why the Secret can't be kept.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Clock(#[from] ClockError),
    #[error(transparent)]
    Certificate(#[from] TrustError),
    #[error("a path can't be made: {0}")]
    Path(#[from] rustls::Error),
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
) -> Result<Looked, KeepError> {
    let what = format!("the Secret {}/{}", place.namespace, place.secret);
    let found = secrets.get_opt(&place.secret).await.map_err(failed(&what))?;
    let lease = leases.get_opt(lease::NAME).await.map_err(failed("the Lease"))?;
    let now = Timestamp::now();
    let written = found.as_ref().and_then(|secret| last_written(&secret.metadata));
    let renewed = lease.as_ref().and_then(|lease| last_written(&lease.metadata));
    in_step(written, renewed, now, lives.backdate)?;
    let held = found.as_ref().map(Held::read).unwrap_or_default();
    let (due, changes) = what_is_due(&held, place, lives, now)?;
    if changes.is_empty() {
        return Ok(Looked::AsItShouldBe);
    }
    let parameters = PostParams { field_manager: Some("castoff".to_owned()), ..PostParams::default() };
    let written = match found {
        None => secrets.create(&parameters, &due.write(Secret::default(), place)).await,
        // With the version that was read.
        Some(secret) => secrets.replace(&place.secret, &parameters, &due.write(secret, place)).await,
    };
    match written {
        Ok(_) => {
            for change in changes {
                tracing::info!(secret = place.secret, %change, "what the Secret holds has changed");
            }
            Ok(Looked::AsItShouldBe)
        }
        Err(error) if is_conflict(&error) => Ok(Looked::SomebodyElseWrote),
        Err(error) => Err(failed(what)(error).into()),
    }
}

/// What the Secret is to hold now; without a change it is as it should be.
fn what_is_due(held: &Held, place: &Place, lives: &Lives, now: Timestamp) -> Result<(Held, Vec<Change>), KeepError> {
    let mut due = held.clone();
    let mut changes = Vec::new();
    if place.certificates {
        (due.certificates, changes) = renew(&held.certificates, &place.names(), lives, now)?;
    }
    if place.paths {
        let (paths, change) = held.paths.renew(lives, now)?;
        due.paths = paths;
        changes.extend(change);
    }
    Ok((due, changes))
}

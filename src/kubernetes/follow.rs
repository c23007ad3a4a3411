//! A list, then watches for ever: what a copy is kept by.
//!
//! A watch of something that never changes looks like one that nobody answers any more. So every watch is asked to end
//! within a minute, and bookmarks are asked for: that it does, and that the next one is taken up, is a sign of life.
//! kube's own watcher keeps these signs to itself.

use std::time::Duration;

use futures_util::{StreamExt, pin_mut};
use kube::Api;
use kube::api::{ListParams, WatchParams};
use kube::core::{DynamicObject, Status, WatchEvent};
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::DefaultBackoff;
use tokio::time::{Instant, sleep, timeout};

use super::cache::chain;

/// How many objects one answer to a list holds: what is thrown away again is held in memory only for so many.
const PAGE: u32 = 100;

/// A watch that ends sooner is not followed by the next at once.
const SHORTEST_WATCH: Duration = Duration::from_secs(1);

/// Waits around a copy.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// After how many seconds the API server is to end a watch.
    pub watch_seconds: u32,
    /// How long a watch may be silent until it counts as dead; longer than it lasts.
    pub silence: Duration,
    /// How long a copy without a sign of life counts as current.
    pub patience: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Pace { watch_seconds: 50, silence: Duration::from_mins(1), patience: Duration::from_mins(2) }
    }
}

#[derive(Debug)]
pub(crate) enum Told {
    /// A list begins: what it does not hold is gone.
    Listing,
    Listed(Box<DynamicObject>),
    ListedAll,
    Written(Box<DynamicObject>),
    Deleted(Box<DynamicObject>),
    /// Nothing has changed, says the API server.
    Alive,
    /// The list or the watch has failed; it is begun again.
    Failed(String),
}

/// Why a watch has ended before its time.
#[derive(Debug, thiserror::Error)]
enum WatchError {
    /// The API server no longer knows what has changed since: a list must tell.
    #[error("the watch has fallen too far behind")]
    TooOld,
    #[error("the watch was silent for {0:?}")]
    Silent(Duration),
    #[error("the watch was refused: {0}")]
    Refused(String),
}

/// Follows what `api` lists, for ever. What fails is begun again, after a pause that grows.
pub(crate) async fn follow(api: Api<DynamicObject>, pace: Pace, tell: impl FnMut(Told)) {
    follow_some(api, None, pace, tell).await;
}

/// Follows the object of this name alone, for ever: tells how it is whenever it has changed, and `None` where it is not
/// there.
pub(crate) async fn follow_object(
    api: Api<DynamicObject>,
    name: &str,
    pace: Pace,
    mut tell: impl FnMut(Option<DynamicObject>),
) {
    let mut listed = None;
    let only = format!("metadata.name={name}");
    follow_some(api, Some(&only), pace, |told| match told {
        Told::Listing => listed = None,
        Told::Listed(object) => listed = Some(*object),
        Told::ListedAll => tell(listed.take()),
        Told::Written(object) => tell(Some(*object)),
        Told::Deleted(_) => tell(None),
        Told::Alive => {}
        Told::Failed(error) => tracing::warn!(name, error, "what is followed was interrupted; beginning again"),
    })
    .await;
}

async fn follow_some(api: Api<DynamicObject>, only: Option<&str>, pace: Pace, mut tell: impl FnMut(Told)) {
    let mut pauses = DefaultBackoff::default();
    let mut seen = None;
    loop {
        let Some(from) = &mut seen else {
            match list(&api, only, &mut tell).await {
                Ok(version) => seen = Some(version),
                Err(error) => {
                    tell(Told::Failed(chain(&error)));
                    sleep(pauses.next().unwrap_or(pace.silence)).await;
                }
            }
            continue;
        };
        let begun = Instant::now();
        let ended = watch(&api, only, from, pace, &mut tell).await;
        let lasted = begun.elapsed() >= SHORTEST_WATCH;
        if lasted {
            pauses.reset();
        }
        if let Err(error) = &ended {
            tell(Told::Failed(error.to_string()));
        }
        if matches!(ended, Err(WatchError::TooOld)) {
            seen = None;
        }
        if ended.is_err() || !lasted {
            sleep(pauses.next().unwrap_or(pace.silence)).await;
        }
    }
}

/// Lists everything, page by page; gives the version that a watch is to go on from.
async fn list(api: &Api<DynamicObject>, only: Option<&str>, tell: &mut impl FnMut(Told)) -> kube::Result<String> {
    let mut page = ListParams { field_selector: only.map(str::to_owned), ..ListParams::default() }.limit(PAGE);
    tell(Told::Listing);
    loop {
        let listed = api.list(&page).await?;
        for object in listed.items {
            tell(Told::Listed(Box::new(object)));
        }
        let Some(token) = listed.metadata.continue_.filter(|token| !token.is_empty()) else {
            tell(Told::ListedAll);
            return Ok(listed.metadata.resource_version.unwrap_or_default());
        };
        page = page.continue_token(&token);
    }
}

/// Watches from `seen` on, and moves it along, until the API server ends the watch.
async fn watch(
    api: &Api<DynamicObject>,
    only: Option<&str>,
    seen: &mut String,
    pace: Pace,
    tell: &mut impl FnMut(Told),
) -> Result<(), WatchError> {
    let how = WatchParams { field_selector: only.map(str::to_owned), ..WatchParams::default() };
    let events = api.watch(&how.timeout(pace.watch_seconds), seen).await.map_err(refused)?;
    pin_mut!(events);
    tell(Told::Alive);
    loop {
        let event = timeout(pace.silence, events.next()).await.map_err(|_| WatchError::Silent(pace.silence))?;
        match event {
            Some(Ok(WatchEvent::Added(object) | WatchEvent::Modified(object))) => {
                move_along(seen, object.metadata.resource_version.as_ref());
                tell(Told::Written(Box::new(object)));
            }
            Some(Ok(WatchEvent::Deleted(object))) => {
                move_along(seen, object.metadata.resource_version.as_ref());
                tell(Told::Deleted(Box::new(object)));
            }
            Some(Ok(WatchEvent::Bookmark(bookmark))) => {
                move_along(seen, Some(&bookmark.metadata.resource_version));
                tell(Told::Alive);
            }
            Some(Ok(WatchEvent::Error(status))) => return Err(refused(kube::Error::Api(status))),
            Some(Err(error)) => return Err(refused(error)),
            None => return Ok(()),
        }
    }
}

fn move_along(seen: &mut String, version: Option<&String>) {
    if let Some(version) = version.filter(|version| !version.is_empty()) {
        seen.clone_from(version);
    }
}

#[allow(clippy::needless_pass_by_value)] // As `map_err` gives it.
fn refused(error: kube::Error) -> WatchError {
    match &error {
        kube::Error::Api(status) if is_expired(status) => WatchError::TooOld,
        _ => WatchError::Refused(chain(&error)),
    }
}

fn is_expired(status: &Status) -> bool {
    status.code == 410 || matches!(status.reason.as_str(), "Expired" | "Gone")
}

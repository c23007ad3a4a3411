//! The registration with the API server: which requests it sends to Castoff, of which namespaces, and to where.
//!
//! Here is what is to be done about what is there; [`keep`](Registration::keep) does it, as the leader, and
//! [`follow`](Registration::follow) sees what is there, in every replica.
//!
//! Writes are patches of the whole list of webhooks, on the version that was read. A server-side apply would do
//! neither of two things that matter: take out what a person added to an entry (one more match condition is enough to
//! switch the guard off), and leave alone what a person has deleted a moment ago.

mod desired;
mod home;
mod keep;
mod mark;
mod metrics;
mod patience;
mod proof;
mod seen;
mod why;
mod write;

use std::collections::BTreeSet;

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use serde_json::{Value, json};

use super::ApiError;
use super::resources::FIELD_MANAGER as MANAGER;

use desired::Asking;
use why::Why;

pub(crate) use desired::{FailurePolicy, Trust};
pub use desired::{Settings, Target};
pub use keep::{Guarded, Registration};
pub(crate) use mark::{MARK, is_of as mark_is_of};
pub(crate) use proof::{Answer, try_delete, without_path};
pub use proof::{Proofs, Sent, prove};
pub use seen::Seen;

/// The name of the ValidatingWebhookConfiguration.
pub const NAME: &str = "castoff";

/// The annotation by which cert-manager is told whose authority to put in.
pub(crate) const INJECTED: &str = "cert-manager.io/inject-ca-from";

pub(crate) const PODS: &str = "pods.castoff.dev";

pub(crate) const EVICTIONS: &str = "evictions.castoff.dev";

/// Why the registration can't be kept.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("the namespace {0}, which Castoff is to run in, is not there")]
    NoHome(String),
}

#[derive(Clone, Debug, PartialEq)]
enum Action {
    /// It is as it should be.
    Nothing,
    /// Not to be touched: a person has deleted it, or it is others' and is not there.
    LeaveAlone,
    /// Something is not known yet: the authority that callers are to trust.
    Wait,
    /// It is not there, and never was.
    Create(Box<ValidatingWebhookConfiguration>),
    /// It is to be changed by this patch, for these reasons.
    Patch(Patch),
}

#[derive(Clone, Debug, PartialEq)]
struct Patch {
    body: Value,
    /// A JSON merge patch, which replaces the list of webhooks; else a strategic one, which changes fields in it.
    replaces: bool,
    whys: Vec<Why>,
    /// Who else wrote last, if somebody else did.
    editor: Option<String>,
}

/// The namespaces that are to be in the registration: all that are wanted, and those that are in it already, unless a
/// `complete` and current list shows that they are wanted no longer. So a leader that has just begun empties nothing.
fn reach(
    wanted: &BTreeSet<String>,
    registered: &BTreeSet<String>,
    complete: Option<&BTreeSet<String>>,
) -> BTreeSet<String> {
    wanted | complete.unwrap_or(registered)
}

/// What is known when something is to be decided.
#[derive(Clone, Copy)]
struct Known<'a> {
    /// There was a registration, by the mark.
    made_before: bool,
    /// The authorities that the API server is to trust, where they are ours (PEM).
    bundle: Option<&'a str>,
    /// The path that it is to ask on.
    path: Option<&'a str>,
    /// The UID of Castoff's namespace. Not asked for where the registration is others'.
    home: &'a str,
    namespaces: &'a BTreeSet<String>,
}

/// What is to be done, when `live` is there.
fn decide(settings: &Settings, live: Option<&ValidatingWebhookConfiguration>, known: Known<'_>) -> Action {
    match live {
        None if known.made_before || !settings.manage => Action::LeaveAlone,
        None if settings.trust == Trust::Unknown => Action::Wait,
        None => match asking(settings, None, known) {
            Some(asking) => Action::Create(Box::new(settings.configuration(asking, known.home, known.namespaces))),
            None => Action::Wait,
        },
        Some(live) if !settings.manage => bundle_alone(settings, live, known.bundle),
        Some(live) => whole(settings, live, known),
    }
}

/// How the API server is to ask. What is not known yet stays as it is; `None` where that is nothing.
fn asking<'a>(settings: &Settings, now: Option<Asking<'a>>, known: Known<'a>) -> Option<Asking<'a>> {
    let trusted = now.and_then(|now| now.bundle);
    let bundle = match settings.trust {
        Trust::Ours => Some(known.bundle.or(trusted)?),
        Trust::Injected { .. } | Trust::Unknown => trusted,
    };
    Some(Asking { bundle, path: known.path.or(now.map(|now| now.path))? })
}

/// Keeps all of it.
fn whole(settings: &Settings, live: &ValidatingWebhookConfiguration, known: Known<'_>) -> Action {
    let found = live.webhooks.clone().unwrap_or_default();
    let (registered, trusted) = (desired::namespaces(live), desired::bundle(live));
    let path = found.iter().find_map(desired::path_of);
    let now = path.as_deref().map(|path| Asking { bundle: trusted.as_deref(), path });
    let Some(asking) = asking(settings, now, known) else { return Action::Wait };
    let wanted = settings.webhooks(asking, known.namespaces);
    let owners = settings.owners(known.home);
    let is_owned = live.metadata.owner_references.as_ref() == Some(&owners);
    let annotated = settings.annotations().iter().all(|(key, value)| {
        live.metadata.annotations.as_ref().and_then(|annotations| annotations.get(key)) == Some(value)
    });
    if found == wanted && annotated && is_owned {
        return Action::Nothing;
    }
    let mut whys = Vec::new();
    let (grown, shrunk) = (known.namespaces - &registered, &registered - known.namespaces);
    if !grown.is_empty() {
        whys.push(Why::Grown(grown));
    }
    if !shrunk.is_empty() {
        whys.push(Why::Shrunk(shrunk));
    }
    // An entry that goes or comes has no authority to compare, and no path.
    if let Some(now) = now.filter(|_| !wanted.is_empty()) {
        whys.extend((now.bundle != asking.bundle).then_some(Why::Bundle));
        whys.extend((now.path != asking.path).then_some(Why::Path));
    }
    whys.extend((!is_owned).then_some(Why::Owner));
    let mut differs = desired::differences(&found, &settings.webhooks(now.unwrap_or(asking), &registered));
    if !annotated {
        differs.insert("metadata.annotations".to_owned());
    }
    if !differs.is_empty() {
        whys.push(Why::Differs(differs));
    }
    let metadata = json!({
        "resourceVersion": live.metadata.resource_version,
        "annotations": settings.annotations(),
        "ownerReferences": owners,
    });
    let body = json!({"metadata": metadata, "webhooks": wanted});
    Action::Patch(Patch { body, replaces: true, whys, editor: desired::last_editor(live) })
}

/// Keeps nothing but the authority that callers trust: the rest is somebody else's.
fn bundle_alone(settings: &Settings, live: &ValidatingWebhookConfiguration, bundle: Option<&str>) -> Action {
    let Some(bundle) = bundle.filter(|_| settings.trust == Trust::Ours) else { return Action::Nothing };
    let stale: Vec<Value> = live
        .webhooks
        .iter()
        .flatten()
        .filter(|webhook| desired::is_ours(&webhook.name))
        .filter(|webhook| desired::bundle_of(webhook).as_deref() != Some(bundle))
        .map(|webhook| json!({"name": webhook.name, "clientConfig": {"caBundle": desired::encoded(bundle)}}))
        .collect();
    if stale.is_empty() {
        return Action::Nothing;
    }
    let metadata = json!({"resourceVersion": live.metadata.resource_version});
    let body = json!({"metadata": metadata, "webhooks": stale});
    Action::Patch(Patch { body, replaces: false, whys: vec![Why::Bundle], editor: None })
}

#[cfg(test)]
mod tests;

//! The registration with the API server: which requests it sends to Castoff, of which namespaces, and to where.
//!
//! Here is what is to be done about what is there; [`keep`](Registration::keep) does it, as the leader, and
//! [`follow`](Registration::follow) sees what is there, in every replica.
//!
//! Writes are patches of the whole list of webhooks, on the version that was read. A server-side apply would do
//! neither of two things that matter: take out what a person added to an entry (one more match condition is enough to
//! switch the guard off), and leave alone what a person has deleted a moment ago.

mod desired;
mod keep;
mod mark;
mod proof;
mod seen;

use std::collections::BTreeSet;

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use serde_json::{Value, json};

pub use desired::{FailurePolicy, Settings, Target, Trust};
pub use keep::{Guarded, Registration};
pub use proof::{Proofs, Sent, prove};
pub use seen::Seen;

/// The name of the ValidatingWebhookConfiguration.
pub const NAME: &str = "castoff";

/// The annotation by which cert-manager is told whose authority to put in.
pub const INJECTED: &str = "cert-manager.io/inject-ca-from";

/// The entry for deletes of pods.
pub const PODS: &str = "pods.castoff.dev";

/// The entry for evictions.
pub const EVICTIONS: &str = "evictions.castoff.dev";

/// Who Castoff is to the API server when it writes.
const MANAGER: &str = "castoff";

/// What is to be done about the registration.
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

/// A change of the registration.
#[derive(Clone, Debug, PartialEq)]
struct Patch {
    body: Value,
    /// A JSON merge patch, which replaces the list of webhooks; else a strategic one, which changes fields in it.
    replaces: bool,
    whys: Vec<Why>,
    /// Who else wrote last, if somebody else did.
    editor: Option<String>,
}

/// Why the registration is to be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Why {
    /// Namespaces come in.
    Grown(BTreeSet<String>),
    /// Namespaces go out.
    Shrunk(BTreeSet<String>),
    /// Another authority is to be trusted.
    Bundle,
    /// These fields are not as this version of Castoff sets them.
    Differs(BTreeSet<String>),
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

/// What is to be done, when `live` is there and these namespaces are to be in it. `made_before` says that there was a
/// registration, which then was deleted by somebody else.
fn decide(
    settings: &Settings,
    live: Option<&ValidatingWebhookConfiguration>,
    made_before: bool,
    bundle: Option<&str>,
    namespaces: &BTreeSet<String>,
) -> Action {
    match live {
        None if made_before || !settings.manage => Action::LeaveAlone,
        None if settings.trust == Trust::Unknown => Action::Wait,
        None if settings.trust == Trust::Ours && bundle.is_none() => Action::Wait,
        None => Action::Create(Box::new(settings.configuration(bundle, namespaces))),
        Some(live) if !settings.manage => bundle_alone(settings, live, bundle),
        Some(live) => whole(settings, live, bundle, namespaces),
    }
}

/// Keeps all of it.
fn whole(
    settings: &Settings,
    live: &ValidatingWebhookConfiguration,
    bundle: Option<&str>,
    namespaces: &BTreeSet<String>,
) -> Action {
    let found = live.webhooks.clone().unwrap_or_default();
    let (registered, trusted) = (desired::namespaces(live), desired::bundle(live));
    // Until our own authority is known, whatever is trusted stays.
    let bundle = match settings.trust {
        Trust::Ours => bundle.or(trusted.as_deref()),
        Trust::Injected { .. } | Trust::Unknown => trusted.as_deref(),
    };
    let wanted = settings.webhooks(bundle, namespaces);
    let annotated = settings.annotations().iter().all(|(key, value)| {
        live.metadata.annotations.as_ref().and_then(|annotations| annotations.get(key)) == Some(value)
    });
    if found == wanted && annotated {
        return Action::Nothing;
    }
    let mut whys = Vec::new();
    let (grown, shrunk) = (namespaces - &registered, &registered - namespaces);
    if !grown.is_empty() {
        whys.push(Why::Grown(grown));
    }
    if !shrunk.is_empty() {
        whys.push(Why::Shrunk(shrunk));
    }
    // An entry that goes or comes has no authority to compare.
    if !found.is_empty() && !wanted.is_empty() && trusted.as_deref() != bundle {
        whys.push(Why::Bundle);
    }
    let mut differs = desired::differences(&found, &settings.webhooks(trusted.as_deref(), &registered));
    if !annotated {
        differs.insert("metadata.annotations".to_owned());
    }
    if !differs.is_empty() {
        whys.push(Why::Differs(differs));
    }
    let metadata = json!({
        "resourceVersion": live.metadata.resource_version,
        "annotations": settings.annotations(),
    });
    let body = json!({"metadata": metadata, "webhooks": wanted});
    Action::Patch(Patch { body, replaces: true, whys, editor: desired::last_editor(live) })
}

/// Keeps nothing but the authority that callers trust: the rest is somebody else's.
fn bundle_alone(settings: &Settings, live: &ValidatingWebhookConfiguration, bundle: Option<&str>) -> Action {
    let Some(bundle) = bundle.filter(|_| settings.trust == Trust::Ours) else { return Action::Nothing };
    let ours = |name: &str| name == PODS || name == EVICTIONS;
    let stale: Vec<Value> = live
        .webhooks
        .iter()
        .flatten()
        .filter(|webhook| ours(&webhook.name))
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

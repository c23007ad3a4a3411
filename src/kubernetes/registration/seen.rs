//! What is seen of the registration.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use k8s_openapi::api::admissionregistration::v1::{ValidatingWebhook, ValidatingWebhookConfiguration};

use super::{EVICTIONS, PODS, desired};

/// What is seen of the registration.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Seen {
    /// Nothing has been seen yet.
    #[default]
    NotYet,
    /// It is not there: no request comes.
    Absent,
    /// It is there.
    There(Arc<ValidatingWebhookConfiguration>),
}

impl Seen {
    /// Whether a namespace's deletes and evictions are sent. `None` where the registration is others' and selects
    /// namespaces by labels, or nothing has been seen.
    pub(crate) fn covers(&self, namespace: &str) -> Option<bool> {
        match self {
            Seen::NotYet => None,
            Seen::Absent => Some(false),
            Seen::There(_) => {
                let covered = [PODS, EVICTIONS].map(|name| match self.entry(name) {
                    None => Some(false),
                    Some(entry) => desired::namespaces_of(entry).map(|names| names.contains(namespace)),
                });
                match covered {
                    [Some(false), _] | [_, Some(false)] => Some(false),
                    [Some(true), Some(true)] => Some(true),
                    _ => None,
                }
            }
        }
    }

    /// Whether there is no entry for deletes, or none for evictions.
    pub(crate) fn guards_nothing(&self) -> bool {
        *self != Seen::NotYet && [PODS, EVICTIONS].iter().any(|name| self.entry(name).is_none())
    }

    /// The namespaces that are named.
    #[must_use]
    pub fn namespaces(&self) -> BTreeSet<String> {
        self.live().map(desired::namespaces).unwrap_or_default()
    }

    /// The paths that requests come on.
    #[must_use]
    pub fn paths(&self) -> BTreeSet<String> {
        self.live().map(desired::paths).unwrap_or_default()
    }

    /// The annotations of the configuration: a bypass on it opens the gate everywhere.
    pub(crate) fn annotations(&self) -> Option<&BTreeMap<String, String>> {
        self.live()?.metadata.annotations.as_ref()
    }

    /// Changes with all of the registration that matters to a namespace, and not when others come or go. `None` where
    /// the namespace is not covered.
    pub(super) fn print(&self, namespace: &str) -> Option<u64> {
        if self.covers(namespace) == Some(false) {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        for name in [PODS, EVICTIONS] {
            let mut entry = self.entry(name)?.clone();
            if desired::namespaces_of(&entry).is_some() {
                entry.namespace_selector = None;
            }
            serde_json::to_string(&entry).ok()?.hash(&mut hasher);
        }
        Some(hasher.finish())
    }

    fn entry(&self, name: &str) -> Option<&ValidatingWebhook> {
        self.live()?.webhooks.iter().flatten().find(|webhook| webhook.name == name)
    }

    pub(super) fn live(&self) -> Option<&ValidatingWebhookConfiguration> {
        match self {
            Seen::There(live) => Some(live),
            Seen::NotYet | Seen::Absent => None,
        }
    }
}

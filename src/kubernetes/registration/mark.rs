//! The mark that there was a registration: without one, a registration that is not there was never made; with one,
//! somebody has deleted it. That is what people do in an emergency, and it must last.
//!
//! It is a ConfigMap beside Castoff. Who wants the registration made again deletes it.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::kubernetes::cache::chain;
use crate::kubernetes::labels;

use super::{MANAGER, NAME};

/// The ConfigMap's name.
pub(super) const MARK: &str = "castoff-registration";

/// The mark in Castoff's own namespace.
pub(super) struct Mark {
    pub(super) maps: Api<ConfigMap>,
}

impl Mark {
    /// Whether there was a registration.
    pub(super) async fn is_set(&self) -> Result<bool, String> {
        self.maps
            .get_opt(MARK)
            .await
            .map(|found| found.is_some())
            .map_err(|error| format!("ConfigMap {MARK}: {}", chain(&error)))
    }

    /// Notes that there is one, with this UID. Again changes nothing.
    pub(super) async fn set(&self, uid: &str) -> Result<(), String> {
        let about = format!(
            "Castoff has made the ValidatingWebhookConfiguration {NAME}. If that is not there any more, somebody has \
             deleted it, and Castoff leaves it at that. Delete this ConfigMap to have it made again."
        );
        let labels: std::collections::BTreeMap<_, _> = labels().into();
        let body = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": MARK, "labels": labels},
            "data": {"uid": uid, "about": about},
        });
        let parameters = PatchParams::apply(MANAGER).force();
        let written = self.maps.patch(MARK, &parameters, &Patch::Apply(&body)).await;
        written.map(|_| ()).map_err(|error| format!("ConfigMap {MARK}: {}", chain(&error)))
    }
}

//! The mark that there was a registration: without one, a registration that is not there was never made; with one,
//! somebody has deleted it. That is what people do in an emergency, and it must last.
//!
//! It is a ConfigMap beside Castoff, and names the namespace that it was made in by UID: in another cluster, or in a
//! namespace that was made anew, what a backup has brought back says nothing. Who wants the registration made again
//! deletes it.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::kubernetes::{ApiError, failed, labels};

use super::{MANAGER, NAME};

/// The ConfigMap's name.
pub const MARK: &str = "castoff-registration";

/// Where it says which namespace it was made in.
const HOME: &str = "namespace-uid";

/// The mark in Castoff's own namespace.
pub(super) struct Mark {
    pub(super) maps: Api<ConfigMap>,
}

/// Whether the mark was made in this namespace. One of before does not say, and is taken for this one's.
pub fn is_of(mark: &ConfigMap, home: &str) -> bool {
    mark.data.as_ref().and_then(|data| data.get(HOME)).is_none_or(|made_in| made_in == home)
}

impl Mark {
    /// Whether there was a registration of the Castoff in this namespace.
    pub(super) async fn is_set(&self, home: &str) -> Result<bool, ApiError> {
        let found = self.maps.get_opt(MARK).await.map_err(failed(format!("ConfigMap {MARK}")))?;
        Ok(found.is_some_and(|mark| is_of(&mark, home)))
    }

    /// Notes that there is one, with this UID. Again changes nothing.
    pub(super) async fn set(&self, uid: &str, home: &str) -> Result<(), ApiError> {
        let about = format!(
            "Castoff has made the ValidatingWebhookConfiguration {NAME}. If that is not there any more, somebody has \
             deleted it, and Castoff leaves it at that. Delete this ConfigMap to have it made again."
        );
        let labels: std::collections::BTreeMap<_, _> = labels().into();
        let body = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": MARK, "labels": labels},
            "data": {"uid": uid, HOME: home, "about": about},
        });
        let parameters = PatchParams::apply(MANAGER).force();
        let written = self.maps.patch(MARK, &parameters, &Patch::Apply(&body)).await;
        written.map(|_| ()).map_err(failed(format!("ConfigMap {MARK}")))
    }
}

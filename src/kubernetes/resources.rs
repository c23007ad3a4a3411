//! Castoff's own kinds.

use kube::core::{ApiResource, DynamicObject};
use serde_json::Value;

pub(crate) const GROUP: &str = "castoff.dev";

/// The version that this program reads and writes.
pub(crate) const VERSION: &str = "v1alpha1";

/// Who writes, as the API server keeps it with each field.
pub const FIELD_MANAGER: &str = "castoff";

/// DrainPolicies, as the API names them.
#[must_use]
pub fn drain_policies() -> ApiResource {
    resource("DrainPolicy", "drainpolicies")
}

/// DrainPlans, as the API names them.
pub(crate) fn drain_plans() -> ApiResource {
    resource("DrainPlan", "drainplans")
}

/// PodDrains, as the API names them.
#[must_use]
pub fn pod_drains() -> ApiResource {
    resource("PodDrain", "poddrains")
}

/// NodeDrains, as the API names them.
#[must_use]
pub fn node_drains() -> ApiResource {
    resource("NodeDrain", "nodedrains")
}

/// A part of an object, or nothing.
pub(crate) fn part(object: &DynamicObject, name: &str) -> Value {
    object.data.get(name).cloned().unwrap_or(Value::Null)
}

fn resource(kind: &str, plural: &str) -> ApiResource {
    ApiResource {
        group: GROUP.to_owned(),
        version: VERSION.to_owned(),
        api_version: format!("{GROUP}/{VERSION}"),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}

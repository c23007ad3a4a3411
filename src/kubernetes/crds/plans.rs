//! DrainPlan: whoever runs Castoff writes it; `castoff check` compiles it.

use serde_json::Value;

use crate::kubernetes::resources::drain_plans;
use crate::plan::spec::PlanSpec;

use super::definition::{Column, Definition};
use super::schema::schema_of;

pub(super) fn definition() -> Value {
    let columns: [Column; 2] =
        [("Summary", "string", ".spec.summary", 0), ("Age", "date", ".metadata.creationTimestamp", 0)];
    Definition {
        resource: drain_plans(),
        singular: "drainplan",
        short: "dplan",
        namespaced: false,
        description: "How one kind of backend is observed, prepared and restored. Whoever may write one decides what Castoff sends.",
        spec: schema_of::<PlanSpec>(),
        status: None,
        columns: &columns,
    }
    .build()
}

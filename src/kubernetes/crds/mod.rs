//! The CustomResourceDefinitions, made from the types that read the objects. What can't be said by a type, as rules in
//! CEL, is added in the file of each kind.

mod definition;
mod drains;
mod node_drains;
mod policies;
mod schema;

pub use definition::VERSION_LABEL;

use serde_json::Value;

use crate::plan::spec::PlanSpec;

use super::resources::{self, drain_plans, drain_policies, pod_drains};

use definition::{Column, Schemas, define};

const PLAN_COLUMNS: [Column; 2] =
    [("Summary", "string", ".spec.summary", 0), ("Age", "date", ".metadata.creationTimestamp", 0)];

/// All definitions.
#[must_use]
pub fn all() -> Vec<Value> {
    let policy = "Says which pods may leave only when their backend is ready for it, and what prepares it.";
    let drain = "One pod's drain: who asked for it, how far it is, and what it waits for. Made by Castoff; deleting it \
                 gives the drain up.";
    let plan = "How one kind of backend is observed, prepared and restored. Whoever may write one decides what Castoff \
                sends.";
    let node = "A node that will go: while it is there, everything guarded on that node is prepared and kept so. Made by \
                whoever drains nodes; deleting it withdraws it.";
    let plan_schemas = Schemas { spec: schema::schema_of::<PlanSpec>(), status: None };
    vec![
        define(drain_policies(), "Namespaced", "dpol", policy, &policies::COLUMNS, policies::schemas()),
        define(pod_drains(), "Namespaced", "pdr", drain, &drains::COLUMNS, drains::schemas()),
        define(drain_plans(), "Cluster", "dplan", plan, &PLAN_COLUMNS, plan_schemas),
        define(resources::node_drains(), "Cluster", "ndr", node, &node_drains::COLUMNS, node_drains::schemas()),
    ]
}

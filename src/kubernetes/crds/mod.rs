//! The CustomResourceDefinitions, made from the types that read the objects. What can't be said by a type, as rules in
//! CEL, is added in the file of each kind.

mod definition;
mod drains;
mod plans;
mod policies;
mod schema;

pub use definition::VERSION_LABEL;

use serde_json::Value;

/// All definitions.
#[must_use]
pub fn all() -> Vec<Value> {
    vec![policies::definition(), drains::definition(), plans::definition()]
}

//! The plans that are built in.

use std::sync::{Arc, OnceLock};

use super::{Mistake, Plan, compile};
use crate::yaml;

/// Names and texts of the built-in plans.
pub const SOURCES: [(&str, &str); 11] = [
    ("consul", include_str!("builtin/consul.yaml")),
    ("etcd", include_str!("builtin/etcd.yaml")),
    ("http-hook", include_str!("builtin/http-hook.yaml")),
    ("in-flight", include_str!("builtin/in-flight.yaml")),
    ("neighbours", include_str!("builtin/neighbours.yaml")),
    ("patroni", include_str!("builtin/patroni.yaml")),
    ("pd", include_str!("builtin/pd.yaml")),
    ("quorum", include_str!("builtin/quorum.yaml")),
    ("redis-cluster", include_str!("builtin/redis-cluster.yaml")),
    ("redis-sentinel", include_str!("builtin/redis-sentinel.yaml")),
    ("tikv", include_str!("builtin/tikv.yaml")),
];

/// Each is compiled when it is first asked for: most installations use one or two.
static PLANS: [OnceLock<Option<Arc<Plan>>>; SOURCES.len()] = [const { OnceLock::new() }; SOURCES.len()];

/// The built-in plan of that name.
#[must_use]
pub fn builtin(name: &str) -> Option<&'static Arc<Plan>> {
    let index = SOURCES.iter().position(|(known, _)| *known == name)?;
    let (name, text) = SOURCES.get(index)?;
    // A plan that does not compile is not there; a test sees to it that each does.
    PLANS.get(index)?.get_or_init(|| read(text).ok().map(|plan| Arc::new(plan.named(*name)))).as_ref()
}

/// The names of the built-in plans, sorted.
#[must_use]
pub fn names() -> Vec<&'static str> {
    SOURCES.iter().map(|(name, _)| *name).collect()
}

/// Reads and compiles a plan.
///
/// # Errors
/// All its mistakes; those of YAML itself with an empty place.
pub fn read(text: &str) -> Result<Plan, Vec<Mistake>> {
    let spec = yaml::parse(text).map_err(|error| {
        let message = error.line.map_or_else(String::new, |line| format!("line {line}: ")) + &error.message;
        vec![Mistake { field: error.field.unwrap_or_default(), message, hint: error.hint }]
    })?;
    compile(&spec)
}

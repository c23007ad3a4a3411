//! The plans that are built in.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use super::{Mistake, Plan, compile};
use crate::yaml;

/// Names and texts of the built-in plans.
pub const SOURCES: [(&str, &str); 4] = [
    ("etcd", include_str!("builtin/etcd.yaml")),
    ("http-hook", include_str!("builtin/http-hook.yaml")),
    ("patroni", include_str!("builtin/patroni.yaml")),
    ("tikv", include_str!("builtin/tikv.yaml")),
];

static PLANS: LazyLock<BTreeMap<&'static str, Arc<Plan>>> = LazyLock::new(|| {
    // A plan that does not compile is left out; a test sees to it that none is.
    SOURCES.iter().filter_map(|(name, text)| read(text).ok().map(|plan| (*name, Arc::new(plan.named(*name))))).collect()
});

/// The built-in plan of that name.
#[must_use]
pub fn builtin(name: &str) -> Option<Arc<Plan>> {
    PLANS.get(name).cloned()
}

/// The names of the built-in plans, sorted.
#[must_use]
pub fn names() -> Vec<&'static str> {
    PLANS.keys().copied().collect()
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

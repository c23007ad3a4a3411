//! The registration's metrics.

use prometheus::{IntCounterVec, IntGauge, Opts, Registry};

pub(super) struct Metrics {
    pub writes: IntCounterVec,
    pub namespaces: IntGauge,
    pub guards_nothing: IntGauge,
}

impl Metrics {
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let writes = IntCounterVec::new(
            Opts::new("castoff_registration_changes_total", "What was done about the registration, by why."),
            &["why"],
        )?;
        for why in ["created", "grown", "shrunk", "bundle", "path", "owner", "put_back", "left_deleted"] {
            writes.with_label_values(&[why]);
        }
        let namespaces = IntGauge::new(
            "castoff_registered_namespaces",
            "The namespaces whose deletes and evictions the API server is told to send.",
        )?;
        let guards_nothing = IntGauge::new(
            "castoff_guards_nothing",
            "1 while there are policies, and the API server is not told to send any deletes or evictions.",
        )?;
        registry.register(Box::new(writes.clone()))?;
        registry.register(Box::new(namespaces.clone()))?;
        registry.register(Box::new(guards_nothing.clone()))?;
        Ok(Metrics { writes, namespaces, guards_nothing })
    }
}

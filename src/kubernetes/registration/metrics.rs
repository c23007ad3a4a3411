//! The registration's metrics.

use prometheus::{IntCounterVec, IntGauge, Registry};

use crate::metrics::{GUARDS_NOTHING, Labels, REGISTERED, REGISTRATION_CHANGES};

pub(super) struct Metrics {
    pub writes: IntCounterVec,
    pub namespaces: IntGauge,
    pub guards_nothing: IntGauge,
}

impl Metrics {
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let writes = REGISTRATION_CHANGES.counters(Labels::None)?;
        let (namespaces, guards_nothing) = (REGISTERED.gauge()?, GUARDS_NOTHING.gauge()?);
        registry.register(Box::new(writes.clone()))?;
        registry.register(Box::new(namespaces.clone()))?;
        registry.register(Box::new(guards_nothing.clone()))?;
        Ok(Metrics { writes, namespaces, guards_nothing })
    }
}

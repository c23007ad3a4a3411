//! What the controller counts.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGauge, Registry};

use crate::lifecycle::{Outcome, Phase};
use crate::metrics::{DRAINS, LEADER, LookedUp, OUTCOMES, OfPolicies, Whose};

use super::IsLeader;
use crate::ports::Store;

/// Counters of the controller.
#[derive(Clone)]
pub struct Metrics {
    outcomes: IntCounterVec,
    whose: Whose,
}

impl Metrics {
    /// Registers them. Who leads, and how many drains are in each phase, is looked up when somebody asks.
    ///
    /// # Errors
    /// When a metric of that name is registered already.
    pub fn register(
        registry: &Registry,
        whose: Whose,
        store: Arc<dyn Store>,
        is_leader: IsLeader,
    ) -> prometheus::Result<Self> {
        let outcomes = OUTCOMES.counters(whose.labels())?;
        registry.register(Box::new(OfPolicies::new(outcomes.clone(), whose.clone())))?;
        let of_drains = whose.clone();
        let count = move |gauges: &prometheus::IntGaugeVec| {
            for drain in store.all().iter().filter(|drain| drain.status.phase != Phase::Completed) {
                let (namespace, policy) = (&drain.metadata.namespace, &drain.spec.policy);
                gauges.with_label_values(&of_drains.values(namespace, policy, &[drain.status.stands_at()])).inc();
            }
        };
        registry.register(Box::new(LookedUp::new(DRAINS, whose.labels(), Box::new(count))?))?;
        registry.register(Box::new(Leadership { gauge: LEADER.gauge()?, is_leader }))?;
        Ok(Metrics { outcomes, whose })
    }

    /// Counts a pod that has left.
    pub fn count(&self, outcome: Outcome, namespace: &str, policy: &str) {
        self.outcomes.with_label_values(&self.whose.values(namespace, policy, &[label(outcome)])).inc();
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Metrics")
    }
}

fn label(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Prepared => "prepared",
        Outcome::Exempt => "exempt",
        Outcome::Bypassed => "bypassed",
        Outcome::Unprepared => "unprepared",
    }
}

/// Whether this process leads, as it is when scraped.
struct Leadership {
    gauge: IntGauge,
    is_leader: IsLeader,
}

impl Collector for Leadership {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.gauge.set(i64::from((self.is_leader)()));
        self.gauge.collect()
    }
}

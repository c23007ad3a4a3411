//! What the controller counts.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::lifecycle::Outcome;

use super::IsLeader;
use crate::ports::Store;

/// Counters of the controller.
#[derive(Clone, Debug)]
pub struct Metrics {
    outcomes: IntCounterVec,
}

impl Metrics {
    /// Registers them. Who leads, and how many drains are in each phase, is looked up when somebody asks.
    ///
    /// # Errors
    /// When a metric of that name is registered already.
    pub fn register(registry: &Registry, store: Arc<dyn Store>, is_leader: IsLeader) -> prometheus::Result<Self> {
        let outcomes = IntCounterVec::new(
            Opts::new("castoff_outcomes_total", "Guarded pods that have left, by how they left."),
            &["outcome"],
        )?;
        for outcome in [Outcome::Prepared, Outcome::Exempt, Outcome::Bypassed, Outcome::Unprepared] {
            outcomes.with_label_values(&[label(outcome)]);
        }
        registry.register(Box::new(outcomes.clone()))?;
        registry.register(Box::new(DrainsByPhase::new(store)?))?;
        let help = "1 where this replica leads of bringing drains about.";
        registry.register(Box::new(Leadership { gauge: IntGauge::new("castoff_leader", help)?, is_leader }))?;
        Ok(Metrics { outcomes })
    }

    /// Counts a pod that has left.
    pub fn count(&self, outcome: Outcome) {
        self.outcomes.with_label_values(&[label(outcome)]).inc();
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

/// Drains by phase, read from the store when scraped: it can't drift.
struct DrainsByPhase {
    gauge: IntGaugeVec,
    store: Arc<dyn Store>,
}

impl DrainsByPhase {
    fn new(store: Arc<dyn Store>) -> prometheus::Result<Self> {
        let options = Opts::new("castoff_drains", "Drains under way, by phase; blocked and stalled ones as such.");
        Ok(DrainsByPhase { gauge: IntGaugeVec::new(options, &["phase"])?, store })
    }
}

impl Collector for DrainsByPhase {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        for phase in
            ["Queued", "Draining", "Drained", "Departing", "Restoring", "Completed", "Blocked", "Stalled", "Unknown"]
        {
            self.gauge.with_label_values(&[phase]).set(0);
        }
        for drain in self.store.all() {
            let status = &drain.status;
            let phase = match status.phase {
                _ if status.blocked => "Blocked",
                _ if status.stalled => "Stalled",
                phase => phase.as_str(),
            };
            self.gauge.with_label_values(&[phase]).inc();
        }
        self.gauge.collect()
    }
}

//! What the controller counts.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::lifecycle::{Departure, Phase};

use super::InCharge;
use super::interfaces::Store;

/// Counters of the controller.
#[derive(Clone, Debug)]
pub struct Metrics {
    departures: IntCounterVec,
}

impl Metrics {
    /// Registers them. Who is in charge, and how many departures are in each phase, is looked up when somebody asks.
    ///
    /// # Errors
    /// When a metric of that name is registered already.
    pub fn register(registry: &Registry, store: Arc<dyn Store>, in_charge: InCharge) -> prometheus::Result<Self> {
        let departures = IntCounterVec::new(
            Opts::new("castoff_departures_total", "Guarded pods that have left, by how they left."),
            &["outcome"],
        )?;
        for departure in [Departure::Prepared, Departure::Exempt, Departure::Bypassed, Departure::Unprepared] {
            departures.with_label_values(&[label(departure)]);
        }
        registry.register(Box::new(departures.clone()))?;
        registry.register(Box::new(DrainsByPhase::new(store)?))?;
        let help = "1 where this replica is in charge of bringing departures about.";
        registry.register(Box::new(Charge { gauge: IntGauge::new("castoff_in_charge", help)?, in_charge }))?;
        Ok(Metrics { departures })
    }

    /// Counts a pod that has left.
    pub fn count(&self, departure: Departure) {
        self.departures.with_label_values(&[label(departure)]).inc();
    }
}

fn label(departure: Departure) -> &'static str {
    match departure {
        Departure::Prepared => "prepared",
        Departure::Exempt => "exempt",
        Departure::Bypassed => "bypassed",
        Departure::Unprepared => "unprepared",
    }
}

/// Whether this process is in charge, as it is when scraped.
struct Charge {
    gauge: IntGauge,
    in_charge: InCharge,
}

impl Collector for Charge {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.gauge.set(i64::from((self.in_charge)()));
        self.gauge.collect()
    }
}

/// Departures by phase, read from the store when scraped: it can't drift.
struct DrainsByPhase {
    gauge: IntGaugeVec,
    store: Arc<dyn Store>,
}

impl DrainsByPhase {
    fn new(store: Arc<dyn Store>) -> prometheus::Result<Self> {
        let options = Opts::new("castoff_drains", "Departures under way, by phase; blocked and stalled ones as such.");
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
                Phase::Queued => "Queued",
                Phase::Draining => "Draining",
                Phase::Drained => "Drained",
                Phase::Departing => "Departing",
                Phase::Restoring => "Restoring",
                Phase::Completed => "Completed",
                Phase::Unknown => "Unknown",
            };
            self.gauge.with_label_values(&[phase]).inc();
        }
        self.gauge.collect()
    }
}

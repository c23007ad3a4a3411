//! What the server counts.

use std::time::Duration;

use http::StatusCode;
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, Registry};

use crate::metrics::{ANSWER_SECONDS, BUILD, CONNECTIONS, HANDSHAKES_FAILED, HTTP_REQUESTS, IN_FLIGHT, Labels};

/// Counters of the webhook's listener.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: IntCounterVec,
    answered: IntCounter,
    duration: Histogram,
    in_flight: IntGauge,
    connections: IntGauge,
    handshakes_failed: IntCounter,
}

/// Counts one less when it is dropped.
#[derive(Debug)]
pub struct Counted(IntGauge);

impl Counted {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Counted(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// When a metric of that name is registered already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let requests = HTTP_REQUESTS.counters(Labels::None)?;
        let answered = requests.with_label_values(&["200"]);
        let duration = ANSWER_SECONDS.histogram()?;
        let (in_flight, connections) = (IN_FLIGHT.gauge()?, CONNECTIONS.gauge()?);
        let handshakes_failed = HANDSHAKES_FAILED.counter()?;
        let build = BUILD.gauges(Labels::None)?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        registry.register(Box::new(in_flight.clone()))?;
        registry.register(Box::new(connections.clone()))?;
        registry.register(Box::new(handshakes_failed.clone()))?;
        registry.register(Box::new(build))?;
        Ok(Metrics { requests, answered, duration, in_flight, connections, handshakes_failed })
    }

    pub(super) fn connection(&self) -> Counted {
        Counted::new(&self.connections)
    }

    pub(super) fn in_flight(&self) -> Counted {
        Counted::new(&self.in_flight)
    }

    pub(super) fn handshake_failed(&self) {
        self.handshakes_failed.inc();
    }

    pub(super) fn answered(&self, status: StatusCode, took: Duration) {
        self.duration.observe(took.as_secs_f64());
        if status == StatusCode::OK {
            self.answered.inc();
        } else {
            self.requests.with_label_values(&[status.as_str()]).inc();
        }
    }
}

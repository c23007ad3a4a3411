//! What the server counts.

use std::time::Duration;

use http::StatusCode;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

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
        let requests = IntCounterVec::new(
            Opts::new("castoff_http_requests_total", "HTTP requests to the webhook, by status."),
            &["code"],
        )?;
        let answered = requests.with_label_values(&["200"]);
        let buckets = vec![0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0, 3.0, 10.0];
        let options = HistogramOpts::new("castoff_request_duration_seconds", "From a request's head to its answer.");
        let duration = Histogram::with_opts(options.buckets(buckets))?;
        let in_flight = IntGauge::new("castoff_requests_in_flight", "Requests that are being answered.")?;
        let connections = IntGauge::new("castoff_connections", "Open connections to the webhook.")?;
        let handshakes_failed =
            IntCounter::new("castoff_tls_handshake_failures_total", "TLS handshakes that did not succeed.")?;
        let build =
            IntGaugeVec::new(Opts::new("castoff_build_info", "Always 1; the version is a label."), &["version"])?;
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

//! What is counted of requests to backends.

use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With an answer that is accepted.
    Ok,
    /// Without a connection, or it broke.
    Refused,
    /// Without an answer in time.
    Timeout,
    /// With a status that is not accepted.
    Status,
    /// With a body that can't be used.
    Garbage,
    /// Not sent: the endpoint guard forbids it.
    Guard,
    /// Not sent: the pod no longer has the address.
    Gone,
    /// Not sent, or broken off: a Secret or certificate does not fit.
    Credentials,
}

impl Outcome {
    pub fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Status => "status",
            Self::Garbage => "garbage",
            Self::Guard => "guard",
            Self::Gone => "gone",
            Self::Credentials => "credentials",
        }
    }
}

/// The counters.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
}

impl Metrics {
    /// Makes the counters and registers them.
    ///
    /// # Errors
    /// When something of these names is registered already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let requests = IntCounterVec::new(
            Opts::new("castoff_backend_requests_total", "Requests to backends, by plan and by how they ended."),
            &["plan", "outcome"],
        )?;
        let seconds = HistogramVec::new(
            HistogramOpts::new(
                "castoff_backend_request_duration_seconds",
                "Time that requests to backends took, by plan.",
            )
            // A read ends within 3 s, an act that goes on in the background within 60 s.
            .buckets(vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 10.0, 60.0]),
            &["plan"],
        )?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        Ok(Self { requests, seconds })
    }

    /// Counts one request of `plan`; `took` counts only where something was sent.
    pub(super) fn count(&self, plan: &str, outcome: Outcome, took: Duration) {
        self.requests.with_label_values(&[plan, outcome.label()]).inc();
        if !matches!(outcome, Outcome::Guard | Outcome::Gone) {
            self.seconds.with_label_values(&[plan]).observe(took.as_secs_f64());
        }
    }
}

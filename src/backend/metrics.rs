//! What is counted of requests to backends.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounterVec, Registry};

use crate::metrics::{BACKEND_REQUESTS, BACKEND_SECONDS, Labels};

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
        let requests = BACKEND_REQUESTS.counters(Labels::None)?;
        let seconds = BACKEND_SECONDS.histograms(Labels::None)?;
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

//! What the gate counts.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use crate::admission::Reason;
use crate::controller::metrics::Metrics as ControllerMetrics;
use crate::lifecycle::Outcome;

/// How many pods that were let go are remembered, so that the repeated calls of one delete count once.
const REMEMBERED: usize = 256;

/// Counters of the gate.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// One counter for each question and answer, made ahead: counting looks nothing up.
    allowed: Arc<[IntCounter]>,
    denied: Arc<[IntCounter]>,
    outcomes: ControllerMetrics,
    let_go: Arc<Mutex<VecDeque<String>>>,
}

impl Metrics {
    /// Registers them; drains that no controller sees are counted with the controller's.
    ///
    /// # Errors
    /// When a metric of that name is registered already.
    pub fn register(registry: &Registry, outcomes: ControllerMetrics) -> prometheus::Result<Self> {
        let options =
            Opts::new("castoff_requests_total", "Requests answered, by decision and the question that decided.");
        let requests = IntCounterVec::new(options, &["decision", "reason"])?;
        registry.register(Box::new(requests.clone()))?;
        let counters = |decision: &str| {
            Reason::ALL.iter().map(|reason| requests.with_label_values(&[decision, reason.as_str()])).collect()
        };
        Ok(Metrics { allowed: counters("allow"), denied: counters("deny"), outcomes, let_go: Arc::default() })
    }

    /// Counts an answer.
    pub fn count(&self, reason: Reason, allowed: bool) {
        let counters = if allowed { &self.allowed } else { &self.denied };
        if let Some(counter) = counters.get(reason as usize) {
            counter.inc();
        }
    }

    /// Counts a guarded pod that an exemption let go and that has no drain.
    pub fn let_go(&self, uid: &str, outcome: Outcome) {
        let mut seen = self.let_go.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.iter().any(|seen| seen == uid) {
            return;
        }
        if seen.len() == REMEMBERED {
            seen.pop_front();
        }
        seen.push_back(uid.to_owned());
        self.outcomes.count(outcome);
    }
}

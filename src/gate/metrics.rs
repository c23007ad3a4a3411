//! What the gate counts.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use prometheus::{IntCounter, IntCounterVec, Registry};

use crate::admission::{Audited, Reason};
use crate::controller::metrics::Metrics as ControllerMetrics;
use crate::lifecycle::{Caller, Outcome};
use crate::metrics::{AUDITED, Labels, OfPolicies, REQUESTS, Whose};

/// How many pods that were let go are remembered, so that the repeated calls of one delete count once.
const REMEMBERED: usize = 256;

/// Counters of the gate.
#[derive(Clone)]
pub struct Metrics {
    requests: IntCounterVec,
    /// One counter for each answer, question and caller, looked up once: what never happens is not told.
    counters: Arc<[OnceLock<IntCounter>]>,
    audited: IntCounterVec,
    whose: Whose,
    outcomes: ControllerMetrics,
    let_go: Arc<Mutex<VecDeque<String>>>,
}

impl Metrics {
    /// Registers them; drains that no controller sees are counted with the controller's.
    ///
    /// # Errors
    /// When a metric of that name is registered already.
    pub fn register(registry: &Registry, whose: Whose, outcomes: ControllerMetrics) -> prometheus::Result<Self> {
        let requests = REQUESTS.counters(Labels::None)?;
        registry.register(Box::new(requests.clone()))?;
        let audited = AUDITED.counters(whose.labels())?;
        registry.register(Box::new(OfPolicies::new(audited.clone(), whose.clone())))?;
        let counters = (0..2 * Reason::ALL.len() * Caller::ALL.len()).map(|_| OnceLock::new()).collect();
        Ok(Metrics { requests, counters, audited, whose, outcomes, let_go: Arc::default() })
    }

    /// Counts an answer.
    pub fn count(&self, reason: Reason, allowed: bool, caller: Caller) {
        let decision = if allowed { "allow" } else { "deny" };
        let place = (reason as usize * Caller::ALL.len() + caller as usize) * 2 + usize::from(allowed);
        if let Some(counter) = self.counters.get(place) {
            let labels = [decision, reason.as_str(), caller.as_str()];
            counter.get_or_init(|| self.requests.with_label_values(&labels)).inc();
        }
    }

    /// Counts what a policy in mode Audit would have had answered.
    pub fn would(&self, namespace: &str, audited: &Audited) {
        let labels = self.whose.values(namespace, &audited.policy, &[audited.would.as_str()]);
        self.audited.with_label_values(&labels).inc();
    }

    /// Counts a guarded pod that an exemption let go and that has no drain.
    pub fn let_go(&self, uid: &str, outcome: Outcome, (namespace, policy): (&str, &str)) {
        let mut seen = self.let_go.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.iter().any(|seen| seen == uid) {
            return;
        }
        if seen.len() == REMEMBERED {
            seen.pop_front();
        }
        seen.push_back(uid.to_owned());
        self.outcomes.count(outcome, namespace, policy);
    }
}

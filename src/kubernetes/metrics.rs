//! What is told of drains and policies by what the API server keeps of them. Looked up when somebody asks, but for how
//! long drains took: that is counted once each is over.

use std::sync::Arc;

use jiff::Timestamp;
use prometheus::{HistogramVec, IntGaugeVec, Registry};

use crate::controller::IsLeader;
use crate::lifecycle::Phase;
use crate::metrics::{
    FREEZE_ENDS, LookedUp, Metric, OLDEST_DRAIN, OfPolicies, POLICIES, TO_GONE, TO_PREPARED, TO_RESTORED, Whose,
};
use crate::ports::News;

use super::cache::Cache;
use super::drains::Kept;
use super::history::Summary;
use super::policies::PolicyObject;

/// Adds them to the metrics.
///
/// # Errors
/// When a metric of that name is registered already.
pub(crate) fn register(
    registry: &Registry,
    whose: &Whose,
    drains: &Arc<Cache<Kept>>,
    policies: Arc<Cache<PolicyObject>>,
    is_leader: IsLeader,
) -> prometheus::Result<()> {
    let took = Took::register(registry, whose)?;
    drains.listen(Box::new(move |news| {
        if let News::One { before: Some(before), now: Some(now) } = &news
            && is_leader()
        {
            took.note(before, now);
        }
        true
    }));
    let (of_drains, open) = (whose.clone(), Arc::clone(drains));
    let oldest = move |gauges: &IntGaugeVec| {
        for kept in open.all() {
            tell_age(gauges, &of_drains, &kept, Timestamp::now());
        }
    };
    registry.register(Box::new(LookedUp::new(OLDEST_DRAIN, whose.labels(), Box::new(oldest))?))?;
    let (of_frozen, frozen) = (whose.clone(), Arc::clone(&policies));
    let ends = move |gauges: &IntGaugeVec| {
        for policy in frozen.all() {
            tell_freeze(gauges, &of_frozen, &policy, Timestamp::now());
        }
    };
    registry.register(Box::new(LookedUp::new(FREEZE_ENDS, whose.labels(), Box::new(ends))?))?;
    let of_policies = whose.clone();
    let ready = move |gauges: &IntGaugeVec| {
        for policy in policies.all() {
            let says = |field: &str| policy.status.get(field).and_then(serde_json::Value::as_str).unwrap_or("Unknown");
            let labels = of_policies.values(&policy.namespace, &policy.name, &[says("ready"), says("reason")]);
            gauges.with_label_values(&labels).inc();
        }
    };
    registry.register(Box::new(LookedUp::new(POLICIES, whose.labels(), Box::new(ready))?))
}

/// When the policy's freeze ends, if none ends later.
fn tell_freeze(gauges: &IntGaugeVec, whose: &Whose, policy: &PolicyObject, now: Timestamp) {
    let Some(frozen) = policy.freeze.in_force(now) else { return };
    let gauge = gauges.with_label_values(&whose.values(&policy.namespace, &policy.name, &[]));
    gauge.set(gauge.get().max(frozen.until.as_second()));
}

/// For how long the drain stands where it does, if none stands there longer.
fn tell_age(gauges: &IntGaugeVec, whose: &Whose, kept: &Kept, now: Timestamp) {
    let drain = &kept.drain;
    if drain.status.phase == Phase::Completed {
        return;
    }
    let at = drain.status.stands_at();
    let condition = kept.conditions.iter().find(|condition| condition.kind == at);
    let since = condition.and_then(|condition| condition.last_transition_time.parse().ok());
    let Some(since): Option<Timestamp> = since.or(kept.times.since).or(kept.created) else { return };
    let gauge = gauges.with_label_values(&whose.values(&drain.metadata.namespace, &drain.spec.policy, &[at]));
    gauge.set(gauge.get().max(now.duration_since(since).as_secs()));
}

/// How long drains took.
struct Took {
    whose: Whose,
    to_prepared: HistogramVec,
    to_gone: HistogramVec,
    to_restored: HistogramVec,
}

impl Took {
    fn register(registry: &Registry, whose: &Whose) -> prometheus::Result<Self> {
        let histograms = |metric: Metric| {
            let histograms = metric.histograms(whose.labels())?;
            registry.register(Box::new(OfPolicies::new(histograms.clone(), whose.clone())))?;
            Ok::<_, prometheus::Error>(histograms)
        };
        Ok(Took {
            whose: whose.clone(),
            to_prepared: histograms(TO_PREPARED)?,
            to_gone: histograms(TO_GONE)?,
            to_restored: histograms(TO_RESTORED)?,
        })
    }

    /// Counts a drain that has come to its end, with its pod gone and prepared.
    #[allow(clippy::cast_precision_loss, reason = "no drain takes longer than an f64 counts seconds")]
    fn note(&self, before: &Kept, now: &Kept) {
        let is_new = before.drain.status.phase != Phase::Completed;
        let Some(over) = Summary::of(&now.drain, &now.times).filter(|over| is_new && over.outcome == "Prepared") else {
            return;
        };
        let labels = self.whose.values(&now.drain.metadata.namespace, &now.drain.spec.policy, &[]);
        for (histograms, seconds) in [
            (&self.to_prepared, over.waited_seconds + over.prepared_seconds),
            (&self.to_gone, over.ready_seconds),
            (&self.to_restored, over.away_seconds),
        ] {
            histograms.with_label_values(&labels).observe(seconds as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use arc_swap::ArcSwap;
    use prometheus::TextEncoder;
    use serde_json::{Value, json};

    use super::*;
    use crate::kubernetes::drains;
    use crate::metrics::Labels;
    use crate::policy::{Policy, PolicyIndex, spec::PolicySpec};

    fn drain(name: &str, status: &Value) -> Kept {
        drains::read(
            &serde_json::from_value(json!({
                "apiVersion": "castoff.dev/v1alpha1", "kind": "PodDrain",
                "metadata": {"name": name, "namespace": "n", "creationTimestamp": "2030-01-01T00:00:00Z"},
                "spec": {"pod": {"name": name, "uid": name}, "policy": "db", "requester": "alice"},
                "status": status,
            }))
            .unwrap(),
        )
    }

    fn whose() -> Whose {
        let policy = Policy::unreadable("n", "db", PolicySpec::default().selector, "of no matter");
        Whose::new(Labels::Policy, Arc::new(ArcSwap::from_pointee(PolicyIndex::new([policy]))))
    }

    #[test]
    fn the_longest_of_each_phase_is_told_and_what_is_over_is_not() {
        let gauges = OLDEST_DRAIN.gauges(Labels::Policy).unwrap();
        let since = |phase: &str, time: &str| json!({"phase": phase, "times": {"since": time}});
        let blocked = json!({"phase": "Draining", "blocked": true, "times": {"since": "2030-01-01T00:00:00Z"},
            "conditions": [{"type": "Blocked", "status": "True", "reason": "PlanSaysNotNow", "message": "",
                "lastTransitionTime": "2030-01-01T00:00:50Z"}]});
        for status in [
            since("Draining", "2030-01-01T00:00:10Z"),
            since("Draining", "2030-01-01T00:00:40Z"),
            since("Completed", "2030-01-01T00:00:10Z"),
            json!({}),
            blocked,
        ] {
            tell_age(&gauges, &whose(), &drain("db-0", &status), "2030-01-01T00:01:00Z".parse().unwrap());
        }
        let told = |phase| gauges.with_label_values(&["n", "db", phase]).get();
        assert_eq!([told("Draining"), told("Queued"), told("Blocked"), told("Completed")], [50, 60, 10, 0]);
    }

    #[test]
    fn a_freeze_is_told_by_its_end_while_it_is_in_force() {
        let policy = |until: &str| {
            let annotations = json!({"castoff.dev/freeze": "INC", "castoff.dev/freeze-until": until});
            let object = json!({"metadata": {"name": "db", "namespace": "n", "annotations": annotations}});
            crate::kubernetes::policies::read_policy(&serde_json::from_value(object).unwrap()).unwrap().1
        };
        let gauges = FREEZE_ENDS.gauges(Labels::Policy).unwrap();
        for until in ["2030-01-01T00:02:00Z", "2030-01-01T00:01:00Z", "2029-12-31T00:00:00Z", "2031-01-01T00:00:00Z"] {
            tell_freeze(&gauges, &whose(), &policy(until), "2030-01-01T00:00:00Z".parse().unwrap());
        }
        assert_eq!(gauges.with_label_values(&["n", "db"]).get(), 1_893_456_120);
    }

    #[test]
    fn how_long_a_drain_took_is_counted_once_when_it_is_over() {
        let registry = Registry::new();
        let took = Took::register(&registry, &whose()).unwrap();
        let status = |phase: &str| {
            json!({"phase": phase, "left": true, "outcome": "Prepared", "times": {"since": "2030-01-01T00:01:40Z",
                "seconds": {"Queued": 5, "Draining": 60, "Drained": 2, "Departing": 20, "Restoring": 3}}})
        };
        let (open, over) = (drain("db-0", &status("Restoring")), drain("db-0", &status("Completed")));
        took.note(&open, &over);
        took.note(&over, &over);
        let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for (name, seconds) in [("to_prepared", 65), ("to_gone", 2), ("to_restored", 23)] {
            for told in [
                format!("sum{{namespace=\"n\",policy=\"db\"}} {seconds}\n"),
                "count{namespace=\"n\",policy=\"db\"} 1\n".to_owned(),
            ] {
                assert!(text.contains(&format!("castoff_time_{name}_seconds_{told}")), "{text}");
            }
        }
    }
}

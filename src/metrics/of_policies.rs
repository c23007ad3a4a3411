//! Metrics that say whose they are: by the namespace and the name of a policy. There are as many of them as policies,
//! whatever a drain says of itself.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use prometheus::core::{Collector, Desc, MetricVec, MetricVecBuilder};
use prometheus::proto::{LabelPair, MetricFamily};

use crate::policy::PolicyIndex;

const NAMESPACE: &str = "namespace";
const POLICY: &str = "policy";

/// Which labels say whose a metric is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Labels {
    /// None: one series for all policies.
    None,
    /// The policy's namespace.
    Namespace,
    /// The policy's namespace and its name.
    #[default]
    Policy,
}

impl Labels {
    /// Their names.
    #[must_use]
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Labels::None => &[],
            Labels::Namespace => &[NAMESPACE],
            Labels::Policy => &[NAMESPACE, POLICY],
        }
    }
}

/// Tells whose a metric is, of the policies in force.
#[derive(Clone)]
pub struct Whose {
    labels: Labels,
    policies: Arc<ArcSwap<PolicyIndex>>,
}

impl Whose {
    /// By these labels, of these policies.
    #[must_use]
    pub fn new(labels: Labels, policies: Arc<ArcSwap<PolicyIndex>>) -> Self {
        Whose { labels, policies }
    }

    /// The labels.
    #[must_use]
    pub fn labels(&self) -> Labels {
        self.labels
    }

    /// The values of these labels and of `more`; empty ones where there is no such policy. What a drain says of itself
    /// anybody may have written who may make one.
    #[must_use]
    pub fn values<'a>(&self, namespace: &'a str, policy: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let known = self.knows(namespace, Some(policy));
        let own = [namespace, policy].map(|value| if known { value } else { "" });
        own.into_iter().take(self.labels.names().len()).chain(more.iter().copied()).collect()
    }

    fn knows(&self, namespace: &str, policy: Option<&str>) -> bool {
        let policies = self.policies.load();
        match policy {
            Some(policy) => policies.get(namespace, policy).is_some(),
            None => !policies.of_namespace(namespace).is_empty(),
        }
    }
}

/// Metrics of policies: those of a policy that is gone go, too.
pub struct OfPolicies<B: MetricVecBuilder> {
    vec: MetricVec<B>,
    whose: Whose,
}

impl<B: MetricVecBuilder> OfPolicies<B> {
    /// Of these, those of policies that are there.
    #[must_use]
    pub fn new(vec: MetricVec<B>, whose: Whose) -> Self {
        OfPolicies { vec, whose }
    }

    /// Whether the policy is gone that a metric with these labels is of.
    fn is_of_nobody(&self, labels: &[LabelPair]) -> bool {
        let value = |name: &str| labels.iter().find(|label| label.name() == name).map(LabelPair::value);
        value(NAMESPACE).is_some_and(|namespace| !namespace.is_empty() && !self.whose.knows(namespace, value(POLICY)))
    }
}

impl<B: MetricVecBuilder> Collector for OfPolicies<B> {
    fn desc(&self) -> Vec<&Desc> {
        self.vec.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        for family in self.vec.collect() {
            for metric in family.get_metric() {
                let labels = metric.get_label();
                if self.is_of_nobody(labels) {
                    let named: HashMap<&str, &str> = labels.iter().map(|label| (label.name(), label.value())).collect();
                    // Whoever asks at the same time may have taken it away already.
                    let _ = self.vec.remove(&named);
                }
            }
        }
        self.vec.collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use prometheus::{Registry, TextEncoder};

    use super::*;
    use crate::metrics::OUTCOMES;
    use crate::policy::{Policy, spec::PolicySpec};

    fn of(names: &[&str]) -> PolicyIndex {
        let policy = |name: &&str| Policy::unreadable("n", name, PolicySpec::default().selector, "of no matter");
        PolicyIndex::new(names.iter().map(policy))
    }

    fn told(labels: Labels, policies: &Arc<ArcSwap<PolicyIndex>>) -> (prometheus::IntCounterVec, Whose, Registry) {
        let whose = Whose::new(labels, Arc::clone(policies));
        let (registry, counters) = (Registry::new(), OUTCOMES.counters(labels).unwrap());
        registry.register(Box::new(OfPolicies::new(counters.clone(), whose.clone()))).unwrap();
        (counters, whose, registry)
    }

    fn lines(registry: &Registry) -> Vec<String> {
        let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    }

    #[test]
    fn series_are_as_many_as_policies_whatever_drains_say_and_go_with_them() {
        let policies = Arc::new(ArcSwap::from_pointee(of(&["db", "web"])));
        let (counters, whose, registry) = told(Labels::Policy, &policies);
        for policy in ["db", "web", "made-up-1", "made-up-2"] {
            counters.with_label_values(&whose.values("n", policy, &["prepared"])).inc();
        }
        assert_eq!(
            lines(&registry),
            [
                r#"castoff_outcomes_total{namespace="",outcome="prepared",policy=""} 2"#,
                r#"castoff_outcomes_total{namespace="n",outcome="prepared",policy="db"} 1"#,
                r#"castoff_outcomes_total{namespace="n",outcome="prepared",policy="web"} 1"#,
            ]
        );
        policies.store(Arc::new(of(&["web"])));
        assert_eq!(lines(&registry).len(), 2, "{:?}", lines(&registry));
    }

    #[test]
    fn whoever_wants_no_labels_has_one_series() {
        let policies = Arc::new(ArcSwap::from_pointee(of(&["db", "web"])));
        for (labels, expected) in [
            (Labels::None, r#"castoff_outcomes_total{outcome="prepared"} 2"#),
            (Labels::Namespace, r#"castoff_outcomes_total{namespace="n",outcome="prepared"} 2"#),
        ] {
            let (counters, whose, registry) = told(labels, &policies);
            for policy in ["db", "web"] {
                counters.with_label_values(&whose.values("n", policy, &["prepared"])).inc();
            }
            assert_eq!(lines(&registry), [expected]);
        }
    }
}

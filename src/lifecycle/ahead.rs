//! Preparation ahead of being asked: a pod's node shows that it will go soon.
//!
//! The node's sign counts as long as it is seen; once it is gone, whoever asks for the pod counts as always. A tool that
//! tries for two minutes and comes back later finds its pods still prepared.

use crate::facts::NodeSeen;
use crate::policy::Policy;
use crate::policy::spec::NodeSignal;

use super::drain::Drain;
use super::status::Phase;

/// As whom a node's sign asks for a pod: as a program, whose pauses are long.
const REQUESTER: &str = "system:castoff:prepare-ahead";

/// What of that which the policy names the node shows.
#[must_use]
pub fn signal<'a>(policy: &'a Policy, node: &NodeSeen) -> Option<&'a NodeSignal> {
    let NodeSeen::Known(node) = node else { return None };
    let shows = |signal: &&NodeSignal| {
        signal.taint.as_ref().is_some_and(|key| node.taints.contains(key))
            || signal.node_condition.as_ref().is_some_and(|kind| node.conditions.contains(kind))
    };
    policy.spec.prepare_ahead.iter().find(shows)
}

/// As whom this sign asks.
#[must_use]
pub fn requester(signal: &NodeSignal) -> String {
    format!("{REQUESTER} ({signal})")
}

/// What is to be done about a pod whose node has begun to show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Make its drain.
    Create,
    /// Its drain is over: begin it anew.
    Anew,
    /// It is under way.
    Nothing,
}

/// The same, where its drain is so.
#[must_use]
pub fn begin(drain: Option<&Drain>) -> Begin {
    match drain {
        None => Begin::Create,
        Some(drain) if drain.status.phase == Phase::Completed && !drain.metadata.kept.deleting => Begin::Anew,
        Some(_) => Begin::Nothing,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::facts::read;
    use crate::lifecycle::Caller;
    use crate::policy::NoPlans;

    fn policy(ahead: &serde_json::Value) -> Policy {
        let spec = json!({"selector": {}, "steps": [], "prepareAhead": ahead});
        Policy::new("n", "p", serde_json::from_value(spec).unwrap(), &NoPlans)
    }

    #[test]
    fn a_node_asks_for_its_pods_by_what_the_policy_names_and_never_by_a_cordon() {
        let node = read::node(&json!({
            "metadata": {}, "spec": {"taints": [
                {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"},
                {"key": "ToBeDeletedByClusterAutoscaler", "value": "1700000000", "effect": "NoSchedule"},
            ]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Retiring", "status": "False"}]},
        }));
        let node = NodeSeen::Known(node.unwrap());
        let shows = |ahead: serde_json::Value| signal(&policy(&ahead), &node).map(ToString::to_string);
        let autoscaler = json!({"taint": "ToBeDeletedByClusterAutoscaler"});
        assert_eq!(shows(json!([autoscaler])).as_deref(), Some("taint ToBeDeletedByClusterAutoscaler"));
        assert_eq!(shows(json!([])), None);
        assert_eq!(shows(json!([{"taint": "karpenter.sh/disrupted"}, {"nodeCondition": "Retiring"}])), None);
        assert_eq!(shows(json!([{"nodeCondition": "Ready"}])).as_deref(), Some("condition Ready"));
        let cordon = policy(&json!([{"taint": "node.kubernetes.io/unschedulable"}, {}]));
        let mistakes = cordon.steps.unwrap_err();
        assert!(mistakes.iter().any(|mistake| mistake.message.contains("a cordon alone")), "{mistakes:?}");
        assert!(mistakes.iter().any(|mistake| mistake.field == "spec.prepareAhead[1]"), "{mistakes:?}");
        assert_eq!(signal(&policy(&json!([autoscaler])), &NodeSeen::Unknown), None);
    }

    #[test]
    fn a_nodes_sign_has_the_patience_of_a_program() {
        let signal = NodeSignal { taint: Some("x".to_owned()), ..NodeSignal::default() };
        assert_eq!(Caller::of(&requester(&signal)), Caller::Program);
    }
}

//! Preparation ahead of being asked: a pod's node shows that it will go soon, or a NodeDrain says so.
//!
//! The sign counts as long as it is seen; once it is gone, whoever asks for the pod counts as always. A tool that tries
//! for two minutes and comes back later finds its pods still prepared.

use crate::facts::NodeSeen;
use crate::policy::Policy;
use crate::policy::spec::NodeSignal;

use super::drain::Drain;
use super::status::Phase;

/// As whom a sign asks for a pod: as a program, whose pauses are long.
const REQUESTER: &str = "system:castoff:prepare-ahead";

/// What has the pods of a node prepared before anybody asks for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sign {
    /// The node shows what the pod's policy names.
    Node(NodeSignal),
    /// A NodeDrain of this name names the node.
    NodeDrain(String),
}

impl std::fmt::Display for Sign {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Sign::Node(signal) => signal.fmt(formatter),
            Sign::NodeDrain(name) => write!(formatter, "NodeDrain {name}"),
        }
    }
}

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
pub fn requester(sign: &Sign) -> String {
    format!("{REQUESTER} ({sign})")
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
    /// What was prepared before is being undone, or its drain deleted: begin once that is over.
    Later,
}

/// The same, where its drain is so.
#[must_use]
pub fn begin(drain: Option<&Drain>) -> Begin {
    let Some(drain) = drain else { return Begin::Create };
    match drain.status.phase {
        _ if drain.metadata.kept.deleting => Begin::Later,
        Phase::Restoring => Begin::Later,
        Phase::Completed => Begin::Anew,
        _ => Begin::Nothing,
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
    fn a_sign_has_the_patience_of_a_program() {
        let signal = NodeSignal { taint: Some("x".to_owned()), ..NodeSignal::default() };
        for (sign, shown) in [(Sign::Node(signal), "(taint x)"), (Sign::NodeDrain("n".to_owned()), "(NodeDrain n)")] {
            assert_eq!(Caller::of(&requester(&sign)), Caller::Program);
            assert!(requester(&sign).ends_with(shown));
        }
    }

    #[test]
    fn what_is_being_undone_is_begun_anew_once_that_is_over() {
        let at = |phase, deleting| {
            let mut drain = Drain::new(&crate::pod::Pod::default(), "p", "alice");
            (drain.status.phase, drain.metadata.kept.deleting) = (phase, deleting);
            begin(Some(&drain))
        };
        assert_eq!(begin(None), Begin::Create);
        assert_eq!((at(Phase::Queued, false), at(Phase::Drained, false)), (Begin::Nothing, Begin::Nothing));
        assert_eq!((at(Phase::Restoring, false), at(Phase::Completed, false)), (Begin::Later, Begin::Anew));
        assert_eq!((at(Phase::Draining, true), at(Phase::Completed, true)), (Begin::Later, Begin::Later));
    }
}

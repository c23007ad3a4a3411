//! What `BackendSeen` says: whether each step's backend was seen to answer, for one pod that the policy guards. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::controller::observe::Probed;
use crate::plan::{ClusterRead, PodsQuery, Verdict as Found};
use crate::pod::Pod;

use super::{BACKEND_SEEN, Verdict};

/// A step reads pods by labels that none has.
pub const NOTHING_SELECTED: &str = "NothingSelected";

/// What one look at a policy's backends has shown. `probed` are its steps in order, each with its name; `pods` all that
/// are known, of every namespace.
#[must_use]
pub fn seen(pod: &str, probed: &[(String, Probed)], pods: &[Arc<Pod<'static>>]) -> Verdict {
    let says = |holds, reason, message| Verdict { kind: BACKEND_SEEN, holds, reason, message };
    for (step, probed) in probed {
        let told = match probed.round.as_ref().map(|round| &round.verdict) {
            None => Some(("BackendNotReached", "there was no time to look".to_owned())),
            Some(Found::Failed { message, cause, .. }) => Some(("BackendNotReached", cause.asked(message))),
            Some(Found::Unknown { message }) => Some(("BackendNotBelieved", message.clone())),
            Some(Found::Done | Found::Waiting | Found::Act(_) | Found::Blocked { .. }) => None,
        };
        if let Some((reason, message)) = told {
            return says(false, reason, format!("step {step}, for pod {pod}: {message}"));
        }
        if let Some(nothing) = probed.reads.iter().find_map(|read| selects_nothing(read, pods)) {
            return says(false, NOTHING_SELECTED, format!("step {step} reads {nothing}"));
        }
    }
    says(true, "Seen", format!("each step's backend answers for pod {pod}"))
}

/// A read of pods by labels that no pod has where it looks, whatever node it is on: it protects nothing, and looks as
/// if all were done.
fn selects_nothing(read: &ClusterRead, pods: &[Arc<Pod<'static>>]) -> Option<String> {
    let ClusterRead::Pods(query) = read else { return None };
    if query.labels.is_any() {
        return None;
    }
    let everywhere = PodsQuery { namespace: None, node: None, ..query.clone() };
    let mut found: BTreeMap<&str, usize> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| everywhere.takes(pod)) {
        *found.entry(pod.metadata.namespace.as_str()).or_default() += 1;
    }
    let labels = &query.labels;
    let Some(namespace) = query.namespace.as_deref() else {
        return found.is_empty().then(|| format!("pods with labels {labels} in all namespaces: there are none"));
    };
    if found.contains_key(namespace) {
        return None;
    }
    let others: Vec<String> =
        found.iter().take(3).map(|(namespace, count)| format!("{count} in {namespace}")).collect();
    let elsewhere = if others.is_empty() { "none elsewhere".to_owned() } else { others.join(", ") };
    Some(format!("pods with labels {labels} in namespace {namespace}: 0 there, {elsewhere}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::plan::Round;
    use crate::plan::labels::Labels;
    use crate::remedy::Kind;

    fn round(verdict: Found) -> Probed {
        let round = Round { verdict, member: None, progress: None, ours: None };
        Probed { round: Some(round), reads: Vec::new() }
    }

    fn told(probed: Probed) -> (bool, &'static str, String) {
        let Verdict { holds, reason, message, .. } = seen("web-0", &[("hook".to_owned(), probed)], &[]);
        (holds, reason, message)
    }

    #[test]
    fn a_backend_that_can_not_be_asked_is_told_with_what_to_ask_oneself() {
        let refused = "http://10.1.2.3:9090/drain does not answer: it refuses connections";
        let failed =
            Found::Failed { message: refused.to_owned(), detail: String::new(), cause: Kind::AddressRefused.into() };
        let expected =
            format!("step hook, for pod web-0: {refused}: is the port right, and does anything listen there?");
        assert_eq!(told(round(failed)), (false, "BackendNotReached", expected));
        let unknown = Found::Unknown { message: "PD has just started".to_owned() };
        assert_eq!(told(round(unknown)).1, "BackendNotBelieved");
        assert_eq!(told(Probed { round: None, reads: Vec::new() }).1, "BackendNotReached");
    }

    #[test]
    fn whatever_is_known_of_a_backend_it_was_seen() {
        for verdict in [Found::Done, Found::Waiting, Found::Blocked { message: "not now".to_owned() }] {
            assert_eq!(told(round(verdict)), (true, "Seen", "each step's backend answers for pod web-0".to_owned()));
        }
    }

    fn pod(namespace: &str, app: &str) -> Arc<Pod<'static>> {
        let pod = json!({"metadata": {"name": "a", "namespace": namespace, "labels": {"app": app}}});
        Arc::new(crate::pod::deserialize_owned(&pod).unwrap())
    }

    #[test]
    fn labels_that_no_pod_has_where_a_step_looks_are_told_with_where_such_pods_are() {
        let query = |namespace: Option<&str>| PodsQuery {
            labels: Labels::parse("app=client").unwrap(),
            namespace: namespace.map(str::to_owned),
            node: Some("n1".to_owned()),
        };
        let told = |namespace: Option<&str>, pods: &[Arc<Pod<'static>>]| {
            let probed = Probed { reads: vec![ClusterRead::Pods(query(namespace))], ..round(Found::Done) };
            let verdict = seen("agent-x", &[("agent".to_owned(), probed)], pods);
            (verdict.reason, verdict.message)
        };
        let elsewhere = [pod("web", "client"), pod("web", "client"), pod("guard", "other")];
        assert_eq!(
            told(Some("guard"), &elsewhere),
            (
                "NothingSelected",
                "step agent reads pods with labels app=client in namespace guard: 0 there, 2 in web".to_owned()
            )
        );
        assert!(told(Some("guard"), &[]).1.ends_with("0 there, none elsewhere"));
        assert_eq!(told(Some("web"), &elsewhere).0, "Seen", "on another node they will do");
        assert_eq!(told(None, &elsewhere).0, "Seen");
        assert_eq!(told(None, &[]).0, "NothingSelected");
    }
}

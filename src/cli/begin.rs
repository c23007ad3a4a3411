//! What `castoff prepare` makes of what it finds: by the gate's own questions. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::admission::{Answer, Case, Decision, Facts, Reason, Request, Stage, decide, first_questions};
use crate::lifecycle::{Drain, Outcome, Phase};
use crate::policy::{Policy, PolicyIndex};

/// How a preparation begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// There is no drain yet: make it.
    Create,
    /// The one that is there is over: begin it anew.
    Anew,
    /// It is under way.
    Join,
    /// It is being undone: wait until that is over, then begin anew.
    Wait,
    /// The pod is prepared.
    Prepared,
    /// It can't be; why.
    No(String),
}

/// How the preparation of the pod that `request` is about begins, and by which policy. Whether the pod would be let go
/// by an exemption of its policy does not matter: a person wants it prepared.
pub(super) fn begin(
    request: &Request<'_>,
    policies: &PolicyIndex,
    node_labels: Option<&BTreeMap<String, String>>,
    drain: Option<&Drain>,
    now: Timestamp,
) -> (Begin, Option<Arc<Policy>>) {
    let name = format!("{}/{}", request.namespace, request.name);
    let guard = match first_questions(request, None, policies, node_labels) {
        Stage::Guarded(guard) => guard,
        Stage::Answer(answer) => return (Begin::No(not_guarded(&name, answer.reason)), None),
    };
    let Some(pod) = request.pod() else { return (Begin::No(format!("there is no pod {name}")), None) };
    let facts = Facts::default();
    // The question is asked as a real delete would ask it: a dry run makes no drain.
    let asked = Request { dry_run: false, ..request.clone() };
    let case = Case { request: &asked, pod, guard: &guard, facts: &facts, drain, now };
    let is_held_for_good =
        |answer: &Answer| matches!(answer.reason, Reason::Conflict | Reason::InvalidPolicy | Reason::Frozen);
    let begun = match decide(&case) {
        // A delete would be written down, for people to be told; who prepares ahead is told here.
        Decision::Create(answer) | Decision::Again(answer) if is_held_for_good(&answer) => Begin::No(answer.message),
        Decision::Create(_) => Begin::Create,
        Decision::Again(_) => Begin::Anew,
        Decision::Verify => Begin::Prepared,
        Decision::Answer(answer) if answer.allowed => {
            let why = answer.warnings.first().cloned().unwrap_or_else(|| answer.reason.as_str().to_owned());
            Begin::No(format!("{name} is let go unprepared, so nothing is prepared: {why}"))
        }
        Decision::Answer(answer) => match answer.reason {
            Reason::Queued | Reason::Draining | Reason::Blocked | Reason::Stalled => Begin::Join,
            Reason::Restoring => Begin::Wait,
            _ => Begin::No(answer.message),
        },
    };
    (begun, Some(guard.policy))
}

fn not_guarded(name: &str, reason: Reason) -> String {
    match reason {
        Reason::NotGuarded => format!("no policy guards {name}: it may leave as it is"),
        Reason::Terminating => format!("{name} is leaving already"),
        Reason::Finished => format!("{name} has ended: it may leave as it is"),
        other => format!("{name} is not guarded ({}): it may leave as it is", other.as_str()),
    }
}

/// What is to be done about a drain that one waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Wait on.
    GoOn,
    /// It is under way now.
    UnderWay,
    /// What was before it is undone: begin it anew.
    Again,
    /// The pod is prepared.
    Prepared,
    /// The pod was let go, as it should.
    Left(&'static str),
    /// It will not be prepared; why.
    No(String),
}

/// What is to be done, when the drain is so now. `under_way` says that it was seen to be prepared before: being
/// undone then means that it was given up.
pub(super) fn next(drain: Option<&Drain>, under_way: bool) -> Next {
    let Some(drain) = drain else { return Next::No("its drain was deleted".to_owned()) };
    let status = &drain.status;
    if status.left {
        return match status.outcome {
            Some(Outcome::Prepared) => Next::Left("it was prepared, and has left already"),
            _ => Next::No("it has left without being prepared".to_owned()),
        };
    }
    match status.phase {
        Phase::Queued | Phase::Draining if under_way => Next::GoOn,
        Phase::Queued | Phase::Draining => Next::UnderWay,
        Phase::Drained => Next::Prepared,
        Phase::Departing => Next::Left("it is prepared, and was allowed to leave"),
        Phase::Restoring | Phase::Completed if under_way => {
            let why = if drain.spec.cancel { "it was cancelled" } else { "nobody asked for it long enough" };
            Next::No(format!("its preparation was given up: {why}"))
        }
        Phase::Restoring => Next::GoOn,
        Phase::Completed => Next::Again,
        Phase::Unknown => Next::No("its drain is in a phase that only a newer version of Castoff knows".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::super::guards::delete_of;
    use super::*;
    use crate::pod::Pod;
    use crate::policy::BuiltIn;
    use crate::policy::spec::PolicySpec;

    fn policy(name: &str, change: &serde_json::Value) -> Policy {
        let mut spec = json!({"selector": {"matchLabels": {"app": "web"}},
            "steps": [{"name": "hook", "plan": {"builtIn": "http-hook"}}]});
        spec.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        Policy::new("n", name, serde_json::from_value::<PolicySpec>(spec).unwrap(), &BuiltIn)
    }

    fn pod() -> Pod<'static> {
        let pod = json!({"metadata": {"name": "web-0", "namespace": "n", "uid": "u-1", "labels": {"app": "web"}},
            "spec": {"nodeName": "a"}, "status": {"phase": "Running"}});
        crate::pod::deserialize_owned(&pod).unwrap()
    }

    fn drain(phase: Phase) -> Drain {
        let mut drain = Drain::new(&pod(), "web", "alice");
        drain.status.phase = phase;
        drain
    }

    fn begun(pod: &Pod<'static>, policies: Vec<Policy>, drain: Option<&Drain>) -> Begin {
        let index = PolicyIndex::new(policies);
        begin(&delete_of(pod, "alice"), &index, None, drain, "2030-01-01T00:00:00Z".parse().unwrap()).0
    }

    #[test]
    fn begins_where_the_gate_would_and_joins_what_is_under_way() {
        let of = |phase| begun(&pod(), vec![policy("web", &json!({}))], Some(&drain(phase)));
        assert_eq!(begun(&pod(), vec![policy("web", &json!({}))], None), Begin::Create);
        assert_eq!([of(Phase::Queued), of(Phase::Draining)], [Begin::Join, Begin::Join]);
        assert_eq!(of(Phase::Drained), Begin::Prepared);
        assert_eq!(of(Phase::Restoring), Begin::Wait);
        assert_eq!(of(Phase::Completed), Begin::Anew);
        assert!(matches!(of(Phase::Unknown), Begin::No(why) if why.contains("newer version")));
    }

    #[test]
    fn says_why_a_pod_cannot_be_prepared() {
        let no = |pod: &Pod<'static>, policies| match begun(pod, policies, None) {
            Begin::No(why) => why,
            other => format!("{other:?}"),
        };
        assert_eq!(no(&pod(), vec![]), "no policy guards n/web-0: it may leave as it is");
        let two = vec![policy("a", &json!({})), policy("b", &json!({}))];
        assert!(no(&pod(), two).contains("a and b both select it"));
        assert!(no(&pod(), vec![policy("web", &json!({"steps": []}))]).contains("not valid"));
        assert!(no(&pod(), vec![policy("web", &json!({"mode": "Audit"}))]).contains("audit"));
        let mut leaving = pod();
        leaving.metadata.deletion_timestamp = Some("2030-01-01T00:00:00Z".into());
        assert_eq!(no(&leaving, vec![policy("web", &json!({}))]), "n/web-0 is leaving already");
    }

    #[test]
    fn a_preparation_that_is_undone_was_given_up_only_if_it_had_begun() {
        assert_eq!(next(Some(&drain(Phase::Restoring)), false), Next::GoOn);
        assert_eq!(next(Some(&drain(Phase::Completed)), false), Next::Again);
        assert_eq!(next(Some(&drain(Phase::Queued)), false), Next::UnderWay);
        let mut cancelled = drain(Phase::Restoring);
        cancelled.spec.cancel = true;
        assert!(matches!(next(Some(&cancelled), true), Next::No(why) if why.contains("cancelled")));
        assert!(matches!(next(Some(&drain(Phase::Completed)), true), Next::No(_)));
        assert!(matches!(next(None, true), Next::No(why) if why.contains("deleted")));
    }

    #[test]
    fn a_pod_that_left_meanwhile_is_told_by_how_it_left() {
        assert_eq!(next(Some(&drain(Phase::Drained)), true), Next::Prepared);
        let mut left = drain(Phase::Departing);
        assert!(matches!(next(Some(&left), true), Next::Left(_)));
        left.status.left = true;
        left.status.outcome = Some(Outcome::Unprepared);
        assert!(matches!(next(Some(&left), true), Next::No(_)));
        left.status.outcome = Some(Outcome::Prepared);
        assert!(matches!(next(Some(&left), true), Next::Left(_)));
    }
}

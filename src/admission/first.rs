//! The first questions: those that the request and the policies answer by themselves.
//!
//! Nothing here allocates unless there is something to say, since most pods that leave are not guarded.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::pod::Pod;
use crate::policy::{Policy, PolicyIndex};

use super::answer::Answer;
use super::messages;
use super::reason::Reason;
use super::request::{Request, What};

/// What the first questions lead to.
#[derive(Clone, Debug)]
pub enum Stage {
    /// The answer is known.
    Answer(Answer),
    /// The pod is guarded: look its facts and its drain up, then [`super::decide()`].
    Guarded(Guard),
}

/// What guards a pod.
#[derive(Clone, Debug)]
pub struct Guard {
    /// The policy that selects the pod.
    pub policy: Arc<Policy>,
    /// One more policy that does, where two are in each other's way.
    pub rival: Option<Arc<Policy>>,
}

struct Asked<'a> {
    request: &'a Request<'a>,
    pod: Option<&'a Pod<'a>>,
    policies: &'a [Arc<Policy>],
}

/// In their order; the first that applies decides. After them: is the pod guarded at all?
const QUESTIONS: [fn(&Asked<'_>) -> Option<Answer>; 7] =
    [not_for_us, unknown_pod, other_uid, terminating, finished, unscheduled, mirror_pod];

/// Asks the first questions.
///
/// `live` is the pod of an eviction, read live, `None` where nobody knows it; a delete brings its pod along and does
/// not need it. `node_labels` are those of the pod's node; not known counts as matching.
#[must_use]
pub fn first_questions(
    request: &Request<'_>,
    live: Option<&Pod<'_>>,
    policies: &PolicyIndex,
    node_labels: Option<&BTreeMap<String, String>>,
) -> Stage {
    let pod = request.pod().or(live);
    let asked = Asked { request, pod, policies: policies.of_namespace(&request.namespace) };
    if let Some(answer) = QUESTIONS.iter().find_map(|reason| reason(&asked)) {
        return Stage::Answer(answer);
    }
    let guard = pod.and_then(|pod| {
        let may_select = policies.of_pod(&request.namespace, &pod.metadata.labels);
        let mut guards: Vec<_> = may_select.filter(|policy| policy.selects(pod, node_labels)).collect();
        guards.sort_by(|one, other| one.name.cmp(&other.name));
        Some(Guard { policy: Arc::clone(guards.first()?), rival: guards.get(1).map(|rival| Arc::clone(rival)) })
    });
    guard.map_or_else(|| Stage::Answer(Answer::allow(Reason::NotGuarded)), Stage::Guarded)
}

fn not_for_us(asked: &Asked<'_>) -> Option<Answer> {
    let What::Other { described } = &asked.request.what else { return None };
    Some(Answer::allow(Reason::NotForUs).warn(messages::not_for_us(described)))
}

fn unknown_pod(asked: &Asked<'_>) -> Option<Answer> {
    let missing = match &asked.request.what {
        What::Incomplete { missing } => Some(*missing),
        _ if asked.pod.is_some() => return None,
        _ => None,
    };
    if asked.policies.is_empty() && !asked.request.namespace.is_empty() {
        return Some(Answer::allow(Reason::NotGuarded));
    }
    let message = messages::unknown_pod(&asked.request.namespace, &asked.request.name, missing);
    Some(Answer::deny(Reason::UnknownPod, message))
}

/// The API server calls for an eviction before it compares the precondition; it will refuse this one by itself.
fn other_uid(asked: &Asked<'_>) -> Option<Answer> {
    let What::Eviction { uid_precondition: Some(wanted), .. } = &asked.request.what else { return None };
    (asked.pod?.metadata.uid != *wanted).then(|| Answer::allow(Reason::OtherUid))
}

/// A terminating pod that is denied would be stranded: the kubelet's final delete comes this way too.
fn terminating(asked: &Asked<'_>) -> Option<Answer> {
    asked.pod?.is_terminating().then(|| Answer::allow(Reason::Terminating))
}

/// Pod garbage collection marks a pod Failed before it asks.
fn finished(asked: &Asked<'_>) -> Option<Answer> {
    asked.pod?.is_finished().then(|| Answer::allow(Reason::Finished))
}

fn unscheduled(asked: &Asked<'_>) -> Option<Answer> {
    asked.pod?.spec.node_name.is_empty().then(|| Answer::allow(Reason::Unscheduled))
}

/// Deleting a mirror ends nothing: the kubelet makes it anew.
fn mirror_pod(asked: &Asked<'_>) -> Option<Answer> {
    asked.pod?.is_mirror().then(|| Answer::allow(Reason::MirrorPod))
}

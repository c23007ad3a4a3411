//! What the lifecycle is told of a pod and its policy, made from what the cluster shows. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::lifecycle::{Drain, DrainStep, Phase, PodSeen, PolicySeen, Wrong};
use crate::pod::Pod;
use crate::policy::spec::PolicyMode;
use crate::policy::{Policy, PolicyIndex};
use crate::ports::WAKE_ANNOTATION;

/// The pod with the drain's UID, among the pods of its namespace.
#[must_use]
pub fn pod_of<'a>(drain: &Drain, pods: &'a [Arc<Pod<'static>>]) -> Option<&'a Arc<Pod<'static>>> {
    pods.iter().find(|pod| pod.metadata.uid == *drain.pod_uid())
}

/// How the drain's pod is seen. One that has ended is gone, whether its object stays or not.
#[must_use]
pub fn pod_seen(pod: Option<&Pod<'_>>) -> PodSeen {
    match pod {
        Some(pod) if !pod.is_finished() && pod.is_terminating() => PodSeen::Terminating,
        Some(pod) if !pod.is_finished() => PodSeen::Present {
            wake_mark: pod.metadata.annotations.get(WAKE_ANNOTATION).map(|mark| mark.as_str().to_owned()),
            controlled: pod.controller().is_some(),
        },
        Some(_) | None => PodSeen::Gone,
    }
}

/// The policies that select this pod, by name.
#[must_use]
pub fn selecting<'a>(
    pod: Option<&'a Pod<'_>>,
    policies: &'a PolicyIndex,
    node_labels: &dyn Fn(&str) -> Option<BTreeMap<String, String>>,
) -> Vec<&'a Arc<Policy>> {
    let Some(pod) = pod else { return Vec::new() };
    let selecting = policies.of_pod(&pod.metadata.namespace, &pod.metadata.labels);
    let mut selecting: Vec<_> = selecting.filter(|policy| policy.selects_by(pod, node_labels)).collect();
    selecting.sort_by(|one, other| one.name.cmp(&other.name));
    selecting
}

/// Of those that select a drain's pod the one that it began under, else the first.
#[must_use]
pub fn guarding<'a>(drain: &Drain, selecting: &[&'a Arc<Policy>]) -> Option<&'a Arc<Policy>> {
    let own = selecting.iter().find(|policy| policy.name == drain.spec.policy);
    own.or(selecting.first()).copied()
}

/// What is wrong with the policies that select a drain's pod, where the gate holds it for that.
#[must_use]
pub fn wrong(selecting: &[&Arc<Policy>]) -> Option<Wrong> {
    if selecting.iter().all(|policy| policy.spec.mode == PolicyMode::Audit) {
        return None;
    }
    let (one, rival) = (selecting.first()?, selecting.get(1));
    if let Some(rival) = rival {
        let (one, rival) = (&one.name, &rival.name);
        let message = format!("the policies {one} and {rival} both select the pod: it stays until one is narrowed");
        return Some(Wrong { reason: "PolicyConflict", message });
    }
    let mistake = one.steps.as_ref().err()?.first()?;
    let (policy, field, mistake) = (&one.name, &mistake.field, &mistake.message);
    let message = format!("policy {policy} is not valid, and the pod stays until it is mended: {field}: {mistake}");
    Some(Wrong { reason: "PolicyNotValid", message })
}

/// What has become of the policy that the drain began under, where `guarding` is the one that guards its pod now.
#[must_use]
pub fn policy_seen(drain: &Drain, guarding: Option<&Policy>) -> PolicySeen {
    let Some(policy) = guarding else { return PolicySeen::Gone };
    if policy.name != drain.spec.policy {
        return PolicySeen::Other;
    }
    let steps = &drain.status.steps;
    let is_as_begun = policy
        .steps
        .as_ref()
        .is_ok_and(|now| now.len() == steps.len() && steps.iter().zip(now).all(|(begun, now)| begun.is_as_in(now)));
    if is_as_begun { PolicySeen::AsBegun } else { PolicySeen::Changed }
}

/// The drain with what a turn goes by: until draining begins, the policy's steps as they are now, and the pod as it is
/// seen; later, the addresses that the pod has now, and where a restore does not succeed, the plan as it was mended.
#[must_use]
pub fn as_of_now(
    stored: &Drain,
    pod: Option<&Arc<Pod<'static>>>,
    policies: &PolicyIndex,
    guarding: Option<&Policy>,
) -> Drain {
    let own = policies.get(&stored.metadata.namespace, &stored.spec.policy).map(Arc::as_ref);
    let drain = match pod {
        Some(pod) if stored.status.phase != Phase::Completed => stored.clone().with_addresses_of(pod),
        _ => stored.clone(),
    };
    match stored.status.phase {
        Phase::Queued => {
            let follows = guarding.filter(|policy| policy.name == drain.spec.policy);
            let pod = pod.or(stored.status.pod.as_ref());
            drain.following(pod, follows)
        }
        Phase::Restoring if stored.metadata.kept.older || !stored.status.message.is_empty() => {
            with_mended_plans(drain, own)
        }
        _ => drain,
    }
}

/// Where a restore does not succeed, a step that the policy still has, under its name and by the same plan, goes on
/// with the plan as it is now. One of an older form has none but that. Its parameters stay: they say where it was set.
fn with_mended_plans(mut drain: Drain, policy: Option<&Policy>) -> Drain {
    let now: &[crate::policy::Step] = policy.and_then(|policy| policy.steps.as_deref().ok()).unwrap_or_default();
    for step in drain.status.steps.iter_mut().filter(|step| step.owns()) {
        let fits = |now: &&crate::policy::Step| now.name == step.name && now.plan_name == step.plan;
        if let Some(now) = now.iter().find(fits) {
            let mut mended = DrainStep::from(now);
            mended.take_over(step);
            mended.parameters.extend(std::mem::take(&mut step.parameters));
            *step = mended;
        }
    }
    drain
}

/// Whether `other` is a drain of the same seat whose pod is gone for good, which `drain` may take over.
#[must_use]
pub fn may_be_taken_over(other: &Drain, drain: &Drain, pods: &[Arc<Pod<'static>>]) -> bool {
    other.metadata.name != drain.metadata.name
        && other.seat() == drain.seat()
        && other.status.phase == Phase::Departing
        && pod_seen(pod_of(other, pods).map(Arc::as_ref)) == PodSeen::Gone
        && controller_of(other) == controller_of(drain)
}

fn controller_of(drain: &Drain) -> Option<&str> {
    drain.status.pod.as_deref()?.controller().map(|owner| owner.uid.as_str())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::lifecycle::Explanation;
    use crate::policy::BuiltIn;

    fn pod(ip: &str) -> Arc<Pod<'static>> {
        let pod = json!({
            "metadata": {"name": "db-0", "namespace": "n", "uid": "u", "labels": {"app": "db"}},
            "status": {"phase": "Running", "podIP": ip},
        });
        Arc::new(crate::pod::deserialize_owned(&pod).unwrap())
    }

    fn policy(name: &str, app: &str, port: u16) -> Policy {
        let spec = json!({"selector": {"matchLabels": {"app": app}},
            "steps": [{"name": "hook", "plan": {"builtIn": "http-hook"}, "parameters": {"port": port}}]});
        Policy::new("n", name, serde_json::from_value(spec).unwrap(), &BuiltIn)
    }

    fn index(policies: Vec<Policy>) -> PolicyIndex {
        PolicyIndex::new(policies)
    }

    fn seen(drain: &Drain, policies: &PolicyIndex) -> PolicySeen {
        let selecting = selecting(drain.status.pod.as_deref(), policies, &|_| None);
        policy_seen(drain, guarding(drain, &selecting).map(Arc::as_ref))
    }

    #[test]
    fn a_pod_that_has_ended_is_gone_though_its_object_stays() {
        let mut ended = Pod::clone(&pod(""));
        ended.status.phase = "Failed".into();
        assert_eq!(pod_seen(Some(&ended)), PodSeen::Gone);
        ended.metadata.deletion_timestamp = Some("2030-01-01T00:00:00Z".into());
        assert_eq!(pod_seen(Some(&ended)), PodSeen::Gone);
        ended.status.phase = "Running".into();
        assert_eq!(pod_seen(Some(&ended)), PodSeen::Terminating);
    }

    #[test]
    fn a_drain_that_waits_follows_its_policy_and_one_that_has_begun_does_not() {
        let waiting = Drain::new(&pod(""), "db", "alice");
        let at = |drain: &Drain, port| {
            let policies = index(vec![policy("db", "db", port)]);
            let guarding = policies.of_namespace("n").first().map(Arc::as_ref);
            as_of_now(drain, Some(&pod("10.0.0.7")), &policies, guarding).status.steps[0].parameters["port"].clone()
        };
        assert_eq!((at(&waiting, 80), at(&waiting, 81)), (json!(80), json!(81)));
        let mut begun = waiting.following(Some(&pod("")), Some(&policy("db", "db", 80)));
        begun.status.phase = Phase::Draining;
        assert_eq!(at(&begun, 81), json!(80));
    }

    #[test]
    fn a_restore_that_fails_goes_on_by_the_plan_as_it_is_now_and_where_it_was_set() {
        let mut begun = Drain::new(&pod(""), "db", "alice").following(Some(&pod("")), Some(&policy("db", "db", 80)));
        begun.status.phase = Phase::Restoring;
        let step = &mut begun.status.steps[0];
        (step.ownership, step.member) = (crate::lifecycle::Ownership::Acted, Some("m".to_owned()));
        Arc::make_mut(&mut step.plan_spec).done = "false".to_owned();
        let policies = index(vec![policy("db", "db", 81)]);
        let now = |drain: &Drain| as_of_now(drain, None, &policies, None).status.steps[0].clone();
        assert_eq!(now(&begun), begun.status.steps[0]);
        begun.status.message = "https://x answers 500".to_owned();
        let mended = now(&begun);
        assert_eq!(&mended.plan_spec, policies.of_namespace("n")[0].steps.as_ref().unwrap()[0].plan.spec());
        assert_eq!((&mended.parameters["port"], mended.member.as_deref()), (&json!(80), Some("m")));
        begun.status.explain(Explanation::default());
        begun.metadata.kept.older = true;
        begun.status.steps[0].parameters.clear();
        assert_eq!(now(&begun).parameters["port"], json!(81), "of the older form nothing else is known");
    }

    #[test]
    fn a_policy_is_as_begun_changed_gone_or_another() {
        let mut drain = Drain::new(&pod(""), "db", "alice").following(Some(&pod("")), Some(&policy("db", "db", 80)));
        drain.status.phase = Phase::Draining;
        assert_eq!(seen(&drain, &index(vec![policy("db", "db", 80)])), PolicySeen::AsBegun);
        assert_eq!(seen(&drain, &index(vec![policy("db", "db", 81)])), PolicySeen::Changed);
        assert_eq!(seen(&drain, &index(vec![policy("db", "web", 80)])), PolicySeen::Gone);
        assert_eq!(seen(&drain, &index(vec![policy("new", "db", 80)])), PolicySeen::Other);
        let both = index(vec![policy("a", "db", 80), policy("db", "db", 80)]);
        assert_eq!(seen(&drain, &both), PolicySeen::AsBegun, "two in each other's way: the gate says so");
    }

    #[test]
    fn what_is_wrong_with_the_policies_of_a_pod_is_told_as_the_gate_holds_it() {
        let told = |policies: Vec<Policy>| {
            let policies = index(policies);
            let pod = pod("");
            let selecting = selecting(Some(&pod), &policies, &|_| None);
            wrong(&selecting).map(|wrong| (wrong.reason, wrong.message))
        };
        assert_eq!(told(vec![policy("db", "db", 80), policy("other", "web", 80)]), None);
        let both = || vec![policy("db", "db", 80), policy("a", "db", 80)];
        let message = "the policies a and db both select the pod: it stays until one is narrowed".to_owned();
        assert_eq!(told(both()), Some(("PolicyConflict", message)));
        let audited = both().into_iter().map(|mut policy| {
            policy.spec.mode = PolicyMode::Audit;
            policy
        });
        assert_eq!(told(audited.collect()), None, "the gate lets such a pod go");
        let mut broken = policy("db", "db", 80).spec;
        broken.steps.clear();
        let broken = Policy::new("n", "db", broken, &BuiltIn);
        let (reason, message) = told(vec![broken]).unwrap();
        assert!(reason == "PolicyNotValid" && message.starts_with("policy db is not valid"), "{message}");
    }

    #[test]
    fn the_addresses_that_a_pod_got_since_are_taken_up_and_kept_when_it_has_none() {
        let mut drain = Drain::new(&pod(""), "db", "alice").following(Some(&pod("")), None);
        drain.status.phase = Phase::Draining;
        let ip = |drain: &Drain| drain.status.pod.as_deref().unwrap().status.pod_ip.to_string();
        let started = as_of_now(&drain, Some(&pod("10.0.0.7")), &PolicyIndex::default(), None);
        assert_eq!(ip(&started), "10.0.0.7");
        assert_eq!(
            ip(&as_of_now(&started, Some(&pod("")), &PolicyIndex::default(), None)),
            "10.0.0.7",
            "between two sandboxes"
        );
        assert_eq!(ip(&as_of_now(&started, None, &PolicyIndex::default(), None)), "10.0.0.7", "gone");
        assert_eq!(ip(&as_of_now(&started, Some(&pod("10.0.0.8")), &PolicyIndex::default(), None)), "10.0.0.8");
    }
}

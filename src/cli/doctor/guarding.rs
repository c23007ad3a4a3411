//! What can be wrong with what is guarded: policies, what the API server says of their pods, backends, drains.

use std::collections::BTreeSet;

use crate::admission::dry_run::State;
use crate::cli::next;
use crate::cli::operators::{Guard, Operator};
use crate::cli::render::{program, span};
use crate::cli::trial::Said;
use crate::cli::upgrades::UPGRADES;
use crate::remedy::Place;

use super::findings::{Finding, finding, ours};
use super::installation::{restart, whereabouts};
use super::seen::{Budget, Keeps, NeverAsked, PolicySeen, Seen};

/// A plan that says "not now" for longer than this waits for somebody, not for something; in seconds.
const BLOCKED_PATIENCE: i64 = 600;

pub(super) fn policies(seen: &Seen) -> Vec<Finding> {
    let mut found = Vec::new();
    for policy in &seen.policies {
        let (namespace, name) = (&policy.namespace, &policy.name);
        let edit = format!("kubectl edit drainpolicy {name} -n {namespace}");
        let told = policy.told.as_ref().filter(|(reason, _)| reason == "NotCalled");
        let (reason, why): (&'static str, &str) = match policy.reason.as_str() {
            "NotCompiled" => ("PolicyNotValid", "its pods may not leave at all until it is mended"),
            "Conflict" => ("PolicyConflict", "pods that two policies select may not leave at all"),
            "NoPods" => ("PolicyWithoutPods", "it guards nothing; a label that is mistyped looks like this"),
            _ => {
                if let Some((_, message)) = told {
                    let what = format!("Castoff says of policy {namespace}/{name}: {message}");
                    let fix = format!("kubectl describe drainpolicy {name} -n {namespace}");
                    found.push(finding("PolicyNotCalled", &what, "its pods may leave unprepared", &fix));
                }
                continue;
            }
        };
        let what = format!("policy {namespace}/{name}: {}", policy.message);
        found.push(finding(reason, &what, why, &edit));
    }
    found
}

/// Policies that guard pods whose operator has ways of its own with them.
pub(super) fn operators(seen: &Seen) -> Vec<Finding> {
    let of = |policy: &PolicySeen| {
        let (namespace, name) = (&policy.namespace, &policy.name);
        let Operator { name: operator, guard: Guard::OfNoUse(why), .. } = policy.operator? else { return None };
        let what = format!("policy {namespace}/{name} guards pods of {operator}, which {why}");
        let risk = "a guard is of no use there, and each of the two may wait for the other";
        let fix = format!("kubectl delete drainpolicy {name} -n {namespace}   # docs/beside-an-operator.md");
        Some(Finding { note: true, ..finding("BesideOperator", &what, risk, &fix) })
    };
    seen.policies.iter().filter_map(of).collect()
}

/// Policies with a pod that whoever drains nodes by himself passes over.
pub(super) fn never_asked(seen: &Seen) -> Vec<Finding> {
    let of = |policy: &PolicySeen| {
        let (namespace, name) = (&policy.namespace, &policy.name);
        let NeverAsked { pod, by: Keeps { whom, annotation, value } } = policy.never_asked.as_ref()?;
        let what = format!("policy {namespace}/{name} guards {pod}, which has {annotation}: {value:?}");
        let risk = format!("{whom} never chooses its node, so it never asks, and the policy has nothing to do there");
        let fix =
            format!("kubectl annotate pod {pod} -n {namespace} {annotation}-   # and take it out of its template");
        Some(Finding { note: true, ..finding("NeverAsked", &what, &risk, &fix) })
    };
    seen.policies.iter().filter_map(of).collect()
}

/// What the API server says of Castoff when a delete is tried out.
pub(super) fn called(seen: &Seen) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut told = BTreeSet::new();
    for trial in &seen.trials {
        let pod = format!("{}/{}", trial.namespace, trial.pod);
        match trial.trial.said() {
            Said::NotReached(webhook, why) if webhook.ends_with(".castoff.dev") => {
                let trusted = !["x509", "certificate"].iter().any(|word| why.contains(word));
                let reason = if trusted { "NotReached" } else { "CertificateNotAccepted" };
                let fix = if trusted { whereabouts(seen) } else { restart(seen) };
                if told.insert(why.clone()) {
                    let what = format!("the API server can't ask Castoff: {why}");
                    found.push(finding(reason, &what, "guarded pods can't be deleted or evicted", &fix));
                }
            }
            // Where nothing is registered, that is the finding.
            Said::Allowed { asked: false } if trial.enforced && ours(seen).next().is_some() => {
                let what = format!("a delete of {pod} would be carried out without asking Castoff");
                let why = format!("policy {} does not guard it", trial.policy);
                let fix = format!("kubectl describe drainpolicy {} -n {}", trial.policy, trial.namespace);
                found.push(finding("NotAsked", &what, &why, &fix));
            }
            Said::Refused(why) => {
                let what = format!("a delete of {pod} could not be tried out");
                let fix = next::may_i("delete pods", &trial.namespace);
                found.push(Finding { note: true, ..finding("NotTried", &what, &why, &fix) });
            }
            _ => {}
        }
    }
    found
}

/// Other webhooks that are asked about deletes of guarded pods, and say no or nothing.
pub(super) fn others(seen: &Seen) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    for trial in &seen.trials {
        let pod = format!("{}/{}", trial.namespace, trial.pod);
        let what = match trial.trial.said() {
            Said::HeldBy(webhook, why) => format!("another webhook, {webhook}, denies the delete of {pod}: {why}"),
            Said::NotReached(webhook, why) if !webhook.ends_with(".castoff.dev") => {
                format!("another webhook, {webhook}, can't be asked about the delete of {pod}: {why}")
            }
            _ => continue,
        };
        let why = "the pod is prepared, and stays all the same";
        found.push(finding("OtherWebhook", &what, why, &next::webhooks()));
    }
    found
}

pub(super) fn backends(seen: &Seen) -> Vec<Finding> {
    let mut found = Vec::new();
    for trial in &seen.trials {
        for step in trial.trial.steps.iter().filter(|step| step.state == State::Unknown) {
            let what = format!("policy {}/{}, step {}: {}", trial.namespace, trial.policy, step.step, step.text);
            let why = "while nothing can be learnt from the backend, its pods may not leave";
            let secret = trial.secrets.get(&step.step).map(String::as_str);
            let place = Place { namespace: &trial.namespace, policy: &trial.policy, secret };
            let fix = next::called(&step.cause.command(&place));
            found.push(finding("BackendSilent", &what, why, &fix));
        }
    }
    found
}

pub(super) fn budgets(seen: &Seen) -> Vec<Finding> {
    let of = |budget: &Budget| {
        let (namespace, name, pod) = (&budget.namespace, &budget.name, &budget.pod);
        let what = format!("the PodDisruptionBudget {namespace}/{name} never lets {pod} be evicted");
        let why = "a drain has the pod prepared and is then refused, over and over";
        finding("BudgetInTheWay", &what, why, &format!("kubectl edit poddisruptionbudget {name} -n {namespace}"))
    };
    seen.budgets.iter().filter(|budget| budget.never_allows).map(of).collect()
}

pub(super) fn drains(seen: &Seen) -> Vec<Finding> {
    let upgrade = UPGRADES.iter().find(|upgrade| seen.provider.as_deref() == Some(upgrade.provider));
    let mut found = Vec::new();
    for drain in &seen.drains {
        let view = &drain.view;
        let (namespace, name) = (&view.namespace, &view.drain);
        let look = format!("kubectl describe pdr {name} -n {namespace}");
        let left = view.left.as_ref().map_or_else(String::new, |left| format!(", {} left", left.text()));
        let pod = format!("{namespace}/{}", view.pod);
        if view.state == "Stalled" {
            let what = format!("the preparation of {pod} makes no progress{left}: {}", view.why);
            found.push(finding("Stalled", &what, "the pod stays until it does; nothing is killed", &look));
        }
        if let Some(seconds) = drain.blocked_seconds.filter(|seconds| *seconds >= BLOCKED_PATIENCE) {
            let what = format!("{pod} must not leave, for {} now: {}", span(seconds), view.why);
            found.push(finding("Blocked", &what, "it goes on by itself once that is mended", &look));
        }
        if view.unasked {
            let what = format!("{pod} is prepared, and nobody has asked for it for a minute");
            let why = "it is out of service as long as it is prepared, and holds its policy's place";
            let fix = format!("{} cancel {} -n {namespace}   # or delete the pod again", program(), view.pod);
            found.push(finding("Unasked", &what, why, &fix));
        }
        if view.state == "Unreadable" || view.state == "Unknown" {
            let what = format!("the PodDrain {namespace}/{name} is not followed: {}", view.why);
            let why = "its pod may not leave while it is there";
            let fix = format!("{} forget {} -n {namespace} --yes", program(), view.pod);
            found.push(finding("DrainNotKnown", &what, why, &fix));
        }
        if let (Some(upgrade), Some(took)) = (upgrade, drain.preparing_seconds)
            && took > upgrade.seconds
        {
            let what = format!("the preparation of {pod} takes {}, and {}", span(took), upgrade.says);
            let why = "an upgrade does not wait so long";
            let fix = format!("{} prepare {} -n {namespace} --wait   # before the upgrade", program(), view.pod);
            found.push(finding("SlowerThanUpgrades", &what, why, &fix));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::gather::never_asked as never_asked_of;
    use crate::cli::operators::operator;
    use crate::pod::Pod;

    #[test]
    fn a_policy_is_told_of_a_pod_that_no_autoscaler_will_ever_ask_for() {
        let policy = |annotation: &'static str, value: &'static str| {
            let mut pod = Pod::default();
            pod.metadata.name = "db-0".into();
            pod.metadata.annotations = [(annotation.into(), value.into())].into_iter().collect();
            let never_asked = never_asked_of(&pod);
            PolicySeen { namespace: "db".into(), name: "db".into(), never_asked, ..PolicySeen::default() }
        };
        let safe = "cluster-autoscaler.kubernetes.io/safe-to-evict";
        let policies =
            vec![policy(safe, "true"), policy("other", "true"), policy("karpenter.sh/do-not-disrupt", "true")];
        let found = never_asked(&Seen { policies, ..Seen::default() });
        assert_eq!(found.len(), 1);
        assert!(found[0].note && found[0].why.starts_with("Karpenter never"), "{found:?}");
        let fix = "kubectl annotate pod db-0 -n db karpenter.sh/do-not-disrupt-   # and take it out of its template";
        assert_eq!(found[0].fix, fix);
        let found = never_asked(&Seen { policies: vec![policy(safe, "false")], ..Seen::default() });
        assert!(
            found[0].what.ends_with("guards db-0, which has cluster-autoscaler.kubernetes.io/safe-to-evict: \"false\"")
        );
    }

    #[test]
    fn a_policy_is_told_where_its_pods_operator_has_no_use_for_it() {
        let policy = |label: &'static str| {
            let mut pod = Pod::default();
            pod.metadata.labels = [(label.into(), "x".into())].into_iter().collect();
            PolicySeen { namespace: "db".into(), name: "db".into(), operator: operator(&pod), ..PolicySeen::default() }
        };
        let policies = ["app", "scylla/cluster", "couchbase_cluster"].map(policy).to_vec();
        let found = operators(&Seen { policies, ..Seen::default() });
        assert_eq!(found.len(), 1);
        assert!(found[0].what.contains("ScyllaDB Operator, which drains the node"), "{}", found[0].what);
        assert!(found[0].note && found[0].runbook == Some("guarded-beside-an-operator"));
    }
}

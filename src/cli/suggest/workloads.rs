//! The policy that fits a workload. Pure.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::cli::operators::{Operator, operator};

use super::systems;
use super::workload::{Found, Step, Workload, quoted};

/// What is written about a workload.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Suggestion {
    /// A policy.
    Policy(String),
    /// None, and why.
    Nothing(String),
}

/// What fits a workload.
pub(super) fn suggest(workload: &Workload, found: &Found) -> Suggestion {
    let Workload { kind, name, .. } = workload;
    let told = |why: String| Suggestion::Nothing(format!("{kind} {name}: {why}"));
    if let Some(policy) = found.policies.iter().find(|policy| policy.selects(&workload.pod(), None)) {
        return told(format!("is guarded by the policy {} already", policy.name));
    }
    if workload.selector.is_empty() {
        return told("selects its pods by expressions: write its policy by hand".to_owned());
    }
    if let Some(advice) = operator(&workload.pod()).and_then(Operator::advice) {
        return told(format!("its pods are {advice}"));
    }
    if let Some(recipe) = systems::recipe_of(workload) {
        return told(format!(
            "only its own commands can prepare it: castoff hook runs them as a sidecar, see manifests/recipes/{recipe}"
        ));
    }
    match step_of(workload, found) {
        Some(step) => Suggestion::Policy(policy(workload, &found.namespace, &step)),
        None => told("any of its pods can do another's work, as far as can be seen: no guard is needed".to_owned()),
    }
}

/// What is written about pods that operators make themselves, without a workload of Kubernetes' own: for each operator.
pub(super) fn of_operators(found: &Found) -> Vec<Suggestion> {
    let mut pods: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for pod in &found.pods {
        let own = pod.controller().is_some_and(|owner| !["apps/v1", "batch/v1"].contains(&owner.api_version.as_str()));
        let guarded = found.policies.iter().any(|policy| policy.selects(pod, None));
        if let Some(advice) = operator(pod).filter(|_| own && !guarded).and_then(Operator::advice) {
            pods.entry(advice).or_default().push(&pod.metadata.name);
        }
    }
    let told = |(advice, names): (String, Vec<&str>)| format!("Pods {}: are {advice}", names.join(", "));
    pods.into_iter().map(told).map(Suggestion::Nothing).collect()
}

fn step_of(workload: &Workload, found: &Found) -> Option<Step> {
    systems::step_of(workload, found).or_else(|| by_kind(workload))
}

/// By its kind alone, what fits is a guess.
fn by_kind(workload: &Workload) -> Option<Step> {
    let port = workload.port();
    match workload.kind.as_str() {
        "DaemonSet" => {
            let todo = "the labels of the pods that depend on this agent; namespaces: \"*\" where they are in others";
            let parameters = vec![("selector", "\"uses-agent=yes\"".to_owned())];
            let step = Step::sure("no-dependent-pods", "neighbours", parameters);
            Some(Step { todo: Some(todo.to_owned()), ..step })
        }
        _ if workload.annotations.contains_key("prometheus.io/scrape") => {
            let port = workload.annotations.get("prometheus.io/port").and_then(|it| it.parse().ok()).or(port)?;
            let path = workload.annotations.get("prometheus.io/path").map_or("/metrics", String::as_str);
            let todo = "the name of a gauge that is 0 once a pod has nothing left to do".to_owned();
            let parameters =
                vec![("figure", "requests_in_flight".to_owned()), ("port", port.to_string()), ("path", quoted(path))];
            Some(Step { todo: Some(todo), ..Step::sure("finish-requests", "in-flight", parameters) })
        }
        // A majority of the set stays Ready, whatever the system is.
        "StatefulSet" if workload.replicas >= 3 => Some(Step::sure("keep-quorum", "quorum", Vec::new())),
        "StatefulSet" => {
            let todo = "the application's own hook, see docs/http-hook.md".to_owned();
            let parameters = vec![("port", port.unwrap_or(8080).to_string()), ("path", "/prestop".to_owned())];
            Some(Step { todo: Some(todo), ..Step::sure("finish-requests", "http-hook", parameters) })
        }
        _ => None,
    }
}

/// The policy; with something to be filled in it only watches.
fn policy(workload: &Workload, namespace: &str, step: &Step) -> String {
    let Workload { kind, name, selector, .. } = workload;
    let labels: Vec<String> = selector.iter().map(|(key, value)| format!("{key}: {}", quoted(value))).collect();
    let parameters: Vec<String> = step.parameters.iter().map(|(key, value)| format!("{key}: {value}")).collect();
    let mut text = format!(
        "# {kind} {name}\napiVersion: castoff.dev/v1alpha1\nkind: DrainPolicy\nmetadata: {{name: {}, namespace: \
         {}}}\nspec:\n  selector: {{matchLabels: {{{}}}}}\n",
        quoted(name),
        quoted(namespace),
        labels.join(", ")
    );
    // Writing to a text does not fail.
    if step.todo.is_some() {
        text.push_str("  mode: Audit   # TODO Enforce, once what follows is right\n");
    }
    let _ = writeln!(text, "  steps:\n  - name: {}\n    plan: {{builtIn: {}}}", step.name, step.plan);
    let todo = step.todo.as_ref().map_or_else(String::new, |todo| format!("   # TODO {todo}"));
    if parameters.is_empty() {
        if !todo.is_empty() {
            let _ = writeln!(text, "  {todo}");
        }
    } else {
        let _ = writeln!(text, "    parameters: {{{}}}{todo}", parameters.join(", "));
    }
    text.push_str("  maxUnavailable: 1\n");
    text
}

#[cfg(test)]
mod tests;

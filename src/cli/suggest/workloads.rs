//! What a workload is, as far as its labels, images and ports tell, and the policy that fits it. Pure.

mod systems;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use kube::core::DynamicObject;
use serde_json::Value;

use crate::cli::operators::{Operator, operator};
use crate::pod::Pod;
use crate::policy::Policy;

/// What was found in a namespace.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub namespace: String,
    pub workloads: Vec<Workload>,
    pub services: Vec<Service>,
    pub pods: Vec<Pod<'static>>,
    /// The policies that are there already.
    pub policies: Vec<Arc<Policy>>,
}

/// A StatefulSet, a DaemonSet or a Deployment.
#[derive(Clone, Debug, Default)]
pub(super) struct Workload {
    pub kind: String,
    pub name: String,
    pub replicas: i64,
    /// The labels that its pods are selected by, alone.
    pub selector: BTreeMap<String, String>,
    /// All labels of its pods.
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub images: Vec<String>,
    /// Ports of its containers, with their names.
    pub ports: Vec<(String, i64)>,
    /// The words of its containers' commands and arguments.
    pub words: Vec<String>,
    /// The names of its containers' environment variables.
    pub environment: Vec<String>,
}

/// A Service.
#[derive(Clone, Debug, Default)]
pub(super) struct Service {
    pub name: String,
    pub selector: BTreeMap<String, String>,
    pub ports: Vec<i64>,
}

/// What is written about a workload.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Suggestion {
    /// A policy.
    Policy(String),
    /// None, and why.
    Nothing(String),
}

/// Reads a workload.
pub(super) fn read(kind: &str, object: &DynamicObject) -> Workload {
    let at = |place: &str| object.data.pointer(place);
    let map = |place: &str| at(place).cloned().and_then(|it| serde_json::from_value(it).ok()).unwrap_or_default();
    let containers = || at("/spec/template/spec/containers").and_then(Value::as_array).into_iter().flatten();
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let lists = |name: &'static str| containers().filter_map(move |it| it.get(name)?.as_array()).flatten();
    let words = lists("command").chain(lists("args")).filter_map(Value::as_str);
    Workload {
        kind: kind.to_owned(),
        name: object.metadata.name.clone().unwrap_or_default(),
        replicas: at("/spec/replicas").and_then(Value::as_i64).unwrap_or(1),
        selector: map("/spec/selector/matchLabels"),
        labels: map("/spec/template/metadata/labels"),
        annotations: map("/spec/template/metadata/annotations"),
        images: containers().map(|it| text(it, "image")).collect(),
        ports: lists("ports")
            .filter_map(|port| Some((text(port, "name"), port.get("containerPort")?.as_i64()?)))
            .collect(),
        words: words.flat_map(str::split_whitespace).map(str::to_owned).collect(),
        environment: lists("env").map(|variable| text(variable, "name")).collect(),
    }
}

/// Reads a Service.
pub(super) fn read_service(object: &DynamicObject) -> Service {
    let at = |place: &str| object.data.pointer(place);
    let ports = at("/spec/ports").and_then(Value::as_array).into_iter().flatten();
    Service {
        name: object.metadata.name.clone().unwrap_or_default(),
        selector: at("/spec/selector").cloned().and_then(|it| serde_json::from_value(it).ok()).unwrap_or_default(),
        ports: ports.filter_map(|port| port.get("port")?.as_i64()).collect(),
    }
}

/// A step: plan, parameters as they are written, and what is to be filled in.
struct Step {
    name: &'static str,
    plan: &'static str,
    parameters: Vec<(&'static str, String)>,
    todo: Option<String>,
}

impl Step {
    fn sure(name: &'static str, plan: &'static str, parameters: Vec<(&'static str, String)>) -> Self {
        Step { name, plan, parameters, todo: None }
    }
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

impl Workload {
    /// Whether one of its images has this name.
    fn runs(&self, name: &str) -> bool {
        let base = |image: &str| {
            let last = image.rsplit('/').next().unwrap_or_default();
            last.split([':', '@']).next().unwrap_or_default().to_owned()
        };
        self.images.iter().any(|image| {
            let base = base(image);
            base == name || base.starts_with(&format!("{name}-"))
        })
    }

    fn port(&self) -> Option<i64> {
        let named = |wanted: &str| self.ports.iter().find(|(name, _)| name == wanted);
        named("http").or_else(|| named("web")).or_else(|| self.ports.first()).map(|(_, port)| *port)
    }

    /// A pod of it, as far as policies look at one.
    fn pod(&self) -> Pod<'static> {
        let mut pod = Pod::default();
        let labels = self.labels.iter().map(|(key, value)| (key.clone().into(), value.clone().into()));
        pod.metadata.labels = labels.collect();
        pod
    }
}

impl Found {
    /// A Service of this port whose selector has this label.
    fn service(&self, port: i64, label: Option<(&str, &str)>) -> Option<String> {
        let fits = |service: &&Service| {
            service.ports.contains(&port)
                && label.is_none_or(|(key, value)| service.selector.get(key).is_some_and(|it| it == value))
        };
        // The shorter name is the one for clients; the other one is headless, for peers.
        let found = self.services.iter().filter(fits).min_by_key(|service| service.name.len());
        found.map(|service| format!("http://{}:{port}", service.name))
    }

    /// A Service in front of this workload's pods.
    fn in_front_of(&self, workload: &Workload, port: i64) -> Option<String> {
        let selects = |service: &&Service| {
            !service.selector.is_empty()
                && service.ports.contains(&port)
                && service.selector.iter().all(|(key, value)| workload.labels.get(key) == Some(value))
        };
        let found = self.services.iter().filter(selects).min_by_key(|service| service.name.len());
        found.map(|service| format!("http://{}:{port}", service.name))
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
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

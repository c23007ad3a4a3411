//! What a workload is, as far as its labels, images and ports tell. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::core::DynamicObject;
use serde_json::Value;

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
pub(super) struct Step {
    pub name: &'static str,
    pub plan: &'static str,
    pub parameters: Vec<(&'static str, String)>,
    pub todo: Option<String>,
}

impl Step {
    pub fn sure(name: &'static str, plan: &'static str, parameters: Vec<(&'static str, String)>) -> Self {
        Step { name, plan, parameters, todo: None }
    }
}

impl Workload {
    /// Whether one of its images has this name.
    pub fn runs(&self, name: &str) -> bool {
        let base = |image: &str| {
            let last = image.rsplit('/').next().unwrap_or_default();
            last.split([':', '@']).next().unwrap_or_default().to_owned()
        };
        self.images.iter().any(|image| {
            let base = base(image);
            base == name || base.starts_with(&format!("{name}-"))
        })
    }

    pub fn port(&self) -> Option<i64> {
        let named = |wanted: &str| self.ports.iter().find(|(name, _)| name == wanted);
        named("http").or_else(|| named("web")).or_else(|| self.ports.first()).map(|(_, port)| *port)
    }

    /// A pod of it, as far as policies look at one.
    pub fn pod(&self) -> Pod<'static> {
        let mut pod = Pod::default();
        let labels = self.labels.iter().map(|(key, value)| (key.clone().into(), value.clone().into()));
        pod.metadata.labels = labels.collect();
        pod
    }
}

impl Found {
    /// A Service of this port whose selector has this label.
    pub fn service(&self, port: i64, label: Option<(&str, &str)>) -> Option<String> {
        let fits = |service: &&Service| {
            service.ports.contains(&port)
                && label.is_none_or(|(key, value)| service.selector.get(key).is_some_and(|it| it == value))
        };
        // The shorter name is the one for clients; the other one is headless, for peers.
        let found = self.services.iter().filter(fits).min_by_key(|service| service.name.len());
        found.map(|service| format!("http://{}:{port}", service.name))
    }

    /// A Service in front of this workload's pods.
    pub fn in_front_of(&self, workload: &Workload, port: i64) -> Option<String> {
        let selects = |service: &&Service| {
            !service.selector.is_empty()
                && service.ports.contains(&port)
                && service.selector.iter().all(|(key, value)| workload.labels.get(key) == Some(value))
        };
        let found = self.services.iter().filter(selects).min_by_key(|service| service.name.len());
        found.map(|service| format!("http://{}:{port}", service.name))
    }
}

/// A text as YAML has it.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

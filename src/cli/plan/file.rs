//! Tests of a plan, as they are written in YAML.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::plan::{Mistake, Parameters};

/// What backends answered, and what the plan is to make of it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct TestFile {
    /// A built-in plan's name, or the file of a DrainPlan, from this file's directory.
    pub plan: String,
    /// File with recorded answers, from this file's directory.
    pub recording: Option<String>,
    /// Base URL at which the plan asks a recorded member; `{member}` and `{ip}` stand for its pod's name and address.
    pub address: Option<String>,
    #[serde(default)]
    pub parameters: Parameters,
    /// The pods' namespace.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// The pods' headless Service.
    #[serde(default)]
    pub service: String,
    /// The pods' labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Answers by `METHOD URL`, in all cases whose moments have none.
    #[serde(default)]
    pub answers: BTreeMap<String, Answer>,
    /// Pods: names, or whole pods.
    pub pods: Vec<Value>,
    pub cases: Vec<Case>,
}

/// One round.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Case {
    /// What it shows.
    pub name: String,
    /// The pod that is to leave.
    pub pod: String,
    /// Moments of the recording; what a later one answers takes the place of what an earlier one did.
    #[serde(default)]
    pub moments: Vec<String>,
    /// Answers by `METHOD URL`, in place of recorded ones.
    #[serde(default)]
    pub answers: BTreeMap<String, Answer>,
    /// Parameters that differ.
    #[serde(default)]
    pub parameters: Parameters,
    /// Pods that are not there.
    #[serde(default)]
    pub missing: Vec<String>,
    /// How many pods the owner wants; without it, it can't be seen.
    pub replicas: Option<u32>,
    /// The pod will not come back.
    #[serde(default)]
    pub removal: bool,
    /// The round restores.
    #[serde(default)]
    pub restore: bool,
    /// What the pod was found to be called before.
    pub member: Option<String>,
    /// The time, where the plan asks for it.
    #[serde(default = "default_time")]
    pub now: String,
    pub expect: Outcome,
}

/// What a backend answers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    /// HTTP status; 0 for no answer.
    #[serde(default = "ok")]
    pub code: u16,
    /// A text as it is; all else as JSON.
    #[serde(default)]
    pub body: Value,
}

/// What a round comes to, or is expected to: what is left out of that is not compared.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Outcome {
    pub verdict: Word,
    /// A part of what people are told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// How much is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining: Option<i64>,
    /// `METHOD URL`, and the body as JSON where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub act: Option<String>,
}

/// A verdict without what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Word {
    Done,
    Waiting,
    Act,
    Blocked,
    Unknown,
    Failed,
}

impl fmt::Display for Word {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.pad(match self {
            Word::Done => "Done",
            Word::Waiting => "Waiting",
            Word::Act => "Act",
            Word::Blocked => "Blocked",
            Word::Unknown => "Unknown",
            Word::Failed => "Failed",
        })
    }
}

/// What is wrong with a test itself.
#[derive(Debug, thiserror::Error)]
pub(super) enum WrongTest {
    #[error("there is no pod {0} under pods")]
    NoPod(String),
    #[error("pod {0}: {1}")]
    Pod(String, serde_json::Error),
    #[error("{}", .0.iter().map(|it| format!("parameters.{}: {}", it.field, it.message)).collect::<Vec<_>>().join("; "))]
    Parameters(Vec<Mistake>),
    #[error("the recording has no moment \"{0}\"")]
    NoMoment(String),
    #[error("a recorded request is METHOD PATH, not {0:?}")]
    Request(String),
    #[error("the round does not end")]
    Endless,
}

/// Recorded answers, by the moment in which they were given.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Recording {
    pub moments: BTreeMap<String, Vec<Exchange>>,
}

/// A recorded answer.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Exchange {
    /// Who was asked: a pod's name.
    pub member: String,
    /// `METHOD PATH`.
    pub request: String,
    /// HTTP status; 0 for no answer.
    pub code: u16,
    pub body: Value,
}

impl TestFile {
    /// All pods, whole: what is not said of them is as a StatefulSet would have it.
    pub fn pods(&self) -> Vec<Value> {
        let whole = |(index, pod): (usize, &Value)| match pod.as_str() {
            None => pod.clone(),
            Some(name) => {
                let ip = format!("10.0.0.{}", index + 1);
                json!({
                    "metadata": {"name": name, "namespace": self.namespace, "uid": format!("uid-{name}"), "labels": self.labels},
                    "spec": {"hostname": name, "subdomain": self.service, "nodeName": format!("node-{index}")},
                    "status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "hostIP": "10.0.1.1"},
                })
            }
        };
        self.pods.iter().enumerate().map(whole).collect()
    }
}

fn default_namespace() -> String {
    "default".to_owned()
}

fn default_time() -> String {
    "2026-01-01T12:00:00Z".to_owned()
}

fn ok() -> u16 {
    200
}

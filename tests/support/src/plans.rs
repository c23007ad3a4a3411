//! Runs rounds against answers that are given by URL, without a network.

use std::collections::BTreeMap;

use castoff::plan::answer::{no_answer, read_answer};
use castoff::plan::{
    Act, ClusterRead, Inputs, Mode, Next, Observation, Observations, Parameters, Plan, Read, Request, Round, Source,
    Task, Verdict, catalogue,
};
use castoff::remedy::Cause;
use castoff::pod::Pod;
use serde::Deserialize as _;
use serde_json::{Value, json};

/// A backend that answers by method and URL.
#[derive(Clone, Default)]
pub struct Backend {
    answers: BTreeMap<String, (u16, Vec<u8>)>,
    pods: Vec<Pod<'static>>,
    owner: Option<Value>,
    /// What everything else is answered.
    otherwise: Option<(u16, Vec<u8>)>,
}

/// The time at which rounds take place.
pub const NOW: &str = "2026-01-01T12:00:00Z";

impl Backend {
    pub fn json(mut self, request: &str, code: u16, body: &Value) -> Self {
        self.answers.insert(request.to_owned(), (code, body.to_string().into_bytes()));
        self
    }

    pub fn text(mut self, request: &str, code: u16, body: &str) -> Self {
        self.answers.insert(request.to_owned(), (code, body.as_bytes().to_vec()));
        self
    }

    /// A cluster with these pods.
    pub fn pods(mut self, pods: &[Value]) -> Self {
        let pod = |pod: &Value| Pod::deserialize(pod).unwrap().into_owned();
        self.pods = pods.iter().map(pod).collect();
        self
    }

    /// A cluster where the pod's owner wants so many pods.
    pub fn replicas(mut self, replicas: u32) -> Self {
        self.owner = Some(json!({"replicas": replicas}));
        self
    }

    fn observe(&self, read: &Read) -> Observation {
        match &read.source {
            Source::Backend(asked) => match self.answer(&asked.request) {
                Some((code, body)) => read_answer(asked, *code, body),
                None => no_answer(asked, "connection refused"),
            },
            Source::Cluster(ClusterRead::Pods(query)) => {
                Observation::Value(self.pods.iter().filter(|pod| query.takes(pod)).map(|pod| json!(pod)).collect())
            }
            Source::Cluster(ClusterRead::Owner) => match &self.owner {
                Some(owner) => Observation::Value(owner.clone()),
                None => {
                    let message = "the owner can't be seen".to_owned();
                    Observation::Failed { message, detail: String::new(), cause: Cause::default() }
                }
            },
        }
    }

    /// One that answers all requests in the same way.
    pub fn any(mut self, code: u16, body: &Value) -> Self {
        self.otherwise = Some((code, body.to_string().into_bytes()));
        self
    }

    fn answer(&self, request: &Request) -> Option<&(u16, Vec<u8>)> {
        self.answers.get(&format!("{} {}", request.method, request.url)).or(self.otherwise.as_ref())
    }
}

/// The built-in plan of that name, for as long as the tests run.
pub fn builtin(name: &str) -> &'static Plan {
    Box::leak(Box::new(catalogue::builtin(name).unwrap()))
}

/// A plan with what its rounds work on.
pub struct Case<'a> {
    pub plan: &'a Plan,
    pub pod: Value,
    pub parameters: Value,
    pub member: Option<&'a str>,
    pub mode: Mode,
    pub task: Task,
}

/// A round with the reads that it took: the names of each wave, sorted.
pub struct Outcome {
    pub round: Round,
    pub waves: Vec<Vec<String>>,
}

impl Case<'_> {
    pub fn run(&self, backend: &Backend) -> Outcome {
        let given: Parameters = serde_json::from_value(self.parameters.clone()).unwrap();
        let parameters = self.plan.parameters(&given).unwrap();
        let (pod, member) = (&self.pod, self.member);
        let inputs = Inputs { pod, parameters: &parameters, member, mode: self.mode, task: self.task, now: NOW };
        let mut seen = Observations::new();
        let mut waves = Vec::new();
        for _ in 0..20 {
            match self.plan.next(&inputs, &seen) {
                Next::Round(round) => return Outcome { round, waves },
                Next::Read(reads) => {
                    let mut names = Vec::new();
                    for read in reads {
                        let observation = backend.observe(&read);
                        names.push(read.key.name.clone());
                        assert!(seen.insert(read.key, observation).is_none(), "asked twice");
                    }
                    waves.push(names);
                }
            }
        }
        panic!("the round does not end");
    }

    pub fn verdict(&self, backend: &Backend) -> Verdict {
        self.run(backend).round.verdict
    }

    /// The act that the round asks for, as `METHOD URL BODY`.
    pub fn act(&self, backend: &Backend) -> String {
        match self.verdict(backend) {
            Verdict::Act(act) => shown(&act),
            other => panic!("no act but {other:?}"),
        }
    }
}

pub fn shown(act: &Act) -> String {
    let body = act.request.body.as_ref().map_or_else(String::new, |body| format!(" {body}"));
    format!("{} {}{body}", act.request.method, act.request.url)
}

pub fn pod(name: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "db", "uid": "u-1", "labels": {}, "annotations": {}},
        "spec": {"hostname": name, "subdomain": "peer"},
        "status": {"phase": "Running", "podIP": "10.0.0.7", "hostIP": "10.0.0.8"},
    })
}

/// The answers of a recording's exchanges, in their order: `METHOD path` with status and body.
pub fn recording(name: &str) -> Vec<(String, u16, Value)> {
    let document = document(name);
    let steps = document["steps"].as_array().unwrap().iter();
    steps
        .map(|step| {
            let request = format!("{} {}", step["request"]["method"].as_str().unwrap_or_default(), path_of(step));
            let code = step["response"]["code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or_default();
            (request, code, without_marks(step["response"]["body"].clone()))
        })
        .collect()
}

/// The `nth` answer (from 0) that a member of a recorded cluster gave to a request: status 0 where none came.
pub fn answer_of(name: &str, member: &str, request: &str, nth: usize) -> (u16, Value) {
    let document = document(name);
    let steps = document["steps"].as_array().unwrap().iter();
    let asked = |step: &&Value| {
        let of = format!("{} {}", step["request"]["method"].as_str().unwrap_or_default(), path_of(step));
        step["request"]["target"] == member && of == request
    };
    let response = &steps.filter(asked).nth(nth).expect("a recorded answer")["response"];
    let code = response["code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or_default();
    (code, response["body"].clone())
}

/// The ID of a member of a recorded cluster.
pub fn id_of(name: &str, member: &str) -> String {
    let document = document(name);
    let members = document["members"].as_object().unwrap();
    members.iter().find(|(_, name)| *name == member).expect("a member").0.clone()
}

fn document(name: &str) -> Value {
    let path = format!("{}/../recordings/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn path_of(step: &Value) -> &str {
    step["request"]["path"].as_str().unwrap_or_default()
}

/// A recorded body without the marks of what was left out of it.
fn without_marks(body: Value) -> Value {
    let is_mark = |value: &Value| value.as_str().is_some_and(|text| text.starts_with('…'));
    match body {
        Value::Array(items) => {
            Value::Array(items.into_iter().filter(|item| !is_mark(item)).map(without_marks).collect())
        }
        Value::Object(fields) => Value::Object(
            fields.into_iter().filter(|(name, _)| !name.starts_with('…')).map(|(k, v)| (k, without_marks(v))).collect(),
        ),
        other => other,
    }
}

//! Plays a round against answers that are given, without a network.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::plan::answer::{no_answer, read_answer};
use crate::plan::{
    Act, BackendRead, ClusterRead, Inputs, Mode, Next, Observation, Observations, Plan, Read, Round, Source, Task,
    Verdict,
};
use crate::pod::Pod;
use crate::remedy::Cause;

use super::file::{Answer, Case, Outcome, Recording, TestFile, Word, WrongTest};

/// More turns than any plan takes: names that follow one from another are at most twelve.
const MOST_TURNS: usize = 20;

/// What a case came to.
#[derive(Debug, Serialize)]
pub(super) struct Played {
    pub case: String,
    #[serde(flatten)]
    pub is: Outcome,
    /// What was asked and has no answer in the test.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unanswered: Vec<String>,
    /// Where it is not as expected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differs: Vec<String>,
}

/// What stands around the pod in one case.
struct Surroundings<'a> {
    pods: Vec<Value>,
    answers: BTreeMap<String, Answer>,
    case: &'a Case,
    unanswered: Vec<String>,
}

/// Plays one case.
///
/// # Errors
/// What is wrong with the test itself.
pub(super) fn play(plan: &Plan, file: &TestFile, recording: &Recording, case: &Case) -> Result<Played, WrongTest> {
    let mut pods = file.pods();
    let answers = answers(file, recording, case, &pods)?;
    let is = |pod: &Value, name: &str| pod.pointer("/metadata/name").and_then(Value::as_str) == Some(name);
    let pod = pods.iter().find(|pod| is(pod, &case.pod)).cloned();
    let pod = pod.ok_or_else(|| WrongTest::NoPod(case.pod.clone()))?;
    // Plans see of a pod what Castoff reads of it.
    let pod = json!(Pod::deserialize(&pod).map_err(|error| WrongTest::Pod(case.pod.clone(), error))?);
    pods.retain(|pod| !case.missing.iter().any(|name| is(pod, name)));
    let mut given = file.parameters.clone();
    given.extend(case.parameters.clone());
    let parameters = plan.parameters(&given).map_err(WrongTest::Parameters)?;
    let inputs = Inputs {
        pod: &pod,
        parameters: &parameters,
        member: case.member.as_deref(),
        mode: if case.removal { Mode::Removal } else { Mode::Restart },
        task: if case.restore { Task::Restore } else { Task::Prepare },
        now: &case.now,
    };
    let mut around = Surroundings { pods, answers, case, unanswered: Vec::new() };
    let round = round(plan, &inputs, &mut around)?;
    Ok(compared(case, round, around.unanswered))
}

/// What is answered in a case, by `METHOD URL`.
fn answers(
    file: &TestFile,
    recording: &Recording,
    case: &Case,
    pods: &[Value],
) -> Result<BTreeMap<String, Answer>, WrongTest> {
    let mut answers = file.answers.clone();
    for moment in &case.moments {
        let exchanges = recording.moments.get(moment).ok_or_else(|| WrongTest::NoMoment(moment.clone()))?;
        for exchange in exchanges {
            let (method, path) =
                exchange.request.split_once(' ').ok_or_else(|| WrongTest::Request(exchange.request.clone()))?;
            let of = |pod: &&Value| pod.pointer("/metadata/name").and_then(Value::as_str) == Some(&exchange.member);
            let ip = pods.iter().find(of).and_then(|pod| pod.pointer("/status/podIP")).and_then(Value::as_str);
            let base = file.address.as_deref().unwrap_or_default();
            let base = base.replace("{member}", &exchange.member).replace("{ip}", ip.unwrap_or_default());
            let answer = Answer { code: exchange.code, body: exchange.body.clone() };
            answers.insert(format!("{method} {base}{path}"), answer);
        }
    }
    answers.extend(case.answers.clone());
    Ok(answers)
}

fn round(plan: &Plan, inputs: &Inputs<'_>, around: &mut Surroundings<'_>) -> Result<Round, WrongTest> {
    let mut seen = Observations::new();
    for _ in 0..MOST_TURNS {
        match plan.next(inputs, &seen) {
            Next::Round(round) => return Ok(round),
            Next::Read(reads) => {
                for read in reads {
                    let observation = around.observe(&read);
                    seen.insert(read.key, observation);
                }
            }
        }
    }
    Err(WrongTest::Endless)
}

impl Surroundings<'_> {
    fn observe(&mut self, read: &Read) -> Observation {
        match &read.source {
            Source::Backend(asked) => self.backend(asked),
            Source::Cluster(ClusterRead::Pods(query)) => {
                let pods = self.pods.iter().filter_map(|pod| Pod::deserialize(pod).ok());
                Observation::Value(pods.filter(|pod| query.takes(pod)).map(|pod| json!(pod)).collect())
            }
            Source::Cluster(ClusterRead::Owner) => match self.case.replicas {
                Some(replicas) => Observation::Value(json!({"replicas": replicas})),
                None => Observation::Failed {
                    message: "the owner can't be seen".to_owned(),
                    detail: String::new(),
                    cause: Cause::default(),
                },
            },
        }
    }

    fn backend(&mut self, asked: &BackendRead) -> Observation {
        let request = format!("{} {}", asked.request.method, asked.request.url);
        match self.answers.get(&request) {
            None => {
                self.unanswered.push(request);
                no_answer(asked, "the test has no answer to it")
            }
            Some(answer) if answer.code == 0 => no_answer(asked, "no answer, as recorded"),
            Some(Answer { code, body }) if asked.request.commands.is_some() => {
                // What Redis answers is a value already; an error of its is code 500.
                if asked.request.ok.takes(*code) || *code == 200 {
                    Observation::Answer { code: *code, body: body.clone() }
                } else {
                    no_answer(asked, body.as_str().unwrap_or("an error"))
                }
            }
            Some(Answer { code, body: Value::String(text) }) => read_answer(asked, *code, text.as_bytes()),
            Some(Answer { code, body: Value::Null }) => read_answer(asked, *code, b""),
            Some(Answer { code, body }) => read_answer(asked, *code, body.to_string().as_bytes()),
        }
    }
}

/// A round beside what was expected of it.
fn compared(case: &Case, round: Round, unanswered: Vec<String>) -> Played {
    let (verdict, message, act) = match round.verdict {
        Verdict::Done => (Word::Done, None, None),
        Verdict::Waiting => (Word::Waiting, None, None),
        Verdict::Act(act) => (Word::Act, None, Some(shown(&act))),
        Verdict::Blocked { message } => (Word::Blocked, Some(message), None),
        Verdict::Unknown { message } => (Word::Unknown, Some(message), None),
        Verdict::Failed { message, detail, .. } => (Word::Failed, Some(format!("{message}: {detail}")), None),
    };
    let remaining = round.progress.map(|progress| progress.remaining);
    let expect = &case.expect;
    let mut differs = Vec::new();
    let mut differ = |what: &str, expected: String, is: String| {
        if expected != is {
            differs.push(format!("{what}: expected {expected}, is {is}"));
        }
    };
    differ("verdict", expect.verdict.to_string(), verdict.to_string());
    let told = message.as_deref().unwrap_or("nothing");
    if let Some(part) = expect.message.as_deref().filter(|part| !told.contains(part)) {
        differ("message", part.to_owned(), told.to_owned());
    }
    if let Some(member) = &expect.member {
        differ("member", member.clone(), round.member.clone().unwrap_or_else(|| "nobody".to_owned()));
    }
    if let Some(count) = expect.remaining {
        differ(
            "remaining",
            count.to_string(),
            remaining.map_or_else(|| "not counted".to_owned(), |count| count.to_string()),
        );
    }
    if expect.act.is_some() {
        differ("act", expect.act.clone().unwrap_or_default(), act.clone().unwrap_or_else(|| "none".to_owned()));
    }
    let is = Outcome { verdict, message, member: round.member, remaining, act };
    Played { case: case.name.clone(), is, unanswered, differs }
}

fn shown(act: &Act) -> String {
    let body = act.request.body.as_ref().map_or_else(String::new, |body| format!(" {body}"));
    format!("{} {}{body}", act.request.method, act.request.url)
}

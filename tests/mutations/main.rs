//! Everything that is read from outside, changed by chance: nothing panics, what is refused is told in words that a
//! terminal can show, and what is taken keeps its form.
//!
//! A seeded stand-in for coverage-guided fuzzing: it follows no coverage, so that what lies deep is met by chance alone.
//! `hack/test fuzz` plays more of it, from another seed each time, which it prints. What it finds becomes a test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod kept;

use std::path::{Path, PathBuf};

use castoff::admission::{self, Stage};
use castoff::plan::answer::read_answer;
use castoff::plan::spec::{Accept, Parse};
use castoff::plan::{BackendRead, Mode, Observation, Request, Task, Verdict, catalogue};
use castoff::standalone::policies;
use castoff::yaml;
use castoff_test_support::chance::{Chance, mutate};
use castoff_test_support::plans::{Backend, Case, pod};
use serde_json::{Value, json};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Mutated texts, each made from one of these by one to four changes.
fn mutations(seeds: &[Vec<u8>], mut try_one: impl FnMut(&[u8])) {
    let mut chance = Chance(number("CASTOFF_SEED", 0x5EED).max(1));
    for _ in 0..number("CASTOFF_MUTATIONS", 1500) {
        let mut bytes = seeds[chance.below(seeds.len())].clone();
        for _ in 0..=chance.below(4) {
            mutate(&mut chance, &mut bytes);
        }
        try_one(&bytes);
    }
}

/// The files of a folder and of those in it.
fn files(folder: &str) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = open.pop() {
        let mut entries: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() { open.push(path) } else { found.push(std::fs::read(path).unwrap()) }
        }
    }
    assert!(!found.is_empty());
    found
}

#[track_caller]
fn is_fit_to_be_read(message: &str, from: &[u8]) {
    let from = String::from_utf8_lossy(from);
    assert!(!message.trim().is_empty(), "nothing is said of {from}");
    let odd = message.chars().find(|letter| letter.is_control());
    assert_eq!(odd, None, "{message:?} is said of {from}");
}

#[test]
fn reviews() {
    let policies = policies::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policies")).unwrap();
    mutations(&files("tests/reviews"), |bytes| match admission::request::parse(bytes) {
        Err(malformed) => is_fit_to_be_read(&malformed.message, bytes),
        Ok(request) => {
            if let Stage::Answer(answer) = admission::first_questions(&request, None, &policies, None) {
                let rendered = admission::response::render(&request.uid, &answer);
                let rendered: Value = serde_json::from_slice(rendered.as_ref()).unwrap();
                assert_eq!(rendered["response"]["uid"], request.uid.as_str());
                assert!(answer.allowed || !answer.message.is_empty(), "{answer:?}");
            }
        }
    });
}

#[test]
fn policies_and_plans_in_files() {
    let seeds = [files("tests/policies"), files("tests/wrong")].concat();
    mutations(&seeds, |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let checked = policies::check(&[(PathBuf::from("file.yaml"), text.to_owned())]);
        for complaint in checked.conflicts().iter().chain(&checked.complaints) {
            is_fit_to_be_read(&complaint.to_string(), bytes);
            // One line beyond the last is where a text ends that ends too early.
            assert!(complaint.line.is_none_or(|line| line >= 1 && line <= text.lines().count() + 1), "{complaint}");
        }
    });
}

#[test]
fn plans() {
    let seeds: Vec<Vec<u8>> = catalogue::SOURCES.map(|(_, text)| text.as_bytes().to_vec()).to_vec();
    let answers =
        [json!({}), json!({"state": "Idle", "members": [], "stores": []}), json!([1, "x", null]), json!(null)];
    let mut round = 0;
    mutations(&seeds, |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let plan = match catalogue::read(text) {
            Ok(plan) => plan,
            Err(mistakes) => {
                assert!(!mistakes.is_empty());
                for mistake in &mistakes {
                    is_fit_to_be_read(&format!("{}: {}", mistake.field, mistake.message), bytes);
                    assert!(yaml::line_of(text, &mistake.field).is_none_or(|line| line <= text.lines().count()));
                }
                return;
            }
        };
        round += 1;
        let required = plan.spec().params.iter().filter(|(_, parameter)| parameter.required);
        let parameters: Value = required.map(|(name, _)| (name.clone(), Value::from("http://a"))).collect();
        let given = serde_json::from_value(parameters.clone()).unwrap();
        if plan.parameters(&given).is_err() {
            return;
        }
        for (task, mode) in [(Task::Prepare, Mode::Restart), (Task::Restore, Mode::Removal)] {
            let (pod, member) = (pod("a-0"), Some("1"));
            let case = Case { plan: &plan, pod, parameters: parameters.clone(), member, mode, task };
            let _ = case.run(&Backend::default().any(200, &answers[round % answers.len()]));
        }
    });
}

#[test]
fn templates() {
    let seeds: Vec<Vec<u8>> = [
        "http://${pod.status.podIP}:8080/${pod.metadata.name}?x=${1 + 2}",
        "$${ is no ${'expression'}",
        "${a.body}/x/${a.code}#${'ä ö'}",
        "${\"}\"} ${'${'}",
        "http://[::1]:1/${[1, 2].map(x, string(x)).join('-')}",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec();
    mutations(&seeds, |bytes| {
        let Ok(template) = std::str::from_utf8(bytes) else { return };
        let spec = json!({
            "summary": "x",
            "observe": {"a": {"url": "http://a"}},
            "blocked": [{"when": "a.code == 500", "message": template}],
            "prepare": [{"when": "true", "method": "POST", "url": template, "body": {"x": [template]}}],
            "done": "true",
        });
        match castoff::plan::compile(&serde_json::from_value(spec).unwrap()) {
            Err(mistakes) => mistakes.iter().for_each(|mistake| is_fit_to_be_read(&mistake.message, bytes)),
            Ok(plan) => {
                let (pod, mode, task) = (pod("a-0"), Mode::Restart, Task::Prepare);
                let case = Case { plan: &plan, pod, parameters: json!({}), member: None, mode, task };
                match case.verdict(&Backend::default().any(200, &json!("b c"))) {
                    Verdict::Failed { message, .. } | Verdict::Blocked { message } => {
                        is_fit_to_be_read(&message, bytes);
                    }
                    Verdict::Act(_) => {}
                    other => panic!("{other:?} from {template:?}"),
                }
            }
        }
    });
}

#[test]
fn prometheus_text() {
    let seeds: Vec<Vec<u8>> = [
        "# HELP up x\n# TYPE up gauge\nup 1\n\nleaders{store=\"a \\\"b\\\" }\",type=\"x\",} 0.0 1700000000\nodd NaN\n",
        "load:avg {} 1.5e0\nx{a=\"\\n\"} -Inf\ny 9223372036854775807\nz 1e308\n",
        "a{b=\"c\",d=\"ä\"} 0\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec();
    let request = Request {
        method: "GET".to_owned(),
        url: "http://a".to_owned(),
        body: None,
        commands: None,
        ok: Accept::None,
        timeout: std::time::Duration::from_secs(1),
        tls_secret: String::new(),
        auth_secret: String::new(),
    };
    let read = BackendRead { request, parse: Parse::Prometheus };
    mutations(&seeds, |bytes| match read_answer(&read, 200, bytes) {
        Observation::Failed { message, detail, .. } => is_fit_to_be_read(&format!("{message} {detail}"), bytes),
        Observation::Answer { body, .. } => {
            for sample in body.as_array().expect("a list of samples") {
                let name = sample["name"].as_str().unwrap();
                let is_odd = |letter: char| !(letter.is_ascii_alphanumeric() || letter == '_' || letter == ':');
                assert!(!name.is_empty() && !name.contains(is_odd), "{sample}");
                assert!(sample["labels"].as_object().unwrap().values().all(Value::is_string), "{sample}");
                assert!(sample["value"].is_number() || sample["value"].is_string(), "{sample}");
            }
        }
        Observation::Value(_) | Observation::PodGone => panic!("no pod was asked"),
    });
}

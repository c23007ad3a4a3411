//! What is kept, and what backends say: PodDrains as each version has stored them, and recorded answers of real servers
//! to every built-in plan.

use castoff::kubernetes::drains;
use castoff::lifecycle::{Memory, Phase, Room, look, must_be_written, reconcile, stored};
use castoff::plan::{Mode, Task, catalogue};
use castoff_test_support::plans::{Backend, Case, builtin, pod};
use castoff_test_support::world::world;
use serde_json::{Value, json};

use crate::{files, mutations};

/// Whatever stands in a PodDrain, it is read, a turn of it comes to a decision, and what is written is read again as it
/// was.
#[test]
fn stored_drains() {
    mutations(&files("tests/fixtures/poddrains"), |bytes| {
        let Ok(object) = serde_json::from_slice(bytes) else { return };
        let drain = drains::read(&object).drain;
        let memory = Memory::new(&drain, std::time::Duration::ZERO, std::time::Duration::ZERO);
        let _ = look(&drain, &memory, &Room::Held);
        let turn = reconcile(&drain, &memory, &world());
        let _ = must_be_written(&drain, &turn.drain);
        if turn.drain.status.phase == Phase::Unknown {
            return;
        }
        let spec = serde_json::to_value(&turn.drain.spec).unwrap();
        let status = serde_json::to_value(&turn.drain.status).unwrap();
        let again = stored::read(&spec, &status);
        assert_eq!((&again.spec, &again.status), (&turn.drain.spec, &turn.drain.status), "{status}");
    });
}

/// All that was answered in a recording, in whatever form that holds it.
fn answers(recording: &Value, found: &mut Vec<Vec<u8>>) {
    match recording {
        Value::Object(fields) => {
            for (name, value) in fields {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                if matches!(name.as_str(), "body" | "reply") {
                    found.push(text.into_bytes());
                } else {
                    answers(value, found);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| answers(item, found)),
        _ => {}
    }
}

/// Every built-in plan comes to a verdict, whatever a server answers: to each its own, and those of others.
#[test]
fn answers_of_backends() {
    let mut seeds = Vec::new();
    for file in files("tests/recordings") {
        if let Ok(recording) = serde_json::from_slice(&file) {
            answers(&recording, &mut seeds);
        }
    }
    seeds.sort();
    seeds.dedup();
    seeds.retain(|seed| !seed.is_empty() && seed.len() < 20_000);
    let plans: Vec<_> = catalogue::names().into_iter().map(builtin).collect();
    let mut round = 0;
    mutations(&seeds, |bytes| {
        round += 1;
        let plan = plans[round % plans.len()];
        let required = plan.spec().params.iter().filter(|(_, parameter)| parameter.required);
        let parameters: Value = required.map(|(name, _)| (name.clone(), Value::from("http://a"))).collect();
        let given = serde_json::from_value(parameters.clone()).unwrap();
        let parameters = if plan.parameters(&given).is_ok() { parameters } else { return };
        let task = if round % 3 == 0 { Task::Restore } else { Task::Prepare };
        let mode = if round % 5 == 0 { Mode::Removal } else { Mode::Restart };
        let case = Case { plan, pod: pod("a-0"), parameters, member: Some("1"), mode, task };
        let backend = match serde_json::from_slice::<Value>(bytes) {
            Ok(answer) => Backend::default().any(200, &answer),
            Err(_) => Backend::default().any(200, &json!(String::from_utf8_lossy(bytes))),
        };
        let _ = case.run(&backend);
    });
}

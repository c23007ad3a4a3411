//! The simulated PD answers as a real one did: its recordings are replayed against it, step by step.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod exceptions;

use std::time::Duration;

use castoff::backend::client::Clients;
use castoff::backend::dns::{GuardedDns, SystemDns};
use castoff::simulation::pd::{Config, ManualClock, SimulatedPd};
use exceptions::exception;
use serde_json::{Map, Value, json};

/// Longer than any window or drain in the recordings.
const LONG: Duration = Duration::from_mins(2);

/// How long PD lies after a start; a tenth of it, it answers that it has not started.
const WINDOW: Duration = Duration::from_mins(1);

/// What was compared.
#[derive(Debug, Default)]
struct Tally {
    compared: usize,
    differences: Vec<String>,
}

struct Replay {
    pd: SimulatedPd,
    clock: ManualClock,
    client: reqwest::Client,
    tally: Tally,
}

impl Replay {
    async fn start(stores: u64, leaders: u64) -> Replay {
        let clock = ManualClock::default();
        let stores = (1..=stores).map(|id| (id, format!("mock:://tikv-{id}"), leaders)).collect();
        let config = Config { clock: Some(clock.clone()), ..Config::with_stores(stores) };
        let client = Clients::new(GuardedDns::new(std::sync::Arc::new(SystemDns::new()), true)).plain().unwrap();
        Replay { pd: SimulatedPd::start(config).await.unwrap(), clock, client, tally: Tally::default() }
    }

    async fn step(&mut self, file: &str, index: usize, step: &Value) {
        let name = format!("{file} {index} ({})", step["note"].as_str().unwrap_or(""));
        if let Some(action) = step["action"].as_bool() {
            assert!(action, "{name}");
            self.act(step["note"].as_str().unwrap());
        } else if let Some(series) = step["series"].as_array() {
            self.wait(&name, series);
        } else if exception(file, index, step).is_none() {
            self.exchange(&name, step).await;
        }
    }

    /// Something that was done outside of HTTP.
    fn act(&mut self, note: &str) {
        if note.contains("these are the first requests after GET /stores answers 200") {
            self.pd.restart(WINDOW);
            self.clock.advance(WINDOW / 10);
        } else if note.contains("started again") {
            self.pd.restart(WINDOW);
        } else {
            // Regions are not simulated one by one, so that none was stuck.
            let known = note.contains("killed") || note.contains("the stuck operators, are removed");
            assert!(known, "an action that the replay does not know: {note}");
        }
    }

    /// A poll: time passes as long as it did, or longer. Stores that had no leader left at the end have none here.
    fn wait(&mut self, name: &str, series: &[Value]) {
        let last = series.last().unwrap();
        let watched_to_the_end = last["stopped"].is_null();
        let lasted = Duration::from_millis(last["t_ms"].as_u64().unwrap());
        self.clock.advance(if watched_to_the_end { lasted.max(LONG) } else { lasted });
        if !watched_to_the_end {
            return;
        }
        for (store, leaders) in last["leader_count"].as_object().unwrap_or(&Map::new()) {
            // Polls of a PD that lies show its answers; where the leaders were, they do not tell.
            let here = self.pd.leaders(store.parse().unwrap());
            if *leaders == 0 && last["evict_list"].is_null() {
                self.compare(name, "leaders on a store that had none", &json!(0), &json!(here));
            }
        }
    }

    async fn exchange(&mut self, name: &str, step: &Value) {
        let (request, recorded) = (&step["request"], &step["response"]);
        let method = request["method"].as_str().unwrap().parse().unwrap();
        let url = format!("{}{}", self.pd.url(), request["path"].as_str().unwrap());
        let mut call = self.client.request(method, url);
        match &request["body"] {
            Value::Null => {}
            Value::String(raw) => call = call.body(raw.clone()),
            body => call = call.body(body.to_string()),
        }
        let answer = call.send().await.unwrap();
        let code = answer.status().as_u16();
        let kind = answer.headers().get("content-type").map_or("", |kind| kind.to_str().unwrap()).to_owned();
        let text = String::from_utf8(answer.bytes().await.unwrap().to_vec()).unwrap();
        self.compare(name, "status", &recorded["code"], &json!(code));
        let recorded_kind = recorded["body_kind"].as_str().unwrap();
        let kind = if text.is_empty() {
            "empty"
        } else if kind.starts_with("application/json") {
            "json"
        } else {
            "text"
        };
        self.compare(name, "kind of body", &json!(recorded_kind), &json!(kind));
        let body = if kind == "json" { serde_json::from_str(&text).unwrap() } else { json!(text) };
        let path = request["path"].as_str().unwrap();
        let body = only_kept(&recorded["body"], body);
        self.compare(name, "body", &normalised(path, &recorded["body"]), &normalised(path, &body));
        self.tally.compared += 1;
    }

    fn compare(&mut self, name: &str, what: &str, recorded: &Value, answered: &Value) {
        if recorded != answered {
            self.tally.differences.push(format!("{name}: {what}: recorded {recorded}, answered {answered}"));
        }
    }
}

/// Of an answer with stores, those that the recording kept: some were left out of it.
fn only_kept(recorded: &Value, mut answered: Value) -> Value {
    let id = |store: &Value| store["store"]["id"].as_u64();
    if let (Some(kept), Some(stores)) =
        (recorded["stores"].as_array(), answered.get_mut("stores").and_then(Value::as_array_mut))
    {
        stores.retain(|store| kept.iter().any(|other| id(other) == id(store)));
        for store in stores {
            let recorded = kept.iter().find(|other| id(other) == id(store));
            if recorded.is_some_and(|recorded| recorded["status"].is_null()) {
                *store = json!({"store": {"id": store["store"]["id"], "state_name": store["store"]["state_name"]}});
            }
        }
    }
    answered
}

/// Leaves out what differs from run to run, or what no drain reads; each with its reason.
fn normalised(path: &str, body: &Value) -> Value {
    let path = path.split('?').next().unwrap().trim_start_matches("/pd/api/v1/");
    match path {
        // Schedulers come in random order.
        "schedulers" if body.is_array() => {
            let mut names: Vec<&str> = body.as_array().unwrap().iter().filter_map(Value::as_str).collect();
            names.sort_unstable();
            json!(names)
        }
        // Stores come in random order, with disks, versions and heartbeats that a drain does not read. How many
        // leaders each of them has depends on where balancing left them: only none or some is compared.
        "stores" if body.is_object() => {
            let stores = body["stores"].as_array().unwrap().iter().filter(|store| store.is_object());
            let mut stores: Vec<Value> = stores.map(of_store).collect();
            stores.sort_by_key(|store| store["id"].as_u64());
            json!({"count": body["count"], "stores": stores})
        }
        _ if path.starts_with("store/") && body.is_object() => of_store(body),
        // Sizes and keys of regions are not simulated.
        "stats/region" if body.is_object() => {
            let leaders = body["store_leader_count"].as_object().unwrap();
            let mut led: Vec<&String> =
                leaders.iter().filter(|(_, leaders)| **leaders != 0).map(|(id, _)| id).collect();
            led.sort();
            json!(led)
        }
        // Of the settings, only the schedulers are simulated.
        "config/schedule" if body.is_object() => {
            let schedulers = body["schedulers-v2"].as_array();
            json!(schedulers.map(|all| all.iter().map(|one| json!([one["type"], one["disable"]])).collect::<Vec<_>>()))
        }
        _ => body.clone(),
    }
}

fn of_store(store: &Value) -> Value {
    let has_leaders = store["status"].is_object().then(|| store["status"]["leader_count"].as_u64().unwrap() > 0);
    json!({
        "id": store["store"]["id"], "address": store["store"]["address"],
        "state": store["store"]["state_name"], "has_leaders": has_leaders,
    })
}

async fn replay(file: &str, stores: u64) -> Tally {
    let path = format!("{}/tests/recordings/{file}.json", env!("CARGO_MANIFEST_DIR"));
    let recording: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut replay = Replay::start(stores, 80).await;
    for (index, step) in recording["steps"].as_array().unwrap().iter().enumerate() {
        replay.step(file, index, step).await;
    }
    replay.tally
}

async fn must_answer_as_recorded(file: &str, stores: u64, at_least: usize) {
    let tally = replay(file, stores).await;
    assert!(tally.differences.is_empty(), "{}", tally.differences.join("\n"));
    assert!(tally.compared >= at_least, "only {} steps of {file} were compared", tally.compared);
}

#[tokio::test]
async fn answers_the_evict_leader_api_as_recorded() {
    must_answer_as_recorded("pd-evict-leader", 5, 55).await;
}

#[tokio::test]
async fn answers_odd_input_as_recorded() {
    must_answer_as_recorded("pd-evict-leader-odd-input", 5, 12).await;
}

#[tokio::test]
async fn answers_paused_schedulers_as_recorded() {
    must_answer_as_recorded("pd-evict-leader-limits", 5, 30).await;
}

#[tokio::test]
async fn removes_stores_as_recorded() {
    must_answer_as_recorded("pd-store-removal", 5, 44).await;
}

#[tokio::test]
async fn lies_after_a_start_as_recorded() {
    must_answer_as_recorded("pd-restart-window", 5, 30).await;
}

#[tokio::test]
async fn comes_back_from_a_kill_as_recorded() {
    must_answer_as_recorded("pd-restart", 4, 9).await;
}

#[tokio::test]
async fn counts_leaders_as_recorded() {
    must_answer_as_recorded("pd-leader-count-truth", 5, 3).await;
}

#[tokio::test]
async fn a_wrong_answer_is_noticed() {
    let mut replay = Replay::start(5, 80).await;
    let step = json!({
        "note": "turned round",
        "request": {"method": "DELETE", "path": "/pd/api/v1/schedulers/evict-leader-scheduler-2", "body": null},
        "response": {"code": 200, "body_kind": "json", "body": null},
    });
    replay.step("made-up", 0, &step).await;
    assert_eq!(replay.tally.differences, ["made-up 0 (turned round): status: recorded 200, answered 404"]);
}

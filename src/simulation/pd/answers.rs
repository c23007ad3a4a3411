//! PD's routes: method, path and body to status and body, as recorded from a real one.

use std::time::Duration;

use serde_json::{Value, json};

use super::state::{REPLICAS, State, StoreState};

/// What PD answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub code: u16,
    pub kind: Kind,
    pub body: String,
}

/// The content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Json,
    Text,
}

impl Answer {
    pub fn text(code: u16, body: &str) -> Self {
        Answer { code, kind: Kind::Text, body: body.to_owned() }
    }

    fn json(code: u16, body: &Value) -> Self {
        Answer { code, kind: Kind::Json, body: format!("{body}\n") }
    }

    fn not_found() -> Self {
        Answer::text(404, "404 page not found\n")
    }
}

/// The schedulers that run by default: as a request names them, and as they are stored.
const DEFAULT_SCHEDULERS: [(&str, &str); 5] = [
    ("balance-region-scheduler", "balance-region"),
    ("balance-leader-scheduler", "balance-leader"),
    ("balance-hot-region-scheduler", "hot-region"),
    ("evict-slow-store-scheduler", "evict-slow-store"),
    ("evict-stopping-store-scheduler", "evict-stopping-store"),
];

const EVICT: &str = "evict-leader-scheduler";

pub(super) fn answer(state: &mut State, method: &str, path: &str, body: &str) -> Answer {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let Some(route) = path.strip_prefix("/pd/api/v1/") else { return Answer::not_found() };
    if route == "health" {
        return Answer::json(200, &json!([{"name": "pd-0", "member_id": 1, "client_urls": [], "health": true}]));
    }
    if state.is_starting() {
        return Answer::text(500, "[PD:server:ErrServerNotStarted]server not started\n");
    }
    let parts: Vec<&str> = route.split('/').collect();
    match (method, parts.as_slice()) {
        ("GET", ["stores"]) => stores(state, query),
        ("GET", ["store", id]) => with_store(state, id, |state, id| Answer::json(200, &store(state, id))),
        ("DELETE", ["store", id]) => with_store(state, id, remove_store),
        ("DELETE", ["stores", "remove-tombstone"]) => {
            state.forget_tombstones();
            Answer::json(200, &json!("Remove tombstone successfully."))
        }
        ("POST", ["store", id, "state"]) => with_store(state, id, |state, id| set_state(state, id, query)),
        ("GET", ["schedulers"]) => schedulers(state, query),
        ("POST", ["schedulers"]) => add_scheduler(state, body),
        ("POST", ["schedulers", name]) => pause(state, name, body),
        ("DELETE", ["schedulers", name]) => remove_scheduler(state, name),
        ("GET", ["scheduler-config", EVICT, "list"]) => evict_list(state),
        ("GET", ["config", "schedule"]) => schedule_config(state),
        ("GET", ["stats", "region"]) => region_statistics(state),
        _ => Answer::not_found(),
    }
}

/// The stores; those that are removed only where the query asks for them.
fn stores(state: &State, query: &str) -> Answer {
    let wanted: Vec<&str> = query.split('&').filter_map(|part| part.strip_prefix("state=")).collect();
    for wish in &wanted {
        match wish.parse::<i64>() {
            Ok(0..=2) => {}
            Ok(unknown) => return Answer::json(500, &json!(format!("unknown StoreState: {unknown}"))),
            Err(_) => {
                let message = format!("strconv.Atoi: parsing \"{wish}\": invalid syntax");
                return Answer::json(500, &json!(message));
            }
        }
    }
    let number = |store: StoreState| ["0", "1", "2"][usize::from(node_state(store) - 1)];
    let is_wanted = |store: StoreState| match wanted.as_slice() {
        [] => store != StoreState::Tombstone,
        wanted => wanted.contains(&number(store)),
    };
    let ids = state.stores().iter().filter(|(_, store)| is_wanted(store.state)).map(|(id, _)| *id);
    let stores: Vec<Value> = ids.map(|id| store(state, id)).collect();
    Answer::json(200, &json!({"count": stores.len(), "stores": stores}))
}

fn store(state: &State, id: u64) -> Value {
    let Some(store) = state.stores().get(&id) else { return Value::Null };
    let counted = if state.is_lying() || store.stale_count { 0 } else { store.leaders };
    let name = if state.is_lying() && store.state == StoreState::Up { StoreState::Disconnected } else { store.state };
    let mut answer = json!({
        "store": {
            "id": id, "address": store.address, "version": "8.5.7", "node_state": node_state(store.state),
            "state_name": name.name(),
        },
        "status": {"leader_count": counted, "leader_weight": 1, "leader_score": counted, "region_count": store.regions},
    });
    // Left out where it is 0, as Go does.
    match store.state {
        StoreState::Up | StoreState::Disconnected => {}
        StoreState::Offline => answer["store"]["state"] = json!(1),
        StoreState::Tombstone => answer["store"]["state"] = json!(2),
    }
    answer
}

fn node_state(store: StoreState) -> u8 {
    match store {
        StoreState::Up | StoreState::Disconnected => 1,
        StoreState::Offline => 2,
        StoreState::Tombstone => 3,
    }
}

fn with_store(state: &mut State, id: &str, then: impl FnOnce(&mut State, u64) -> Answer) -> Answer {
    match id.parse::<u64>() {
        Ok(known) if state.stores().contains_key(&known) => then(state, known),
        Ok(unknown) => Answer::json(404, &json!(format!("[PD:core:ErrStoreNotFound]store {unknown} not found"))),
        Err(_) => {
            let message = format!("strconv.ParseUint: parsing \"{id}\": invalid syntax");
            Answer::json(400, &json!({"code": "input", "msg": message, "data": {}}))
        }
    }
}

fn remove_store(state: &mut State, id: u64) -> Answer {
    take_offline(state, id, "The store is set as Offline.")
}

fn set_state(state: &mut State, id: u64, query: &str) -> Answer {
    let wanted = query.strip_prefix("state=").unwrap_or_default();
    let updated = "The store's state is updated.";
    match wanted.to_ascii_lowercase().as_str() {
        "offline" => take_offline(state, id, updated),
        "up" => match state.store_mut(id) {
            Some(store) if store.state == StoreState::Tombstone => removed(id),
            Some(store) if store.state == StoreState::Offline => {
                store.state = StoreState::Up;
                Answer::json(200, &json!(updated))
            }
            _ => Answer::json(200, &json!(updated)),
        },
        _ => Answer::json(400, &json!(format!("invalid state {wanted}"))),
    }
}

/// Begins a store's removal, unless too few others would be left.
fn take_offline(state: &mut State, id: u64, done: &str) -> Answer {
    let before = state.stores().get(&id).map(|store| store.state);
    // Stores that do not report count as up.
    let up = |store: StoreState| matches!(store, StoreState::Up | StoreState::Disconnected);
    if before == Some(StoreState::Tombstone) {
        return removed(id);
    }
    if before.is_some_and(up) {
        let others = state.stores().iter().filter(|(other, store)| **other != id && up(store.state)).count() as u64;
        let refused = if others < REPLICAS {
            let numbers = format!("since the number of up stores would be {others} while need {REPLICAS}");
            Some(format!("[PD:core:ErrStoresNotEnough]can not remove store {id} {numbers}"))
        } else if state.has_no_other_open_store(id) {
            let why = "since there are no extra up store to store the leader";
            Some(format!("[PD:core:ErrNoStoreForRegionLeader]can not remove store {id} {why}"))
        } else {
            None
        };
        if let Some(message) = refused {
            return Answer::json(400, &json!(message));
        }
    }
    if let Some(store) = state.store_mut(id) {
        store.state = StoreState::Offline;
    }
    Answer::json(200, &json!(done))
}

fn removed(id: u64) -> Answer {
    Answer::json(410, &json!(format!("[PD:core:ErrStoreRemoved]store {id} has been removed")))
}

fn schedulers(state: &State, query: &str) -> Answer {
    let evict = state.running_entries().map(|_| EVICT);
    let names: Vec<&str> = match query {
        "status=paused" => evict.filter(|_| state.is_paused()).into_iter().collect(),
        "status=disabled" => Vec::new(),
        _ if state.is_lying() => evict.into_iter().collect(),
        _ => DEFAULT_SCHEDULERS.iter().map(|(name, _)| *name).chain(evict).collect(),
    };
    Answer::json(200, &json!(names))
}

fn add_scheduler(state: &mut State, body: &str) -> Answer {
    let Ok(body) = serde_json::from_str::<Value>(body) else {
        let offset = body.len();
        let message = "unexpected end of JSON input";
        return Answer::json(400, &json!({"code": "input", "msg": message, "data": {"Offset": offset}}));
    };
    match body.get("name").and_then(Value::as_str) {
        Some(EVICT) => {}
        Some(_) => return Answer::json(400, &json!("unknown scheduler")),
        None => return Answer::json(400, &json!("missing scheduler name")),
    }
    let Some(id) = body.get("store_id").and_then(Value::as_f64) else {
        return Answer::json(400, &json!("missing store id"));
    };
    let runs = state.running_entries().is_some();
    let id = as_store_id(id);
    if !state.stores().contains_key(&id) {
        let message = format!("[PD:core:ErrStoreNotFound]store {id} not found");
        // Once the scheduler runs, its own answer is quoted by PD's.
        let message = if runs { format!("\"{message}\"\n") } else { message };
        return Answer::json(500, &json!(message));
    }
    state.add_entry(id);
    let message = if runs { "The scheduler has been applied to the store." } else { "The scheduler is created." };
    Answer::json(200, &json!(message))
}

/// PD reads the number as a float, then cuts it to 64 bits: 2.7 becomes 2, and -1 the largest of all.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn as_store_id(id: f64) -> u64 {
    if id < 0.0 { (id as i64) as u64 } else { id as u64 }
}

fn pause(state: &mut State, name: &str, body: &str) -> Answer {
    let delay = serde_json::from_str::<Value>(body).ok().and_then(|body| body.get("delay")?.as_i64());
    let Some(delay) = delay else { return Answer::json(400, &json!("missing pause time")) };
    let is_known = DEFAULT_SCHEDULERS.iter().any(|(known, _)| *known == name) && !state.is_lying();
    if name == EVICT && state.running_entries().is_some() {
        state.pause(Duration::from_secs(u64::try_from(delay).unwrap_or(0)));
    } else if !is_known {
        return Answer::json(500, &json!("[PD:scheduler:ErrSchedulerNotFound]scheduler not found"));
    }
    Answer::json(200, &json!("Pause or resume the scheduler successfully."))
}

fn remove_scheduler(state: &mut State, name: &str) -> Answer {
    if name == EVICT {
        return if state.drop_scheduler() {
            Answer::json(200, &json!("The scheduler is removed."))
        } else {
            Answer::json(404, &json!("[PD:scheduler:ErrSchedulerNotFound]scheduler not found"))
        };
    }
    // PD looks only at what stands after the last dash, and takes it for a number.
    let is_entry = name.strip_prefix(EVICT).is_some_and(|rest| rest.starts_with('-'));
    let Some(text) = name.rsplit('-').next().filter(|_| is_entry) else {
        return Answer::json(404, &json!("[PD:scheduler:ErrSchedulerNotFound]scheduler not found"));
    };
    match text.parse::<u64>() {
        Ok(id) if state.drop_entry(id) => Answer::json(200, &Value::Null),
        Err(_) if !text.is_empty() => Answer::json(400, &Value::Null),
        _ => Answer::json(404, &Value::Null),
    }
}

fn evict_list(state: &State) -> Answer {
    let Some(entries) = state.running_entries() else { return Answer::not_found() };
    let range = json!([{"start-key": "", "end-key": ""}]);
    let ranges: serde_json::Map<String, Value> = entries.iter().map(|id| (id.to_string(), range.clone())).collect();
    Answer::json(200, &json!({"store-id-ranges": ranges, "batch": 3}))
}

fn schedule_config(state: &State) -> Answer {
    let stored = state.stores_scheduler().then_some("evict-leader");
    let types = DEFAULT_SCHEDULERS.iter().map(|(_, kind)| *kind).chain(stored);
    let schedulers: Vec<Value> =
        types.map(|kind| json!({"type": kind, "args": null, "disable": false, "args-payload": ""})).collect();
    Answer::json(200, &json!({"leader-schedule-limit": 4, "schedulers-v2": schedulers}))
}

fn region_statistics(state: &State) -> Answer {
    let leaders: serde_json::Map<String, Value> = state
        .stores()
        .iter()
        .filter(|(_, store)| store.leaders > 0 && !state.is_lying())
        .map(|(id, store)| (id.to_string(), json!(store.leaders)))
        .collect();
    Answer::json(200, &json!({"count": 400, "store_leader_count": leaders}))
}

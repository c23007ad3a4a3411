//! Compares two recordings by what a plan can see in them: codes, keys, texts, who leads and who is listed.
//!
//! Member IDs become member names first, since they are new with every cluster. What counts up or measures (terms,
//! indexes, sizes) need only be there, and what etcd tells only some seconds after a start is left out.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::differences;

const COUNTED: [&str; 8] =
    ["raft_term", "revision", "raftTerm", "raftIndex", "raftAppliedIndex", "dbSize", "dbSizeInUse", "cluster_id"];
const TOLD_LATER: [&str; 2] = ["storageVersion", "downgradeInfo"];

/// What differs, one line each.
pub fn differences(committed: &Value, fresh: &Value) -> Vec<String> {
    if committed["server"] != fresh["server"] {
        return vec![format!("server: {} was recorded, this is {}", committed["server"], fresh["server"])];
    }
    let (old, new) = (named(committed), named(fresh));
    if old.len() != new.len() {
        return vec![format!("{} steps were recorded, there are {} now", old.len(), new.len())];
    }
    let note = |step: &Value| step["note"].as_str().unwrap_or_default().to_owned();
    old.iter().zip(&new).flat_map(|(before, after)| differences::between(&note(before), before, after)).collect()
}

/// The steps with every member ID replaced by the member's name and every loopback port left out.
fn named(recording: &Value) -> Vec<Value> {
    let mut names = BTreeMap::new();
    for (id, name) in recording["members"].as_object().into_iter().flatten() {
        let name = name.as_str().unwrap_or_default().to_owned();
        if let Ok(number) = id.parse::<u64>() {
            names.insert(format!("{number:x}"), name.clone());
        }
        names.insert(id.clone(), name);
    }
    recording["steps"].as_array().into_iter().flatten().map(|step| rename(step, &names)).collect()
}

fn rename(value: &Value, names: &BTreeMap<String, String>) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(key, _)| !TOLD_LATER.contains(&key.as_str()));
            let renamed = kept.map(|(key, inner)| {
                let is_counted = COUNTED.contains(&key.as_str());
                (key.clone(), if is_counted { Value::from("counted") } else { rename(inner, names) })
            });
            Value::Object(renamed.collect::<Map<_, _>>())
        }
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(|item| rename(item, names)).collect();
            items.iter_mut().for_each(Value::sort_all_objects);
            items.sort_by_key(ToString::to_string);
            Value::Array(items)
        }
        Value::String(text) => Value::String(renamed(text, names)),
        other => other.clone(),
    }
}

/// A text with names in place of the numbers that are members', and without ports.
fn renamed(text: &str, names: &BTreeMap<String, String>) -> String {
    if let Some(name) = names.get(text) {
        return name.clone();
    }
    let mut parts = text.split("127.0.0.1:");
    let mut without_ports = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        without_ports.push_str("127.0.0.1:PORT");
        without_ports.push_str(part.trim_start_matches(|letter: char| letter.is_ascii_digit()));
    }
    let mut found = String::new();
    let mut word = String::new();
    for letter in without_ports.chars().chain(['\n']) {
        if letter.is_alphanumeric() || letter == '_' {
            word.push(letter);
        } else {
            // IDs are long, and written in two ways; a shorter word that looks like one is none.
            found.push_str(names.get(&word).filter(|_| word.len() >= 12).unwrap_or(&word));
            found.push(letter);
            word.clear();
        }
    }
    found.pop();
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn recording(id: u64, code: u16) -> Value {
        json!({
            "server": "etcd 3.7.3", "members": {id.to_string(): "etcd-0"},
            "steps": [{"note": "status", "response": {"code": code, "body": {
                "leader": id.to_string(), "raftTerm": id.to_string(), "storageVersion": "3.7.0",
                "error": format!("member {id:x} at http://127.0.0.1:{}/ is gone", id % 50_000),
                "errors": [format!("memberID:{id} alarm:NOSPACE")],
                "members": [{"ID": id.to_string()}, {"ID": "learner"}],
            }}}],
        })
    }

    const ONE: u64 = 0x8e9e_05c5_2164_694d;
    const OTHER: u64 = 0x1d9e_05c5_2164_6941;

    #[test]
    fn other_ids_ports_and_counts_are_no_difference() {
        assert_eq!(differences(&recording(ONE, 200), &recording(OTHER, 200)), Vec::<String>::new());
        let mut earlier = recording(ONE, 200);
        earlier["steps"][0]["response"]["body"].as_object_mut().unwrap().remove("storageVersion");
        assert!(differences(&earlier, &recording(OTHER, 200)).is_empty());
    }

    #[test]
    fn another_code_key_leader_server_or_number_of_steps_is_one() {
        let before = recording(ONE, 200);
        assert_eq!(differences(&before, &recording(ONE, 412)), ["status: response: code: was 200, is 412"]);
        let changed = |change: fn(&mut Value)| {
            let mut after = recording(ONE, 200);
            change(&mut after);
            differences(&before, &after).len()
        };
        assert_eq!(changed(|after| after["server"] = json!("etcd 3.8.0")), 1);
        assert_eq!(changed(|after| after["steps"] = json!([])), 1);
        assert_eq!(changed(|after| after["steps"][0]["response"]["body"]["leader"] = json!("0")), 1);
        assert_eq!(changed(|after| after["steps"][0]["response"]["body"]["odd"] = json!(1)), 1);
    }
}

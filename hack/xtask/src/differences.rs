//! Where two values differ, one line for each place.

use serde_json::Value;

/// What differs between `before` and `after`, each named by its place below `place`.
pub fn between(place: &str, before: &Value, after: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare(place, before, after, &mut found);
    found
}

fn compare(place: &str, before: &Value, after: &Value, found: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (key, value) in before {
                match after.get(key) {
                    Some(other) => compare(&format!("{place}: {key}"), value, other, found),
                    None => found.push(format!("{place}: {key} is gone")),
                }
            }
            let new = after.keys().filter(|key| !before.contains_key(*key));
            found.extend(new.map(|key| format!("{place}: {key} is new")));
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            for (index, (value, other)) in before.iter().zip(after).enumerate() {
                compare(&format!("{place}[{index}]"), value, other, found);
            }
        }
        _ if before != after => found.push(format!("{place}: was {before}, is {after}")),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::between;

    #[test]
    fn each_difference_is_named_by_its_place() {
        let before = json!({"a": 1, "b": {"c": [1, 2]}, "gone": 1, "same": true});
        let after = json!({"a": 2, "b": {"c": [1, 3]}, "new": 1, "same": true});
        let expected = ["x: a: was 1, is 2", "x: b: c[1]: was 2, is 3", "x: gone is gone", "x: new is new"];
        assert_eq!(between("x", &before, &after), expected);
        assert!(between("x", &before, &before).is_empty());
        assert_eq!(between("x", &json!([1]), &json!([1, 2])), ["x: was [1], is [1,2]"]);
    }
}

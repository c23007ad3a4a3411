//! Between JSON and CEL values.

use std::collections::HashMap;
use std::sync::Arc;

use kube_cel::cel::Value;
use kube_cel::cel::objects::{Key, Map, ValueType};
use serde_json::Value as Json;

/// A JSON document as a CEL value. Whole numbers become `int` wherever they fit 64 bits with sign: CEL's `int` and
/// `uint` are never equal.
pub(super) fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Value::Int(whole),
            (None, Some(large)) => Value::UInt(large),
            (None, None) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => text_value(text.clone()),
        Json::Array(items) => list_value(items.iter().map(from_json).collect()),
        Json::Object(fields) => map_value(fields.iter().map(|(name, value)| (name.as_str(), from_json(value)))),
    }
}

/// A value that has no place where it is to stand.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    #[error("JSON has no number {0}")]
    Number(f64),
    #[error("JSON has no {0}")]
    Type(ValueType),
    #[error("a {0} has no place in a text")]
    Text(ValueType),
}

/// A CEL value as JSON.
pub(super) fn to_json(value: &Value) -> Result<Json, Unfit> {
    match value {
        Value::Null => Ok(Json::Null),
        Value::Bool(truth) => Ok(Json::Bool(*truth)),
        Value::Int(whole) => Ok(Json::from(*whole)),
        Value::UInt(whole) => Ok(Json::from(*whole)),
        Value::Float(number) => serde_json::Number::from_f64(*number).map(Json::Number).ok_or(Unfit::Number(*number)),
        Value::String(text) => Ok(Json::String(text.to_string())),
        Value::List(items) => items.iter().map(to_json).collect::<Result<Vec<_>, _>>().map(Json::Array),
        Value::Map(map) => map
            .map
            .iter()
            .map(|(key, value)| Ok((key.to_string(), to_json(value)?)))
            .collect::<Result<serde_json::Map<_, _>, Unfit>>()
            .map(Json::Object),
        other => Err(Unfit::Type(other.type_of())),
    }
}

/// A value as it stands within a text. Lists, maps and null have no place there.
pub(super) fn to_text(value: &Value) -> Result<String, Unfit> {
    match value {
        Value::String(text) => Ok(text.to_string()),
        Value::Int(whole) => Ok(whole.to_string()),
        Value::UInt(whole) => Ok(whole.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        other => Err(Unfit::Text(other.type_of())),
    }
}

pub(super) fn text_value(text: String) -> Value {
    Value::String(Arc::new(text))
}

/// A time, written as RFC 3339.
pub(super) fn timestamp(text: &str) -> Option<Value> {
    text.parse().ok().map(Value::Timestamp)
}

pub(super) fn list_value(items: Vec<Value>) -> Value {
    Value::List(Arc::new(items))
}

pub(super) fn map_value<'a>(fields: impl Iterator<Item = (&'a str, Value)>) -> Value {
    let map: HashMap<Key, Value> = fields.map(|(name, value)| (Key::from(name), value)).collect();
    Value::Map(Map { map: Arc::new(map) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn keeps_documents_through_cel_and_back() {
        let document = json!({"a": [1, -2, 1.5, true, null, "x", {"b": {}}], "n": 18_446_744_073_709_551_615_u64});
        assert_eq!(to_json(&from_json(&document)).unwrap(), document);
    }

    #[test]
    fn reads_whole_numbers_as_int() {
        assert!(matches!(from_json(&json!(2)), Value::Int(2)));
        assert!(matches!(from_json(&json!(u64::MAX)), Value::UInt(u64::MAX)));
    }
}

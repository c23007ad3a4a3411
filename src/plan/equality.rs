//! Equality that does not pass over a mix-up of types.
//!
//! The interpreter takes a text and a number for unequal, and `1` and `1.0` too. Then `leader != member` would hold for
//! ever where one backend writes its IDs as numbers and another as texts, and a pod would be let go that still leads.
//! Here numbers compare by value, and what can't be compared is an error. `null` is equal to itself and to nothing else.

use kube_cel::cel::objects::{Key, KeyRef};
use kube_cel::cel::{ExecutionError, Value};

/// What `==`, `!=` and `in` are called in trees that were made strict.
pub(super) const EQUAL: &str = "@equal";
pub(super) const UNEQUAL: &str = "@unequal";
pub(super) const AMONG: &str = "@among";

/// Whether two values are equal. An error where they could never be.
pub(super) fn equal(one: &Value, other: &Value) -> Result<bool, ExecutionError> {
    if comparable(one, other) {
        Ok(one == other)
    } else {
        let message = format!("a {} can't be compared with a {}", one.type_of(), other.type_of());
        Err(ExecutionError::function_error("==", message))
    }
}

/// Whether a list holds a value, or a map a key. An error where nothing in it could ever be that value.
pub(super) fn among(one: &Value, all: &Value) -> Result<bool, ExecutionError> {
    let (found, may_be) = match all {
        Value::List(items) => (
            items.iter().any(|item| comparable(one, item) && item == one),
            items.is_empty() || items.iter().any(|item| comparable(one, item)),
        ),
        Value::Map(map) => {
            let found = KeyRef::try_from(one).is_ok_and(|key| map.get(&key).is_some());
            (found, map.map.is_empty() || map.map.keys().any(|key| comparable(one, &Value::from(key as &Key))))
        }
        other => {
            let message = format!("nothing is in a {}", other.type_of());
            return Err(ExecutionError::function_error("in", message));
        }
    };
    if found || may_be {
        Ok(found)
    } else {
        let message = format!("no {} can be in this {}", one.type_of(), all.type_of());
        Err(ExecutionError::function_error("in", message))
    }
}

fn comparable(one: &Value, other: &Value) -> bool {
    let number = |value: &Value| matches!(value, Value::Int(_) | Value::UInt(_) | Value::Float(_));
    let null = |value: &Value| matches!(value, Value::Null);
    (number(one) && number(other))
        || null(one)
        || null(other)
        || std::mem::discriminant(one) == std::mem::discriminant(other)
}

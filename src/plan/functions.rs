//! What expressions can call: operators and the functions that loops call most are done here, all others by the
//! interpreter, which copies what it is given.

use std::cmp::Ordering;
use std::sync::LazyLock;

use kube_cel::KubeCelExt as _;
use kube_cel::cel::common::ast::{CallExpr, Expr, operators};
use kube_cel::cel::objects::KeyRef;
use kube_cel::cel::{Context, ExecutionError, IdedExpr, Value};

use super::equality::{self, AMONG, EQUAL, UNEQUAL};
use super::evaluate::GROUP_BY;
use super::expression::guarded;

/// The interpreter's functions, registered once.
static FUNCTIONS: LazyLock<Context<'static>> = LazyLock::new(|| Context::default().with_all());

/// Whether there is a function of this name: a call without arguments then fails in any other way than by not being
/// known.
pub(super) fn exists(name: &str) -> bool {
    let call = Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args: Vec::new() });
    let answer = guarded(|| Value::resolve(&IdedExpr { id: 0, expr: call }, &FUNCTIONS));
    name == GROUP_BY || !matches!(answer, Some(Err(ExecutionError::UndeclaredReference(unknown))) if *unknown == name)
}

/// How much work a call makes, in steps.
pub(super) fn work(name: &str, values: &[Value]) -> usize {
    let length = |value: Option<&Value>| match value {
        Some(Value::List(items)) => items.len(),
        Some(Value::String(text)) => text.len(),
        _ => 1,
    };
    let (first, last) = (length(values.first()), length(values.last()));
    match (name, values) {
        // These cost the same whatever they are given.
        (operators::INDEX | operators::IN | AMONG, [Value::Map(_), _] | [_, Value::Map(_)])
        | (operators::INDEX | "size", _) => 1,
        (operators::ADD, _) => first / 64 + last / 64,
        (AMONG, _) => last,
        // They compare each item with each other, or put the last text in for each letter of the first.
        ("distinct" | "sets.contains" | "sets.equivalent" | "sets.intersects" | "replace", _) => {
            first.saturating_mul(first.max(last))
        }
        ("lists.range", [.., Value::Int(number)]) => usize::try_from(*number).unwrap_or(1),
        _ => values.iter().map(weight).sum(),
    }
}

/// How many values there are in a value; of long texts and bytes, a part for every 64 letters.
fn weight(value: &Value) -> usize {
    match value {
        Value::List(items) => 1 + items.iter().map(weight).sum::<usize>(),
        Value::Map(map) => 1 + map.map.values().map(weight).sum::<usize>(),
        Value::String(text) => 1 + text.len() / 64,
        Value::Bytes(bytes) => 1 + bytes.len() / 64,
        _ => 1,
    }
}

/// The value of a call. Of one with a target (`target.name(…)`), that is the first value.
pub(super) fn call(name: &str, targeted: bool, values: Vec<Value>) -> Result<Value, ExecutionError> {
    match (name, values.as_slice()) {
        (operators::LOGICAL_NOT, [Value::Bool(truth)]) => Ok(Value::Bool(!truth)),
        (operators::NEGATE, [Value::Int(number)]) => number
            .checked_neg()
            .map(Value::Int)
            .ok_or_else(|| ExecutionError::Overflow("sub", Value::Int(0), Value::Int(*number))),
        (operators::NEGATE, [Value::Float(number)]) => Ok(Value::Float(-number)),
        (operators::ADD | operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE | operators::MODULO, _) => {
            arithmetic(name, values)
        }
        (operators::LESS, [one, other]) => compare(one, other).map(|order| Value::Bool(order.is_lt())),
        (operators::LESS_EQUALS, [one, other]) => compare(one, other).map(|order| Value::Bool(order.is_le())),
        (operators::GREATER, [one, other]) => compare(one, other).map(|order| Value::Bool(order.is_gt())),
        (operators::GREATER_EQUALS, [one, other]) => compare(one, other).map(|order| Value::Bool(order.is_ge())),
        (EQUAL, [one, other]) => equality::equal(one, other).map(Value::Bool),
        (UNEQUAL, [one, other]) => equality::equal(one, other).map(|equal| Value::Bool(!equal)),
        (AMONG, [one, all]) => equality::among(one, all).map(Value::Bool),
        // `has(map.field)`: of what is no map, nothing can be said.
        (operators::IN, [field, Value::Map(map)]) => {
            Ok(Value::Bool(key(field).is_some_and(|key| map.get(&key).is_some())))
        }
        (operators::INDEX, [of, at]) => index(of, at),
        ("size", [Value::List(items)]) => length(items.len()),
        ("size", [Value::Map(map)]) => length(map.map.len()),
        ("startsWith", [Value::String(text), Value::String(part)]) => Ok(Value::Bool(text.starts_with(part.as_str()))),
        ("endsWith", [Value::String(text), Value::String(part)]) => Ok(Value::Bool(text.ends_with(part.as_str()))),
        ("contains", [Value::String(text), Value::String(part)]) => Ok(Value::Bool(text.contains(part.as_str()))),
        _ if name.starts_with(|first: char| first.is_ascii_alphabetic()) => interpreted(name, targeted, values),
        _ => Err(ExecutionError::NoSuchOverload),
    }
}

fn arithmetic(name: &str, values: Vec<Value>) -> Result<Value, ExecutionError> {
    let Ok([one, other]) = <[Value; 2]>::try_from(values) else { return Err(ExecutionError::NoSuchOverload) };
    match name {
        operators::ADD => one + other,
        operators::SUBSTRACT => one - other,
        operators::MULTIPLY => one * other,
        operators::DIVIDE => one / other,
        _ => one % other,
    }
}

fn compare(one: &Value, other: &Value) -> Result<Ordering, ExecutionError> {
    one.partial_cmp(other).ok_or_else(|| ExecutionError::ValuesNotComparable(one.clone(), other.clone()))
}

fn length(items: usize) -> Result<Value, ExecutionError> {
    i64::try_from(items).map(Value::Int).map_err(|_| ExecutionError::NoSuchOverload)
}

fn key(value: &Value) -> Option<KeyRef<'_>> {
    KeyRef::try_from(value).ok()
}

fn index(of: &Value, at: &Value) -> Result<Value, ExecutionError> {
    let found = match (of, at) {
        (Value::Map(map), _) => match key(at) {
            Some(key) => map.get(&key),
            None => return Err(ExecutionError::UnsupportedMapIndex(at.clone())),
        },
        (Value::List(items), Value::Int(number)) => usize::try_from(*number).ok().and_then(|number| items.get(number)),
        (Value::List(items), Value::UInt(number)) => usize::try_from(*number).ok().and_then(|number| items.get(number)),
        _ => return Err(ExecutionError::UnsupportedIndex(at.clone(), Value::String(of.type_of().to_string().into()))),
    };
    found.cloned().ok_or_else(|| match at {
        Value::String(name) => ExecutionError::NoSuchKey(name.clone()),
        _ => ExecutionError::IndexOutOfBounds(at.clone()),
    })
}

/// Has the interpreter make the call, on values under names of their own.
fn interpreted(name: &str, targeted: bool, values: Vec<Value>) -> Result<Value, ExecutionError> {
    let called = || {
        let mut scope = FUNCTIONS.new_inner_scope();
        let mut arguments = Vec::new();
        for (index, value) in values.into_iter().enumerate() {
            let argument = format!("@{index}");
            scope.add_variable_from_value(argument.as_str(), value);
            arguments.push(IdedExpr { id: 0, expr: Expr::Ident(argument) });
        }
        let target = targeted.then(|| Box::new(arguments.remove(0)));
        let call = CallExpr { func_name: name.to_owned(), target, args: arguments };
        Value::resolve(&IdedExpr { id: 0, expr: Expr::Call(call) }, &scope)
    };
    guarded(called).unwrap_or_else(|| Err(ExecutionError::function_error(name, "the interpreter failed")))
}

//! Evaluates the syntax trees of expressions, and counts the work.
//!
//! The interpreter that comes with the parser copies every list that an expression names, each time, and each list that
//! a `filter` or `map` builds once an item; so an answer of some 100,000 items takes it minutes, and nothing counts the
//! steps. Here values are shared, loops take one pass, and who evaluates gives [`Steps`] that run out. Functions (but
//! `size` and the like, which loops call most) are the interpreter's still.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use kube_cel::cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, MapExpr, operators};
use kube_cel::cel::objects::{Key, Map};
use kube_cel::cel::{ExecutionError, IdedExpr, Value};
use serde_json::Value as Json;

use super::functions;
use super::scope::Trouble;
use super::value::{from_json, list_value, text_value};

/// The function that sorts a list by a key of its items: `list.groupBy(item, key)`.
pub(super) const GROUP_BY: &str = "groupBy";

/// What an expression or a name stands for.
pub(super) type Found = Result<Value, Lack>;

/// Why an expression or a name stands for nothing.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Lack {
    /// These reads have not been made yet. Nothing may pass over it, not even `true || …`.
    Missing(BTreeSet<String>),
    /// A read failed. Nothing may pass over it.
    Unread(Trouble),
    /// The steps are used up. Nothing may pass over it.
    Exhausted,
    /// A name has no value, because its own expression failed. `true || …` passes over it.
    Failed(Trouble),
    /// This expression failed. `true || …` passes over it.
    Error(ExecutionError),
}

/// Finds what names stand for.
pub(super) trait Names {
    fn find(&self, name: &str) -> Found;

    /// The document that a name stands for, where it is more than is usually asked for.
    fn document(&self, _name: &str) -> Option<&Json> {
        None
    }
}

/// The work that may still be done. A step is a node of an expression, an item of a list that is searched, or a value
/// that a function is given.
#[derive(Debug)]
pub(super) struct Steps(Cell<u64>);

impl Steps {
    pub fn new(steps: u64) -> Self {
        Steps(Cell::new(steps))
    }

    #[cfg(test)]
    pub fn left(&self) -> u64 {
        self.0.get()
    }

    fn spend(&self, steps: usize) -> Result<(), Lack> {
        let left = self.0.get().saturating_sub(steps as u64);
        self.0.set(left);
        if left == 0 { Err(Lack::Exhausted) } else { Ok(()) }
    }
}

/// The value of an expression.
pub(super) fn evaluate(tree: &IdedExpr, names: &dyn Names, steps: &Steps) -> Found {
    Evaluation { names, steps, variables: Vec::new() }.value(tree)
}

struct Evaluation<'a> {
    names: &'a dyn Names,
    steps: &'a Steps,
    /// Loop variables, the innermost last.
    variables: Vec<(&'a str, Value)>,
}

impl<'a> Evaluation<'a> {
    fn value(&mut self, node: &'a IdedExpr) -> Found {
        self.steps.spend(1)?;
        match &node.expr {
            Expr::Ident(name) => self.name(name),
            Expr::Call(call) => self.call(call),
            Expr::Literal(literal) => Ok(literal_value(literal)),
            Expr::Comprehension(loops) => {
                let outer = self.variables.len();
                let result = self.comprehension(loops);
                self.variables.truncate(outer);
                result
            }
            Expr::List(list) => self.all(list.elements.iter()).map(list_value),
            Expr::Map(map) => self.map(map),
            Expr::Select(_) | Expr::Struct(_) | Expr::Unspecified => Err(Lack::Error(ExecutionError::NoSuchOverload)),
        }
    }

    fn name(&self, name: &str) -> Found {
        match self.variables.iter().rev().find(|(variable, _)| *variable == name) {
            Some((_, value)) => Ok(value.clone()),
            None => self.names.find(name),
        }
    }

    fn all(&mut self, nodes: impl Iterator<Item = &'a IdedExpr>) -> Result<Vec<Value>, Lack> {
        nodes.map(|node| self.value(node)).collect()
    }

    fn truth(&mut self, node: &'a IdedExpr) -> Result<bool, Lack> {
        match self.value(node)? {
            Value::Bool(truth) => Ok(truth),
            _ => Err(Lack::Error(ExecutionError::NoSuchOverload)),
        }
    }

    #[inline(never)]
    fn map(&mut self, map: &'a MapExpr) -> Found {
        let mut entries = HashMap::new();
        for entry in &map.entries {
            if let EntryExpr::MapEntry(entry) = &entry.expr {
                let key = key_of(self.value(&entry.key)?)?;
                entries.insert(key, self.value(&entry.value)?);
            }
        }
        Ok(Value::Map(Map { map: Arc::new(entries) }))
    }

    fn call(&mut self, call: &'a CallExpr) -> Found {
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::CONDITIONAL, [condition, yes, no]) => {
                let chosen = if self.truth(condition)? { yes } else { no };
                self.value(chosen)
            }
            (operators::LOGICAL_AND, [one, other]) => self.either(one, other, false),
            (operators::LOGICAL_OR, [one, other]) => self.either(one, other, true),
            (operators::NOT_STRICTLY_FALSE, [condition]) => match self.truth(condition) {
                Err(Lack::Failed(_) | Lack::Error(_)) => Ok(Value::Bool(true)),
                known => known.map(Value::Bool),
            },
            (GROUP_BY, [variable, key]) => self.group_by(call, variable, key),
            (operators::INDEX, [of, at]) if let Some(part) = self.part_of(of).and_then(|part| part_at(part, at)) => {
                self.steps.spend(2)?;
                Ok(from_json(part))
            }
            (name, args) => {
                let values = self.all(call.target.as_deref().into_iter().chain(args))?;
                self.steps.spend(functions::work(name, &values))?;
                functions::call(name, call.target.is_some(), values).map_err(Lack::Error)
            }
        }
    }

    /// The part of a document that a path leads to, as `pod.metadata`, so that no more of it is taken than is asked for.
    fn part_of(&self, path: &IdedExpr) -> Option<&'a Json> {
        match &path.expr {
            Expr::Ident(name) if self.variables.iter().all(|(variable, _)| variable != name) => {
                self.names.document(name)
            }
            Expr::Call(call) if call.func_name == operators::INDEX => match call.args.as_slice() {
                [of, at] => part_at(self.part_of(of)?, at),
                _ => None,
            },
            _ => None,
        }
    }

    /// `one && other` or `one || other`, which one value of either side decides. What failed on one side does not
    /// matter where the other decides; what is missing does, since it may have failed.
    #[inline(never)]
    fn either(&mut self, one: &'a IdedExpr, other: &'a IdedExpr, decides: bool) -> Found {
        let first = self.truth(one);
        match &first {
            Ok(truth) if *truth == decides => return first.map(Value::Bool),
            Err(Lack::Unread(_) | Lack::Exhausted) => return first.map(Value::Bool),
            _ => {}
        }
        let result = match (first, self.truth(other)) {
            (Err(Lack::Missing(names)), Err(Lack::Missing(others))) => {
                Err(Lack::Missing(names.into_iter().chain(others).collect()))
            }
            (_, Err(second @ (Lack::Missing(_) | Lack::Unread(_) | Lack::Exhausted))) => Err(second),
            (Err(missing @ Lack::Missing(_)), _) => Err(missing),
            (Err(_), Ok(second)) if second == decides => Ok(second),
            (Err(failed), _) => Err(failed),
            (Ok(_), second) => second,
        };
        result.map(Value::Bool)
    }

    #[inline(never)]
    fn comprehension(&mut self, loops: &'a ComprehensionExpr) -> Found {
        let items = items_of(self.value(&loops.iter_range)?)?;
        if let Some(collected) = Collected::by(loops) {
            return self.collect(&loops.iter_var, &items, &collected);
        }
        let mut result = self.value(&loops.accu_init)?;
        for item in items.iter() {
            let outer = self.variables.len();
            self.variables.push((&loops.accu_var, result.clone()));
            if !self.truth(&loops.loop_cond)? {
                self.variables.truncate(outer);
                break;
            }
            self.variables.push((&loops.iter_var, item.clone()));
            result = self.value(&loops.loop_step)?;
            self.variables.truncate(outer);
        }
        self.variables.push((&loops.accu_var, result));
        self.value(&loops.result)
    }

    /// A `filter` or `map`.
    fn collect(&mut self, variable: &'a str, items: &[Value], collected: &Collected<'a>) -> Found {
        let mut kept = Vec::new();
        for item in items {
            self.variables.push((variable, item.clone()));
            let takes = collected.condition.map_or(Ok(true), |condition| self.truth(condition))?;
            if takes {
                kept.push(self.value(collected.element)?);
            }
            self.variables.pop();
        }
        Ok(list_value(kept))
    }

    #[inline(never)]
    fn group_by(&mut self, call: &'a CallExpr, variable: &'a IdedExpr, key: &'a IdedExpr) -> Found {
        let (Some(list), Expr::Ident(variable)) = (call.target.as_deref(), &variable.expr) else {
            return Err(Lack::Error(ExecutionError::function_error(GROUP_BY, "is list.groupBy(item, key)")));
        };
        let mut groups: HashMap<Key, Vec<Value>> = HashMap::new();
        for item in items_of(self.value(list)?)?.iter() {
            self.variables.push((variable, item.clone()));
            let key = key_of(self.value(key)?)?;
            self.variables.pop();
            groups.entry(key).or_default().push(item.clone());
        }
        let groups = groups.into_iter().map(|(key, items)| (key, list_value(items))).collect();
        Ok(Value::Map(Map { map: Arc::new(groups) }))
    }
}

/// What a `filter` or `map` makes a list of. The parser writes both as `@result + [element]`, where a condition holds.
struct Collected<'a> {
    condition: Option<&'a IdedExpr>,
    element: &'a IdedExpr,
}

impl<'a> Collected<'a> {
    fn by(loops: &'a ComprehensionExpr) -> Option<Self> {
        let is_result = |node: &IdedExpr| matches!(&node.expr, Expr::Ident(name) if *name == loops.accu_var);
        let call = |node: &'a IdedExpr| match &node.expr {
            Expr::Call(call) => Some((call.func_name.as_str(), call.args.as_slice())),
            _ => None,
        };
        let (condition, appended) = match call(&loops.loop_step)? {
            (operators::CONDITIONAL, [condition, appended, result]) if is_result(result) => (Some(condition), appended),
            _ => (None, &loops.loop_step),
        };
        let (operators::ADD, [result, list]) = call(appended)? else { return None };
        let (Expr::List(list), true, true) = (&list.expr, is_result(result), is_result(&loops.result)) else {
            return None;
        };
        let [element] = list.elements.as_slice() else { return None };
        Some(Collected { condition, element })
    }
}

/// What stands in a document under this name.
fn part_at<'a>(document: &'a Json, at: &IdedExpr) -> Option<&'a Json> {
    match &at.expr {
        Expr::Literal(LiteralValue::String(name)) => document.as_object()?.get(name.inner()),
        _ => None,
    }
}

fn items_of(range: Value) -> Result<Arc<Vec<Value>>, Lack> {
    match range {
        Value::List(items) => Ok(items),
        Value::Map(map) => Ok(Arc::new(map.map.keys().map(Value::from).collect())),
        _ => Err(Lack::Error(ExecutionError::NoSuchOverload)),
    }
}

fn key_of(value: Value) -> Result<Key, Lack> {
    value.try_into().map_err(|value| Lack::Error(ExecutionError::UnsupportedKeyType(value)))
}

fn literal_value(literal: &LiteralValue) -> Value {
    match literal {
        LiteralValue::Boolean(truth) => Value::Bool(*truth.inner()),
        LiteralValue::Int(number) => Value::Int(*number.inner()),
        LiteralValue::UInt(number) => Value::UInt(*number.inner()),
        LiteralValue::Double(number) => Value::Float(*number.inner()),
        LiteralValue::String(text) => text_value(text.inner().to_owned()),
        LiteralValue::Bytes(bytes) => Value::Bytes(Arc::new(bytes.inner().to_vec())),
        LiteralValue::Null => Value::Null,
    }
}

//! Walks over CEL syntax trees: made strict, searched for names, judged by type.

use std::collections::BTreeSet;

use kube_cel::cel::IdedExpr;
use kube_cel::cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, operators};

use super::evaluate::GROUP_BY;
use super::expression::ExpressionError;
use super::{equality, functions};

/// What an expression gives, where its form alone tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Number,
    Text,
    List,
    Map,
    Null,
}

impl Kind {
    pub(super) fn describe(self) -> &'static str {
        match self {
            Kind::Bool => "true or false",
            Kind::Number => "a number",
            Kind::Text => "a text",
            Kind::List => "a list",
            Kind::Map => "a map",
            Kind::Null => "null",
        }
    }
}

/// The expressions directly below one.
pub(super) fn children(expr: &Expr) -> Vec<&IdedExpr> {
    match expr {
        Expr::Call(call) => call.target.iter().map(AsRef::as_ref).chain(&call.args).collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => map.entries.iter().flat_map(|entry| entry_parts(&entry.expr)).collect(),
        Expr::Struct(fields) => fields.entries.iter().flat_map(|entry| entry_parts(&entry.expr)).collect(),
        Expr::Comprehension(loops) => {
            vec![&loops.iter_range, &loops.accu_init, &loops.loop_cond, &loops.loop_step, &loops.result]
        }
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => Vec::new(),
    }
}

fn entry_parts(entry: &EntryExpr) -> Vec<&IdedExpr> {
    match entry {
        EntryExpr::StructField(field) => vec![&field.value],
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
    }
}

fn children_mut(expr: &mut Expr) -> Vec<&mut IdedExpr> {
    match expr {
        Expr::Call(call) => call.target.iter_mut().map(AsMut::as_mut).chain(&mut call.args).collect(),
        Expr::Select(select) => vec![&mut select.operand],
        Expr::List(list) => list.elements.iter_mut().collect(),
        Expr::Map(map) => map
            .entries
            .iter_mut()
            .flat_map(|entry| match &mut entry.expr {
                EntryExpr::StructField(field) => vec![&mut field.value],
                EntryExpr::MapEntry(entry) => vec![&mut entry.key, &mut entry.value],
            })
            .collect(),
        Expr::Comprehension(loops) => {
            let ComprehensionExpr { iter_range, accu_init, loop_cond, loop_step, result, .. } = &mut **loops;
            vec![iter_range, accu_init, loop_cond, loop_step, result]
        }
        Expr::Struct(_) | Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => Vec::new(),
    }
}

/// Makes an expression strict, and refuses what the interpreter can't evaluate.
///
/// The interpreter takes `x.field` on anything but a map for `false`, so that `!answer.body.busy` would hold for an
/// answer that is a text. `x["field"]` is an error there, as CEL wants it: every `x.field` becomes that, and every
/// `has(x.field)` becomes `"field" in x`. Comparisons become those of [`equality`], which tell a mix-up of types. It has
/// no message types (`Name{…}`) either: it would panic.
pub(super) fn make_strict(node: &mut IdedExpr, levels: usize) -> Result<(), ExpressionError> {
    let levels = levels.checked_sub(1).ok_or(ExpressionError::TooDeep)?;
    if let Expr::Struct(message) = &node.expr {
        return Err(ExpressionError::MessageType(message.type_name.clone()));
    }
    if matches!(node.expr, Expr::Unspecified) {
        return Err(ExpressionError::EmptyPart);
    }
    let optional = match &node.expr {
        Expr::List(list) => !list.optional_indices.is_empty(),
        Expr::Map(map) => map.entries.iter().any(|entry| matches!(&entry.expr, EntryExpr::MapEntry(e) if e.optional)),
        _ => false,
    };
    if optional {
        return Err(ExpressionError::Optional);
    }
    for child in children_mut(&mut node.expr) {
        make_strict(child, levels)?;
    }
    if let Expr::Call(call) = &mut node.expr {
        make_call_strict(call)?;
    }
    if let Expr::Select(select) = &mut node.expr {
        let id = node.id;
        let operand = std::mem::take(&mut *select.operand);
        let literal = Expr::Literal(LiteralValue::String(select.field.as_str().into()));
        let field = IdedExpr { id, expr: literal };
        let (name, args) =
            if select.test { (operators::IN, vec![field, operand]) } else { (operators::INDEX, vec![operand, field]) };
        node.expr = Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args });
    }
    Ok(())
}

fn make_call_strict(call: &mut CallExpr) -> Result<(), ExpressionError> {
    match call.func_name.as_str() {
        operators::EQUALS => equality::EQUAL.clone_into(&mut call.func_name),
        operators::NOT_EQUALS => equality::UNEQUAL.clone_into(&mut call.func_name),
        operators::IN => equality::AMONG.clone_into(&mut call.func_name),
        GROUP_BY if call.target.is_none() || !matches!(call.args.as_slice(), [variable, _] if is_name(variable)) => {
            return Err(ExpressionError::GroupBy);
        }
        _ => {}
    }
    // Only so can the name space in `math.least(1, 2)` be told from a variable.
    if let Some(Expr::Ident(space)) = call.target.as_ref().map(|target| &target.expr) {
        let full = format!("{space}.{}", call.func_name);
        if functions::exists(&full) {
            call.func_name = full;
            call.target = None;
        }
    }
    Ok(())
}

fn is_name(node: &IdedExpr) -> bool {
    matches!(node.expr, Expr::Ident(_))
}

/// What an expression refers to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct References {
    /// Names that are no loop variables.
    pub names: BTreeSet<String>,
    /// Those of them that are looked up whichever way its conditionals (`a ? b : c`) turn out.
    pub certain: BTreeSet<String>,
    /// The loop variables of `filter`, `map`, `exists`, `all`.
    pub loop_variables: BTreeSet<String>,
    /// Functions, with their name space where they have one, as `math.least`.
    pub functions: BTreeSet<String>,
    /// Fields taken of a name, as `(params, pd)` in `params.pd`.
    pub fields: BTreeSet<(String, String)>,
    /// Fields taken below `pod`, as `[metadata, name]`.
    pub of_pod: BTreeSet<Vec<String>>,
}

/// Collects the references of an expression that was made strict.
pub(super) fn references(node: &IdedExpr) -> References {
    let mut walk = Walk { found: References::default(), bound: Vec::new() };
    walk.visit(node, true);
    walk.found
}

struct Walk {
    found: References,
    bound: Vec<String>,
}

impl Walk {
    fn visit(&mut self, node: &IdedExpr, certain: bool) {
        match &node.expr {
            Expr::Ident(name) => self.name(name, certain),
            Expr::Call(call) => self.call(call, certain),
            Expr::Comprehension(loops) => {
                self.visit(&loops.iter_range, certain);
                self.visit(&loops.accu_init, certain);
                self.found.loop_variables.insert(loops.iter_var.clone());
                let outer = self.bound.len();
                self.bound.extend([loops.iter_var.clone(), loops.accu_var.clone()]);
                self.bound.extend(loops.iter_var2.clone());
                self.visit(&loops.loop_cond, certain);
                self.visit(&loops.loop_step, certain);
                self.visit(&loops.result, certain);
                self.bound.truncate(outer);
            }
            other => children(other).into_iter().for_each(|child| self.visit(child, certain)),
        }
    }

    fn name(&mut self, name: &str, certain: bool) {
        if self.bound.iter().any(|bound| bound == name) {
            return;
        }
        self.found.names.insert(name.to_owned());
        if certain {
            self.found.certain.insert(name.to_owned());
        }
    }

    fn call(&mut self, call: &CallExpr, certain: bool) {
        let taken = match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::INDEX, [operand, field]) | (operators::IN | equality::AMONG, [field, operand]) => {
                Some((operand, field))
            }
            _ => None,
        };
        if let Some((operand, field)) = taken
            && let (Expr::Ident(name), Expr::Literal(LiteralValue::String(field))) = (&operand.expr, &field.expr)
            && !self.bound.contains(name)
        {
            self.found.fields.insert((name.clone(), field.inner().to_owned()));
        }
        if let Some((operand, field)) = taken
            && let Some((root, mut path)) = path_of(operand)
            && let Expr::Literal(LiteralValue::String(field)) = &field.expr
            && root == "pod"
            && !self.bound.iter().any(|bound| bound == root)
        {
            path.push(field.inner().to_owned());
            self.found.of_pod.insert(path);
        }
        let named = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '.';
        if call.func_name.chars().all(named) && call.func_name.chars().any(char::is_alphabetic) {
            self.found.functions.insert(call.func_name.clone());
        }
        if let Some(target) = &call.target {
            self.visit(target, certain);
        }
        if let (GROUP_BY, [variable, key]) = (call.func_name.as_str(), call.args.as_slice())
            && let Expr::Ident(variable) = &variable.expr
        {
            self.found.loop_variables.insert(variable.clone());
            self.bound.push(variable.clone());
            self.visit(key, certain);
            self.bound.pop();
            return;
        }
        let conditional = call.func_name == operators::CONDITIONAL;
        for (index, argument) in call.args.iter().enumerate() {
            self.visit(argument, certain && !(conditional && index > 0));
        }
    }
}

/// The name that a chain of fields begins with, and the fields.
fn path_of(node: &IdedExpr) -> Option<(&str, Vec<String>)> {
    match &node.expr {
        Expr::Ident(name) => Some((name, Vec::new())),
        Expr::Call(CallExpr { func_name, args, .. }) if func_name == operators::INDEX => {
            let [operand, field] = args.as_slice() else { return None };
            let Expr::Literal(LiteralValue::String(field)) = &field.expr else { return None };
            let (root, mut path) = path_of(operand)?;
            path.push(field.inner().to_owned());
            Some((root, path))
        }
        _ => None,
    }
}

/// What an expression gives, where its form alone tells.
pub(super) fn kind(node: &IdedExpr) -> Option<Kind> {
    match &node.expr {
        Expr::Literal(literal) => match literal {
            LiteralValue::Boolean(_) => Some(Kind::Bool),
            LiteralValue::Double(_) | LiteralValue::Int(_) | LiteralValue::UInt(_) => Some(Kind::Number),
            LiteralValue::String(_) => Some(Kind::Text),
            LiteralValue::Null => Some(Kind::Null),
            LiteralValue::Bytes(_) => None,
        },
        Expr::List(_) => Some(Kind::List),
        Expr::Map(_) => Some(Kind::Map),
        Expr::Comprehension(loops) => match (&loops.result.expr, kind(&loops.accu_init)) {
            (Expr::Ident(_), Some(kind)) => Some(kind),
            _ => kind(&loops.result),
        },
        Expr::Call(call) => kind_of_call(call),
        _ => None,
    }
}

fn kind_of_call(call: &CallExpr) -> Option<Kind> {
    match call.func_name.as_str() {
        operators::LOGICAL_AND
        | operators::LOGICAL_OR
        | operators::LOGICAL_NOT
        | equality::EQUAL
        | equality::UNEQUAL
        | equality::AMONG
        | operators::LESS
        | operators::LESS_EQUALS
        | operators::GREATER
        | operators::GREATER_EQUALS
        | operators::IN
        | "startsWith"
        | "endsWith"
        | "contains"
        | "matches" => Some(Kind::Bool),
        "size" | "int" | "uint" | "double" => Some(Kind::Number),
        "string" | "join" | "format" => Some(Kind::Text),
        "split" => Some(Kind::List),
        GROUP_BY => Some(Kind::Map),
        operators::CONDITIONAL => {
            let (yes, no) = (kind(call.args.get(1)?)?, kind(call.args.get(2)?)?);
            (yes == no).then_some(yes)
        }
        operators::ADD | operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE | operators::MODULO => {
            call.args.iter().find_map(kind)
        }
        _ => None,
    }
}

//! What the expressions of one round can see, looked up only when they ask for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use kube_cel::cel::context::VariableResolver;
use kube_cel::cel::{Context, ExecutionError, Value};

use super::compiled::{Plan, ReadPlan};
use super::expression::{Expression, FUNCTIONS, clean};
use super::template::Template;
use super::value;
use super::{Inputs, Mode, Observation, Observations, ReadKey};

/// The most items that a read may be made for.
pub(super) const MOST_ITEMS: usize = 64;

/// Why there is no value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Trouble {
    /// These reads have not been made yet.
    Missing(BTreeSet<String>),
    /// It takes an address of the pod, which the pod no longer has.
    PodGone,
    /// A read or an expression failed.
    Failed {
        /// For users.
        message: String,
        /// For the log.
        detail: String,
    },
}

/// What the expressions of one round can see.
pub(super) struct Scope<'a> {
    pub plan: &'a Plan,
    pub inputs: &'a Inputs<'a>,
    pub seen: &'a Observations,
    /// The pod's name at the backend, once it is known.
    pub member: Option<String>,
    /// What is there from the beginning. Values in a context are borrowed by whatever refers to them; those that a
    /// resolver gives are copied each time.
    base: Context<'static>,
    item: Option<(String, Value)>,
    /// Why parameters that are templates have no value.
    unusable_parameters: BTreeMap<String, Trouble>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Variables and endpoints that have a value.
    known: BTreeMap<String, Value>,
    /// What holds for the expression that is evaluated now.
    current: Current,
}

/// What came up while an expression was evaluated, whatever it made of it.
#[derive(Default)]
struct Current {
    missing: BTreeSet<String>,
    trouble: Option<Trouble>,
    /// Values that were found after something was missing or failed: they may change with it.
    tentative: BTreeMap<String, Value>,
    /// Why variables have no value.
    errors: BTreeMap<String, Trouble>,
}

impl<'a> Scope<'a> {
    pub fn new(plan: &'a Plan, inputs: &'a Inputs<'a>, seen: &'a Observations) -> Self {
        let mut scope = Self {
            plan,
            inputs,
            seen,
            member: inputs.member.map(str::to_owned),
            base: FUNCTIONS.new_inner_scope(),
            item: None,
            unusable_parameters: BTreeMap::new(),
            state: Mutex::default(),
        };
        scope.base.add_variable_from_value("pod", value::from_json(inputs.pod));
        // Without it, whatever asks for the time fails.
        if let Some(now) = value::timestamp(inputs.now) {
            scope.base.add_variable_from_value("now", now);
        }
        scope.base.add_variable_from_value("removal", inputs.mode == Mode::Removal);
        let parameters = scope.parameters();
        scope.base.add_variable_from_value("params", parameters);
        for (key, observation) in seen.iter().filter(|(key, _)| key.item.is_none()) {
            let brought = match observation {
                Observation::Answer { code, body } => answer(*code, body),
                Observation::Value(value) => value::from_json(value),
                Observation::Failed { .. } | Observation::PodGone => continue,
            };
            scope.base.add_variable_from_value(key.name.as_str(), brought);
        }
        scope
    }

    /// Parameters, with those that are templates filled in. One that can't be is left out, and said so when it is
    /// referred to.
    fn parameters(&mut self) -> Value {
        let mut values = Vec::new();
        let parameters = self.inputs.parameters;
        for (name, given) in parameters {
            let text = given.as_str().filter(|text| text.contains("${"));
            let rendered = text.map(|text| match self.plan.parameter_templates.get(text) {
                Some(template) => template.text(self),
                None => Template::compile(&format!("params.{name}"), text)
                    .map_err(|error| self.failure(&format!("params.{name}"), "can't be read", &error))
                    .and_then(|template| template.text(self)),
            });
            match rendered {
                None => values.push((name.as_str(), value::from_json(given))),
                Some(Ok(text)) => values.push((name.as_str(), value::text_value(text))),
                Some(Err(trouble)) => {
                    self.unusable_parameters.insert(name.clone(), trouble);
                }
            }
        }
        value::map_value(values.into_iter())
    }

    /// The value of an expression.
    pub fn evaluate(&self, expression: &Expression) -> Result<Value, Trouble> {
        self.with(|state| state.current = Current::default());
        let outcome = self.run(expression);
        match self.with(|state| std::mem::take(&mut state.current)) {
            Current { trouble: Some(trouble), .. } => Err(trouble),
            Current { missing, .. } if !missing.is_empty() => Err(Trouble::Missing(missing)),
            Current { .. } => outcome,
        }
    }

    /// The value of an expression, as a text.
    pub fn text(&self, expression: &Expression) -> Result<String, Trouble> {
        self.as_text(expression, &self.evaluate(expression)?)
    }

    fn as_text(&self, expression: &Expression, given: &Value) -> Result<String, Trouble> {
        value::to_text(given).map_err(|error| self.failure(&expression.field, "gives no text", &error))
    }

    /// The value of a condition.
    pub fn holds(&self, expression: &Expression) -> Result<bool, Trouble> {
        match self.evaluate(expression)? {
            Value::Bool(truth) => Ok(truth),
            other => {
                let detail = format!("it gives a {}", other.type_of());
                Err(self.failure(&expression.field, "gives neither true nor false", &detail))
            }
        }
    }

    /// The items of a list.
    pub fn list(&self, expression: &Expression) -> Result<Vec<Value>, Trouble> {
        match self.evaluate(expression)? {
            Value::List(items) => Ok(items.to_vec()),
            other => {
                let detail = format!("it gives a {}", other.type_of());
                Err(self.failure(&expression.field, "gives no list", &detail))
            }
        }
    }

    /// Puts an item of a `forEach` in, under its name, or takes it out.
    pub fn set_item(&mut self, item: Option<(String, Value)>) {
        self.item = item;
    }

    /// A failure at `field`. The message is the same for the same cause; what differs is in `detail`.
    pub fn failure(&self, field: &str, what: &str, detail: &str) -> Trouble {
        let plan = match self.plan.name() {
            "" => "the plan".to_owned(),
            name => format!("plan {name}"),
        };
        Trouble::Failed { message: format!("{field} of {plan} {what}"), detail: clean(detail, 500) }
    }

    /// Evaluates without looking at what came up meanwhile.
    fn run(&self, expression: &Expression) -> Result<Value, Trouble> {
        let mut scope = self.base.new_inner_scope();
        if let Some((name, item)) = &self.item {
            scope.add_variable_from_value(name.as_str(), item.clone());
        }
        scope.set_variable_resolver(self);
        expression.evaluate(&scope).map_err(|error| self.explain(expression, &error))
    }

    fn explain(&self, expression: &Expression, error: &ExecutionError) -> Trouble {
        let cause = match error {
            ExecutionError::UndeclaredReference(name) => {
                self.with(|state| state.current.errors.get(name.as_str()).cloned())
            }
            ExecutionError::NoSuchKey(name) => self.unusable_parameters.get(name.as_str()).cloned(),
            _ => None,
        };
        if let Some(trouble) = cause {
            return trouble;
        }
        match error {
            // A pod without an address has none that could be asked.
            ExecutionError::NoSuchKey(name) if ["podIP", "podIPs"].contains(&name.as_str()) => Trouble::PodGone,
            _ => self.failure(&expression.field, "failed", &error.to_string()),
        }
    }

    fn lookup(&self, name: &str) -> Option<Value> {
        if name == "member" {
            if self.member.is_none() {
                let trouble = self.failure("member", "is not known yet", "member was referred to before it was found");
                self.with(|state| state.current.errors.insert("member".to_owned(), trouble));
            }
            return self.member.clone().map(value::text_value);
        }
        if let Some(read) = self.plan.observe.get(name) {
            return self.observation(name, read);
        }
        let found = self.with(|state| {
            let failed = state.current.errors.contains_key(name);
            let known = state.known.get(name).or_else(|| state.current.tentative.get(name)).cloned();
            if failed { Some(None) } else { known.map(Some) }
        });
        if let Some(found) = found {
            return found;
        }
        let found = if let Some(variable) = self.plan.variables.get(name) {
            self.run(variable)
        } else if let Some(endpoint) = self.plan.endpoints.get(name) {
            endpoint.url.text_by(|piece| self.as_text(piece, &self.run(piece)?)).map(value::text_value)
        } else {
            return None;
        };
        self.with(|state| match found {
            Ok(value) => {
                let sure = state.current.missing.is_empty() && state.current.trouble.is_none();
                let values = if sure { &mut state.known } else { &mut state.current.tentative };
                values.insert(name.to_owned(), value.clone());
                Some(value)
            }
            Err(trouble) => {
                state.current.errors.insert(name.to_owned(), trouble);
                None
            }
        })
    }

    /// A read's answers: nothing where the base has its value already, or where it must be made first.
    fn observation(&self, name: &str, read: &ReadPlan) -> Option<Value> {
        let Some(for_each) = &read.for_each else {
            let key = ReadKey { name: name.to_owned(), item: None };
            self.answered(&key);
            return None;
        };
        let items = match self.run(for_each) {
            Ok(Value::List(items)) => items,
            Ok(_) => return self.mark(self.failure(&for_each.field, "gives no list", "")),
            Err(trouble) => {
                self.with(|state| state.current.errors.insert(name.to_owned(), trouble));
                return None;
            }
        };
        let mut answers = Vec::new();
        for (index, item) in items.iter().enumerate().take(MOST_ITEMS) {
            let key = ReadKey { name: name.to_owned(), item: Some(index) };
            let (code, body) = self.answered(&key)?;
            let fields = [("item", item.clone()), ("code", code), ("body", body)];
            answers.push(value::map_value(fields.into_iter()));
        }
        Some(value::list_value(answers))
    }

    fn answered(&self, key: &ReadKey) -> Option<(Value, Value)> {
        match self.seen.get(key) {
            Some(Observation::Answer { code, body }) => {
                let body = if key.item.is_some() { value::from_json(body) } else { Value::Null };
                Some((Value::Int(i64::from(*code)), body))
            }
            Some(Observation::Value(_)) => Some((Value::Null, Value::Null)),
            Some(Observation::Failed { message, detail }) => {
                self.mark(Trouble::Failed { message: message.clone(), detail: detail.clone() })
            }
            Some(Observation::PodGone) => self.mark(Trouble::PodGone),
            None => {
                self.with(|state| state.current.missing.insert(key.name.clone()));
                None
            }
        }
    }

    fn mark<T>(&self, trouble: Trouble) -> Option<T> {
        self.with(|state| {
            state.current.trouble.get_or_insert(trouble);
        });
        None
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl VariableResolver for Scope<'_> {
    fn resolve(&self, name: &str) -> Option<Value> {
        self.lookup(name)
    }
}

fn answer(code: u16, body: &serde_json::Value) -> Value {
    value::map_value([("code", Value::Int(i64::from(code))), ("body", value::from_json(body))].into_iter())
}

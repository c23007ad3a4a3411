//! What the expressions of one round can see, looked up only when they ask for it.
//!
//! As an example, a plan with the read `members`, the variable `names: members.body.map(m, m.name)` and
//! `done: names.size() < 2`. Each call of [`super::Plan::next`] makes a [`Scope`] of its own, and asks it for the truth
//! of `done`:
//!
//! 1. Nothing was read yet. `done` asks for `names`, `names` for `members`, which is [`Lack::Missing`]: so is `names`, so
//!    is `done`. The caller makes that read and calls again.
//! 2. It was read. `members` is found to be `{code, body}`, `names` a list, `done` true or false. What was found is
//!    kept: if `progress` asks for `names` too, it is not evaluated again.
//! 3. Had the read failed instead, `members` would be [`Lack::Unread`], and whatever took it with it; had an item no
//!    `name`, `names` would be [`Lack::Failed`], which `true || names.size() > 0` may pass over.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use kube_cel::cel::{ExecutionError, Value};

use super::compiled::{Plan, ReadPlan};
use super::evaluate::{Found, Lack, Names, Steps};
use super::expression::{Expression, clean};
use super::template::Template;
use super::value;
use super::{Inputs, Mode, Observation, Observations, ReadKey};
use crate::remedy::Cause;

/// The most items that a read may be made for.
pub(super) const MOST_ITEMS: usize = 64;

/// The most work that one call of [`super::Plan::next`] makes of what was observed: some tenths of a second.
pub(super) const MOST_STEPS: u64 = 4_000_000;

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
        /// What a person mends.
        cause: Cause,
    },
}

/// What the expressions of one round can see.
pub(super) struct Scope<'a> {
    pub plan: &'a Plan,
    pub inputs: &'a Inputs<'a>,
    pub seen: &'a Observations,
    /// The pod's name at the backend, once it is known.
    member: Option<String>,
    item: Option<(String, Value)>,
    /// Why parameters that are templates have no value.
    unusable_parameters: BTreeMap<String, Trouble>,
    /// What names were found to stand for.
    known: RefCell<BTreeMap<String, Found>>,
    steps: Steps,
}

impl<'a> Scope<'a> {
    pub fn new(plan: &'a Plan, inputs: &'a Inputs<'a>, seen: &'a Observations) -> Self {
        let mut scope = Self {
            plan,
            inputs,
            seen,
            member: inputs.member.map(str::to_owned),
            item: None,
            unusable_parameters: BTreeMap::new(),
            known: RefCell::default(),
            steps: Steps::new(MOST_STEPS),
        };
        let known = scope.known.get_mut();
        known.insert("removal".to_owned(), Ok(Value::Bool(inputs.mode == Mode::Removal)));
        // Without it, whatever asks for the time fails.
        if let Some(now) = value::timestamp(inputs.now) {
            known.insert("now".to_owned(), Ok(now));
        }
        let parameters = scope.parameters();
        scope.known.get_mut().insert("params".to_owned(), Ok(parameters));
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

    /// The pod's name at the backend, once it is known.
    pub fn member(&self) -> Option<&str> {
        self.member.as_deref()
    }

    /// Says what the pod is called at the backend. What had no value for want of it is looked up again.
    pub fn set_member(&mut self, name: String) {
        self.member = Some(name);
        self.known.get_mut().retain(|_, found| found.is_ok());
    }

    /// Puts an item of a `forEach` in, under its name, or takes it out.
    pub fn set_item(&mut self, item: Option<(String, Value)>) {
        self.item = item;
    }

    pub fn evaluate(&self, expression: &Expression) -> Result<Value, Trouble> {
        self.run(expression).map_err(|lack| match lack {
            Lack::Missing(names) => Trouble::Missing(names),
            Lack::Unread(trouble) | Lack::Failed(trouble) => trouble,
            Lack::Error(error) => self.explain(expression, &error),
            Lack::Exhausted => {
                let detail = format!("more than {MOST_STEPS} steps, at {}", expression.field);
                self.trouble("what was read makes", "too much work: it is more than the plan is made for", &detail)
            }
        })
    }

    /// The value of an expression, as a text.
    pub fn text(&self, expression: &Expression) -> Result<String, Trouble> {
        self.as_text(expression, &self.evaluate(expression)?)
    }

    fn as_text(&self, expression: &Expression, given: &Value) -> Result<String, Trouble> {
        value::to_text(given).map_err(|error| self.failure(&expression.field, "gives no text", &error))
    }

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

    /// A failure at `field`. The message is the same for the same cause; what differs is in `detail`.
    pub fn failure(&self, field: &str, what: &str, detail: impl Display) -> Trouble {
        self.trouble(&format!("{field} of"), what, &detail.to_string())
    }

    fn trouble(&self, of: &str, what: &str, detail: &str) -> Trouble {
        let plan = match self.plan.name() {
            "" => "the plan".to_owned(),
            name => format!("plan {name}"),
        };
        Trouble::Failed { message: format!("{of} {plan} {what}"), detail: clean(detail, 500), cause: Cause::default() }
    }

    /// The work that was done so far.
    #[cfg(test)]
    pub fn work(&self) -> u64 {
        MOST_STEPS - self.steps.left()
    }

    fn run(&self, expression: &Expression) -> Found {
        expression.evaluate(self, &self.steps)
    }

    fn explain(&self, expression: &Expression, error: &ExecutionError) -> Trouble {
        match error {
            ExecutionError::NoSuchKey(name) => match self.unusable_parameters.get(name.as_str()) {
                Some(trouble) => trouble.clone(),
                // A pod without an address has none that could be asked.
                None if ["podIP", "podIPs"].contains(&name.as_str()) => Trouble::PodGone,
                None => self.failure(&expression.field, "failed", error.to_string()),
            },
            _ => self.failure(&expression.field, "failed", error.to_string()),
        }
    }

    /// What a variable's or an endpoint's own expression gives.
    fn own(&self, expression: &Expression) -> Found {
        self.run(expression).map_err(|lack| match lack {
            Lack::Error(error) => Lack::Failed(self.explain(expression, &error)),
            lack => lack,
        })
    }

    fn look_up(&self, name: &str) -> Found {
        if name == "pod" {
            return Ok(value::from_json(self.inputs.pod));
        }
        if name == "member" {
            let unknown = || self.failure("member", "is not known yet", "member was referred to before it was found");
            return self.member.clone().map(value::text_value).ok_or_else(|| Lack::Failed(unknown()));
        }
        if let Some(read) = self.plan.observe.get(name) {
            return self.observation(name, read);
        }
        if let Some(variable) = self.plan.variables.get(name) {
            return self.own(variable);
        }
        if let Some(endpoint) = self.plan.endpoints.get(name) {
            let text = |piece: &Expression| self.as_text(piece, &self.own(piece)?).map_err(Lack::Failed);
            return endpoint.url.text_by(text).map(value::text_value);
        }
        Err(Lack::Error(ExecutionError::undeclared_reference(name)))
    }

    /// A read's answer, or with `forEach` its answers.
    fn observation(&self, name: &str, read: &ReadPlan) -> Found {
        let Some(for_each) = &read.for_each else {
            return match self.observed(name, None)? {
                Observation::Answer { code, body } => Ok(value::map_value(answer(*code, body).into_iter())),
                Observation::Value(shown) => Ok(value::from_json(shown)),
                Observation::Failed { .. } | Observation::PodGone => Ok(Value::Null),
            };
        };
        let Value::List(items) = self.own(for_each)? else {
            return Err(Lack::Unread(self.failure(&for_each.field, "gives no list", "")));
        };
        let mut answers = Vec::new();
        for (index, item) in items.iter().enumerate().take(MOST_ITEMS) {
            if let Observation::Answer { code, body } = self.observed(name, Some(index))? {
                let fields = answer(*code, body).into_iter().chain([("item", item.clone())]);
                answers.push(value::map_value(fields));
            }
        }
        Ok(value::list_value(answers))
    }

    /// What a read brought, where it brought something.
    fn observed(&self, name: &str, item: Option<usize>) -> Result<&'a Observation, Lack> {
        match self.seen.get(&ReadKey { name: name.to_owned(), item }) {
            None => Err(Lack::Missing(BTreeSet::from([name.to_owned()]))),
            Some(Observation::Failed { message, detail, cause }) => {
                let (message, detail, cause) = (message.clone(), detail.clone(), cause.clone());
                Err(Lack::Unread(Trouble::Failed { message, detail, cause }))
            }
            Some(Observation::PodGone) => Err(Lack::Unread(Trouble::PodGone)),
            Some(observation) => Ok(observation),
        }
    }
}

impl Names for Scope<'_> {
    fn find(&self, name: &str) -> Found {
        if let Some((_, item)) = self.item.as_ref().filter(|(named, _)| named == name) {
            return Ok(item.clone());
        }
        if let Some(found) = self.known.borrow().get(name) {
            return found.clone();
        }
        let found = self.look_up(name);
        self.known.borrow_mut().insert(name.to_owned(), found.clone());
        found
    }

    fn document(&self, name: &str) -> Option<&serde_json::Value> {
        let is_item = self.item.as_ref().is_some_and(|(named, _)| named == name);
        (name == "pod" && !is_item).then_some(self.inputs.pod)
    }
}

fn answer(code: u16, body: &serde_json::Value) -> [(&'static str, Value); 2] {
    [("code", Value::Int(i64::from(code))), ("body", value::from_json(body))]
}

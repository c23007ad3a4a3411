//! On how many rounds running a plan's `done` must hold before it is believed.

use std::fmt;

use serde::Serialize;
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde_json::Value;

use super::spec::{Parameter, ParameterType, PlanSpec};
use super::{Mistake, Parameters};
use crate::nearest::did_you_mean;

/// The fewest rounds: one answer alone may be one that was on its way before the last act.
pub const FEWEST: u8 = 2;

pub const MOST: u8 = 100;

/// On how many rounds running `done` must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Rounds {
    #[default]
    Fewest,
    Number(i64),
    /// On as many as this parameter says.
    Parameter(String),
}

impl Rounds {
    /// How many these are with these parameters, within what is allowed.
    pub fn number(&self, parameters: &Parameters) -> u8 {
        let number = match self {
            Rounds::Fewest => None,
            Rounds::Number(number) => Some(*number),
            Rounds::Parameter(name) => parameters.get(name).and_then(Value::as_i64),
        };
        number.and_then(|number| u8::try_from(number).ok()).map_or(FEWEST, |number| number.clamp(FEWEST, MOST))
    }

    /// What is wrong with these in a plan.
    pub(super) fn check(spec: &PlanSpec, mistakes: &mut Vec<Mistake>) {
        let mut add = |field: String, message: String, hint: Option<String>| {
            mistakes.push(Mistake { field, message, hint });
        };
        match &spec.rounds {
            Rounds::Number(number) if !is_allowed(*number) => add("rounds".to_owned(), allowed(), None),
            Rounds::Parameter(name) => match spec.params.get(name) {
                None => {
                    let hint = did_you_mean(name, spec.params.keys().map(String::as_str));
                    add("rounds".to_owned(), format!("there is no parameter {name}"), hint);
                }
                Some(parameter) if parameter.kind != ParameterType::Integer => {
                    add("rounds".to_owned(), format!("the parameter {name} is no integer"), None);
                }
                Some(Parameter { default: None, required: false, .. }) => {
                    let hint = Some("give it a default, or make it required".to_owned());
                    add("rounds".to_owned(), format!("the parameter {name} may be missing"), hint);
                }
                Some(Parameter { default, .. }) => {
                    if default.as_ref().and_then(Value::as_i64).is_some_and(|number| !is_allowed(number)) {
                        add(format!("params.{name}.default"), allowed(), None);
                    }
                }
            },
            Rounds::Fewest | Rounds::Number(_) => {}
        }
    }

    /// What is wrong with the value that a policy gives to the parameter of this name.
    pub(super) fn check_value(&self, name: &str, value: &Value, mistakes: &mut Vec<Mistake>) {
        let is_it = matches!(self, Rounds::Parameter(parameter) if parameter == name);
        if is_it && value.as_i64().is_some_and(|number| !is_allowed(number)) {
            mistakes.push(Mistake { field: name.to_owned(), message: allowed(), hint: None });
        }
    }
}

fn is_allowed(number: i64) -> bool {
    (i64::from(FEWEST)..=i64::from(MOST)).contains(&number)
}

fn allowed() -> String {
    format!("is a number of rounds: from {FEWEST} to {MOST}")
}

impl<'de> Deserialize<'de> for Rounds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RoundsVisitor;
        impl Visitor<'_> for RoundsVisitor {
            type Value = Rounds;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a number, or the name of an integer parameter")
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<Rounds, E> {
                Ok(Rounds::Parameter(name.to_owned()))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Rounds, E> {
                Ok(Rounds::Number(number))
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Rounds, E> {
                Ok(Rounds::Number(i64::try_from(number).unwrap_or(i64::MAX)))
            }
            fn visit_unit<E: de::Error>(self) -> Result<Rounds, E> {
                Ok(Rounds::Fewest)
            }
        }
        deserializer.deserialize_any(RoundsVisitor)
    }
}

//! The values of a plan's parameters: those given, and defaults for the others.

use std::collections::BTreeMap;

use serde_json::Value;

use super::compiled::Plan;
use super::labels::{self, Labels};
use super::pod_fields;
use super::spec::{Parameter, ParameterType};
use super::syntax::References;
use super::template::Template;
use super::{Mistake, Parameters};
use crate::nearest::did_you_mean;

impl Plan {
    /// The values of all parameters: those given, and the plan's defaults for the others. A text may hold `${cel}` over
    /// the `pod`; it is filled in by each round. One that has neither value nor default is `null`.
    ///
    /// # Errors
    /// Names that the plan does not have, values of another type, required ones that are missing: all of them, with
    /// the parameter's name as place.
    pub fn parameters(&self, given: &Parameters) -> Result<Parameters, Vec<Mistake>> {
        let declared = &self.spec().params;
        let mut mistakes = Vec::new();
        for (name, value) in given {
            match declared.get(name) {
                Some(parameter) => {
                    check_value(name, parameter.kind, value, &mut mistakes);
                    self.spec().rounds.check_value(name, value, &mut mistakes);
                }
                None => mistakes.push(Mistake {
                    field: name.clone(),
                    message: "the plan has no such parameter".to_owned(),
                    hint: did_you_mean(name, declared.keys().map(String::as_str)),
                }),
            }
        }
        self.check_selectors(given, &mut mistakes);
        let mut values = Parameters::new();
        for (name, parameter) in declared {
            let value = given.get(name).or(parameter.default.as_ref());
            if value.is_none() && parameter.required {
                let message = "the plan requires this parameter".to_owned();
                mistakes.push(Mistake { field: name.clone(), message, hint: None });
            }
            values.insert(name.clone(), value.cloned().unwrap_or_default());
        }
        let mistakes: Vec<Mistake> = mistakes.into_iter().map(Mistake::printable).collect();
        if mistakes.is_empty() { Ok(values) } else { Err(mistakes) }
    }

    /// What is given for a whole label selector must be one.
    fn check_selectors(&self, given: &Parameters, mistakes: &mut Vec<Mistake>) {
        for pods in self.spec().observe.values().filter_map(|read| read.pods.as_ref()) {
            let name = pods.selector.strip_prefix("${params.").and_then(|rest| rest.strip_suffix('}'));
            let Some((name, text)) = name.and_then(|name| Some((name, given.get(name)?.as_str()?))) else { continue };
            if let Err(error) = Labels::parse(text)
                && !text.contains("${")
            {
                let (message, hint) = (error.to_string(), Some(labels::EXAMPLE.to_owned()));
                mistakes.push(Mistake { field: name.to_owned(), message, hint });
            }
        }
    }
}

/// Compiles those defaults that are templates, by their texts, and checks all of them.
pub(super) fn templates(
    declared: &BTreeMap<String, Parameter>,
    mistakes: &mut Vec<Mistake>,
) -> BTreeMap<String, Template> {
    let mut templates = BTreeMap::new();
    for (name, parameter) in declared {
        let field = format!("params.{name}.default");
        let Some(default) = &parameter.default else { continue };
        if parameter.required {
            let message = "is never used: the parameter is required".to_owned();
            mistakes.push(Mistake { field: field.clone(), message, hint: None });
        }
        check_value(&field, parameter.kind, default, mistakes);
        if let Some(text) = default.as_str().filter(|text| text.contains("${"))
            && let Ok(template) = Template::compile(&field, text)
        {
            templates.insert(text.to_owned(), template);
        }
    }
    templates
}

fn check_value(field: &str, kind: ParameterType, value: &Value, mistakes: &mut Vec<Mistake>) {
    let (fits, needed) = match kind {
        ParameterType::String => (value.is_string(), "a text"),
        ParameterType::Integer => (value.is_i64(), "a whole number"),
        ParameterType::Boolean => (value.is_boolean(), "true or false"),
    };
    if !fits {
        let hint = (kind == ParameterType::String && (value.is_number() || value.is_boolean()))
            .then(|| format!("write \"{value}\", in quotes"));
        let message = format!("is {}, where {needed} is needed", describe(value));
        mistakes.push(Mistake { field: field.to_owned(), message, hint });
    }
    if let Some(text) = value.as_str().filter(|text| text.contains("${")) {
        check_template(field, text, mistakes);
    }
}

/// The longest text with expressions that a parameter may be, in bytes.
const LONGEST: usize = 512;

/// What expressions in parameters may call: whoever may write a policy writes them, and with these alone none of them
/// costs more than the text is long and the pod is large. No loops, and nothing by which a text grows beyond its parts.
const FUNCTIONS: [&str; 15] = [
    "charAt",
    "contains",
    "endsWith",
    "has",
    "indexOf",
    "int",
    "lastIndexOf",
    "lowerAscii",
    "size",
    "split",
    "startsWith",
    "string",
    "substring",
    "trim",
    "upperAscii",
];

/// A parameter is filled in before anything was read, so that it can refer to the pod alone.
fn check_template(field: &str, text: &str, mistakes: &mut Vec<Mistake>) {
    let mut add = |message: String| mistakes.push(Mistake { field: field.to_owned(), message, hint: None });
    if text.len() > LONGEST {
        return add(format!("is longer than {LONGEST} bytes, which is the most for a parameter with expressions"));
    }
    let template = match Template::compile(field, text) {
        Err(error) => return add(error.to_string()),
        Ok(template) => template,
    };
    for References { names, functions, loop_variables, .. } in template.expressions().map(|it| &it.references) {
        for name in names.iter().filter(|name| *name != "pod") {
            add(format!("refers to {name}: a parameter can refer to pod alone"));
        }
        if !loop_variables.is_empty() {
            add("loops: a parameter can't; a variable of a plan can".to_owned());
        }
        // What loops are made of is no mistake of its own.
        let strange = |name: &&String| !FUNCTIONS.contains(&name.as_str()) && loop_variables.is_empty();
        for name in functions.iter().filter(strange) {
            add(format!("calls {name}, which a parameter can't; a variable of a plan can"));
        }
    }
    for References { of_pod, .. } in template.expressions().map(|it| &it.references) {
        mistakes.extend(of_pod.iter().filter_map(|path| pod_fields::check(field, path)));
    }
}

fn describe(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

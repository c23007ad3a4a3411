//! Label selectors.

use std::borrow::Cow;

use crate::plan::Mistake;
use crate::plan::labels::Test;
use crate::pod::TextMap;

use super::spec::{LabelOperator, LabelRequirement, LabelSelector};

/// Whether these labels match. A selector that says nothing matches every pod, as everywhere in Kubernetes.
#[must_use]
pub fn matches(selector: &LabelSelector, labels: &TextMap<'_>) -> bool {
    let has = |key: &str, value: &str| labels.get(key).is_some_and(|own| own.as_str() == value);
    selector.match_labels.iter().all(|(key, value)| has(key, value))
        && selector.match_expressions.iter().all(|requirement| holds(requirement, labels))
}

fn holds(requirement: &LabelRequirement, labels: &TextMap<'_>) -> bool {
    let values = Cow::Borrowed(requirement.values.as_slice());
    let test = match requirement.operator {
        LabelOperator::In => Test::Among(values),
        LabelOperator::NotIn => Test::NotAmong(values),
        LabelOperator::Exists => Test::Exists,
        LabelOperator::DoesNotExist => Test::Absent,
    };
    test.holds(labels.get(requirement.key.as_str()))
}

/// The selector as the API takes it in the query of a list.
#[must_use]
pub fn to_query(selector: &LabelSelector) -> String {
    let labels = selector.match_labels.iter().map(|(key, value)| format!("{key}={value}"));
    let expressions = selector.match_expressions.iter().map(|requirement| {
        let (key, values) = (&requirement.key, requirement.values.join(","));
        match requirement.operator {
            LabelOperator::In => format!("{key} in ({values})"),
            LabelOperator::NotIn => format!("{key} notin ({values})"),
            LabelOperator::Exists => key.clone(),
            LabelOperator::DoesNotExist => format!("!{key}"),
        }
    });
    labels.chain(expressions).collect::<Vec<_>>().join(",")
}

/// What is wrong with a selector.
#[must_use]
pub fn check(selector: &LabelSelector) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let mut report = |field: String, message: &str| {
        mistakes.push(Mistake { field, message: message.to_owned(), hint: None });
    };
    for (index, requirement) in selector.match_expressions.iter().enumerate() {
        let compares = matches!(requirement.operator, LabelOperator::In | LabelOperator::NotIn);
        if compares == requirement.values.is_empty() {
            let message = if compares { "In and NotIn need values" } else { "Exists and DoesNotExist take no values" };
            report(format!("spec.selector.matchExpressions[{index}].values"), message);
        }
    }
    if selector.match_labels.is_empty() && selector.match_expressions.is_empty() {
        report("spec.selector".into(), "an empty selector would guard every pod of the namespace: name the labels");
    }
    mistakes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn selector(json: &str) -> LabelSelector {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn every_condition_must_hold() {
        let labels: TextMap<'_> = [("app".into(), "db".into()), ("tier".into(), "a".into())].into();
        for (json, expected) in [
            (r#"{"matchLabels":{"app":"db"}}"#, true),
            (r#"{"matchLabels":{"app":"db","tier":"b"}}"#, false),
            (r#"{"matchExpressions":[{"key":"tier","operator":"In","values":["a","b"]}]}"#, true),
            (r#"{"matchExpressions":[{"key":"tier","operator":"NotIn","values":["a"]}]}"#, false),
            (r#"{"matchExpressions":[{"key":"zone","operator":"NotIn","values":["a"]}]}"#, true),
            (r#"{"matchExpressions":[{"key":"zone","operator":"Exists"}]}"#, false),
            (r#"{"matchLabels":{"app":"db"},"matchExpressions":[{"key":"zone","operator":"DoesNotExist"}]}"#, true),
        ] {
            assert_eq!(matches(&selector(json), &labels), expected, "{json}");
        }
    }

    #[test]
    fn an_empty_selector_is_refused() {
        assert_eq!(check(&selector("{}")).len(), 1);
    }
}

//! Conditions, by the conventions of the Kubernetes API.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One condition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it is about, as `Ready`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Of which generation of the object it speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Since when it has this status.
    #[schemars(schema_with = "date_time")]
    pub last_transition_time: String,
    /// One word.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

fn date_time(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "string", "format": "date-time" })
}

impl Condition {
    /// A condition that holds or does not, since `now` unless `before` shows that it did already.
    pub fn new(kind: &str, holds: bool, reason: &str, message: &str, before: &[Condition], now: &str) -> Self {
        let status = if holds { "True" } else { "False" };
        let since = before.iter().find(|condition| condition.kind == kind && condition.status == status);
        Condition {
            kind: kind.to_owned(),
            status: status.to_owned(),
            observed_generation: None,
            last_transition_time: since.map_or_else(|| now.to_owned(), |before| before.last_transition_time.clone()),
            reason: reason.to_owned(),
            message: message.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_condition_changes_only_with_its_status() {
        let first = Condition::new("Ready", true, "Guarding", "", &[], "1");
        let second = Condition::new("Ready", true, "NoPods", "", std::slice::from_ref(&first), "2");
        let third = Condition::new("Ready", false, "NoPods", "", std::slice::from_ref(&first), "2");
        assert_eq!((second.last_transition_time.as_str(), third.last_transition_time.as_str()), ("1", "2"));
    }
}

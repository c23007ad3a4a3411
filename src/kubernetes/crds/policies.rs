//! DrainPolicy: a tenant writes it, so what is wrong with one is refused when it is written.

use serde_json::json;

use crate::kubernetes::policy_status::PolicyStatus;
use crate::policy::spec::PolicySpec;

use super::definition::{Column, Schemas};
use super::schema::{patch, rules, schema_of};

pub(super) const COLUMNS: [Column; 6] = [
    ("Mode", "string", ".spec.mode", 0),
    ("Ready", "string", ".status.ready", 0),
    ("Pods", "integer", ".status.pods", 0),
    ("Departing", "integer", ".status.away", 0),
    ("Reason", "string", ".status.reason", 0),
    ("Message", "string", ".status.message", 0),
];

pub(super) fn schemas() -> Schemas {
    let mut spec = schema_of::<PolicySpec>();
    rules(
        &mut spec,
        "",
        &[
            ("self.steps.all(s, self.steps.exists_one(t, t.name == s.name))", "each step has a name of its own"),
            (
                "self.steps.all(s, has(s.plan.builtIn) != has(s.plan.name))",
                "a step names its plan by exactly one of builtIn and name",
            ),
        ],
    );
    rules(
        &mut spec,
        "/properties/maxUnavailable",
        &[(
            "type(self) == int ? self >= 1 : self.matches('^(100|[1-9][0-9]?)%$')",
            "a number of at least 1, or a percentage from \"1%\" to \"100%\"",
        )],
    );
    patch(
        &mut spec,
        "/properties/steps",
        &json!({
            "minItems": 1, "maxItems": 8, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
        }),
    );
    patch(&mut spec, "/properties/steps/items/properties/name", &json!({"minLength": 1, "maxLength": 63}));
    patch(&mut spec, "/properties/exempt", &json!({"x-kubernetes-list-type": "set", "maxItems": 8}));
    for seconds in ["pollPeriodSeconds", "progressDeadlineSeconds", "abandonAfterSeconds"] {
        patch(&mut spec, &format!("/properties/{seconds}"), &json!({"minimum": 1, "maximum": 604_800}));
    }
    Schemas { spec, status: Some(schema_of::<PolicyStatus>()) }
}

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
            (
                "!has(self.maxUnavailable) || !has(self.minAvailable)",
                "a policy has one of maxUnavailable and minAvailable, not both; write maxUnavailable: null to take it away",
            ),
        ],
    );
    let most = (
        "type(self) == int ? self >= 1 : self.matches('^(100|[1-9][0-9]?)%$')",
        "a number of at least 1, or a percentage from \"1%\" to \"100%\"",
    );
    let least = (
        "type(self) == int ? self >= 0 : self.matches('^[1-9]?[0-9]%$')",
        "a number, or a percentage from \"0%\" to \"99%\"",
    );
    rules(&mut spec, "/properties/maxUnavailable", &[most]);
    rules(&mut spec, "/properties/minAvailable", &[least]);
    rules(&mut spec, "/properties/spread/properties/maxUnavailable", &[most]);
    patch(&mut spec, "/properties/spread/properties/topologyKey", &json!({"minLength": 1, "maxLength": 317}));
    patch(
        &mut spec,
        "/properties/steps",
        &json!({
            "minItems": 1, "maxItems": 8, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
        }),
    );
    patch(&mut spec, "/properties/steps/items/properties/name", &json!({"minLength": 1, "maxLength": 63}));
    patch(&mut spec, "/properties/prepareAhead", &json!({"maxItems": 16}));
    let one_of_both = ("has(self.taint) != has(self.nodeCondition)", "name exactly one of taint and nodeCondition");
    let no_cordon = (
        "!has(self.taint) || self.taint != 'node.kubernetes.io/unschedulable'",
        "a cordon alone says nothing of when pods leave: they are not prepared for it",
    );
    rules(&mut spec, "/properties/prepareAhead/items", &[one_of_both, no_cordon]);
    patch(&mut spec, "/properties/exempt", &json!({"x-kubernetes-list-type": "set", "maxItems": 8}));
    for seconds in ["pollPeriodSeconds", "progressDeadlineSeconds", "abandonAfterSeconds"] {
        patch(&mut spec, &format!("/properties/{seconds}"), &json!({"minimum": 1, "maximum": 604_800}));
    }
    Schemas { spec, status: Some(schema_of::<PolicyStatus>()) }
}

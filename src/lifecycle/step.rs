//! One step of a drain: what prepares it, and what has been made of that.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plan::spec::PlanSpec;
use crate::plan::{Parameters, Progress};
use crate::policy;

/// One step of a drain, as the policy had it when draining began, with what has become of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrainStep {
    /// The step's name.
    pub name: String,
    /// The plan's name.
    pub plan: String,
    /// The plan's hash.
    #[serde(default)]
    pub hash: String,
    /// The plan itself.
    #[schemars(schema_with = "crate::schema::object")]
    pub plan_spec: Arc<PlanSpec>,
    /// Its parameters, defaults filled in.
    #[schemars(schema_with = "crate::schema::object")]
    pub parameters: Parameters,
    /// The Secret that its requests use by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<String>,
    /// What the pod is called at the backend; pinned before the first act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// Whether the change at the backend is ours.
    #[serde(default)]
    pub ownership: Ownership,
    /// For how long an act of this step may go on at the backend after it was sent, in seconds.
    #[serde(default)]
    pub act_seconds: u64,
}

/// Whether a change at the backend is ours to undo.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Ownership {
    /// It is not, or there is none.
    #[default]
    None,
    /// We are about to make it: written down before the first act.
    Intent,
    /// We made it.
    Acted,
}

/// How much is left, and of which step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepProgress {
    /// The step's name.
    pub step: String,
    /// The most that was seen in this step.
    pub total: i64,
    /// What is left now.
    #[serde(flatten)]
    pub left: Progress,
}

impl StepProgress {
    /// As `12 leaders were left`, of a pod that goes.
    #[must_use]
    pub fn were_left(&self) -> String {
        format!("{} {} were left", self.left.remaining, self.left.unit)
    }
}

impl DrainStep {
    /// On how many rounds running the step must be seen done.
    #[must_use]
    pub fn rounds(&self) -> u8 {
        self.plan_spec.rounds.number(&self.parameters)
    }

    /// Whether anything at the backend is, or may be, ours to undo.
    #[must_use]
    pub fn owns(&self) -> bool {
        self.ownership != Ownership::None
    }

    /// Whether both are the same step: by name, plan and parameters. Its place in the policy, and a plan that was
    /// mended since, make no difference.
    #[must_use]
    pub fn is_same(&self, other: &DrainStep) -> bool {
        self.name == other.name && self.plan == other.plan && self.parameters == other.parameters
    }

    /// Whether the policy has this very step now, its plan and its Secret included.
    #[must_use]
    pub fn is_as_in(&self, now: &policy::Step) -> bool {
        self.name == now.name
            && self.plan == now.plan_name
            && self.hash == now.plan.hash()
            && self.parameters == now.parameters
            && self.credentials == now.credentials
    }

    /// What this step set is the other's from now on.
    pub fn take_over(&mut self, from: &DrainStep) {
        self.member.clone_from(&from.member);
        self.ownership = from.ownership;
        self.act_seconds = from.act_seconds;
    }
}

impl From<&policy::Step> for DrainStep {
    fn from(step: &policy::Step) -> Self {
        DrainStep {
            name: step.name.clone(),
            plan: step.plan_name.clone(),
            hash: step.plan.hash().to_owned(),
            plan_spec: Arc::clone(step.plan.spec()),
            parameters: step.parameters.clone(),
            credentials: step.credentials.clone(),
            member: None,
            ownership: Ownership::None,
            act_seconds: 0,
        }
    }
}

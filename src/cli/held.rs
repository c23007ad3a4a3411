//! What is known of a pod that is held: by which policies, and how each step stands.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::admission::dry_run::{State, StepNow};
use crate::kubernetes::policies::said as mistakes_said;
use crate::policy::spec::PolicyMode;
use crate::policy::{Policy, Step};
use crate::remedy::Cause;

/// A step of which nothing could be learnt.
pub(super) const UNKNOWN: &str = "not known";

/// A policy that guards the pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GuardedBy {
    pub policy: String,
    pub mode: PolicyMode,
    pub steps: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mistake: Option<String>,
    /// The Secrets that its steps name, by step.
    #[serde(skip)]
    pub secrets: BTreeMap<String, String>,
}

/// How one of its steps stands at its backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Backend {
    pub step: String,
    pub plan: String,
    pub state: &'static str,
    pub text: String,
    /// What a person mends.
    #[serde(skip)]
    pub cause: Cause,
}

impl GuardedBy {
    pub fn of(policy: &std::sync::Arc<Policy>) -> Self {
        let steps = policy.steps.as_ref().map(Vec::as_slice).unwrap_or_default();
        let secret = |step: &Step| Some((step.name.clone(), step.credentials.clone()?));
        GuardedBy {
            secrets: steps.iter().filter_map(secret).collect(),
            policy: policy.name.clone(),
            mode: policy.spec.mode,
            steps: steps.iter().map(|step| format!("{} ({})", step.name, step.plan_name)).collect(),
            mistake: policy.steps.as_ref().err().map(|mistakes| mistakes_said(mistakes)),
        }
    }
}

impl Backend {
    pub fn of(now: &StepNow) -> Self {
        let state = match now.state {
            State::Unknown => UNKNOWN,
            state => state.as_str(),
        };
        Backend { step: now.step.clone(), plan: now.plan.clone(), state, text: now.remark(), cause: now.cause.clone() }
    }
}

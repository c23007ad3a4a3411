//! A plan whose expressions are compiled, ready for rounds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::expression::Expression;
use super::spec::{Accept, Parse, PlanSpec, Removal, RemovalWord};
use super::template::{Body, Template};
use super::{Inputs, Mode, Task};

/// A plan whose expressions are compiled, ready for rounds. Made by [`super::compile()`].
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) name: String,
    pub(super) spec: Arc<PlanSpec>,
    pub(super) hash: String,
    pub(super) parameter_templates: BTreeMap<String, Template>,
    pub(super) endpoints: BTreeMap<String, Endpoint>,
    pub(super) observe: BTreeMap<String, ReadPlan>,
    pub(super) variables: BTreeMap<String, Expression>,
    pub(super) member: Option<Expression>,
    pub(super) absent: Option<Expression>,
    /// The reads that finding the member takes in any case.
    pub(super) member_reads: BTreeSet<String>,
    pub(super) unknown: Vec<FindingPlan>,
    pub(super) blocked: Vec<FindingPlan>,
    pub(super) ours: Option<Expression>,
    pub(super) restart: Steps,
    pub(super) removal: Option<Steps>,
}

/// A base URL with its Secrets.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub url: Template,
    pub tls_secret: Template,
    pub auth_secret: Template,
}

/// What to send, before values are filled in.
#[derive(Clone, Debug)]
pub(super) struct RequestPlan {
    pub method: String,
    pub url: Template,
    pub body: Option<Body>,
    pub commands: Option<CommandsPlan>,
    pub ok: Accept,
    pub timeout: Duration,
    pub tls_secret: Template,
    pub auth_secret: Template,
}

/// Redis commands, before values are filled in.
#[derive(Clone, Debug)]
pub(super) struct CommandsPlan {
    pub list: Vec<Vec<Template>>,
    /// The plan says `command`, not `commands`.
    pub one: bool,
}

#[derive(Clone, Debug)]
pub(super) struct ReadPlan {
    pub source: SourcePlan,
    pub for_each: Option<Expression>,
    pub item: String,
}

/// What is read.
#[derive(Clone, Debug)]
pub(super) enum SourcePlan {
    Backend(Box<RequestPlan>, Parse),
    Pods(PodsPlan),
    Owner,
}

/// Which pods are read, before values are filled in.
#[derive(Clone, Debug)]
pub(super) struct PodsPlan {
    /// Where it stands in the plan.
    pub field: String,
    pub selector: Template,
    pub namespace: Option<Template>,
    pub node: Option<Template>,
}

#[derive(Clone, Debug)]
pub(super) struct FindingPlan {
    pub when: Expression,
    pub message: Template,
    /// Whether it takes the member's name.
    pub takes_member: bool,
}

#[derive(Clone, Debug)]
pub(super) struct ActPlan {
    pub when: Expression,
    pub request: RequestPlan,
    pub background: bool,
    pub irreversible: bool,
}

/// What is done for a restart, or for a removal.
#[derive(Clone, Debug, Default)]
pub(super) struct Steps {
    pub prepare: Vec<ActPlan>,
    pub done: Option<Expression>,
    pub progress: Option<(Expression, String)>,
    pub restore: Vec<ActPlan>,
    /// The reads that a round of `prepare` makes in any case.
    pub prepare_reads: BTreeSet<String>,
    /// The reads that a round of `restore` makes in any case.
    pub restore_reads: BTreeSet<String>,
}

impl Plan {
    /// The plan's name, as messages give it; empty where it was given none.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same plan under a name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The plan as it was written.
    #[must_use]
    pub fn spec(&self) -> &Arc<PlanSpec> {
        &self.spec
    }

    /// What the plan does, in one sentence.
    #[must_use]
    pub fn summary(&self) -> &str {
        &self.spec.summary
    }

    /// 16 hexadecimal digits that differ for plans that do: the beginning of the SHA-256 of the spec as JSON with
    /// sorted fields.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Whether anything is undone when a drain of this mode is over or was given up.
    #[must_use]
    pub fn restores(&self, mode: Mode) -> bool {
        !self.steps(mode).restore.is_empty()
    }

    /// Whether pods that will not come back may leave under this plan at all.
    pub(crate) fn allows_removal(&self) -> bool {
        self.spec.removal != Removal::Word(RemovalWord::Deny)
    }

    pub(super) fn steps(&self, mode: Mode) -> &Steps {
        match (mode, &self.removal) {
            (Mode::Removal, Some(steps)) => steps,
            _ => &self.restart,
        }
    }

    /// The reads that such a round makes in any case; all of them can be made side by side.
    pub(super) fn certain_reads(&self, inputs: &Inputs<'_>) -> BTreeSet<String> {
        let steps = self.steps(inputs.mode);
        let reads = match inputs.task {
            Task::Prepare => &steps.prepare_reads,
            Task::Restore => &steps.restore_reads,
        };
        let for_member = self.member_reads.iter().filter(|_| inputs.member.is_none());
        reads.iter().chain(for_member).cloned().collect()
    }
}

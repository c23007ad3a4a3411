//! What a dry run is told besides its answer: how each step stands at its backend at this moment, so that whoever tries
//! a delete out learns it without asking a backend. To people it goes as warnings, one a step; to programs, with a
//! denial, as the causes in its details.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::lifecycle::{DrainStep, Explanation};
use crate::plan::{Progress, Round, Verdict};
use crate::printable::printable;
use crate::remedy::Cause;

/// The reason of the causes that hold a [`StepNow`] as JSON.
pub(crate) const CAUSE: &str = "Step";

/// How one step stands at its backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepNow {
    pub step: String,
    pub plan: String,
    pub state: State,
    /// How much is left, where the plan counts it.
    pub left: Option<Progress>,
    /// Why it is not done; may be empty.
    pub text: String,
    /// What a person mends.
    #[serde(default, skip_serializing_if = "Cause::is_other")]
    pub cause: Cause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// The backend is ready for the pod to leave.
    Done,
    /// There is something to do first.
    ToDo,
    /// The plan says "not now".
    NotNow,
    /// The backend does not answer, or its answers can't be believed.
    Unknown,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            State::Done => "done",
            State::ToDo => "to do",
            State::NotNow => "not now",
            State::Unknown => "unknown",
        }
    }
}

impl StepNow {
    /// What a round has found of a step; `None` is a round that was not made in time.
    pub fn of(step: &DrainStep, round: Option<&Round>) -> Self {
        let verdict = round.map(|round| &round.verdict);
        let state = match verdict {
            Some(Verdict::Done) => State::Done,
            Some(Verdict::Waiting | Verdict::Act(_)) => State::ToDo,
            Some(Verdict::Blocked { .. }) => State::NotNow,
            Some(Verdict::Unknown { .. } | Verdict::Failed { .. }) | None => State::Unknown,
        };
        let why = match verdict {
            Some(verdict) => Explanation::of(verdict).unwrap_or_default(),
            None => "there was no time to look".into(),
        };
        let left = round.filter(|_| state == State::ToDo).and_then(|round| round.progress.clone());
        StepNow {
            step: printable(&step.name).into_owned(),
            plan: printable(&step.plan).into_owned(),
            state,
            left,
            text: printable(&why.message).trim_end().to_owned(),
            cause: why.cause,
        }
    }

    /// What there is to say of its state; may be empty.
    pub fn remark(&self) -> String {
        match &self.left {
            Some(Progress { remaining, unit }) => format!("{remaining} {} left", printable(unit)),
            None => self.text.clone(),
        }
    }
}

/// `castoff: step evict-leaders (tikv): to do: 40 leaders left`.
impl fmt::Display for StepNow {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (StepNow { step, plan, state, .. }, remark) = (self, self.remark());
        write!(formatter, "castoff: step {step} ({plan}): {}", state.as_str())?;
        if remark.is_empty() { Ok(()) } else { write!(formatter, ": {remark}") }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::remedy::Kind;

    #[test]
    fn each_verdict_is_a_state_with_why_and_what_is_to_be_mended() {
        let step = serde_json::json!({"name": "evict", "plan": "tikv", "parameters": {},
            "planSpec": {"summary": "x", "done": "true"}});
        let step: DrainStep = serde_json::from_value(step).unwrap();
        let of = |verdict: Option<Verdict>| {
            let round = verdict.map(|verdict| Round { verdict, member: None, progress: None, ours: None });
            let now = StepNow::of(&step, round.as_ref());
            (now.state, now.text, now.cause.kind)
        };
        let told = || "said".to_owned();
        let failed = Verdict::Failed { message: told(), detail: String::new(), cause: Kind::Silent.into() };
        assert_eq!(of(Some(failed)), (State::Unknown, told(), Kind::Silent));
        assert_eq!(of(Some(Verdict::Unknown { message: told() })), (State::Unknown, told(), Kind::Other));
        assert_eq!(of(Some(Verdict::Blocked { message: told() })), (State::NotNow, told(), Kind::Other));
        assert_eq!(of(Some(Verdict::Waiting)), (State::ToDo, String::new(), Kind::Other));
        assert_eq!(of(Some(Verdict::Done)), (State::Done, String::new(), Kind::Other));
        assert_eq!(of(None), (State::Unknown, "there was no time to look".to_owned(), Kind::Other));
    }
}

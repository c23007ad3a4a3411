//! What a dry run is told besides its answer: how each step stands at its backend at this moment. It goes out as
//! warnings, one a step, so that whoever tries a delete out learns it without asking a backend.

use std::fmt;

use crate::lifecycle::DrainStep;
use crate::plan::{Round, Verdict};
use crate::printable::printable;

/// What all lines begin with.
const BEGINNING: &str = "castoff: step ";

/// How one step stands at its backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepNow {
    /// The step's name.
    pub step: String,
    /// Its plan's name.
    pub plan: String,
    /// How it stands.
    pub state: State,
    /// What is left, or why it can't be told; may be empty.
    pub text: String,
}

/// How a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    const ALL: [State; 4] = [State::Done, State::ToDo, State::NotNow, State::Unknown];

    /// The state in words.
    #[must_use]
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
    #[must_use]
    pub fn of(step: &DrainStep, round: Option<&Round>) -> Self {
        let left = round.and_then(|round| round.progress.as_ref());
        let left = left.map_or_else(String::new, |left| format!("{} {} left", left.remaining, left.unit));
        let (state, text) = match round.map(|round| &round.verdict) {
            Some(Verdict::Done) => (State::Done, String::new()),
            Some(Verdict::Waiting | Verdict::Act(_)) => (State::ToDo, left),
            Some(Verdict::Blocked { message }) => (State::NotNow, message.clone()),
            Some(Verdict::Unknown { message } | Verdict::Failed { message, .. }) => (State::Unknown, message.clone()),
            None => (State::Unknown, "there was no time to look".to_owned()),
        };
        StepNow {
            step: printable(&step.name).into_owned(),
            plan: printable(&step.plan).into_owned(),
            state,
            text: printable(&text).trim_end().to_owned(),
        }
    }

    /// Reads a warning; `None` where it is about something else.
    #[must_use]
    pub fn read(warning: &str) -> Option<Self> {
        let (step, rest) = warning.strip_prefix(BEGINNING)?.split_once(" (")?;
        let (plan, rest) = rest.split_once("): ")?;
        let state = State::ALL.into_iter().find(|state| rest.starts_with(state.as_str()))?;
        let text = rest.strip_prefix(state.as_str())?;
        let text = text.strip_prefix(": ").unwrap_or(text);
        Some(StepNow { step: step.to_owned(), plan: plan.to_owned(), state, text: text.to_owned() })
    }
}

/// `castoff: step evict-leaders (tikv): to do: 40 leaders left`.
impl fmt::Display for StepNow {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StepNow { step, plan, state, text } = self;
        write!(formatter, "{BEGINNING}{step} ({plan}): {}", state.as_str())?;
        if text.is_empty() { Ok(()) } else { write!(formatter, ": {text}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_warning_says_is_read_back_from_it() {
        for state in State::ALL {
            for text in ["", "40 leaders left", "https://pd:2379/stores does not answer (yet): wait"] {
                let now = StepNow { step: "evict-leaders".into(), plan: "tikv".into(), state, text: text.to_owned() };
                assert_eq!(StepNow::read(&now.to_string()), Some(now));
            }
        }
        for other in ["castoff: basic-tikv-2: 12 of 40 leaders left", "something is deprecated", "castoff: step a"] {
            assert_eq!(StepNow::read(other), None);
        }
    }
}

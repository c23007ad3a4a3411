//! Dry runs: whoever tries a delete out learns how each step stands at its backend now.

use std::borrow::Cow;
use std::sync::Arc;

use tokio::time::Instant;

use crate::admission::dry_run::StepNow;
use crate::admission::{Answer, Case};
use crate::controller::ROUND_LIMIT;
use crate::lifecycle::{Drain, Look};
use crate::plan::Task;

use super::Gatekeeper;

impl Gatekeeper {
    /// The answer, with a warning for each step. Looks at the backends and changes nothing: a drain that is not
    /// there is only thought of.
    pub(super) async fn tell_steps(&self, case: &Case<'_>, answer: Answer, deadline: Instant) -> Answer {
        // Of two policies that are in each other's way neither is followed.
        if case.guard.rival.is_some() {
            return answer;
        }
        // One that only waits follows its policy, as a new one does.
        let begun = case.drain().filter(|drain| !drain.status.steps.is_empty()).map(Cow::Borrowed);
        let drain = if let Some(drain) = begun {
            drain
        } else {
            let Some(pod) = self.true_pod(case.pod).await else { return answer };
            let drain = Drain::new(&pod, &case.guard.policy.name, &case.request.username);
            Cow::Owned(drain.following(Some(&Arc::new(pod)), Some(&case.guard.policy)))
        };
        let look = Look { task: Task::Prepare, steps: (0..drain.status.steps.len()).collect() };
        let limit = deadline.min(Instant::now() + ROUND_LIMIT);
        let rounds = self.observer.observe(&drain, true, &look, limit).await;
        let steps = drain.status.steps.iter().enumerate();
        steps.fold(answer, |answer, (index, step)| answer.tell_step(StepNow::of(step, rounds.get(&index))))
    }
}

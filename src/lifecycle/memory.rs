//! What the leader has measured itself about a drain. It goes with the process, on purpose.

use std::time::Duration;

use super::drain::Drain;
use super::explanation::Explanation;
use super::status::Phase;
use super::step::DrainStep;
use super::told::Told;
use super::world::PolicySeen;

/// For how long an act that was cut off may still land at its backend.
pub const LATE: Duration = Duration::from_secs(10);

/// Measured by this process, since it leads.
#[derive(Clone, Debug, PartialEq)]
pub struct Memory {
    /// Nothing is sent outward before: a request of the leader before may still be under way.
    pub quiet_until: Duration,
    /// The number of tries last seen, and when it was new.
    tries: (u64, Duration),
    /// When the pod was last asked for ahead, by its node or a NodeDrain.
    asked_ahead: Duration,
    /// A try was new to this process.
    pub has_heard: bool,
    /// The longest pause between two tries that was seen.
    longest_pause: Duration,
    /// The number of claims last seen, and when it was new.
    claims: (u64, Duration),
    /// The phase last seen, and since when.
    phase: (Phase, Duration),
    /// Since when somebody is deleting the PodDrain.
    deleting_since: Option<Duration>,
    /// What was last seen of the owner's pods, where nothing else tells whether it is content, and since when.
    pods: Option<(u64, Duration)>,
    /// Since when the step under way has not progressed: the step, what is left, when that last fell.
    pub stuck: Option<(usize, Option<i64>, Duration)>,
    /// When progress alone was last written.
    pub progress_written: Option<Duration>,
    /// What people were last told of the policy.
    pub policy: PolicySeen,
    /// What people were told of why the pod is held.
    pub(super) told: Told,
    /// One for each step.
    pub steps: Vec<StepMemory>,
}

/// Measured by this process about one step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepMemory {
    /// This process wrote the intent that stands.
    pub intended: bool,
    /// This process has sent an act.
    pub sent: bool,
    /// An act may still be going on at the backend until then.
    pub act_until: Duration,
    /// For how many rounds running the step was done.
    pub done_rounds: u8,
    /// For how many rounds running it was restored.
    pub restored_rounds: u8,
    /// What the backend said when it refused the last act.
    pub refused: Option<Explanation>,
}

impl Memory {
    /// The memory of a process that sees this drain for the first time. `quiet` is how long the longest request
    /// of the leader before may still take; zero for a drain that this process saw being made.
    #[must_use]
    pub fn new(drain: &Drain, now: Duration, quiet: Duration) -> Self {
        let step = |step: &DrainStep| StepMemory {
            act_until: now + Duration::from_secs(step.act_seconds),
            ..StepMemory::default()
        };
        Memory {
            quiet_until: now + quiet,
            tries: (drain.tries(), now),
            asked_ahead: Duration::ZERO,
            has_heard: false,
            longest_pause: Duration::from_secs(drain.status.longest_pause_seconds),
            claims: (drain.status.claims, now),
            phase: (drain.status.phase, now),
            deleting_since: None,
            pods: None,
            stuck: None,
            progress_written: None,
            policy: PolicySeen::AsBegun,
            told: Told::meeting(drain.status.says_why_it_is_held()),
            steps: drain.status.steps.iter().map(step).collect(),
        }
    }

    /// The pod is asked for ahead: as good as a try, and no pause between two.
    pub fn is_asked_ahead(&mut self, now: Duration) {
        self.asked_ahead = now;
    }

    /// Takes note of what is new in the drain.
    pub fn notice(&mut self, drain: &Drain, now: Duration) {
        let status = &drain.status;
        if self.tries.0 != drain.tries() {
            self.longest_pause = self.longest_pause.max(now.saturating_sub(self.tries.1));
            self.tries = (drain.tries(), now);
            self.has_heard = true;
        }
        if self.claims.0 != status.claims {
            self.claims = (status.claims, now);
        }
        if self.phase.0 != status.phase {
            self.enter(status.phase, now);
        }
        if drain.metadata.kept.deleting {
            self.deleting_since.get_or_insert(now);
        }
        // One that waits is stored without its steps.
        self.steps.resize_with(status.steps.len().max(self.steps.len()), StepMemory::default);
    }

    /// The drain comes to a phase: what was counted in the last one counts no more.
    pub fn enter(&mut self, phase: Phase, now: Duration) {
        self.phase = (phase, now);
        self.stuck = None;
        self.pods = None;
        for step in &mut self.steps {
            step.done_rounds = 0;
            step.restored_rounds = 0;
            step.refused = None;
        }
    }

    /// What came of an act: cut off, nobody knows whether, and when, the backend carries it out; refused, people are
    /// to read the backend's words.
    pub fn sent(&mut self, step: usize, cut_off: bool, refused: Option<Explanation>, now: Duration) {
        if let Some(step) = self.steps.get_mut(step) {
            if cut_off {
                step.act_until = step.act_until.max(now + LATE);
            }
            step.refused = refused;
        }
    }

    /// How long the drain has been in its phase.
    #[must_use]
    pub fn in_phase(&self, now: Duration) -> Duration {
        now.saturating_sub(self.phase.1)
    }

    /// How long ago the last claim was seen.
    #[must_use]
    pub fn since_claim(&self, now: Duration) -> Duration {
        now.saturating_sub(self.claims.1)
    }

    /// For how long somebody has been deleting the PodDrain.
    #[must_use]
    pub fn deleting_for(&self, now: Duration) -> Duration {
        self.deleting_since.map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }

    /// For how long the owner's pods have been as they are; `pods` differs whenever they do.
    pub fn unchanged_for(&mut self, pods: u64, now: Duration) -> Duration {
        if self.pods.is_none_or(|(before, _)| before != pods) {
            self.pods = Some((pods, now));
        }
        self.pods.map_or(Duration::ZERO, |(_, since)| now.saturating_sub(since))
    }

    /// How long ago the last was of a try, of being asked for ahead, and of reaching Drained.
    #[must_use]
    pub fn silent(&self, now: Duration) -> Duration {
        let asked = self.tries.1.max(self.asked_ahead);
        let counted_from = if self.phase.0 == Phase::Drained { asked.max(self.phase.1) } else { asked };
        now.saturating_sub(counted_from)
    }

    /// The longest pause between two tries that was seen, by this process or one before.
    #[must_use]
    pub fn longest_pause(&self) -> Duration {
        self.longest_pause
    }
}

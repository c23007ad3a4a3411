//! A drain under test, with the leader of it and what that is shown.

use std::time::Duration;

use castoff::lifecycle::{Drain, Effect, Event, Memory, Outcome, Ownership, Phase, PodSeen, Turn, World, reconcile};
use castoff::plan::{Act, Progress, Request, Round, Verdict, spec::Accept};
use castoff::remedy::Cause;

use castoff_test_support::drains;
pub use castoff_test_support::world::CLAIM_PATIENCE;
use castoff_test_support::world::world;

pub const SECOND: Duration = Duration::from_secs(1);

pub struct Case {
    pub drain: Drain,
    pub memory: Memory,
    pub world: World,
}

/// The drain of `db-0`, whose UID is `a`, with so many steps: it holds a place, and its pod is there.
pub fn case(phase: &str, steps: usize) -> Case {
    let steps: Vec<_> = (0..steps).map(|number| drains::step(&format!("s{number}"))).collect();
    let drain = drains::drain(&drains::pod("db-0", "a", true), phase, &steps);
    let memory = Memory::new(&drain, Duration::ZERO, Duration::ZERO);
    Case { drain, memory, world: world() }
}

/// A pod that is there, with this mark, and has a controller.
pub fn present(mark: Option<&str>) -> PodSeen {
    PodSeen::Present { wake_mark: mark.map(str::to_owned), controlled: true }
}

impl Case {
    /// One turn, written; what it asked for.
    pub fn turn(&mut self) -> Vec<Effect> {
        let Turn { drain, memory, effects, .. } = reconcile(&self.drain, &self.memory, &self.world);
        (self.drain, self.memory) = (drain, memory);
        effects
    }

    /// A turn that finds this at the backends of the first steps.
    pub fn see(&mut self, verdicts: &[Verdict]) -> Vec<Effect> {
        self.world.rounds = verdicts.iter().cloned().map(round).enumerate().collect();
        self.turn()
    }

    pub fn after(&mut self, time: Duration) -> &mut Self {
        self.world.now += time;
        self
    }

    pub fn phase(&self) -> Phase {
        self.drain.status.phase
    }

    pub fn message(&self) -> &str {
        &self.drain.status.message
    }

    pub fn ownership(&self) -> Vec<Ownership> {
        self.drain.status.steps.iter().map(|step| step.ownership).collect()
    }

    pub fn owning(mut self, steps: &[usize]) -> Self {
        for step in steps {
            self.drain.status.steps[*step].ownership = Ownership::Acted;
        }
        self
    }

    /// The leader dies, and a new one begins, which keeps quiet for so long.
    pub fn new_leader(&mut self, quiet: Duration) {
        self.memory = Memory::new(&self.drain, self.world.now, quiet);
    }

    /// It holds no place.
    pub fn without_a_place(mut self) -> Self {
        self.world.listed = false;
        self
    }
}

pub fn round(verdict: Verdict) -> Round {
    Round { verdict, member: Some("m".into()), progress: None, ours: None }
}

/// A round that finds so many leaders left.
pub fn left(remaining: i64) -> Round {
    let progress = Some(Progress { remaining, unit: "leaders".into() });
    Round { progress, ..round(Verdict::Waiting) }
}

pub fn act() -> Verdict {
    act_with(false, false)
}

pub fn act_with(background: bool, irreversible: bool) -> Verdict {
    act_for(30 * SECOND, background, irreversible)
}

pub fn act_for(timeout: Duration, background: bool, irreversible: bool) -> Verdict {
    let request = Request {
        method: "POST".into(),
        url: "http://pd/".into(),
        body: None,
        commands: None,
        ok: Accept::None,
        timeout,
        tls_secret: String::new(),
        auth_secret: String::new(),
    };
    Verdict::Act(Box::new(Act { index: 0, request, background, irreversible }))
}

pub fn blocked() -> Verdict {
    Verdict::Blocked { message: "another store is away".into() }
}

pub fn unknown() -> Verdict {
    Verdict::Unknown { message: "it has just started".into() }
}

pub fn failed() -> Verdict {
    Verdict::Failed { message: "http://pd/ does not answer".into(), detail: String::new(), cause: Cause::default() }
}

pub fn sends(effects: &[Effect]) -> usize {
    effects.iter().filter(|effect| matches!(effect, Effect::Send(..))).count()
}

pub fn wakes(effects: &[Effect]) -> Vec<&str> {
    let marks = effects.iter().map(|effect| if let Effect::Wake(mark) = effect { Some(mark.as_str()) } else { None });
    marks.flatten().collect()
}

pub fn counts(effects: &[Effect]) -> Vec<Outcome> {
    let outcome = |effect: &Effect| if let Effect::Count(outcome) = effect { Some(*outcome) } else { None };
    effects.iter().filter_map(outcome).collect()
}

/// What people were told.
pub fn told(effects: &[Effect]) -> Vec<&Event> {
    effects.iter().filter_map(|effect| if let Effect::Tell(event) = effect { Some(event) } else { None }).collect()
}

/// The reasons of what people were told.
pub fn reasons(effects: &[Effect]) -> Vec<&'static str> {
    told(effects).iter().map(|event| event.reason).collect()
}

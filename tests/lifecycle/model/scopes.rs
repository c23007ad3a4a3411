//! What is searched: small worlds, and what goes wrong in each.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use castoff::lifecycle::Caller;

use super::moves::{Fault, State, left};
use super::search::{Outcome, search};
use crate::world::{Broken, World};

/// A small world, and what may go wrong in it, how often.
#[derive(Clone, Debug)]
pub struct Scope {
    pub seats: usize,
    pub gates: u8,
    /// Nobody knows the kind of the pods' owner.
    pub foreign: bool,
    /// The copies of the last gate lag.
    pub gate_lags: bool,
    /// Those of the leader do.
    pub leader_lags: bool,
    pub callers: &'static [Caller],
    /// The first of the pods that may be asked for.
    pub asked_from: usize,
    pub faults: Vec<(Fault, u8)>,
}

/// Two pods and two replicas: only the second pod is asked for, by a program.
pub fn two_pods() -> Scope {
    Scope {
        seats: 2,
        gates: 2,
        foreign: false,
        gate_lags: false,
        leader_lags: false,
        callers: &[Caller::Program],
        asked_from: 1,
        faults: Vec::new(),
    }
}

/// Three pods and one replica: all may be asked for.
pub fn three_pods() -> Scope {
    Scope { seats: 3, gates: 1, asked_from: 0, ..two_pods() }
}

impl Scope {
    pub fn with(&self, faults: &[(Fault, u8)]) -> Scope {
        Scope { faults: [&self.faults, faults].concat(), ..self.clone() }
    }

    fn start(&self, broken: Broken) -> State {
        let mut world = World::new(self.seats, broken, self.foreign);
        if self.leader_lags {
            world.let_leader_lag();
        }
        State {
            world,
            left: left(&self.faults),
            wants: vec![None; self.seats],
            callers: self.callers,
            asked_from: self.asked_from,
            gates: self.gates,
            lags: self.gate_lags,
        }
    }

    /// Searches it; tells how many states there are.
    pub fn play(&self, broken: Broken, most: usize) -> Outcome {
        let begun = Instant::now();
        let outcome = search(self.start(broken), most);
        let how = if outcome.complete { "all" } else { "the first" };
        let (states, steps, depth) = (outcome.states, outcome.steps, outcome.depth);
        let seconds = begun.elapsed().as_secs();
        println!("{how:9} {states:8} states {steps:9} steps {depth:4} deep {seconds:4} s  {self}");
        outcome
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} pods, {} gates, {:?}", self.seats, self.gates, self.faults)?;
        let but = [(self.foreign, "unknown owner"), (self.gate_lags, "gate lags"), (self.leader_lags, "leader lags")];
        but.iter().filter(|(is_so, _)| *is_so).try_for_each(|(_, what)| write!(formatter, ", {what}"))?;
        write!(formatter, ", asked by {:?}", self.callers)
    }
}

/// What many searches came to.
#[derive(Default)]
pub struct All {
    pub states: usize,
    pub complete: usize,
    pub wrong: Vec<String>,
}

/// Searches all of these, two at a time.
pub fn play_all(scopes: &[Scope], most: usize) -> All {
    let (next, all) = (AtomicUsize::new(0), Mutex::new(All::default()));
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                while let Some(scope) = scopes.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = scope.play(Broken::Nothing, most);
                    let mut all = all.lock().unwrap();
                    all.states += outcome.states;
                    all.complete += usize::from(outcome.complete);
                    all.wrong.extend(outcome.wrong.map(|wrong| format!("{scope}: {wrong}")));
                }
            });
        }
    });
    let all = all.into_inner().unwrap();
    println!("{} worlds, {} of them whole: {} states", scopes.len(), all.complete, all.states);
    all
}

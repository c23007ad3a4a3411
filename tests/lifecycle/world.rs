//! A world for the lifecycle: an API that takes conditional writes, a backend that may lie, two processes of which one
//! leads and the other may have one operation under way, two gates whose copies lag, and pods.

mod backend;
mod gates;
mod key;
mod leader;
mod people;
mod settle;
mod step;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use castoff::facts::{OwnerFacts, OwnerSeen};
use castoff::lifecycle::{
    Caller, Drain, Effect, Memory, Ownership, Phase, Slots, Turn, claim, look, must_be_written, reconcile,
};
use castoff::plan::{Mode, Task, Verdict};

use crate::sights::{self, Form};
use backend::Store;
pub use step::{Broken, Step};

/// Pods of the set, at the most; one of them may be away.
pub const SEATS: usize = 3;

/// A webhook's call, and what the API server does after it, take no longer.
const LONGEST_CALL: Duration = Duration::from_secs(30);

/// How long a new process keeps quiet: no operation of the old one is under way any longer.
pub const QUIET: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Life {
    Ready,
    NotReady,
    /// It has ended; its object stays.
    Ended,
    Terminating,
    Gone,
    Starting,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pod {
    pub generation: u32,
    pub life: Life,
    /// It, or the one before it in its seat, left by our yes.
    pub by_our_yes: bool,
    /// How many PodDrains were made of it.
    pub drains: u8,
    pub mark: Option<String>,
    pub wakes: Vec<String>,
}

/// A conditional write, or an effect, that was decided on.
#[derive(Clone, Debug)]
enum Operation {
    Write(Box<Drain>, Box<Turn>, u64),
    /// Of the drain of the pod with this UID, where the list of slots was of this version, and the drain of that one.
    Effect(Effect, String, u64, String),
}

#[derive(Clone, Debug, Default)]
enum Call {
    #[default]
    None,
    Read(Arc<Drain>),
    /// Every step was seen done, and the limit to hold, which was of so many pods.
    Done(Arc<Drain>, usize),
    Allowed(String),
}

/// What the leader has in memory of what the API server holds.
#[derive(Clone)]
struct Copies {
    drains: BTreeMap<String, Arc<Drain>>,
    slots: (Slots, u64),
    pods: Vec<Pod>,
}

#[allow(clippy::struct_excessive_bools)] // Each is a fact of its own.
#[derive(Clone)]
pub struct World {
    broken: Broken,
    now: Duration,
    version: u64,
    drains: BTreeMap<String, Arc<Drain>>,
    slots: (Slots, u64),
    policy: Form,
    /// How many pods the owner wants.
    replicas: usize,
    owner_is_read: bool,
    /// Its kind is none that is known.
    foreign: bool,
    pods: Vec<Pod>,
    /// When a pod of each seat last left by our yes.
    left: Vec<Duration>,
    stores: Vec<Store>,
    lies: bool,
    refuses: bool,
    /// The leader's copies, where they lag.
    copies: Option<Copies>,
    memories: BTreeMap<String, Memory>,
    decided: Vec<Operation>,
    old: Option<Operation>,
    /// By then what the old process had under way has landed, or failed.
    old_until: Duration,
    /// Until then the leader is quiet about what another may have done.
    quiet_until: Duration,
    gates: [BTreeMap<String, Arc<Drain>>; 2],
    /// When a gate last wrote down a try of a pod.
    written: [BTreeMap<String, Duration>; 2],
    calls: [Call; 2],
    /// What went wrong, in words.
    pub violation: Option<String>,
}

impl Pod {
    pub fn is_up(&self) -> bool {
        matches!(self.life, Life::Ready | Life::NotReady)
    }
}

pub fn uid(seat: usize, generation: u32) -> String {
    format!("{seat}{generation}pod")
}

pub fn seat_name(seat: usize) -> String {
    format!("db-{seat}")
}

impl World {
    pub fn new(seats: usize, broken: Broken, foreign: bool) -> World {
        let pod = Pod { generation: 0, life: Life::Ready, by_our_yes: false, drains: 0, mark: None, wakes: Vec::new() };
        let store = Store::with_leaders();
        World {
            broken,
            now: Duration::ZERO,
            version: 0,
            drains: BTreeMap::new(),
            slots: (Slots::default(), 0),
            policy: Form { renamed: false, two: false, zoned: false, frozen: false, edit: 0 },
            replicas: seats,
            owner_is_read: true,
            foreign,
            pods: vec![pod; seats],
            left: vec![Duration::ZERO; seats],
            stores: vec![store; seats],
            lies: false,
            refuses: false,
            copies: None,
            memories: BTreeMap::new(),
            decided: Vec::new(),
            old: None,
            old_until: Duration::ZERO,
            quiet_until: Duration::ZERO,
            gates: Default::default(),
            written: Default::default(),
            calls: Default::default(),
            violation: None,
        }
    }

    /// The pods of the set.
    pub fn seats(&self) -> usize {
        self.pods.len()
    }

    pub fn pods(&self) -> &[Pod] {
        &self.pods
    }

    /// The leader is in the midst of a turn.
    pub fn is_deciding(&self) -> bool {
        !self.decided.is_empty()
    }

    /// Something of a process that leads no longer, or that was cut off, may still land.
    pub fn has_old(&self) -> bool {
        self.old.is_some()
    }

    /// The pods whose drains the leader may look at: their seats and numbers.
    pub fn turns(&self) -> Vec<(u8, u8)> {
        let all = (0..self.seats()).flat_map(|seat| (0..=self.pods[seat].generation).map(move |number| (seat, number)));
        let open = all.filter(|(seat, number)| self.drain_to_turn(*seat, *number).is_some());
        open.filter_map(|(seat, number)| Some((seat.try_into().ok()?, number.try_into().ok()?))).collect()
    }

    /// How far a gate's call is: none, read, seen done, allowed.
    pub fn stage(&self, gate: u8) -> u8 {
        match self.calls[usize::from(gate)] {
            Call::None => 0,
            Call::Read(_) => 1,
            Call::Done(..) => 2,
            Call::Allowed(_) => 3,
        }
    }

    pub fn is_past_the_replicas(&self, seat: usize) -> bool {
        seat >= self.replicas
    }

    /// One more try of this pod does something else than to be noted.
    pub fn is_answered_otherwise(&self, seat: usize) -> bool {
        let drain = self.drains.get(&uid(seat, self.pods[seat].generation));
        !drain.is_some_and(|it| matches!(it.status.phase, Phase::Queued | Phase::Draining | Phase::Restoring))
    }

    pub fn gate_lags(&self, gate: u8) -> bool {
        self.gates[usize::from(gate)] != self.drains
    }

    pub fn leader_lags(&self) -> bool {
        let lags = |copies: &Copies| {
            copies.drains != self.drains || copies.pods != self.pods || copies.slots.1 != self.slots.1
        };
        self.copies.as_ref().is_some_and(lags)
    }

    pub fn leaders_move(&self, seat: usize) -> bool {
        !self.lies && self.stores[seat].leaders != self.has_leaders_next(seat)
    }

    /// The backend lies; it refuses; the owner can be read.
    pub fn trouble(&self) -> (bool, bool, bool) {
        (self.lies, self.refuses, self.owner_is_read)
    }

    pub fn step(&mut self, step: Step) {
        let seats = self.seats();
        let of = |seat: u8| usize::from(seat) % seats;
        match step {
            Step::Pass(seconds) => self.pass(Duration::from_secs(seconds.into())),
            Step::Turn(seat) => self.turn(of(seat)),
            Step::TurnOf { seat, generation } => self.turn_of_pod(of(seat), generation.into()),
            Step::Do => self.act(),
            Step::CutOff => self.cut_off(),
            Step::SyncLeader => self.sync_leader(),
            Step::Crash => {
                self.sync_leader();
                self.begin_anew();
            }
            Step::HandOver => {
                self.old = (!self.decided.is_empty()).then(|| self.decided.remove(0));
                self.old_until = self.now + QUIET;
                // Where its copies lag, the new one has heard of no drain yet.
                if let Some(copies) = &mut self.copies {
                    copies.drains.clear();
                }
                self.begin_anew();
            }
            Step::Land => {
                if let Some(operation) = self.old.take() {
                    self.carry_out(operation, false);
                }
            }
            Step::Try { gate, seat, caller } => self.attempt(usize::from(gate) % 2, of(seat), caller),
            Step::Observe(gate) => self.observe_at(usize::from(gate) % 2),
            Step::Claim(gate) => self.claim(usize::from(gate) % 2),
            Step::CarryOut { gate, really } => self.carry_out_allow(usize::from(gate) % 2, really),
            Step::Dies(gate) => self.calls[usize::from(gate) % 2] = Call::None,
            Step::Sync(gate) => self.gates[usize::from(gate) % 2] = self.drains.clone(),
            Step::Kubelet(seat) => self.kubelet(of(seat)),
            Step::PastTheGate(seat) => {
                let seat = of(seat);
                if self.pods[seat].is_up() {
                    self.terminates(seat);
                }
            }
            Step::Leaders(seat) => self.move_leaders(of(seat)),
            Step::Lie(lies) => self.lies = lies,
            Step::Refuse(refuses) => self.refuses = refuses,
            Step::Lose(seat) => self.stores[of(seat)].lose(),
            Step::Person(seat) => self.person(of(seat)),
            Step::Cancel(seat) => self.of_person(seat, |drain| drain.spec.cancel = true),
            Step::Delete(seat) => self.delete(seat),
            Step::Flap(seat) => {
                let pod = &mut self.pods[of(seat)];
                pod.life = match pod.life {
                    Life::Ready => Life::NotReady,
                    Life::NotReady => Life::Ready,
                    other => other,
                };
            }
            Step::End(seat) => {
                let pod = &mut self.pods[of(seat)];
                if pod.is_up() {
                    pod.life = Life::Ended;
                }
            }
            Step::Renew => self.slots = (Slots::default(), self.slots.1 + 1),
            Step::Rename => {
                self.policy.renamed = !self.policy.renamed;
                self.slots = (Slots::default(), self.slots.1 + 1);
            }
            Step::Edit(edit) => self.policy.edit = usize::from(edit) % sights::EDITS.len(),
            // What an owner of a kind that nobody knows wants can't be told.
            Step::ScaledIn(is_in) => self.replicas = self.seats() - usize::from(is_in && !self.foreign),
            Step::Limit(two) => self.policy.two = two,
            Step::Owner(is_read) => self.owner_is_read = is_read,
            Step::Freeze(frozen) => self.policy.frozen = frozen,
            Step::Zoned(zoned) => self.policy.zoned = zoned,
        }
    }

    fn violated(&mut self, what: &str) {
        self.violation.get_or_insert_with(|| what.to_owned());
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        if self.now >= self.old_until {
            self.old = None;
        }
        // No call takes as long: it was given up, and by whom it was made too.
        if time >= LONGEST_CALL {
            self.calls = Default::default();
        }
    }

    /// A process that remembers nothing.
    fn begin_anew(&mut self) {
        self.decided.clear();
        if self.broken == Broken::IntentForgotten {
            let steps = self.drains.values_mut().flat_map(|drain| &mut Arc::make_mut(drain).status.steps);
            steps.filter(|step| step.ownership == Ownership::Intent).for_each(|step| step.ownership = Ownership::None);
        }
        let quiet = if self.broken == Broken::NoQuiet { Duration::ZERO } else { QUIET };
        self.quiet_until = self.now + quiet;
        let met = |drain: &Arc<Drain>| (drain.pod_uid().to_owned(), Memory::new(drain, self.now, quiet));
        self.memories = self.known().values().map(met).collect();
    }

    /// The drains as the leader knows them.
    fn known(&self) -> &BTreeMap<String, Arc<Drain>> {
        self.copies.as_ref().map_or(&self.drains, |copies| &copies.drains)
    }

    /// A conditional write; false where something was written meanwhile.
    fn write(&mut self, mut drain: Drain, unconditional: bool) -> bool {
        let there = self.drains.get(drain.pod_uid()).map(|drain| drain.metadata.resource_version.as_str());
        if !unconditional && there != Some(drain.metadata.resource_version.as_str()) {
            return false;
        }
        self.version += 1;
        drain.metadata.resource_version = self.version.to_string();
        self.drains.insert(drain.pod_uid().to_owned(), Arc::new(drain));
        true
    }
}

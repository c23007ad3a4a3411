//! A world for the lifecycle: an API that takes conditional writes, a backend that may lie, two processes of which one
//! leads and the other may have one operation under way, two gates whose copies lag, and pods.

mod backend;
mod gates;
mod leader;
mod people;
mod settle;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use castoff::facts::{OwnerFacts, OwnerSeen};
use castoff::lifecycle::{
    Caller, Drain, Effect, Memory, Ownership, Phase, Slots, Turn, claim, look, must_be_written, reconcile,
};
use castoff::plan::{Mode, Task, Verdict};

use crate::sights::{self, Form};
use backend::Store;

/// Pods of the set; one of them may be away.
pub const SEATS: usize = 3;

/// How long a new process keeps quiet: no operation of the old one is under way any longer.
pub const QUIET: Duration = Duration::from_secs(10);

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Seconds pass.
    Pass(u8),
    /// The leader looks at the drain of a seat and decides.
    Turn(u8),
    /// The leader does the next thing that it decided: the write, or an effect.
    Do,
    /// The leader dies and begins anew.
    Crash,
    /// The other process comes into charge; what the old one has under way may still land.
    HandOver,
    /// What the old process had under way lands.
    Land,
    /// A gate is asked for the pod of a seat.
    Try { gate: u8, seat: u8, caller: Caller },
    /// A gate that has read the drain looks at the backend.
    Observe(u8),
    /// A gate that has seen every step done claims.
    Claim(u8),
    /// The API server carries an allow out, or does not.
    CarryOut { gate: u8, really: bool },
    /// A gate's copies come up to date.
    Sync(u8),
    /// A pod ends, is made anew, becomes Ready: one of these.
    Kubelet(u8),
    /// A pod goes past the gate.
    PastTheGate(u8),
    /// The leaders of an evicted store leave; those of others come back.
    Leaders(u8),
    /// The backend begins to lie, or stops.
    Lie(bool),
    /// A person sets the entry of a store.
    Person(u8),
    /// A person cancels the drain of a seat.
    Cancel(u8),
    /// A person deletes the newest PodDrain of a seat.
    Delete(u8),
    /// A pod is no longer Ready, or is again.
    Flap(u8),
    /// A pod ends by itself; its object stays.
    End(u8),
    /// The policy is made anew: its list of slots is empty.
    Renew,
    /// The same, under another name.
    Rename,
    /// The policy's steps are others now.
    Edit(u8),
    /// The set is scaled in by one pod, or out again.
    ScaledIn(bool),
    /// The limit is raised to two, or lowered to one.
    Limit(bool),
    /// The owner can be read, or can not.
    Owner(bool),
    /// A person freezes the policy, or thaws it.
    Freeze(bool),
    /// The policy's limit is one zone at a time, or a number again.
    Zoned(bool),
}

/// What is broken on purpose, to see that it is noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Broken {
    #[default]
    Nothing,
    /// The claim is written whatever was written meanwhile.
    ClaimUnconditional,
    /// Slots are written whatever was written meanwhile.
    SlotsUnconditional,
    /// A new process does not find what was about to be set, only what is known to have been.
    IntentForgotten,
    /// A new process acts at once.
    NoQuiet,
    /// The limit is asked when a place is taken, and not again.
    LimitAskedOnlyOnce,
    /// Places follow from the policy's list alone.
    SlotsFromListOnly,
    /// A hole is never closed by what an owner of an unknown kind shows.
    HoleByKind,
    /// That a PodDrain is deleted changes nothing.
    DeleteChangesNothing,
    /// A replacement takes over its predecessor's steps by their places.
    TakeoverByPlace,
    /// All pods are taken for pods of one zone.
    OneZoneForAll,
    /// That the policy is frozen only the gates know.
    FreezeOfGatesOnly,
    /// An owner that can't be read wants its pods back.
    UnknownIsDefault,
}

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
    pub mark: Option<String>,
    pub wakes: Vec<String>,
}

/// A conditional write, or an effect, that was decided on.
#[derive(Clone, Debug)]
enum Operation {
    Write(Box<Drain>, Box<Turn>, u64),
    /// Of the drain of the pod with this UID, where the list of slots was of this version.
    Effect(Effect, String, u64),
}

#[derive(Clone, Debug, Default)]
enum Call {
    #[default]
    None,
    Read(Arc<Drain>),
    Done(Arc<Drain>),
    Allowed(String),
}

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
    frozen: bool,
    /// Its kind is none that is known.
    foreign: bool,
    pods: Vec<Pod>,
    stores: Vec<Store>,
    lies: bool,
    memories: HashMap<String, Memory>,
    decided: Vec<Operation>,
    old: Option<Operation>,
    /// By then what the old process had under way has landed, or failed.
    old_until: Duration,
    gates: [BTreeMap<String, Arc<Drain>>; 2],
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
    pub fn new(broken: Broken, foreign: bool) -> World {
        let pod = Pod { generation: 0, life: Life::Ready, mark: None, wakes: Vec::new() };
        let store = Store::with_leaders();
        World {
            broken,
            now: Duration::ZERO,
            version: 0,
            drains: BTreeMap::new(),
            slots: (Slots::default(), 0),
            policy: Form { renamed: false, two: false, zoned: false, edit: 0 },
            replicas: SEATS,
            owner_is_read: true,
            frozen: false,
            foreign,
            pods: vec![pod; SEATS],
            stores: vec![store; SEATS],
            lies: false,
            memories: HashMap::new(),
            decided: Vec::new(),
            old: None,
            old_until: Duration::ZERO,
            gates: Default::default(),
            calls: Default::default(),
            violation: None,
        }
    }

    pub fn step(&mut self, step: Step) {
        match step {
            Step::Pass(seconds) => self.pass(Duration::from_secs(seconds.into())),
            Step::Turn(seat) => self.turn(usize::from(seat) % SEATS),
            Step::Do => self.act(),
            Step::Crash => self.begin_anew(),
            Step::HandOver => {
                self.old = (!self.decided.is_empty()).then(|| self.decided.remove(0));
                self.old_until = self.now + QUIET;
                self.begin_anew();
            }
            Step::Land => {
                if let Some(operation) = self.old.take() {
                    self.carry_out(operation, false);
                }
            }
            Step::Try { gate, seat, caller } => self.attempt(usize::from(gate) % 2, usize::from(seat) % SEATS, caller),
            Step::Observe(gate) => self.observe_at(usize::from(gate) % 2),
            Step::Claim(gate) => self.claim(usize::from(gate) % 2),
            Step::CarryOut { gate, really } => self.carry_out_allow(usize::from(gate) % 2, really),
            Step::Sync(gate) => self.gates[usize::from(gate) % 2] = self.drains.clone(),
            Step::Kubelet(seat) => self.kubelet(usize::from(seat) % SEATS),
            Step::PastTheGate(seat) => {
                let pod = &mut self.pods[usize::from(seat) % SEATS];
                if pod.is_up() {
                    pod.life = Life::Terminating;
                }
            }
            Step::Leaders(seat) => self.move_leaders(usize::from(seat) % SEATS),
            Step::Lie(lies) => self.lies = lies,
            Step::Person(seat) => self.person(usize::from(seat) % SEATS),
            Step::Cancel(seat) => self.of_person(seat, |drain| drain.spec.cancel = true),
            Step::Delete(seat) => self.of_person(seat, |drain| {
                (drain.metadata.kept.deleting, drain.metadata.kept.finalizer) = (true, true);
            }),
            Step::Flap(seat) => {
                let pod = &mut self.pods[usize::from(seat) % SEATS];
                pod.life = match pod.life {
                    Life::Ready => Life::NotReady,
                    Life::NotReady => Life::Ready,
                    other => other,
                };
            }
            Step::End(seat) => {
                let pod = &mut self.pods[usize::from(seat) % SEATS];
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
            Step::ScaledIn(is_in) => self.replicas = if is_in && !self.foreign { SEATS - 1 } else { SEATS },
            Step::Limit(two) => self.policy.two = two,
            Step::Owner(is_read) => self.owner_is_read = is_read,
            Step::Freeze(frozen) => self.frozen = frozen,
            Step::Zoned(zoned) => self.policy.zoned = zoned,
        }
        self.check();
    }

    fn violated(&mut self, what: &str) {
        self.violation.get_or_insert_with(|| what.to_owned());
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        if self.now >= self.old_until {
            self.old = None;
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
        self.memories = self
            .drains
            .values()
            .map(|drain| (drain.pod_uid().to_owned(), Memory::new(drain, self.now, quiet)))
            .collect();
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

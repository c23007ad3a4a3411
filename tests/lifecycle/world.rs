//! A world for the lifecycle: an API that takes conditional writes, a backend that may lie, two processes of which one
//! leads and the other may have one operation under way, two gates whose copies lag, and pods.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use castoff::lifecycle::slots::{Answer, Candidate, Peer, Slots};
use castoff::lifecycle::{
    Caller, Drain, Effect, Memory, Ownership, Phase, PodSeen, PolicySeen, Settings, Successor, Turn, World as Seen,
    claim, look, must_be_written, reconcile,
};
use castoff::plan::{Act, Mode, Request, Round, Task, Verdict, spec::Accept};

/// Pods of the set; one of them may be away.
pub const SEATS: usize = 2;

/// How long a new process keeps quiet: no operation of the old one is under way any longer.
pub const QUIET: Duration = Duration::from_secs(10);

const ABANDON_AFTER: u64 = 100;

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
    /// A gate is asked for the drain of a seat's pod.
    Try { gate: u8, seat: u8, person: bool },
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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Ready,
    Terminating,
    Gone,
    Starting,
}

#[derive(Clone, Debug)]
struct Pod {
    generation: u32,
    life: Life,
    /// It left, or is about to, by our yes.
    by_our_yes: bool,
    mark: Option<String>,
    wakes: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Store {
    entry: bool,
    persons: bool,
    leaders: bool,
}

/// A conditional write, or an effect, that was decided on.
#[derive(Clone, Debug)]
enum Operation {
    Write(Box<Turn>, Box<Drain>),
    Effect(Effect, String, u64),
}

#[derive(Clone, Debug, Default)]
enum Call {
    #[default]
    None,
    Read(Box<Drain>),
    Done(Box<Drain>),
    Allowed(String),
}

pub struct World {
    broken: Broken,
    now: Duration,
    version: u64,
    drains: BTreeMap<String, Drain>,
    slots: (Slots, u64),
    pods: Vec<Pod>,
    stores: Vec<Store>,
    lies: bool,
    memories: HashMap<String, Memory>,
    decided: Vec<Operation>,
    old: Option<Operation>,
    /// By then what the old process had under way has landed, or failed.
    old_until: Duration,
    gates: [BTreeMap<String, Drain>; 2],
    calls: [Call; 2],
    /// What went wrong, in words.
    pub violation: Option<String>,
}

fn uid(seat: usize, generation: u32) -> String {
    format!("{seat}{generation}pod")
}

fn seat_name(seat: usize) -> String {
    format!("db-{seat}")
}

impl World {
    pub fn new(broken: Broken) -> World {
        let pod = Pod { generation: 0, life: Life::Ready, by_our_yes: false, mark: None, wakes: Vec::new() };
        let store = Store { leaders: true, ..Store::default() };
        World {
            broken,
            now: Duration::ZERO,
            version: 0,
            drains: BTreeMap::new(),
            slots: (Slots::default(), 0),
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
            Step::Try { gate, seat, person } => self.attempt(usize::from(gate) % 2, usize::from(seat) % SEATS, person),
            Step::Observe(gate) => self.observe_at(usize::from(gate) % 2),
            Step::Claim(gate) => self.claim(usize::from(gate) % 2),
            Step::CarryOut { gate, really } => self.carry_out_allow(usize::from(gate) % 2, really),
            Step::Sync(gate) => self.gates[usize::from(gate) % 2] = self.drains.clone(),
            Step::Kubelet(seat) => self.kubelet(usize::from(seat) % SEATS),
            Step::PastTheGate(seat) => {
                let pod = &mut self.pods[usize::from(seat) % SEATS];
                if pod.life == Life::Ready {
                    pod.life = Life::Terminating;
                }
            }
            Step::Leaders(seat) => self.move_leaders(usize::from(seat) % SEATS),
            Step::Lie(lies) => self.lies = lies,
            Step::Person(seat) => self.person(usize::from(seat) % SEATS),
            Step::Cancel(seat) => {
                let pod = uid(usize::from(seat) % SEATS, self.pods[usize::from(seat) % SEATS].generation);
                if let Some(mut drain) = self.drains.get(&pod).cloned() {
                    drain.spec.cancel = true;
                    self.write(drain, false);
                }
            }
        }
        self.check();
    }

    /// Lets everything run its course, without faults; then nothing may be left open.
    pub fn settle(&mut self) {
        self.lies = false;
        self.old = None;
        for round in 0..400 {
            for seat in 0..SEATS {
                self.turn(seat);
                while !self.decided.is_empty() {
                    self.act();
                }
                self.move_leaders(seat);
                self.kubelet(seat);
            }
            for gate in 0..2 {
                self.observe_at(gate);
                self.claim(gate);
                self.carry_out_allow(gate, true);
                self.gates[gate] = self.drains.clone();
            }
            self.pass(Duration::from_secs(if round < 200 { 3 } else { 30 }));
            self.check();
            let over = self.drains.values().all(|drain| drain.status.phase == Phase::Completed);
            let whole = self.pods.iter().all(|pod| pod.life == Life::Ready);
            if over && whole && self.decided.is_empty() {
                break;
            }
        }
        let open: Vec<String> = self
            .drains
            .values()
            .filter(|drain| drain.status.phase != Phase::Completed)
            .map(|drain| format!("{} {:?}", drain.metadata.name, drain.status.phase))
            .collect();
        if !open.is_empty() {
            self.violated(&format!("7: never over: {}", open.join(", ")));
        } else if !self.slots.0.departing.is_empty() {
            self.violated("7: a slot is held for ever");
        }
        for (seat, store) in self.stores.clone().into_iter().enumerate() {
            if store.entry && !store.persons {
                self.violated(&format!("3: our entry of store {seat} is left behind"));
            }
            if store.persons && !store.entry {
                self.violated(&format!("3: a person's entry of store {seat} is gone"));
            }
        }
    }

    fn check(&mut self) {
        let away = self.pods.iter().filter(|pod| pod.by_our_yes && pod.life != Life::Ready).count();
        if away > 1 {
            self.violated("2: two pods are away by our yes");
        }
        for pod in &self.pods {
            let mut marks = pod.wakes.clone();
            marks.dedup();
            marks.sort();
            let before = marks.len();
            marks.dedup();
            if marks.len() != before {
                self.violated("6: woken twice for the same becoming-prepared");
                return;
            }
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
    }

    /// A process that remembers nothing.
    fn begin_anew(&mut self) {
        self.decided.clear();
        if self.broken == Broken::IntentForgotten {
            let steps = self.drains.values_mut().flat_map(|drain| &mut drain.status.steps);
            steps.filter(|step| step.ownership == Ownership::Intent).for_each(|step| step.ownership = Ownership::None);
        }
        let quiet = if self.broken == Broken::NoQuiet { Duration::ZERO } else { QUIET };
        self.memories = self
            .drains
            .values()
            .map(|drain| (drain.pod_uid().to_owned(), Memory::new(drain, self.now, quiet)))
            .collect();
    }

    fn turn(&mut self, seat: usize) {
        if !self.decided.is_empty() {
            return;
        }
        let candidates: Vec<Drain> =
            self.drains.values().filter(|drain| drain.spec.seat == seat_name(seat)).cloned().collect();
        for drain in candidates {
            if drain.status.phase == Phase::Completed && drain.status.left {
                continue;
            }
            self.turn_of(seat, &drain);
            if !self.decided.is_empty() {
                return;
            }
        }
    }

    fn turn_of(&mut self, seat: usize, drain: &Drain) {
        let memory = self
            .memories
            .entry(drain.pod_uid().to_owned())
            .or_insert_with(|| Memory::new(drain, self.now, Duration::ZERO))
            .clone();
        let wanted = look(drain, &memory);
        let rounds = wanted.steps.iter().map(|step| (*step, self.round(seat, wanted.task))).collect();
        let turn = reconcile(drain, &memory, &self.seen(seat, drain, rounds));
        if must_be_written(drain, &turn.drain) {
            self.decided.push(Operation::Write(Box::new(turn), Box::new(drain.clone())));
        } else {
            self.memories.insert(drain.pod_uid().to_owned(), turn.memory.clone());
            self.decide_effects(&turn, drain);
        }
    }

    fn seen(&self, seat: usize, drain: &Drain, rounds: BTreeMap<usize, Round>) -> Seen {
        let pod = &self.pods[seat];
        let is_it = uid(seat, pod.generation) == drain.pod_uid();
        let there = is_it && pod.life != Life::Gone;
        let peers: Vec<Peer> =
            (0..SEATS).map(|seat| Peer { seat: seat_name(seat), ready: self.pods[seat].life == Life::Ready }).collect();
        let candidate = Candidate {
            seat: &drain.spec.seat,
            drain: &drain.metadata.name,
            ready: is_it && pod.life == Life::Ready,
            predecessor: None,
        };
        let slot = if self.slots.0.held_by(&drain.metadata.name) {
            Answer::Held
        } else {
            self.slots.0.ask(candidate, &peers, 0, 1)
        };
        Seen {
            now: self.now,
            pod: if there {
                PodSeen::Present { terminating: pod.life == Life::Terminating, wake_mark: pod.mark.clone() }
            } else {
                PodSeen::Gone
            },
            successor: if !is_it && pod.life == Life::Ready { Successor::Ready } else { Successor::Awaited },
            owner_wants: false,
            owner_has_enough: false,
            mode: Mode::Restart,
            slot,
            rounds,
            predecessor: None,
            superseded: false,
            namespace_ending: false,
            policy: PolicySeen::AsBegun,
            settings: Settings {
                claim_patience: Duration::from_secs(50),
                progress_every: Duration::ZERO,
                completed_ttl: Duration::from_hours(1000),
            },
        }
    }

    /// What a round finds: an entry is what prepares, and what is restored.
    fn round(&self, seat: usize, task: Task) -> Round {
        let store = self.stores[seat];
        let act = |index| {
            let request = Request {
                method: "POST".to_owned(),
                url: String::new(),
                body: None,
                ok: Accept::None,
                timeout: Duration::from_secs(3),
                tls_secret: String::new(),
                auth_secret: String::new(),
            };
            Verdict::Act(Box::new(Act { index, request, background: false, irreversible: false }))
        };
        let verdict = match task {
            _ if self.lies => Verdict::Unknown { message: "it has just started".to_owned() },
            Task::Prepare if !store.entry => act(0),
            Task::Prepare if store.leaders => Verdict::Waiting,
            Task::Restore if store.entry => act(1),
            Task::Prepare | Task::Restore => Verdict::Done,
        };
        Round { verdict, member: Some(seat.to_string()), progress: None, ours: None }
    }

    fn decide_effects(&mut self, turn: &Turn, drain: &Drain) {
        let slots_version = self.slots.1;
        let uid = drain.pod_uid().to_owned();
        let effects = turn.effects.iter().map(|effect| Operation::Effect(effect.clone(), uid.clone(), slots_version));
        self.decided.extend(effects);
    }

    fn act(&mut self) {
        if !self.decided.is_empty() {
            let operation = self.decided.remove(0);
            self.carry_out(operation, true);
        }
    }

    fn carry_out(&mut self, operation: Operation, is_leader: bool) {
        match operation {
            Operation::Write(turn, before) => {
                let slots_version = self.slots.1;
                let drain = turn.drain.clone();
                if self.write(drain, false) && is_leader {
                    self.memories.insert(before.pod_uid().to_owned(), turn.memory.clone());
                    let uid = before.pod_uid().to_owned();
                    let effects = turn.effects.into_iter();
                    self.decided.extend(effects.map(|effect| Operation::Effect(effect, uid.clone(), slots_version)));
                } else {
                    self.decided.clear();
                }
            }
            Operation::Effect(effect, pod, slots_version) => self.effect(effect, &pod, slots_version, is_leader),
        }
    }

    fn effect(&mut self, effect: Effect, pod: &str, slots_version: u64, is_leader: bool) {
        let Some(drain) = self.drains.get(pod).cloned() else { return };
        let seat = (0..SEATS).find(|seat| seat_name(*seat) == drain.spec.seat).unwrap();
        match effect {
            Effect::TakeSlot(slots) => self.write_slots(slots, slots_version),
            Effect::GiveSlot => self.write_slots(self.slots.0.without(&drain.metadata.name), slots_version),
            Effect::Send(_, act) if act.index == 0 => self.stores[seat].entry = true,
            Effect::Send(..) => {
                self.stores[seat] = Store { entry: false, persons: self.stores[seat].persons, ..self.stores[seat] }
            }
            Effect::Wake(mark) => {
                if is_leader && self.stores[seat].leaders {
                    self.violated("6: woken before the gate would allow");
                }
                let pod_now = &mut self.pods[seat];
                if uid(seat, pod_now.generation) == pod && pod_now.mark.as_ref() != Some(&mark) {
                    pod_now.mark = Some(mark.clone());
                    pod_now.wakes.push(mark);
                }
            }
            Effect::Unmark => {
                let pod_now = &mut self.pods[seat];
                if uid(seat, pod_now.generation) == pod {
                    pod_now.mark = None;
                }
            }
            Effect::Delete => self.violated("deletes a pod that its owner has not been seen to want gone"),
            Effect::Tell(_) | Effect::Count(_) | Effect::Remove => {}
        }
    }

    fn write_slots(&mut self, slots: Slots, version: u64) {
        if self.slots.1 == version || self.broken == Broken::SlotsUnconditional {
            self.slots = (slots, self.slots.1 + 1);
        }
    }

    /// A conditional write; false where something was written meanwhile.
    fn write(&mut self, mut drain: Drain, unconditional: bool) -> bool {
        let there = self.drains.get(drain.pod_uid()).map(|drain| drain.metadata.resource_version.as_str());
        if !unconditional && there != Some(drain.metadata.resource_version.as_str()) {
            return false;
        }
        self.version += 1;
        drain.metadata.resource_version = self.version.to_string();
        self.drains.insert(drain.pod_uid().to_owned(), drain);
        true
    }

    fn attempt(&mut self, gate: usize, seat: usize, person: bool) {
        let pod = &self.pods[seat];
        if pod.life != Life::Ready || !matches!(self.calls[gate], Call::None) {
            return;
        }
        let caller = if person { Caller::Person } else { Caller::StatefulSet };
        let pod_uid = uid(seat, pod.generation);
        let woken = pod.mark.is_some();
        let known = if woken { self.drains.get(&pod_uid) } else { self.gates[gate].get(&pod_uid) };
        match known.cloned() {
            None if self.drains.contains_key(&pod_uid) => {}
            None => {
                self.version += 1;
                let drain = new_drain(seat, &pod_uid, self.version);
                self.drains.insert(pod_uid, drain);
            }
            Some(drain) if drain.status.phase == Phase::Completed => {
                self.write(claim::begun_anew(drain, caller), false);
            }
            // What was read is read live before the backend is looked at.
            Some(drain) if claim::may_be_claimed(&drain) => {
                if let Some(live) = self.drains.get(&pod_uid).filter(|live| claim::may_be_claimed(live)) {
                    self.calls[gate] = Call::Read(Box::new(live.clone()));
                }
            }
            Some(drain) => {
                if let Some(tried) = claim::tried(&drain, caller, Duration::MAX, Duration::ZERO) {
                    self.write(tried, false);
                }
            }
        }
    }

    fn observe_at(&mut self, gate: usize) {
        if !matches!(self.calls[gate], Call::Read(_)) {
            return;
        }
        let Call::Read(live) = std::mem::take(&mut self.calls[gate]) else { return };
        let seat = (0..SEATS).find(|seat| seat_name(*seat) == live.spec.seat).unwrap();
        if self.round(seat, Task::Prepare).verdict == Verdict::Done {
            self.calls[gate] = Call::Done(live);
        } else if live.status.phase == Phase::Drained {
            self.write(claim::no_longer_done(*live, 0, ""), false);
        }
    }

    fn claim(&mut self, gate: usize) {
        let Call::Done(live) = &self.calls[gate] else { return };
        let live = Drain::clone(live);
        let pod = live.pod_uid().to_owned();
        let unconditional = self.broken == Broken::ClaimUnconditional;
        let mut claimed = self.write(claim::claimed(live.clone()), unconditional);
        if !claimed && let Some(now) = self.drains.get(&pod).cloned() {
            claimed = claim::may_be_claimed_anew(&live, &now) && self.write(claim::claimed(now), false);
        }
        self.calls[gate] = if claimed { Call::Allowed(pod) } else { Call::None };
    }

    fn carry_out_allow(&mut self, gate: usize, really: bool) {
        if !matches!(self.calls[gate], Call::Allowed(_)) {
            return;
        }
        let Call::Allowed(pod_uid) = std::mem::take(&mut self.calls[gate]) else { return };
        let Some(seat) = (0..SEATS).find(|seat| uid(*seat, self.pods[*seat].generation) == pod_uid) else { return };
        if !really || self.pods[seat].life != Life::Ready {
            return;
        }
        self.pods[seat].life = Life::Terminating;
        self.pods[seat].by_our_yes = true;
        if self.stores[seat].leaders {
            self.violated("1: allowed while leaders were on the store");
        }
    }

    fn kubelet(&mut self, seat: usize) {
        let pod = &mut self.pods[seat];
        pod.life = match pod.life {
            Life::Ready => Life::Ready,
            Life::Terminating => {
                self.stores[seat].leaders = false;
                Life::Gone
            }
            Life::Gone => {
                pod.generation += 1;
                (pod.mark, pod.wakes) = (None, Vec::new());
                Life::Starting
            }
            Life::Starting => {
                pod.by_our_yes = false;
                Life::Ready
            }
        };
    }

    fn move_leaders(&mut self, seat: usize) {
        if self.lies {
            return;
        }
        let up = matches!(self.pods[seat].life, Life::Ready | Life::Terminating);
        self.stores[seat].leaders = up && !self.stores[seat].entry;
    }

    /// A person's entry that is set while ours is there, or about to be, can't be told apart: that is documented.
    fn person(&mut self, seat: usize) {
        let of_seat = |drain: &&Drain| drain.spec.seat == seat_name(seat);
        let ours_about = self
            .drains
            .values()
            .filter(of_seat)
            .any(|drain| drain.owns_anything() || !matches!(drain.status.phase, Phase::Completed));
        if !ours_about && !self.stores[seat].entry && !self.lies && self.decided.is_empty() && self.old.is_none() {
            self.stores[seat] = Store { entry: true, persons: true, ..self.stores[seat] };
        }
    }
}

fn new_drain(seat: usize, pod_uid: &str, version: u64) -> Drain {
    let json = serde_json::json!({
        "metadata": {"name": format!("{}-{pod_uid}", seat_name(seat)), "namespace": "n", "resourceVersion": version.to_string()},
        "spec": {
            "pod": {"metadata": {"name": seat_name(seat), "namespace": "n", "uid": pod_uid}},
            "seat": seat_name(seat), "policy": "p", "requester": "someone", "caller": "StatefulSet",
            "steps": [{"name": "s", "plan": "tikv", "hash": "", "planSpec": {"summary": "", "done": "true"}, "parameters": {}}],
            "limits": {"maxUnavailable": 1, "pollPeriodSeconds": 2, "progressDeadlineSeconds": 600, "abandonAfterSeconds": ABANDON_AFTER},
        },
        "status": {"steps": [{}], "tries": 1, "caller": "StatefulSet"},
    });
    serde_json::from_value(json).unwrap()
}

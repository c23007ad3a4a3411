//! What can happen next in a state: what goes on by itself, and what may go wrong, each only so often.

use castoff::lifecycle::Caller;

use crate::world::{Life, Step, World};

/// What may go wrong, or be asked for by people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Somebody asks for a pod to leave, and goes on asking.
    Ask,
    /// Whoever asked does not ask again.
    GiveUp,
    Crash,
    HandOver,
    CutOff,
    Lie,
    Refuse,
    Lose,
    Flap,
    End,
    PastTheGate,
    NotCarriedOut,
    Dies,
    Person,
    Cancel,
    Delete,
    Renew,
    Rename,
    Edit,
    Limit,
    /// All that are away must be in one zone from now on.
    Zone,
    ScaleIn,
    Owner,
    /// Less than a minute passes: a new process is quiet no longer, and what is allowed may still be carried out.
    Wait,
}

const FAULTS: usize = Fault::Wait as usize + 1;

/// All that may go wrong besides that somebody asks.
pub const ALL: [Fault; FAULTS - 1] = [
    Fault::GiveUp,
    Fault::Crash,
    Fault::HandOver,
    Fault::CutOff,
    Fault::Lie,
    Fault::Refuse,
    Fault::Lose,
    Fault::Flap,
    Fault::End,
    Fault::PastTheGate,
    Fault::NotCarriedOut,
    Fault::Dies,
    Fault::Person,
    Fault::Cancel,
    Fault::Delete,
    Fault::Renew,
    Fault::Rename,
    Fault::Edit,
    Fault::Limit,
    Fault::Zone,
    Fault::ScaleIn,
    Fault::Owner,
    Fault::Wait,
];

/// How often what may still happen.
pub type Left = [u8; FAULTS];

fn small(seat: usize) -> u8 {
    u8::try_from(seat).expect("a few pods")
}

/// How much each fault may happen.
pub fn left(faults: &[(Fault, u8)]) -> Left {
    let mut left = [0; FAULTS];
    for (fault, times) in faults {
        left[*fault as usize] = *times;
    }
    left
}

/// Longer than a process is quiet, an act may land late, or whoever deletes a drain waits; less than everything else.
const A_WHILE: u16 = 46;

/// Longer than an allow is believed in, and all that is waited for while a person asks, who is soon given up; and while
/// a program does.
const PAUSE_OF_PERSONS: u16 = 61;
const PAUSE_OF_PROGRAMS: u16 = 530;

/// Longer than the patience with whoever asks no more.
const LONG: u16 = 1300;

/// Whoever wants the pod that is in a seat gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Want {
    generation: u32,
    /// The pod's owner does, which was scaled in.
    by_owner: bool,
    /// It has asked since time last passed.
    asked: bool,
}

/// A state: the world, what may still go wrong, and who asks for what.
#[derive(Clone)]
pub struct State {
    pub world: World,
    pub left: Left,
    pub wants: Vec<Option<Want>>,
    pub callers: &'static [Caller],
    /// Which pods are asked for: from this one on.
    pub asked_from: usize,
    /// How many gates there are, and whether the copies of the last one lag.
    pub gates: u8,
    pub lags: bool,
}

/// One thing that may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    Ask(u8),
    GiveUp(u8),
    World(Step),
}

/// One thing that may happen, and whether it goes on by itself: then, where it can happen again and again, it does.
#[derive(Clone, Copy, Debug)]
pub struct Move {
    pub what: What,
    pub fault: Option<Fault>,
    pub fair: bool,
}

impl Move {
    /// Time passes: not while the leader, which is quicker than that, has something to do.
    pub fn is_time(self) -> bool {
        matches!(self.what, What::World(Step::Pass(_)))
    }

    pub fn is_of_leader(self) -> bool {
        matches!(self.what, What::World(Step::TurnOf { .. } | Step::Do | Step::SyncLeader))
    }
}

struct Moves<'a> {
    state: &'a State,
    all: Vec<Move>,
}

impl State {
    /// All that may happen next.
    pub fn moves(&self) -> Vec<Move> {
        let mut moves = Moves { state: self, all: Vec::new() };
        moves.of_leader();
        moves.of_gates();
        moves.of_pods();
        moves.of_mending();
        moves.of_time();
        moves.of_people();
        moves.of_faults();
        moves.all
    }

    /// The state after that.
    pub fn after(&self, next: Move) -> State {
        let mut state = self.clone();
        if let Some(fault) = next.fault {
            state.left[fault as usize] -= 1;
        }
        match next.what {
            What::Ask(seat) => {
                let generation = state.world.pods()[usize::from(seat)].generation;
                state.wants[usize::from(seat)] = Some(Want { generation, by_owner: false, asked: false });
            }
            What::GiveUp(seat) => state.wants[usize::from(seat)] = None,
            What::World(step) => {
                state.world.step(step);
                state.note(step);
            }
        }
        state
    }

    fn note(&mut self, step: Step) {
        match step {
            Step::Try { seat, .. } => {
                self.wants[usize::from(seat)].iter_mut().for_each(|want| want.asked = true);
            }
            Step::Pass(_) => self.wants.iter_mut().flatten().for_each(|want| want.asked = false),
            _ => {}
        }
        for (seat, (want, pod)) in self.wants.iter_mut().zip(self.world.pods()).enumerate() {
            let is_past = self.world.is_past_the_replicas(seat);
            let is_over = |want: Want| want.generation != pod.generation || !pod.is_up() || want.by_owner && !is_past;
            *want = want.filter(|want| !is_over(*want));
            if is_past && pod.is_up() {
                want.get_or_insert(Want { generation: pod.generation, by_owner: true, asked: false });
            }
        }
        let prompt = self.gates - u8::from(self.lags);
        (0..prompt).for_each(|gate| self.world.step(Step::Sync(gate)));
    }

    /// Everything has run its course, and nothing is left behind.
    pub fn is_quiet(&self) -> bool {
        self.wants.iter().all(Option::is_none) && self.world.is_quiet()
    }
}

impl Moves<'_> {
    fn fair(&mut self, step: Step) {
        self.all.push(Move { what: What::World(step), fault: None, fair: true });
    }

    fn fault(&mut self, fault: Fault, what: What) {
        if self.state.left[fault as usize] > 0 {
            self.all.push(Move { what, fault: Some(fault), fair: false });
        }
    }

    fn step(&mut self, fault: Fault, step: Step) {
        self.fault(fault, What::World(step));
    }

    fn of_leader(&mut self) {
        let world = &self.state.world;
        if world.is_deciding() {
            self.fair(Step::Do);
            self.step(Fault::CutOff, Step::CutOff);
        } else {
            for (seat, generation) in world.turns() {
                self.fair(Step::TurnOf { seat, generation });
            }
        }
        if world.has_old() {
            self.all.push(Move { what: What::World(Step::Land), fault: None, fair: false });
        }
        if world.leader_lags() {
            self.fair(Step::SyncLeader);
        }
        self.step(Fault::Crash, Step::Crash);
        if !world.has_old() {
            self.step(Fault::HandOver, Step::HandOver);
        }
    }

    fn of_gates(&mut self) {
        let (state, world) = (self.state, &self.state.world);
        for gate in 0..state.gates {
            match world.stage(gate) {
                0 => {
                    for (seat, want) in state.wants.iter().enumerate() {
                        if let Some(want) = want.filter(|want| !want.asked || world.is_answered_otherwise(seat)) {
                            let others = state.callers[seat % state.callers.len()];
                            let caller = if want.by_owner { Caller::Owner } else { others };
                            self.fair(Step::Try { gate, seat: small(seat), caller });
                        }
                    }
                }
                1 => self.fair(Step::Observe(gate)),
                2 => self.fair(Step::Claim(gate)),
                _ => {
                    self.fair(Step::CarryOut { gate, really: true });
                    self.step(Fault::NotCarriedOut, Step::CarryOut { gate, really: false });
                }
            }
            if world.stage(gate) > 0 {
                self.step(Fault::Dies, Step::Dies(gate));
            }
        }
        let last = state.gates - 1;
        if state.lags && world.gate_lags(last) {
            self.fair(Step::Sync(last));
        }
    }

    fn of_pods(&mut self) {
        let world = &self.state.world;
        for seat in 0..world.seats() {
            let number = small(seat);
            match world.pods()[seat].life {
                Life::Ready => {
                    self.step(Fault::Flap, Step::Flap(number));
                    self.step(Fault::End, Step::End(number));
                    self.step(Fault::PastTheGate, Step::PastTheGate(number));
                }
                Life::NotReady => {
                    self.fair(Step::Flap(number));
                    self.step(Fault::PastTheGate, Step::PastTheGate(number));
                }
                _ => self.fair(Step::Kubelet(number)),
            }
            if world.leaders_move(seat) {
                self.fair(Step::Leaders(number));
            }
        }
    }

    /// What went wrong is mended some day.
    fn of_mending(&mut self) {
        let world = &self.state.world;
        let (lies, refuses, owner_is_read) = world.trouble();
        if lies {
            self.fair(Step::Lie(false));
        } else {
            self.step(Fault::Lie, Step::Lie(true));
        }
        if refuses {
            self.fair(Step::Refuse(false));
        } else {
            self.step(Fault::Refuse, Step::Refuse(true));
        }
        if owner_is_read {
            self.step(Fault::Owner, Step::Owner(false));
        } else {
            self.fair(Step::Owner(true));
        }
    }

    /// Time passes while no write and no answer is under way, and whoever wants something has asked for it.
    fn of_time(&mut self) {
        let (state, world) = (self.state, &self.state.world);
        let is_busy = world.is_deciding() || (0..2).any(|gate| world.stage(gate) > 0);
        if is_busy {
            return;
        }
        self.step(Fault::Wait, Step::Pass(A_WHILE));
        if state.wants.iter().flatten().all(|want| want.asked) {
            let by_persons = state.callers.contains(&Caller::Person);
            let nobody_asks = state.wants.iter().all(Option::is_none);
            self.fair(Step::Pass(match (nobody_asks, by_persons) {
                (true, _) => LONG,
                (false, true) => PAUSE_OF_PERSONS,
                (false, false) => PAUSE_OF_PROGRAMS,
            }));
        }
    }

    fn of_people(&mut self) {
        for seat in 0..self.state.world.seats() {
            let number = small(seat);
            match self.state.wants[seat] {
                None if self.state.world.pods()[seat].is_up() && seat >= self.state.asked_from => {
                    self.fault(Fault::Ask, What::Ask(number));
                }
                Some(want) if want.asked => self.fault(Fault::GiveUp, What::GiveUp(number)),
                _ => {}
            }
            for (fault, step) in [
                (Fault::Person, Step::Person(number)),
                (Fault::Cancel, Step::Cancel(number)),
                (Fault::Delete, Step::Delete(number)),
                (Fault::Lose, Step::Lose(number)),
            ] {
                self.step(fault, step);
            }
        }
    }

    fn of_faults(&mut self) {
        self.step(Fault::Renew, Step::Renew);
        self.step(Fault::Rename, Step::Rename);
        for edit in 0..4 {
            self.step(Fault::Edit, Step::Edit(edit));
        }
        for is_so in [true, false] {
            self.step(Fault::Limit, Step::Limit(is_so));
            self.step(Fault::Zone, Step::Zoned(is_so));
            self.step(Fault::ScaleIn, Step::ScaledIn(is_so));
        }
    }
}

//! The backend: one store a seat, which knows an entry for each step that was ever asked for; and the kubelet.

use castoff::lifecycle::DrainStep;
use castoff::plan::{Act, Request, Round, spec::Accept};

use super::*;

/// Kinds of entries: by a step's name and parameter.
const KINDS: usize = 3;

#[allow(clippy::struct_excessive_bools)] // Each is a fact of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Store {
    entries: [bool; KINDS],
    /// Which of them a person has set.
    persons: [bool; KINDS],
    pub leaders: bool,
    /// It was asked to leave for good: once its pod is gone, so is it.
    removed: bool,
    /// It has lost what was set since a gate last saw it done.
    pub lost: bool,
    /// People were told that something may be left.
    pub told: bool,
}

fn kind(step: &DrainStep) -> usize {
    match (step.name.as_str(), step.parameters["port"].as_u64()) {
        ("a", _) => 0,
        (_, Some(80)) => 1,
        _ => 2,
    }
}

impl Store {
    pub fn with_leaders() -> Store {
        Store { leaders: true, ..Store::default() }
    }

    pub fn has_entries(self) -> bool {
        self.entries.contains(&true)
    }

    /// An act of a step lands.
    pub fn act(&mut self, index: usize, mode: Mode) {
        let sets = index < KINDS;
        self.entries[index % KINDS] = sets;
        self.removed = sets && mode == Mode::Removal;
    }

    /// What we have set is lost; what people set is kept elsewhere too.
    pub fn lose(&mut self) {
        (self.entries, self.lost) = (self.persons, true);
    }

    /// A person sets an entry by hand.
    pub fn set_by_a_person(&mut self) {
        (self.entries[0], self.persons[0]) = (true, true);
    }

    /// What is wrong with it, once all is over.
    pub fn wrong(self, seat: usize) -> Option<String> {
        self.entries.iter().zip(self.persons).find_map(|(entry, persons)| match (*entry, persons) {
            (true, false) if self.told => None,
            (true, false) => Some(format!("3: our entry of store {seat} is left behind")),
            (false, true) => Some(format!("3: a person's entry of store {seat} is gone")),
            _ => None,
        })
    }
}

impl World {
    /// What a round finds: an entry is what prepares, and what is restored.
    pub(super) fn round(&self, seat: usize, task: Task, step: &DrainStep) -> Round {
        let (store, kind) = (self.stores[seat], kind(step));
        let verdict = match task {
            _ if self.lies => Verdict::Unknown { message: "it has just started".to_owned() },
            Task::Prepare if !store.entries[kind] => act(kind),
            Task::Prepare if store.leaders => Verdict::Waiting,
            Task::Restore if store.entries[kind] => act(KINDS + kind),
            Task::Prepare | Task::Restore => Verdict::Done,
        };
        Round { verdict, member: Some(seat.to_string()), progress: None, ours: None }
    }

    pub(super) fn kubelet(&mut self, seat: usize) {
        let pod = &mut self.pods[seat];
        pod.life = match pod.life {
            Life::Ready | Life::NotReady => return,
            Life::Terminating | Life::Ended => {
                let store = &mut self.stores[seat];
                store.leaders = false;
                if store.removed {
                    *store = Store { told: store.told, ..Store::default() };
                }
                Life::Gone
            }
            Life::Gone if seat >= self.replicas => return,
            Life::Gone => {
                pod.generation += 1;
                (pod.mark, pod.wakes, pod.drains) = (None, Vec::new(), 0);
                Life::Starting
            }
            Life::Starting => {
                pod.by_our_yes = false;
                Life::Ready
            }
        };
    }

    /// Whether leaders will be on a store, once they have moved.
    pub(super) fn has_leaders_next(&self, seat: usize) -> bool {
        let up = self.pods[seat].is_up() || self.pods[seat].life == Life::Terminating;
        up && !self.stores[seat].has_entries()
    }

    pub(super) fn move_leaders(&mut self, seat: usize) {
        if self.lies {
            return;
        }
        self.stores[seat].leaders = self.has_leaders_next(seat);
    }
}

fn act(index: usize) -> Verdict {
    let request = Request {
        method: "POST".to_owned(),
        url: String::new(),
        body: None,
        commands: None,
        ok: Accept::None,
        timeout: Duration::from_secs(3),
        tls_secret: String::new(),
        auth_secret: String::new(),
    };
    Verdict::Act(Box::new(Act { index, request, background: false, irreversible: false }))
}

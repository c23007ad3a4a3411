//! A breadth-first search through all states, each kept by its number alone: the first way that leads to something wrong
//! is the shortest.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::fair;
use super::moves::{State, What};

/// What a search came to.
pub struct Outcome {
    /// How many states there are, or were looked at.
    pub states: usize,
    /// How many steps lead from one to another by themselves.
    pub steps: usize,
    /// How many steps the farthest of them is away.
    pub depth: u32,
    /// There are no others.
    pub complete: bool,
    /// What went wrong, and the way there.
    pub wrong: Option<String>,
}

/// What goes on by itself, from state to state. States are numbered as they are found, and looked at in that order.
#[derive(Default)]
pub struct Graph {
    /// Where the steps of each state begin that was looked at.
    pub begins: Vec<usize>,
    /// The state that a step leads to, and which step it is.
    pub steps: Vec<(u32, u16)>,
    /// Whether everything has run its course.
    pub quiet: Vec<bool>,
}

impl Graph {
    /// How many states were looked at.
    pub fn len(&self) -> usize {
        self.quiet.len()
    }

    pub fn states(&self) -> std::ops::Range<u32> {
        0..number(self.len())
    }

    pub fn steps_of(&self, state: u32) -> &[(u32, u16)] {
        let state = state as usize;
        let end = self.begins.get(state + 1).copied().unwrap_or(self.steps.len());
        &self.steps[self.begins[state]..end]
    }
}

/// States are numbered from 0.
fn number(count: usize) -> u32 {
    u32::try_from(count).expect("no memory holds so many states")
}

struct Search {
    numbers: HashMap<u64, u32>,
    /// How each state was found first: from which, by what.
    found: Vec<(u32, Option<What>)>,
    names: HashMap<What, u16>,
    queue: VecDeque<State>,
    graph: Graph,
}

fn key(state: &State) -> u64 {
    let mut key = DefaultHasher::new();
    (state.world.key(), state.left, &state.wants).hash(&mut key);
    key.finish()
}

/// Looks at all states from this one on, but no more than `most` of them.
pub fn search(start: State, most: usize) -> Outcome {
    let first = start.clone();
    let mut search = Search {
        numbers: HashMap::from([(key(&start), 0)]),
        found: vec![(0, None)],
        names: HashMap::new(),
        queue: VecDeque::from([start]),
        graph: Graph::default(),
    };
    let mut depth = 0;
    let mut end_of_depth = 1;
    let mut wrong = None;
    while search.graph.len() < most
        && let Some(state) = search.queue.pop_front()
    {
        if search.graph.len() == end_of_depth {
            (depth, end_of_depth) = (depth + 1, search.found.len());
        }
        wrong = search.look_at(&state);
        if wrong.is_some() {
            break;
        }
    }
    let complete = search.queue.is_empty() && wrong.is_none();
    let wrong = wrong.or_else(|| {
        let state = fair::never_quiet(&search.graph)?;
        let (way, there) = (search.tell("7: never quiet", state), search.replay(first, state));
        Some(format!("{way}\n{}", there.world.told()))
    });
    Outcome { states: search.graph.len(), steps: search.graph.steps.len(), depth, complete, wrong }
}

impl Search {
    /// Looks at what may come of a state; tells what goes wrong.
    fn look_at(&mut self, state: &State) -> Option<String> {
        let own_number = number(self.graph.len());
        let own = key(state);
        self.graph.begins.push(self.graph.steps.len());
        self.graph.quiet.push(state.is_quiet());
        let mut leader_is_busy = false;
        for next in state.moves() {
            if leader_is_busy && next.is_time() {
                continue;
            }
            let after = state.after(next);
            if let Some(wrong) = &after.world.violation {
                let way = self.tell(wrong, own_number);
                return Some(format!("{way}\n  {:?}", next.what));
            }
            let key = key(&after);
            if key == own {
                continue;
            }
            leader_is_busy |= next.is_of_leader();
            let new = number(self.found.len());
            let to = *self.numbers.entry(key).or_insert(new);
            if to == new {
                self.found.push((own_number, Some(next.what)));
                self.queue.push_back(after);
            }
            if next.fair {
                let name = u16::try_from(self.names.len()).expect("few kinds of steps");
                let name = *self.names.entry(next.what).or_insert(name);
                self.graph.steps.push((to, name));
            }
        }
        None
    }

    /// What is wrong, and the way there.
    fn tell(&self, wrong: &str, state: u32) -> String {
        let way = self.way(state).into_iter().map(|what| format!("\n  {what:?}"));
        std::iter::once(wrong.to_owned()).chain(way).collect()
    }

    fn way(&self, mut state: u32) -> Vec<What> {
        let mut way = Vec::new();
        while let (before, Some(what)) = self.found[state as usize] {
            way.push(what);
            state = before;
        }
        way.reverse();
        way
    }

    /// A state once more, of which only the number was kept.
    fn replay(&self, first: State, state: u32) -> State {
        self.way(state).into_iter().fold(first, |state, what| {
            let moves = state.moves();
            let next = moves.iter().find(|next| next.what == what).expect("it was possible before");
            state.after(*next)
        })
    }
}

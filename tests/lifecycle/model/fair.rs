//! Whether everything runs its course: on every path on which what can happen again and again does happen, all is quiet
//! in the end. What may go wrong is counted, so that it does not happen for ever.

use std::collections::BTreeSet;

use super::search::Graph;

const NONE: u32 = u32::MAX;

/// A state from which things can go on for ever, fairly, and never be quiet; or can't go on, and are not.
///
/// Such a path ends in states that can all be reached from each other. A step that can be taken from one of them and
/// leads out of them for good would be taken some day: what can take it is not among them, and the rest is looked at
/// again.
pub fn never_quiet(graph: &Graph) -> Option<u32> {
    let restless: Vec<u32> = graph.states().filter(|state| !graph.quiet[*state as usize]).collect();
    if let Some(stuck) = restless.iter().find(|state| graph.steps_of(**state).is_empty()) {
        return Some(*stuck);
    }
    let mut left = vec![restless];
    let mut group = vec![0_u32; graph.len()];
    let mut groups = 0;
    let mut walk = Walk { number: vec![NONE; graph.len()], lowest: vec![NONE; graph.len()], open: Vec::new() };
    while let Some(states) = left.pop() {
        groups += 1;
        states.iter().for_each(|state| group[*state as usize] = groups);
        for together in walk.components(graph, &states, &|state| group.get(state as usize) == Some(&groups)) {
            let within: BTreeSet<u32> = together.iter().copied().collect();
            let steps = || together.iter().flat_map(|state| graph.steps_of(*state));
            let taken: BTreeSet<u16> = steps().filter(|(to, _)| within.contains(to)).map(|(_, name)| *name).collect();
            if taken.is_empty() {
                continue;
            }
            let leads_out = |state: &u32| graph.steps_of(*state).iter().any(|(_, name)| !taken.contains(name));
            let rest: Vec<u32> = together.iter().copied().filter(|state| !leads_out(state)).collect();
            if rest.len() == together.len() {
                return together.into_iter().min();
            }
            left.push(rest);
        }
    }
    None
}

/// Tarjan's algorithm, without recursion.
struct Walk {
    number: Vec<u32>,
    lowest: Vec<u32>,
    /// States that are in no component yet.
    open: Vec<u32>,
}

impl Walk {
    /// The states, by which can be reached from each other.
    fn components(&mut self, graph: &Graph, states: &[u32], within: &dyn Fn(u32) -> bool) -> Vec<Vec<u32>> {
        states.iter().for_each(|state| self.number[*state as usize] = NONE);
        let (mut next, mut found) = (0, Vec::new());
        for start in states {
            if self.number[*start as usize] != NONE {
                continue;
            }
            self.enter(*start, &mut next);
            let mut path = vec![(*start, 0)];
            while let Some((state, step)) = path.last_mut() {
                let state = *state;
                if let Some((to, _)) = graph.steps_of(state).get(*step) {
                    *step += 1;
                    if !within(*to) {
                        continue;
                    }
                    if self.number[*to as usize] == NONE {
                        self.enter(*to, &mut next);
                        path.push((*to, 0));
                    } else {
                        // Of a state whose component is known the number is higher than any.
                        self.lower(state, self.number[*to as usize]);
                    }
                    continue;
                }
                path.pop();
                let lowest = self.lowest[state as usize];
                if let Some((before, _)) = path.last() {
                    self.lower(*before, lowest);
                }
                if lowest == self.number[state as usize] {
                    found.push(self.close(state));
                }
            }
        }
        found
    }

    fn enter(&mut self, state: u32, next: &mut u32) {
        self.number[state as usize] = *next;
        self.lowest[state as usize] = *next;
        *next += 1;
        self.open.push(state);
    }

    fn lower(&mut self, state: u32, to: u32) {
        let lowest = &mut self.lowest[state as usize];
        *lowest = to.min(*lowest);
    }

    /// The component that was entered by this state.
    fn close(&mut self, state: u32) -> Vec<u32> {
        let begins = self.open.iter().rposition(|other| *other == state).expect("it was entered");
        let component = self.open.split_off(begins);
        component.iter().for_each(|state| self.number[*state as usize] = NONE - 1);
        component
    }
}

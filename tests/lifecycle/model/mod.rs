//! Every state that a small world can come to, by every order of what can happen in it: whole, within what each scope
//! lets go wrong and how often, or up to a number of states. In each what must always hold is looked at, and afterwards
//! whether every fair path comes to an end with nothing held and nothing left behind.
//!
//! `hack/test model` plays all of it, optimised; `hack/test model --long` more.

// How far a search came is what a person wants to see of it.
#![allow(clippy::print_stdout)]

mod fair;
mod mistakes;
mod moves;
mod scopes;
mod search;

use castoff::lifecycle::Caller;

use moves::{ALL, Fault};
use scopes::{Scope, play_all, three_pods, two_pods};

/// Whether there is time for more.
fn is_long() -> bool {
    std::env::var_os("CASTOFF_MODEL_LONG").is_some()
}

/// So many states of a world are looked at, where there is no time for all.
fn most(states: usize) -> usize {
    if is_long() { 20_000_000 } else { states }
}

/// The world, with each of these faults once besides.
fn each(scope: &Scope, faults: &[Fault]) -> Vec<Scope> {
    faults.iter().map(|fault| scope.with(&[(*fault, 1)])).collect()
}

#[track_caller]
fn nothing_is_wrong(scopes: &[Scope], most: usize, whole: bool) {
    let all = play_all(scopes, most);
    assert!(all.wrong.is_empty(), "{}\n{} worlds", all.wrong.join("\n"), all.wrong.len());
    assert!(!whole || all.complete == scopes.len(), "not all of them are whole");
}

#[test]
fn one_pod_that_is_asked_for_leaves_whatever_comes_first() {
    nothing_is_wrong(&[two_pods().with(&[(Fault::Ask, 1)])], usize::MAX, true);
}

/// Two pods and two replicas, or one replica where a person asks, who comes back sooner: each thing that may go wrong, at
/// any moment of a drain.
#[test]
#[ignore = "hack/test model plays it, optimised"]
fn each_fault_at_any_moment() {
    let asked = two_pods().with(&[(Fault::Ask, 1)]);
    let by_a_person = Scope { callers: &[Caller::Person], gates: 1, ..asked.clone() };
    let foreign = Scope { foreign: true, ..asked.clone() };
    let scopes = [each(&asked, &ALL), each(&by_a_person, &ALL), each(&foreign, &ALL)].concat();
    nothing_is_wrong(&scopes, usize::MAX, true);
}

/// Both pods are asked for, or one of them and its replacement.
#[test]
#[ignore = "hack/test model plays it, optimised"]
fn both_pods_are_asked_for() {
    let both = Scope { asked_from: 0, ..two_pods().with(&[(Fault::Ask, 2)]) };
    let again = two_pods().with(&[(Fault::Ask, 2)]);
    let foreign = Scope { foreign: true, ..both.clone() };
    nothing_is_wrong(&[both, foreign, again], most(100_000), is_long());
}

/// What the gate has in memory lags.
#[test]
#[ignore = "hack/test model plays it, optimised"]
fn each_fault_while_a_gate_lags() {
    let scope = Scope { gate_lags: true, gates: 1, ..two_pods().with(&[(Fault::Ask, 1)]) };
    nothing_is_wrong(&each(&scope, &ALL), most(10_000), is_long());
}

/// What the leader has in memory lags.
#[test]
#[ignore = "hack/test model plays it, optimised"]
fn each_fault_while_the_leader_lags() {
    let scope = Scope { leader_lags: true, gates: 1, ..two_pods().with(&[(Fault::Ask, 1)]) };
    nothing_is_wrong(&each(&scope, &ALL), most(10_000), is_long());
}

/// Any two things that go wrong.
#[test]
#[ignore = "hack/test model plays it, optimised"]
fn any_two_faults() {
    let asked = Scope { gates: if is_long() { 2 } else { 1 }, ..two_pods().with(&[(Fault::Ask, 1)]) };
    let pairs = ALL.iter().enumerate().flat_map(|(at, fault)| each(&asked.with(&[(*fault, 1)]), &ALL[at..]));
    nothing_is_wrong(&pairs.collect::<Vec<_>>(), most(1_000), is_long());
}

/// Three pods and one replica, all of them asked for: as far as there is time.
#[test]
#[ignore = "hack/test model plays it, optimised"]
fn three_pods_are_asked_for() {
    let asked = three_pods().with(&[(Fault::Ask, 3)]);
    nothing_is_wrong(&each(&asked, &ALL), most(5_000), false);
}

//! Mistakes made on purpose: the search finds each.

use castoff::lifecycle::Caller;

use super::moves::Fault::{
    self, Ask, Cancel, Crash, Flap, GiveUp, HandOver, Lose, NotCarriedOut, Owner, Rename, ScaleIn,
};
use super::scopes::{Scope, two_pods};
use crate::world::Broken;

/// Each with the world in which it shows: without the mistake nothing is found there.
fn mistakes() -> [(Broken, Scope); 13] {
    let once = |faults: &[Fault]| two_pods().with(&faults.iter().map(|fault| (*fault, 1)).collect::<Vec<_>>());
    let foreign = |scope| Scope { foreign: true, ..scope };
    [
        (Broken::ClaimUnconditional, once(&[Ask, Cancel])),
        (Broken::BackendNotAsked, once(&[Ask, Lose])),
        (Broken::LimitAskedOnlyOnce, once(&[Ask, Flap])),
        (Broken::SlotsFromListOnly, two_pods().with(&[(Ask, 2)])),
        (Broken::IntentForgotten, once(&[Ask, Crash])),
        (Broken::IntentNotWritten, once(&[Ask, Crash])),
        (Broken::NoQuiet, once(&[Ask, HandOver, Cancel])),
        (Broken::HoleByKind, foreign(once(&[Ask]))),
        (Broken::HoleClosedAtOnce, foreign(Scope { asked_from: 0, ..two_pods().with(&[(Ask, 2)]) })),
        (Broken::NeverTakenBack, once(&[Ask, NotCarriedOut, GiveUp])),
        (Broken::NotRemoved, once(&[Ask, Rename])),
        (Broken::SlotKept, once(&[Ask])),
        (Broken::UnknownIsDefault, once(&[ScaleIn, Owner])),
    ]
}

#[test]
#[ignore = "hack/test model plays it, optimised"]
fn each_mistake_is_found() {
    for (broken, scope) in mistakes() {
        let scope = Scope { callers: &[Caller::Program], gates: 1, ..scope };
        let wrong = scope.play(broken, 200_000).wrong.unwrap_or_default();
        assert!(!wrong.is_empty(), "{broken:?} is not found in {scope}");
        println!("  {broken:?}: {}", wrong.lines().next().unwrap_or_default());
    }
}

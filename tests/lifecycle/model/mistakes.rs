//! Mistakes made on purpose: the search finds each.

use castoff::lifecycle::Caller;

use super::moves::Fault::{self, Ask, Cancel, Crash, Edit, Flap, HandOver, Lose, Owner, Renew, ScaleIn};
use super::scopes::{Scope, two_pods};
use crate::world::Broken;

/// Each with the world in which it shows, and with what is found there.
fn mistakes() -> [(Broken, Scope, &'static str); 11] {
    let once = |faults: &[Fault]| two_pods().with(&faults.iter().map(|fault| (*fault, 1)).collect::<Vec<_>>());
    let foreign = |scope| Scope { foreign: true, ..scope };
    let both = |scope| Scope { asked_from: 0, ..scope };
    [
        (Broken::ClaimUnconditional, once(&[Ask, Cancel]), "1: allowed while leaders were on the store"),
        (Broken::BackendNotAsked, once(&[Ask, Lose]), "1: allowed while leaders were on the store"),
        (Broken::LimitAskedOnlyOnce, once(&[Ask, Flap]), "2: allowed while others are away"),
        (
            Broken::SlotsFromListOnly,
            both(two_pods().with(&[(Ask, 2), (Renew, 1)])),
            "1: allowed while leaders were on the store",
        ),
        (Broken::IntentForgotten, once(&[Ask, Crash]), "7: never quiet"),
        (Broken::IntentNotWritten, once(&[Ask, Crash]), "7: never quiet"),
        (Broken::NoQuiet, once(&[Ask, HandOver, Cancel]), "7: never quiet"),
        (Broken::TakeoverByPlace, two_pods().with(&[(Ask, 2), (Flap, 1), (Edit, 1)]), "7: never quiet"),
        (Broken::HoleByKind, foreign(once(&[Ask])), "7: never quiet"),
        (Broken::SlotKept, once(&[Ask]), "7: never quiet"),
        (Broken::UnknownIsDefault, once(&[ScaleIn, Owner]), "undone though the owner's wish has not changed"),
    ]
}

#[test]
#[ignore = "hack/test model plays it, optimised"]
fn each_mistake_is_found() {
    for (broken, scope, told) in mistakes() {
        let scope = Scope { callers: &[Caller::Program], gates: 1, ..scope };
        let wrong = scope.play(broken, 200_000).wrong.unwrap_or_default();
        assert!(wrong.starts_with(told), "{broken:?} in {scope}: {wrong}");
    }
}

//! Pods that leave for good.

use std::time::Duration;

use castoff::simulation::pd::{Config, Fault, SimulatedPd, StoreState};

use crate::harness::{By, Guard, POLICY, address_of, set};

/// Four stores, so that three are left; one that has no region left is buried at once.
async fn pd() -> SimulatedPd {
    let stores = (0..4).map(|ordinal| (ordinal + 1, address_of(ordinal), 20)).collect();
    let pd = SimulatedPd::start(Config::with_stores(stores)).await.unwrap();
    pd.with_state(|state| state.tombstone_after = Duration::ZERO);
    pd
}

fn state(pd: &SimulatedPd) -> Option<StoreState> {
    pd.with_state(|state| state.state_of(3))
}

fn asked(pd: &SimulatedPd, method: &str, path: &str) -> usize {
    pd.requests().iter().filter(|request| request.method == method && request.path.ends_with(path)).count()
}

#[tokio::test]
async fn a_pod_that_leaves_for_good_goes_once_its_store_is_removed() {
    let pd = pd().await;
    let guard = Guard::start_with(&POLICY.replace("{pd}", &pd.url()), &[set(2)]);
    let answers = guard.ask_until_allowed(2, By::StatefulSet).await;

    assert_eq!(state(&pd), Some(StoreState::Tombstone), "allowed while regions were there");
    assert!(answers.iter().any(|answer| answer.warnings.iter().any(|warning| warning.contains("regions left"))));
    pd.pod_ended(3);
    guard.remove_pod(2);
    guard.until("the drain is over", || guard.phase(2) == "Completed").await;
    assert_eq!((state(&pd), pd.leaders_lost()), (Some(StoreState::Tombstone), 0));
    assert_eq!((asked(&pd, "DELETE", "/store/3"), asked(&pd, "POST", "state=Up")), (1, 0));
}

#[tokio::test]
async fn a_store_stays_when_its_pod_is_wanted_again() {
    let pd = pd().await;
    pd.set_fault(Some(Fault::StuckLeaders));
    let guard = Guard::start_with(&POLICY.replace("{pd}", &pd.url()), &[set(2)]);
    assert!(!guard.ask(2, By::StatefulSet).await.allowed);
    guard.until("the store is being removed", || state(&pd) == Some(StoreState::Offline)).await;
    guard.put_pod(&set(3));
    guard.until("the store is up again", || state(&pd) == Some(StoreState::Up)).await;
    assert_eq!(asked(&pd, "POST", "/store/3/state?state=Up"), 1);
}

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn pd() -> State {
    State::new((1..=3).map(|id| (id, format!("tikv-{id}:20160"), 20)).collect(), 10)
}

#[test]
fn leaders_leave_an_evicted_store_with_time_and_come_back_afterwards() {
    let mut pd = pd();
    pd.add_entry(3);
    pd.advance(SECOND);
    assert_eq!(pd.leaders(3), 10);
    pd.advance(2 * SECOND);
    assert_eq!(pd.leaders(3), 0);
    assert_eq!(pd.leaders(1) + pd.leaders(2), 60);
    pd.drop_entry(3);
    pd.advance(5 * SECOND);
    assert_eq!(pd.leaders(3), 20);
}

#[test]
fn counts_the_leaders_that_were_on_a_store_when_it_ended() {
    let mut pd = pd();
    pd.end_store(2);
    assert_eq!((pd.leaders_lost(), pd.leaders(2)), (20, 0));
    assert_eq!(pd.leaders(1) + pd.leaders(3), 60);
}

#[test]
fn a_store_that_is_removed_loses_its_regions_and_is_buried_some_time_later() {
    let mut pd = State::new((1..=4).map(|id| (id, format!("tikv-{id}:20160"), 20)).collect(), 10);
    let offline = |pd: &State| pd.stores()[&4].clone();
    if let Some(store) = pd.store_mut(4) {
        store.state = StoreState::Offline;
    }
    pd.advance(2 * SECOND);
    assert_eq!((offline(&pd).regions, offline(&pd).leaders), (20, 0));
    pd.advance(4 * SECOND);
    assert_eq!((offline(&pd).regions, offline(&pd).state), (0, StoreState::Offline));
    assert_eq!(pd.stores().values().map(|store| store.regions).sum::<u64>(), 240);
    pd.advance(15 * SECOND);
    assert_eq!(offline(&pd).state, StoreState::Tombstone);
    pd.end_store(4);
    assert_eq!((offline(&pd).state, pd.leaders_lost()), (StoreState::Tombstone, 0));
}

#[test]
fn a_store_that_is_up_again_gets_its_regions_back() {
    let mut pd = State::new((1..=4).map(|id| (id, format!("tikv-{id}:20160"), 20)).collect(), 10);
    pd.store_mut(4).into_iter().for_each(|store| store.state = StoreState::Offline);
    pd.advance(2 * SECOND);
    pd.store_mut(4).into_iter().for_each(|store| store.state = StoreState::Up);
    pd.advance(12 * SECOND);
    assert_eq!((pd.stores()[&4].regions, pd.leaders(4)), (60, 20));
}

#[test]
fn an_entry_is_hidden_after_a_start_and_comes_back() {
    let mut pd = pd();
    pd.add_entry(3);
    pd.restart(SECOND);
    assert!(pd.is_starting() && pd.running_entries().is_none());
    assert!(!pd.drop_entry(3));
    pd.advance(SECOND);
    assert_eq!(pd.stored_entries(), [3]);
}

#[test]
fn an_entry_made_in_the_window_wins_over_the_stored_ones() {
    let mut pd = pd();
    pd.add_entry(3);
    pd.restart(SECOND);
    pd.add_entry(1);
    pd.advance(SECOND);
    assert_eq!(pd.stored_entries(), [1]);
}

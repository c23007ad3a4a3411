//! The demo, undisturbed and with each of its faults: no leader is lost, nothing is left behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Command;

use serde_json::Value;

fn demo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_castoff")).arg("demo").args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn figure(page: &str, name: &str) -> u64 {
    let line = page.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in {page}"));
    line.trim().parse().unwrap()
}

/// With this fault: so many pods are rolled, and the page tells of it and of what a person would do.
fn comes_through(fault: &str, rolled: u64, told: &str, advice: &str) {
    let page = demo(&["--fault", fault]);
    assert_eq!(figure(&page, "pods rolled"), rolled, "{page}");
    assert_eq!(figure(&page, "leaders on a store when its pod ended"), 0, "{page}");
    assert_eq!(figure(&page, "evict-leader entries left behind"), 0, "{page}");
    assert!(page.contains(told) && page.contains(advice), "{page}");
}

#[test]
fn the_guard_loses_no_leader_and_leaves_no_entry() {
    let outcome: Value = serde_json::from_str(&demo(&["-o", "json"])).unwrap();
    assert_eq!((&outcome["pods_rolled"], &outcome["leaders_lost"]), (&3.into(), &0.into()), "{outcome}");
    assert_eq!(outcome["entries_left"], 0, "{outcome}");
    assert!(outcome["denials"].as_u64().unwrap() > 3 && outcome["prepared_to_delete_ms"].is_u64(), "{outcome}");
}

#[test]
fn without_the_guard_leaders_are_lost() {
    let outcome: Value = serde_json::from_str(&demo(&["--unguarded", "-o", "json"])).unwrap();
    assert!(outcome["leaders_lost"].as_u64().unwrap() > 100, "{outcome}");
}

#[test]
fn pd_down_denies_names_the_request_and_goes_on() {
    comes_through("pd-down", 3, "does not answer: ", "Bring PD back");
}

#[test]
fn pd_slow_only_takes_longer() {
    comes_through("pd-slow", 3, "a second for each answer", "it only took longer");
}

#[test]
fn pd_restart_is_not_believed() {
    comes_through("pd-restart", 3, "PD has just started", "was not believed");
}

#[test]
fn stuck_leaders_hold_the_pod() {
    comes_through("stuck-leaders", 3, "leaders do not move", "leader-schedule-limit");
}

#[test]
fn a_store_that_is_away_blocks_until_it_is_back() {
    comes_through("store-away", 3, "another store is away: basic-tikv-0", "Bring that store back first");
}

#[test]
fn a_person_who_gives_up_gets_everything_undone() {
    comes_through("person-gives-up", 0, "gives up (Ctrl-C)", "is undone once nobody asks");
}

#[test]
fn a_crash_loop_can_be_replaced() {
    comes_through("crash-loop", 3, "pod \"basic-tikv-3\" deleted", "is let go at once");
}

#[test]
fn a_killed_guard_goes_on() {
    comes_through("kill-guard", 3, "the guard is killed", "wrote down what it was about to do");
}

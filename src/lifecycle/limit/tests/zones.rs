//! Pods of zones.

use super::*;

/// Pods of a set: 0 and 1 in zone a, all others in zone b.
fn zoned(limit: &serde_json::Value, ready: &[bool]) -> Scene {
    let mut scene = scene(1, pods(ready), set(u32::try_from(ready.len()).unwrap()));
    scene.policy = policy("p", limit);
    scene
}

#[test]
fn pods_that_are_away_at_once_are_all_in_one_zone() {
    let spread = || json!({"spread": {"topologyKey": "zone"}});
    let elsewhere = |seat: &str| Some(format!("waits for {seat} (in another zone by zone)"));
    let one_leaves = zoned(&spread(), &[true; 5]).and(0, Phase::Departing);
    assert_eq!(one_leaves.why_not(1), None);
    assert_eq!(one_leaves.why_not(2), elsewhere("db-0"));
    let one_is_down = zoned(&spread(), &[true, true, true, false, true]);
    assert_eq!((one_is_down.why_not(2), one_is_down.why_not(0)), (None, elsewhere("db-3")));
    let mut left = zoned(&spread(), &[true; 5]).and(4, Phase::Departing);
    left.pods.pop();
    assert_eq!((left.why_not(3), left.why_not(0)), (None, elsewhere("db-4")), "its drain knows where it was");
    left.drains.clear();
    assert_eq!(left.why_not(3), elsewhere("db-4"), "nobody knows where it was");
    let mut labelled = one_leaves;
    Arc::make_mut(&mut labelled.pods[2]).metadata.labels.insert("zone".into(), "a".into());
    assert_eq!(labelled.why_not(2), None, "the pod's own label counts first");
}

#[test]
fn within_a_zone_its_own_limit_holds_and_around_it_the_policys() {
    let of = |limit: serde_json::Value| {
        let scene = zoned(&limit, &[true; 8]).and(2, Phase::Drained).and(3, Phase::Drained);
        (scene.why_not(4), scene.within(|all| Census::of(all).free(&drain(&scene.pods[4], Phase::Queued))))
    };
    let spread = |most: serde_json::Value| json!({"topologyKey": "zone", "maxUnavailable": most});
    assert_eq!(of(json!({"spread": spread(json!("50%"))})), (None, 1), "three of six");
    let full = Some("waits for db-2 and db-3 (maxUnavailable 2 in a zone)".to_owned());
    assert_eq!(of(json!({"spread": spread(json!(2))})), (full, 0));
    let around = Some("waits for db-2 and db-3 (maxUnavailable 2)".to_owned());
    assert_eq!(of(json!({"maxUnavailable": 2, "spread": spread(json!("100%"))})), (around, 0));
    let around = Some("waits for db-2 and db-3 (minAvailable 75%)".to_owned());
    assert_eq!(of(json!({"minAvailable": "75%", "spread": spread(json!("100%"))})), (around, 0));
}

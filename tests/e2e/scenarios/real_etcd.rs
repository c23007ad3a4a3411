//! A real etcd, rolled.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::{Scenario, scenarios};
use crate::etcd::{self, ELECTION, Etcd, SET};
use crate::ground::Need;
use crate::scene::Scene;

pub const ALL: [Scenario; 1] = scenarios![Shared, Need::SimulatedNodes =>
    a_real_etcd_rolls_with_its_leader_and_quorum_and_waits_while_a_member_is_down,
];

async fn a_real_etcd_rolls_with_its_leader_and_quorum_and_waits_while_a_member_is_down(scene: Arc<Scene>) {
    let etcd = Etcd::start(&scene).await;
    // Members of a new cluster wait for each other.
    scene.stateful_set(SET, 3, json!({"template": etcd::template(), "podManagementPolicy": "Parallel"})).await;
    scene.policy(SET, "etcd", json!({"url": etcd.url()}), json!({})).await;

    let writer = etcd.writer();
    let restart = ["rollout", "restart", "statefulset/etcd"];
    let finished = ["rollout", "status", "statefulset/etcd", "--timeout=120s"];
    scene.must(&restart).await;
    scene.must(&finished).await;
    scene.until_all_completed().await;
    let (longest, written) = writer.stop();
    println!("etcd rolled: {written} writes, the longest time without one was {longest:?}");
    assert_eq!(etcd.trouble(), Vec::<String>::new());
    assert!(longest < ELECTION, "no write succeeded for {longest:?}: a leader was lost");

    let uid = scene.uid("etcd-2").await;
    etcd.kill(0).await;
    scene.must(&restart).await;
    scene.until_state("etcd-2", "Blocked").await;
    let said = scene.denied("etcd-2").await;
    assert!(said.contains("must not leave now") && said.contains("not healthy: etcd-0"), "{said}");
    scene.stays("it waits", Duration::from_secs(3), || scene.stands("etcd-2", &uid)).await;
    etcd.restart(0).await;
    scene.must(&finished).await;
    scene.until_all_completed().await;
    assert_eq!(etcd.trouble(), Vec::<String>::new());
}

//! What a drain costs the API server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Scenario, scenarios};
use crate::audit::{self, GUARD, Line};
use crate::ground::Need;
use crate::moves::cluster_wide;
use crate::scene::Scene;

pub const ALONE: [Scenario; 2] = scenarios![Alone, Need::OwnControlPlane =>
    a_departure_that_goes_well_takes_at_most_ten_writes,
    a_departure_under_way_reads_by_its_poll_period_however_busy_other_namespaces_are,
];

/// Needs the audit log, so a control plane whose files can be read.
async fn a_departure_that_goes_well_takes_at_most_ten_writes(scene: Arc<Scene>) {
    scene.stateful_set("app", 1, json!({})).await;
    scene.hook_policy("app", json!({})).await;
    let uid = scene.uid("app-0").await;
    scene
        .until("its pod is guarded and its backend seen, and that is written", 60, || async {
            let policy = scene.object("DrainPolicy", "app").await?;
            let conditions = policy.data["status"]["conditions"].as_array()?.clone();
            let holds = |kind| conditions.iter().any(|it| it["type"] == kind && it["status"] == "True");
            (holds("Ready") && holds("BackendSeen")).then_some(())
        })
        .await;
    scene.stays("all is written", Duration::from_secs(3), || async { true }).await;
    let before = writes(&scene).len();
    scene.must(&["rollout", "restart", "statefulset/app"]).await;
    scene.until_replaced("app-0", &uid).await;
    scene.nothing_left_behind().await;
    // Whatever would come a little later counts too.
    scene.stays("it is over", Duration::from_secs(3), || async { true }).await;
    let writes = writes(&scene).split_off(before);
    println!("writes of one drain:\n  {}", writes.join("\n  "));
    assert!(writes.len() > 5, "the audit log holds less than there must have been");
    // The application has nothing left to do from the beginning, so that none of them is progress.
    assert!(writes.len() <= 10, "{} writes:\n{}", writes.len(), writes.join("\n"));
}

/// One drain is being prepared, one waits for it, and one is over.
async fn a_departure_under_way_reads_by_its_poll_period_however_busy_other_namespaces_are(scene: Arc<Scene>) {
    scene.stateful_set("app", 3, json!({})).await;
    scene.hook_policy("app", json!({"pollPeriodSeconds": 2})).await;
    let uid = scene.uid("app-0").await;
    scene.until_allowed("app-0").await;
    scene.until_replaced("app-0", &uid).await;
    scene.until_all_completed().await;
    let (ip, other) = (scene.ip("app-2").await, format!("{}-busy", scene.namespace));
    scene.hooks().at(&ip, |app| (app.inflight, app.done_per_look) = (1, 0));
    scene.denied("app-2").await;
    scene.until_phase("app-2", "Draining").await;
    scene.denied("app-1").await;
    scene.until_phase("app-1", "Queued").await;
    cluster_wide(&["run", &other, "-n", "default", "--image=none"]).await;
    scene.stays("all is written", Duration::from_secs(3), || async { true }).await;

    let (asked, read) = (scene.hooks().at(&ip, |app| app.asked.len()), reads(&scene));
    let begun = Instant::now();
    let mut changes = 0;
    while begun.elapsed() < Duration::from_secs(8) {
        changes += 1;
        let mark = format!("test.castoff.dev/change={changes}");
        cluster_wide(&["annotate", "pod", &other, "-n", "default", "--overwrite", &mark]).await;
    }
    assert!(changes > 20, "only {changes} changes of a pod elsewhere: this shows nothing");
    let periods = usize::try_from(begun.elapsed().as_secs() / 2 + 2).unwrap();
    let asked = scene.hooks().at(&ip, |app| app.asked.len()) - asked;
    let read = reads(&scene) - read;
    cluster_wide(&["delete", "pod", &other, "-n", "default", "--wait=false"]).await;
    println!("in {periods} periods: the application was asked {asked} times, the API {read} times");
    assert!((2..=periods).contains(&asked), "in {periods} periods the application was asked {asked} times");
    // The one that is prepared and the one that waits.
    assert!((2..=2 * periods).contains(&read), "in {periods} periods the API was asked {read} times");

    scene.hooks().at(&ip, |app| app.done_per_look = 1);
    for pod in ["app-2", "app-1"] {
        scene.until_allowed(pod).await;
    }
    scene.until_all_completed().await;
}

/// The guard's own writes in this namespace, but for events.
fn writes(scene: &Scene) -> Vec<String> {
    let lines = audit::of_namespace(&scene.namespace).unwrap();
    let is_write = |line: &&Line| line.user() == GUARD && line.changes() && line.about("resource") != "events";
    lines.iter().filter(is_write).map(ToString::to_string).collect()
}

/// How often the guard has read something in this namespace.
fn reads(scene: &Scene) -> usize {
    let lines = audit::of_namespace(&scene.namespace).unwrap();
    lines.iter().filter(|line| line.user() == GUARD && line.verb() == "get").count()
}

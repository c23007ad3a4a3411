//! Replicas that are killed, and the lease that goes from one to the other.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::{Scenario, scenarios};
use crate::ground::Need;
use crate::scene::Scene;
use crate::witness::Witness;

pub const KILLING: [Scenario; 5] = scenarios![Alone, Need::Kill =>
    departures_in_every_phase_go_on_when_the_leader_is_killed,
    departures_in_every_phase_go_on_when_the_standby_is_killed,
    departures_in_every_phase_go_on_when_both_are_killed,
    a_roll_goes_on_while_whoever_leads_is_killed_again_and_again,
    a_request_of_a_killed_leader_that_lands_late_is_undone_all_the_same,
];

pub const ALONE: [Scenario; 1] = scenarios![Alone: a_leader_that_is_told_to_end_hands_over_with_a_request_under_way];

/// Whom a scenario kills.
#[derive(Clone, Copy, PartialEq)]
enum Whom {
    Leader,
    Standby,
    Both,
}

async fn departures_in_every_phase_go_on_when_the_leader_is_killed(scene: Arc<Scene>) {
    in_every_phase(&scene, Whom::Leader).await;
}

async fn departures_in_every_phase_go_on_when_the_standby_is_killed(scene: Arc<Scene>) {
    in_every_phase(&scene, Whom::Standby).await;
}

async fn departures_in_every_phase_go_on_when_both_are_killed(scene: Arc<Scene>) {
    in_every_phase(&scene, Whom::Both).await;
}

/// One application for each phase, each held there from outside while replicas are killed, then let go.
async fn in_every_phase(scene: &Arc<Scene>, whom: Whom) {
    let phases = ["queued", "draining", "drained", "departing", "restoring"];
    let mut witnesses = Vec::new();
    for app in phases {
        let replicas = if app == "queued" { 2 } else { 1 };
        scene.stateful_set(app, replicas, json!({})).await;
        scene.hook_policy(app, json!({})).await;
        witnesses.push((app, Witness::of(scene, app, usize::try_from(replicas).unwrap()).await));
    }
    let address = |pod: &'static str| async move { (pod, scene.ip(pod).await) };
    let addresses = futures_util::future::join_all(
        ["queued-0", "queued-1", "draining-0", "drained-0", "departing-0", "restoring-0"].map(address),
    )
    .await;
    let ip = |pod: &str| addresses.iter().find(|(name, _)| *name == pod).unwrap().1.clone();

    // Queued: another pod of the set has the slot. Draining: the application does not get ready.
    for pod in ["queued-1", "draining-0"] {
        scene.hooks().at(&ip(pod), |app| (app.inflight, app.done_per_look) = (5, 0));
        assert_eq!(scene.delete(pod).await.code(), 429);
        scene.until_phase(pod, "Draining").await;
        scene
            .until(&format!("{pod} was asked to get ready"), 20, || async {
                (scene.hooks().at(&ip(pod), |app| app.prepared_times()) == 1).then_some(())
            })
            .await;
    }
    assert_eq!(scene.delete("queued-0").await.code(), 429);
    // Drained: nobody asks again. Restoring: given up, and the application does not answer.
    for pod in ["drained-0", "restoring-0"] {
        assert_eq!(scene.delete(pod).await.code(), 429);
        scene.until_phase(pod, "Drained").await;
    }
    scene.hooks().at(&ip("restoring-0"), |app| app.broken = Some(500));
    scene.cancel("restoring-0").await;
    // Departing: allowed and gone, and the next one is not Ready.
    let not_ready = r#"{"spec":{"template":{"metadata":{"annotations":{"test.castoff.dev/behave":"never-ready"}}}}}"#;
    let departing = scene.uid("departing-0").await;
    scene.must(&["patch", "statefulset", "departing", "--type=merge", "-p", not_ready]).await;
    scene
        .until("departing-0 is another pod", 60, || async {
            let uid = scene.pod("departing-0").await.and_then(|pod| pod.metadata.uid)?;
            (uid != departing).then_some(())
        })
        .await;
    let held = async || {
        let of_departing = scene
            .drains()
            .await
            .into_iter()
            .find(|drain| drain.data["spec"]["pod"]["uid"].as_str() == Some(departing.as_str()));
        [
            scene.phase("queued-0").await,
            scene.phase("draining-0").await,
            scene.phase("drained-0").await,
            of_departing
                .map(|drain| drain.data["status"]["phase"].as_str().unwrap_or_default().to_owned())
                .unwrap_or_default(),
            scene.phase("restoring-0").await,
        ]
    };
    let expected = ["Queued", "Draining", "Drained", "Departing", "Restoring"];
    scene.until("each drain is in its phase", 30, || async { (held().await == expected).then_some(()) }).await;

    kill(scene, whom).await;
    assert_eq!(held().await, expected, "after the kill");
    // A new leader keeps quiet for a while; then each drain is where it was.
    scene.stays("each in its phase", Duration::from_secs(8), || async { held().await == expected }).await;

    for pod in ["queued-1", "draining-0"] {
        scene.hooks().at(&ip(pod), |app| app.done_per_look = 5);
    }
    scene.hooks().at(&ip("restoring-0"), |app| app.broken = None);
    scene.must(&["annotate", "pod", "departing-0", "test.castoff.dev/behave-"]).await;
    scene.must(&["rollout", "restart", "statefulset/queued", "statefulset/draining", "statefulset/drained"]).await;
    for app in ["queued", "draining", "drained"] {
        scene.must(&["rollout", "status", &format!("statefulset/{app}"), "--timeout=150s"]).await;
    }
    scene.nothing_left_behind().await;
    let left: usize = witnesses.iter().map(|(_, witness)| witness.left().len()).sum();
    assert_eq!(left, 5, "two of queued, one each of draining, drained and departing");
    for (app, witness) in witnesses {
        witness.all_left_prepared_once();
        assert!(witness.most_away() <= 1, "{app}");
    }
    let (state, times) = scene.hooks().at(&ip("restoring-0"), |app| (app.state, app.prepared_times()));
    assert_eq!((state, times), ("Idle", 1), "what was given up");
}

async fn kill(scene: &Arc<Scene>, whom: Whom) {
    let leader = scene.leader().await;
    match whom {
        Whom::Leader => scene.ground().kill(leader).await,
        Whom::Standby => scene.ground().kill(1 - leader).await,
        Whom::Both => {
            scene.ground().kill(leader).await;
            scene.ground().kill(1 - leader).await;
            for pod in ["queued-1", "draining-0", "drained-0"] {
                assert_eq!(scene.delete(pod).await.code(), 500, "nobody answers, so {pod} must stay");
            }
            scene.ground().make_whole().await;
        }
    }
    if whom == Whom::Leader {
        scene
            .until("the other replica leads", 30, || async {
                (scene.ground().leader().await == Some(1 - leader)).then_some(())
            })
            .await;
    }
}

async fn a_roll_goes_on_while_whoever_leads_is_killed_again_and_again(scene: Arc<Scene>) {
    scene.stateful_set("app", 3, json!({})).await;
    scene.hook_policy("app", json!({})).await;
    let witness = Witness::of(&scene, "app", 3).await;
    for pod in ["app-0", "app-1", "app-2"] {
        let ip = scene.ip(pod).await;
        scene.hooks().at(&ip, |app| app.inflight = 3);
    }
    scene.must(&["rollout", "restart", "statefulset/app"]).await;
    let mut killed = 0;
    // At another moment of a drain each time: a kill a phase that is seen for the first time.
    let mut seen = Vec::new();
    while witness.left().len() < 3 {
        for drain in scene.drains().await {
            let phase = drain.data["status"]["phase"].as_str().unwrap_or("none").to_owned();
            let moment = (phase, killed % 2);
            if !seen.contains(&moment) && killed < 6 {
                seen.push(moment);
                let leader = scene.leader().await;
                scene.ground().kill(leader).await;
                scene.ground().make_whole().await;
                killed += 1;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(killed >= 3, "killed only {killed} times");
    scene.must(&["rollout", "status", "statefulset/app", "--timeout=120s"]).await;
    scene.nothing_left_behind().await;
    assert_eq!(witness.left().len(), 3);
    witness.all_left_prepared_once();
    assert!(witness.most_away() <= 1, "{} were away at once", witness.most_away());
}

async fn a_request_of_a_killed_leader_that_lands_late_is_undone_all_the_same(scene: Arc<Scene>) {
    late(&scene, true).await;
}

async fn a_leader_that_is_told_to_end_hands_over_with_a_request_under_way(scene: Arc<Scene>) {
    late(&scene, false).await;
}

/// The leader goes while a request of its is under way, and a person gives the drain up at that moment.
async fn late(scene: &Arc<Scene>, killed: bool) {
    scene.stateful_set("app", 1, json!({})).await;
    scene.hook_policy("app", json!({})).await;
    let ip = scene.ip("app-0").await;
    scene.hooks().at(&ip, |app| app.gets_ready_after = Duration::from_secs(8));
    let leader = scene.leader().await;
    assert_eq!(scene.delete("app-0").await.code(), 429);
    scene
        .until("the application is asked to get ready", 20, || async {
            (scene.hooks().at(&ip, |app| app.prepared_times()) == 1).then_some(())
        })
        .await;
    if killed {
        scene.ground().kill(leader).await;
    } else {
        scene.ground().terminate(leader).await;
    }
    scene.cancel("app-0").await;
    scene.until_phase("app-0", "Completed").await;
    scene.nothing_left_behind().await;
    scene
        .stays("nothing lands after it was seen to be undone", Duration::from_secs(3), || async {
            scene.hooks().at(&ip, |app| app.state == "Idle")
        })
        .await;
    assert_eq!(scene.hooks().at(&ip, |app| app.prepared_times()), 1, "sent once");
}

//! Break glass: a person lets a pod go unprepared.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{Scenario, scenarios};
use crate::audit;
use crate::scene::Scene;

pub const SHARED: [Scenario; 1] =
    scenarios![Shared: broken_glass_expires_and_counts_only_with_a_reason_and_a_valid_time];

pub const ALONE: [Scenario; 2] = scenarios![Alone:
    broken_glass_on_a_pod_its_node_or_its_namespace_lets_it_go_and_is_audited,
    broken_glass_on_the_webhook_configuration_lets_every_pod_go,
];

/// Two annotations, of which the second ends after `seconds`.
fn broken(reason: &str, seconds: i64) -> [String; 2] {
    let until = Timestamp::now() + SignedDuration::from_secs(seconds);
    [format!("castoff.dev/bypass={reason}"), format!("castoff.dev/bypass-until={until}")]
}

async fn breaks(scene: &Scene, kind: &str, name: &str, annotations: &[String]) {
    scene.annotate(kind, name, &annotations.iter().map(String::as_str).collect::<Vec<_>>()).await;
}

async fn broken_glass_on_a_pod_its_node_or_its_namespace_lets_it_go_and_is_audited(scene: Arc<Scene>) {
    for name in ["by-pod", "by-node", "by-namespace"] {
        scene.bare_pod(name, "app", json!({"spec": {"nodeSelector": scene.on_node(1)}})).await;
    }
    scene.all_ready("app", 3).await;
    scene.hook_policy("app", json!({})).await;
    for (pod, kind, name) in [
        ("by-pod", "pod", "by-pod"),
        ("by-node", "node", scene.node_name(1)),
        ("by-namespace", "namespace", &scene.namespace),
    ] {
        let (uid, ip) = (scene.uid(pod).await, scene.ip(pod).await);
        scene.hooks().at(&ip, |app| (app.inflight, app.done_per_look) = (1, 0));
        scene.denied(pod).await;
        breaks(&scene, kind, name, &broken("INC-4711", 600)).await;
        let said = scene.until_allowed(pod).await;
        assert!(said.contains(&format!("bypassed on the {kind}: INC-4711")), "{said}");
        if kind == "node" {
            scene.annotate(kind, name, &["castoff.dev/bypass-", "castoff.dev/bypass-until-"]).await;
        }
        scene.until_gone(pod, &uid).await;
        scene.until_state(pod, "Completed").await;
        let drain = scene.drain(pod).await.unwrap();
        assert_eq!(drain.data["status"]["outcome"], "Bypassed");
    }
    scene.until("all are told", 20, || async { (scene.events("Bypassed").await.len() == 3).then_some(()) }).await;
    if let Some(lines) = audit::of_namespace(&scene.namespace) {
        let bypassed = |pod: &str| {
            lines.iter().any(|line| {
                line.is("delete", "pods") && line.name() == pod && line.succeeded() && line.question() == "Bypassed"
            })
        };
        assert!(["by-pod", "by-node", "by-namespace"].into_iter().all(bypassed), "in the API server's audit log");
    }
}

async fn broken_glass_on_the_webhook_configuration_lets_every_pod_go(scene: Arc<Scene>) {
    scene.bare_pod("p", "app", json!({})).await;
    scene.all_ready("app", 1).await;
    scene.hook_policy("app", json!({})).await;
    let (uid, ip) = (scene.uid("p").await, scene.ip("p").await);
    scene.hooks().at(&ip, |app| (app.inflight, app.done_per_look) = (1, 0));
    scene.denied("p").await;
    let everywhere = ["validatingwebhookconfiguration", "castoff"];
    // What goes wrong from here on ends by itself: it is over a minute later.
    breaks(&scene, everywhere[0], everywhere[1], &broken("INC-4711", 60)).await;
    let said = scene.until_allowed("p").await;
    assert!(said.contains("bypassed on the webhook configuration: INC-4711"), "{said}");
    scene.annotate(everywhere[0], everywhere[1], &["castoff.dev/bypass-", "castoff.dev/bypass-until-"]).await;
    scene.until_gone("p", &uid).await;
    scene
        .until("it is told, with who and why", 20, || async {
            let told = scene.events("Bypassed").await;
            let expected = "\"INC-4711\" on the webhook configuration, asked for by kubernetes-admin";
            told.iter().any(|text| text.contains(expected)).then_some(())
        })
        .await;
    scene.bare_pod("p", "app", json!({})).await;
    scene.all_ready("app", 1).await;
    scene
        .until("the glass is whole again", 20, || async { (scene.delete("p").await.code() == 429).then_some(()) })
        .await;
}

async fn broken_glass_expires_and_counts_only_with_a_reason_and_a_valid_time(scene: Arc<Scene>) {
    scene.bare_pod("p", "app", json!({})).await;
    scene.all_ready("app", 1).await;
    scene.hook_policy("app", json!({})).await;
    let ip = scene.ip("p").await;
    scene.hooks().at(&ip, |app| (app.inflight, app.done_per_look) = (1, 0));
    let valid = broken("INC-4711", 600);
    let key = "castoff.dev/bypass-until";
    // Without a reason it is not even taken down.
    for reason in ["castoff.dev/bypass-", "castoff.dev/bypass="] {
        let printed = scene.kubectl(&["annotate", "pod", "p", "--overwrite", reason, &valid[1]]).await;
        assert!(printed.code == 1 && printed.stderr.contains("must give the reason"), "{printed:?}");
    }
    let cases = [
        (vec![valid[0].clone()], "castoff.dev/bypass-until is missing"),
        (valid.to_vec(), ""),
        // What may be taken off by anybody.
        (vec!["castoff.dev/bypass-".to_owned()], "castoff.dev/bypass, the reason, is missing"),
        (vec![valid[0].clone(), format!("{key}=tomorrow")], "castoff.dev/bypass-until is no time"),
        (broken("INC-4711", -1).to_vec(), "castoff.dev/bypass-until is past"),
        (broken("INC-4711", 90_000).to_vec(), "castoff.dev/bypass-until is more than a day ahead"),
    ];
    for (annotations, why) in cases {
        breaks(&scene, "pod", "p", &annotations).await;
        if why.is_empty() {
            continue;
        }
        let said = scene.denied("p").await;
        assert!(said.contains("The bypass on the pod does not count") && said.contains(why), "not {why}: {said}");
    }
    breaks(&scene, "pod", "p", &broken("INC-4711", 5)).await;
    let dry_run = || scene.kubectl(&["delete", "pod", "p", "--dry-run=server"]);
    let printed = dry_run().await;
    assert_eq!(printed.code, 0, "in force for five seconds: {printed:?}");
    scene.until("it is over", 15, || async { (dry_run().await.code == 1).then_some(()) }).await;
    let said = scene.denied("p").await;
    assert!(said.contains("castoff.dev/bypass-until is past"), "{said}");
}

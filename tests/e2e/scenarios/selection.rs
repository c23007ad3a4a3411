//! Which pods are guarded, and in which way: by ordinal, by node, by who depends on them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::{self, Event};
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio::task::JoinHandle;

use super::{Scenario, scenarios};
use crate::audit;
use crate::backends::is_ready;
use crate::consul::Consul;
use crate::ground::Need;
use crate::scene::Scene;

pub const ALL: [Scenario; 1] = scenarios![Shared: two_roles_in_one_set_leave_each_in_its_own_way];

pub const ON_TWO_NODES: [Scenario; 1] = scenarios![Shared, Need::Nodes(2) =>
    only_pods_on_labelled_nodes_are_guarded_and_those_of_one_more_node_at_once,
];

pub const ON_THREE_NODES: [Scenario; 1] = scenarios![Shared, Need::Nodes(3) =>
    an_agent_leaves_after_its_neighbours_one_at_a_time_and_the_sick_one_first,
];

async fn two_roles_in_one_set_leave_each_in_its_own_way(scene: Arc<Scene>) {
    let consul = Consul::start(&scene, &["app-0", "app-1"]).await;
    // Slow enough to see that a service stays out until its pod is back.
    let slow = json!({"metadata": {"annotations": {"test.castoff.dev/ready-after": "2s"}}});
    scene.stateful_set("app", 4, json!({"template": slow})).await;
    let hooks = scene.hooks();
    let figure = json!({"figure": "inflight", "json": true, "port": hooks.port, "rounds": 2});
    scene.named_policy("front", "app", "consul", json!({"agent": consul.url}), json!({"ordinals": "0-1"})).await;
    scene.named_policy("work", "app", "in-flight", figure, json!({"ordinals": "2-"})).await;
    for policy in ["front", "work"] {
        scene.guarding(policy).await;
    }
    for pod in ["app-2", "app-3"] {
        let ip = scene.ip(pod).await;
        hooks.at(&ip, |app| app.inflight = 3);
    }
    scene.must(&["rollout", "restart", "statefulset/app"]).await;

    for pod in ["app-3", "app-2"] {
        let (uid, ip) = (scene.uid(pod).await, scene.ip(pod).await);
        scene.until_state(pod, "Draining").await;
        scene.stays("it works on", Duration::from_secs(2), || scene.stands(pod, &uid)).await;
        hooks.at(&ip, |app| app.inflight = 0);
        scene.until_replaced(pod, &uid).await;
    }
    for pod in ["app-1", "app-0"] {
        let uid = scene.uid(pod).await;
        scene.until_leaving(pod, &uid).await;
        assert!(consul.is_in_maintenance(pod), "{pod} left while it was asked for answers");
        scene.until_replaced(pod, &uid).await;
        scene
            .until("its successor is asked again", 20, || async { (!consul.is_in_maintenance(pod)).then_some(()) })
            .await;
        assert!(consul.is_registered(pod));
    }
    scene.until_all_completed().await;

    // For good: taken off the list, not only out of use.
    let uid = scene.uid("app-1").await;
    scene.must(&["scale", "statefulset/app", "--replicas=1"]).await;
    scene.until_leaving("app-1", &uid).await;
    assert!(!consul.is_registered("app-1"));
    scene.all_ready("app", 1).await;
    scene.until_all_completed().await;
    assert!(consul.is_registered("app-0") && !consul.is_in_maintenance("app-0"));
}

async fn only_pods_on_labelled_nodes_are_guarded_and_those_of_one_more_node_at_once(scene: Arc<Scene>) {
    let label = format!("test.castoff.dev/{}", scene.namespace);
    let is_canary = format!("{label}=yes");
    let (one, two) = (scene.node_name(1), scene.node_name(2));
    for (name, node) in [("a", one), ("b", two), ("c", two)] {
        scene.bare_pod(name, "app", json!({"spec": {"nodeName": node}})).await;
    }
    scene.all_ready("app", 3).await;
    scene.must(&["label", "node", one, &is_canary]).await;
    scene.hook_policy("app", json!({"nodeSelector": {label.as_str(): "yes"}})).await;
    // Not guarded, not Ready: does not keep a guarded one from its turn.
    scene.annotate("pod", "c", &["test.castoff.dev/behave=never-ready"]).await;

    scene.denied("a").await;
    scene.until_allowed("a").await;
    let printed = scene.kubectl(&["delete", "pod", "b"]).await;
    assert_eq!(printed.code, 0, "{printed:?}");
    let pods =
        || async { scene.object("DrainPolicy", "app").await.map(|policy| policy.data["status"]["pods"].clone()) };
    scene.until("no pod is counted", 10, || async { (pods().await? == 0).then_some(()) }).await;

    scene.must(&["label", "node", two, &is_canary]).await;
    scene
        .until("the guard has seen it", 2, || async {
            let printed = scene.kubectl(&["delete", "pod", "c", "--dry-run=server"]).await;
            (printed.code == 1).then_some(())
        })
        .await;
    scene.denied("c").await;
    for node in [one, two] {
        scene.must(&["label", "node", node, &format!("{label}-")]).await;
    }
}

async fn an_agent_leaves_after_its_neighbours_one_at_a_time_and_the_sick_one_first(scene: Arc<Scene>) {
    let nodes = [1, 2, 3].map(|number| scene.node_name(number));
    // On these alone, where there are more.
    let label = format!("test.castoff.dev/{}", scene.namespace);
    for node in nodes {
        scene.must(&["label", "node", node, &format!("{label}=yes")]).await;
    }
    scene.daemon_set("agent", json!({label.as_str(): "yes"}), 3).await;
    for (number, node) in nodes.iter().enumerate() {
        scene.bare_pod(&format!("web-{number}"), "web", json!({"spec": {"nodeName": node}})).await;
    }
    scene.all_ready("web", 3).await;
    let spared = "test.castoff.dev/spared";
    scene.policy("agent", "neighbours", json!({"selector": "app=web", "annotation": spared}), json!({})).await;
    let old = scene.pods_of("agent").await;
    let on_node = |node: &str| old.iter().find(|pod| node_of(pod) == node).unwrap().clone();
    let sick = on_node(nodes[1]);
    scene.annotate("pod", &sick.name_any(), &["test.castoff.dev/behave=never-ready"]).await;
    scene.until("it is sick", 20, || async { (!is_ready(&scene.pod(&sick.name_any()).await?)).then_some(()) }).await;
    let away = Away::watch(&scene, "agent");
    scene.must(&["rollout", "restart", "daemonset/agent"]).await;

    let mut left: Vec<Pod> = old.clone();
    let all_stand = |pods: Vec<Pod>| {
        let scene = Arc::clone(&scene);
        async move {
            for pod in &pods {
                if !scene.stands(&pod.name_any(), &pod.uid().unwrap()).await {
                    return false;
                }
            }
            true
        }
    };
    for round in 0..3 {
        let next = scene
            .until("one is being prepared", 60, || async {
                let drains = scene.drains().await;
                let draining = drains.iter().find(|drain| drain.data["status"]["phase"] == "Draining")?;
                left.iter().find(|pod| draining.data["spec"]["pod"]["uid"] == pod.uid().unwrap()).cloned()
            })
            .await;
        assert!(round > 0 || next.uid() == sick.uid(), "the sick one goes first, not {}", next.name_any());
        scene.stays("all wait", Duration::from_secs(2), || all_stand(left.clone())).await;
        let number = nodes.iter().position(|node| *node == node_of(&next)).unwrap();
        let neighbour = format!("web-{number}");
        if round == 1 {
            scene.annotate("pod", &neighbour, &[&format!("{spared}=true")]).await;
        } else {
            scene.must(&["delete", "pod", &neighbour]).await;
        }
        scene.until_gone(&next.name_any(), &next.uid().unwrap()).await;
        left.retain(|pod| pod.uid() != next.uid());
        scene.all_ready("agent", 3).await;
    }
    scene.must(&["rollout", "status", "daemonset/agent", "--timeout=60s"]).await;
    scene.until_all_completed().await;
    assert_eq!(away.most(), 1, "agents away at the same moment");
    for node in nodes {
        scene.must(&["label", "node", node, &format!("{label}-")]).await;
    }
    if let Some(lines) = audit::of_namespace(&scene.namespace) {
        // The controller chooses afresh each time, and may ask for the prepared one by chance before the guard does.
        let let_go =
            |line: &&audit::Line| line.is("delete", "pods") && line.succeeded() && line.question() == "Drained";
        let by: BTreeMap<&str, &str> = lines.iter().filter(let_go).map(|line| (line.name(), line.user())).collect();
        let mut names: Vec<String> = old.iter().map(ResourceExt::name_any).collect();
        names.sort();
        assert_eq!(by.keys().copied().collect::<Vec<_>>(), names, "each was let go once it was prepared");
        assert!(by.values().any(|user| *user == audit::GUARD), "who deleted them: {by:?}");
    }
}

fn node_of(pod: &Pod) -> String {
    pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default()
}

/// How many nodes were without a Ready pod of an app at the same moment, by the watch.
struct Away {
    most: Arc<Mutex<usize>>,
    task: JoinHandle<()>,
}

impl Away {
    fn watch(scene: &Scene, app: &str) -> Away {
        let api: Api<Pod> = Api::namespaced(scene.client.clone(), &scene.namespace);
        let selected = watcher::Config::default().labels(&format!("app={app}"));
        let most = Arc::new(Mutex::new(0));
        let seen = Arc::clone(&most);
        let task = tokio::spawn(async move {
            let mut serving: BTreeMap<String, Option<String>> = BTreeMap::new();
            let (mut is_listed, mut events) = (false, Box::pin(watcher::watcher(api, selected)));
            while let Some(event) = events.next().await {
                let (pod, gone) = match event {
                    Ok(Event::Apply(pod) | Event::InitApply(pod)) => (pod, false),
                    Ok(Event::Delete(pod)) => (pod, true),
                    Ok(Event::InitDone) => {
                        is_listed = true;
                        continue;
                    }
                    _ => continue,
                };
                let serves = !gone && is_ready(&pod) && pod.metadata.deletion_timestamp.is_none();
                if node_of(&pod).is_empty() {
                    continue;
                }
                let place = serving.entry(node_of(&pod)).or_default();
                if serves {
                    *place = pod.uid();
                } else if *place == pod.uid() {
                    *place = None;
                }
                if is_listed {
                    let away = serving.values().filter(|pod| pod.is_none()).count();
                    let mut most = seen.lock().unwrap();
                    *most = (*most).max(away);
                }
            }
        });
        Away { most, task }
    }

    fn most(&self) -> usize {
        *self.most.lock().unwrap()
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        self.task.abort();
    }
}

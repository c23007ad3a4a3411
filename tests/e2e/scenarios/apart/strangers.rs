//! Strangers who reach the replicas' ports.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpSocket;
use tokio::task::JoinSet;

use super::control_plane::rolls_on;
use crate::ground::Need;
use crate::scenarios::{Scenario, scenarios};
use crate::scene::Scene;
use crate::witness::Witness;

pub const ALONE: [Scenario; 2] = scenarios![Alone, Need::Processes =>
    a_review_that_the_api_server_did_not_send_begins_nothing,
    a_roll_goes_on_while_two_thousand_connections_idle_at_both_ports_of_all_replicas,
];

/// It is as the API server writes it, names a pod that is guarded, and comes from whoever reaches the port.
async fn a_review_that_the_api_server_did_not_send_begins_nothing(scene: Arc<Scene>) {
    scene.guarded().await;
    let pod = scene.pod("app-0").await.unwrap();
    let forged = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "33d1f3a4-7f8e-4a6e-9a4f-0d1c8c1f7f11", "operation": "DELETE", "dryRun": false,
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "name": "app-0", "namespace": scene.namespace, "object": null, "oldObject": &pod, "options": {},
            "userInfo": {"username": "system:node:node-1", "groups": ["system:nodes"]},
        },
    })
    .to_string();
    let anybody = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).build().unwrap();
    for address in scene.processes().addresses() {
        for path in ["/validate", "/validate/", "/", "/validate/0"] {
            let request = anybody.post(format!("https://{address}{path}?timeout=10s"));
            let answer = request.header("content-type", "application/json").body(forged.clone()).send().await.unwrap();
            assert_eq!(answer.status(), 404, "{path}");
        }
    }
    scene.stays("nothing begins", Duration::from_secs(5), || async { scene.drains().await.is_empty() }).await;
    assert_eq!(scene.hooks().of(&pod).changes(), 0);
    // The same from the API server does.
    scene.denied("app-0").await;
    scene.until_phase("app-0", "Drained").await;
}

const IDLE: usize = 2000;

/// From how many addresses they come.
const ADDRESSES: usize = 20;

async fn a_roll_goes_on_while_two_thousand_connections_idle_at_both_ports_of_all_replicas(scene: Arc<Scene>) {
    scene.stateful_set("app", 3, json!({})).await;
    scene.hook_policy("app", json!({})).await;
    let ports = [scene.processes().addresses(), scene.processes().admin_addresses()].concat();
    let mut idlers = JoinSet::new();
    for number in 0..IDLE {
        idlers.spawn(idle(number % ADDRESSES, ports[number % ports.len()]));
    }
    let witness = Witness::of(&scene, "app", 3).await;
    scene.must(&["rollout", "restart", "statefulset/app"]).await;
    rolls_on(&scene, &witness).await;
    for number in 0..2 {
        let said = scene.processes().readiness(number).await;
        assert!(said.contains("[+]") && !said.contains("[-]"), "{said}");
    }
}

/// Holds a connection that asks for nothing, and opens it anew when it is closed.
async fn idle(from: usize, to: SocketAddr) {
    loop {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 2, u8::try_from(10 + from).unwrap()], 0))).unwrap();
        if let Ok(mut stream) = socket.connect(to).await {
            let _ = stream.read(&mut [0; 1]).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

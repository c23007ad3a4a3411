//! Strangers who press on the replicas' ports.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpSocket;
use tokio::task::JoinSet;

use super::control_plane::rolls_on;
use crate::ground::Need;
use crate::scenarios::{Scenario, scenarios};
use crate::scene::Scene;
use crate::witness::Witness;

pub const ALONE: [Scenario; 1] = scenarios![Alone, Need::Processes => a_roll_goes_on_while_two_thousand_connections_idle_at_both_ports_of_all_replicas];

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
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
}

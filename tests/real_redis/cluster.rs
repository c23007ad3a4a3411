//! `redis-cluster`: three masters, each with a replica.

use castoff::plan::{Task, Verdict};
use serde_json::json;

use crate::driver::Drain;
use crate::servers::{Kind, Server, ask, role, try_ask, until};
use crate::writer::Writer;

struct Cluster {
    addresses: Vec<String>,
    servers: Vec<Server>,
}

impl Cluster {
    /// Nodes under `127.0.NET`, of which 4, 5 and 6 follow 1, 2 and 3.
    fn start(kind: Kind, net: u8) -> Self {
        let addresses: Vec<String> = (1..=6).map(|number| format!("127.0.{net}.{number}")).collect();
        let lines = |address: &str| {
            let lines = ["cluster-enabled yes", "cluster-node-timeout 5000"].map(str::to_owned);
            lines.into_iter().chain([format!("cluster-announce-ip {address}")]).collect::<Vec<_>>()
        };
        let servers: Vec<Server> =
            addresses.iter().map(|address| Server::start(kind, address, 6379, &lines(address), false)).collect();
        for (address, slots) in addresses.iter().zip([("0", "5460"), ("5461", "10922"), ("10923", "16383")]) {
            let _: () = ask(address, 6379, &["CLUSTER", "ADDSLOTSRANGE", slots.0, slots.1]);
        }
        for address in &addresses[1..] {
            let _: () = ask(&addresses[0], 6379, &["CLUSTER", "MEET", address, "6379"]);
        }
        for (index, address) in addresses.iter().enumerate().skip(3) {
            let id: String = ask(&addresses[index - 3], 6379, &["CLUSTER", "MYID"]);
            until("the replica follows", || try_ask::<()>(address, 6379, &["CLUSTER", "REPLICATE", &id]).ok());
        }
        for (index, address) in addresses.iter().enumerate() {
            until("all know each other", || {
                let nodes: String = ask(address, 6379, &["CLUSTER", "NODES"]);
                let state: String = ask(address, 6379, &["CLUSTER", "INFO"]);
                let role: Vec<redis::Value> = ask(address, 6379, &["ROLE"]);
                let linked = index < 3 || redis::from_redis_value::<String>(role[3].clone()).unwrap() == "connected";
                let whole = nodes.matches(" slave ").count() + nodes.matches("myself,slave").count() == 3;
                (linked && whole && state.contains("cluster_state:ok")).then_some(())
            });
        }
        Cluster { addresses, servers }
    }

    fn drain(&self, index: usize) -> Drain {
        let all: Vec<&str> = self.addresses.iter().map(String::as_str).collect();
        Drain::new("redis-cluster", all[index], &all, json!({}))
    }
}

fn moves_the_master(kind: Kind, net: u8) {
    let cluster = Cluster::start(kind, net);
    let pair = [cluster.addresses[0].clone(), cluster.addresses[3].clone()];
    // Slot 0 to 5460 is where these keys are.
    let writer = Writer::start("{b}", move || pair.iter().find(|address| role(address) == "master").cloned());
    let mut drain = cluster.drain(0);
    drain.run();
    assert_eq!(drain.acts, ["CLUSTER FAILOVER"]);
    assert_eq!([role(&cluster.addresses[0]), role(&cluster.addresses[3])], ["slave", "master"]);
    let (written, lost) = writer.lost_at(&cluster.addresses[3]);
    assert!(written.acknowledged.len() > 1000);
    assert_eq!(lost, 0);
    let mut replica = cluster.drain(0);
    replica.run();
    assert!(replica.acts.is_empty(), "a replica leaves at once");
}

#[test]
fn redis_moves_and_loses_nothing() {
    moves_the_master(Kind::Redis, 71);
}

#[test]
fn valkey_moves_and_loses_nothing() {
    moves_the_master(Kind::Valkey, 72);
}

#[test]
fn a_master_without_a_fit_replica_stays() {
    let mut cluster = Cluster::start(Kind::Redis, 73);
    cluster.servers[3].signal("-STOP");
    until("the replica's silence is told", || match cluster.drain(0).round(Task::Prepare).verdict {
        Verdict::Blocked { message } if message.starts_with("no replica is fit to take over: of ") => Some(()),
        Verdict::Act(act) => panic!("{act:?}"),
        _ => None,
    });
    cluster.servers[3].signal("-CONT");
    // Its master is gone: the replica may have to take over.
    drop(cluster.servers.remove(1));
    until("the replica is held or leads", || match cluster.drain(4).round(Task::Prepare).verdict {
        Verdict::Blocked { message } if message.contains("may have to take over") => Some(()),
        _ => (role(&cluster.addresses[4]) == "master").then_some(()),
    });
}

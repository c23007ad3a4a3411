//! `redis-sentinel`: three servers, each with a sentinel beside it.

use std::collections::HashMap;

use castoff::plan::{Task, Verdict};
use serde_json::json;

use crate::driver::Drain;
use crate::servers::{Kind, Server, ask, role, try_ask, until};
use crate::writer::Writer;

/// Three servers under `10.N`, the first the master, and their sentinels.
struct Set {
    addresses: [String; 3],
    servers: Vec<Server>,
    sentinels: Vec<Server>,
}

impl Set {
    fn start(kind: Kind, net: u8) -> Self {
        let addresses = [1, 2, 3].map(|number| format!("127.0.{net}.{number}"));
        let master = &addresses[0];
        let servers = addresses.iter().map(|address| {
            let follow = (address != master).then(|| format!("replicaof {master} 6379"));
            Server::start(kind, address, 6379, &follow.into_iter().collect::<Vec<_>>(), false)
        });
        let servers = servers.collect();
        let sentinels = addresses.iter().map(|address| {
            let lines = [
                format!("sentinel announce-ip {address}"),
                format!("sentinel monitor main {master} 6379 2"),
                "sentinel down-after-milliseconds main 5000".to_owned(),
                "sentinel failover-timeout main 10000".to_owned(),
            ];
            Server::start(kind, address, 26379, &lines, true)
        });
        let sentinels = sentinels.collect();
        for address in &addresses {
            until("the sentinels know all", || {
                let told: HashMap<String, String> = try_ask(address, 26379, &["SENTINEL", "MASTER", "main"]).ok()?;
                (told["num-slaves"] == "2" && told["num-other-sentinels"] == "2").then_some(())
            });
        }
        Set { addresses, servers, sentinels }
    }

    fn drain(&self, index: usize) -> Drain {
        let all: Vec<&str> = self.addresses.iter().map(String::as_str).collect();
        Drain::new("redis-sentinel", all[index], &all, json!({"master": "main", "sentinels": "app=redis"}))
    }

    fn writer(&self) -> Writer {
        let addresses = self.addresses.clone();
        Writer::start("w", move || addresses.iter().find_map(|address| master(address)))
    }

    /// The master that all name, and that says so itself.
    fn master(&self) -> String {
        let named: Vec<String> = self.addresses.iter().filter_map(|address| master(address)).collect();
        assert!(named.iter().all(|name| *name == named[0] && role(name) == "master"), "{named:?}");
        named[0].clone()
    }

    fn epoch(&self) -> String {
        let told: HashMap<String, String> = ask(&self.addresses[0], 26379, &["SENTINEL", "MASTER", "main"]);
        told["config-epoch"].clone()
    }
}

fn master(sentinel: &str) -> Option<String> {
    let named: Vec<String> = try_ask(sentinel, 26379, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main"]).ok()?;
    named.into_iter().next()
}

fn moves_the_master(kind: Kind, net: u8, acts: &[&str]) {
    let set = Set::start(kind, net);
    let writer = set.writer();
    let mut drain = set.drain(0);
    drain.run();
    assert_eq!(drain.acts, acts);
    assert_ne!(set.master(), set.addresses[0]);
    assert_eq!((role(&set.addresses[0]).as_str(), set.epoch().as_str()), ("slave", "1"), "one failover");
    let (written, lost) = writer.lost_at(&set.master());
    assert!(written.acknowledged.len() > 1000);
    assert_eq!(lost, 0);
    // Its successor starts where it was, and the next is drained in its turn.
    let mut successor = set.drain(set.addresses.iter().position(|address| *address == set.master()).unwrap());
    successor.run();
    assert_eq!((successor.acts.as_slice(), set.epoch().as_str()), (drain.acts.as_slice(), "2"));
}

#[test]
fn redis_moves_and_loses_nothing() {
    moves_the_master(
        Kind::Redis,
        61,
        &["MULTI, SET, CLIENT PAUSE, EXEC", "SENTINEL FAILOVER", "REPLICAOF, CLIENT UNPAUSE, CLIENT KILL"],
    );
}

#[test]
fn valkey_moves_by_its_own_coordinated_failover() {
    moves_the_master(Kind::Valkey, 62, &["SENTINEL FAILOVER"]);
}

#[test]
fn replicas_leave_at_once_and_what_is_missing_is_told() {
    let mut set = Set::start(Kind::Redis, 63);
    let mut replica = set.drain(1);
    replica.run();
    assert!(replica.acts.is_empty());
    // A replica that stands still is not fit, but a sentinel might choose it until it sees it down.
    let blocked = |set: &Set, part: &str| {
        until(part, || match set.drain(0).round(Task::Prepare).verdict {
            Verdict::Blocked { message } if message.contains(part) => Some(()),
            Verdict::Act(act) => panic!("{act:?}"),
            _ => None,
        });
    };
    set.sentinels.truncate(2);
    blocked(&set, "of the sentinels that answer, 1 would stay, and 2 are needed");
    let wrong = Drain::new(
        "redis-sentinel",
        &set.addresses[0],
        &[set.addresses[0].as_str()],
        json!({"master": "mani", "sentinels": "app=redis"}),
    )
    .round(Task::Prepare);
    assert!(
        matches!(&wrong.verdict, Verdict::Unknown { message } if message.ends_with("tells of master mani: ERR No such master with that name")),
        "{wrong:?}"
    );
    let _ = &set.servers;
}

#[test]
fn without_a_replica_the_master_stays_and_takes_writes() {
    let mut set = Set::start(Kind::Redis, 64);
    set.servers.truncate(1);
    until("the sentinels see no replica", || match set.drain(0).round(Task::Prepare).verdict {
        Verdict::Blocked { message } if message == "no replica is there that could take over" => Some(()),
        Verdict::Act(act) => panic!("{act:?}"),
        _ => None,
    });
    let _: () = ask(&set.addresses[0], 6379, &["SET", "a", "b"]);
}

#[test]
fn a_drain_that_is_given_up_takes_the_pause_back() {
    let set = Set::start(Kind::Redis, 65);
    let mut drain = set.drain(0);
    assert!(matches!(drain.round(Task::Prepare).verdict, Verdict::Act(_)));
    assert!(matches!(drain.round(Task::Restore).verdict, Verdict::Act(_)));
    let _: () = ask(&set.addresses[0], 6379, &["SET", "a", "b"]);
    assert_eq!(drain.round(Task::Restore).verdict, Verdict::Done);
    assert_eq!(set.master(), set.addresses[0]);
}

#[test]
fn a_guard_that_dies_between_the_acts_leaves_no_harm_and_the_next_one_goes_on() {
    let set = Set::start(Kind::Redis, 66);
    let writer = set.writer();
    let mut first = set.drain(0);
    until("the failover is asked for", || {
        first.round(Task::Prepare);
        first.acts.iter().any(|act| act == "SENTINEL FAILOVER").then_some(())
    });
    drop(first);
    let mut second = set.drain(0);
    second.run();
    assert!(second.acts.iter().all(|act| act.starts_with("REPLICAOF")), "{:?}", second.acts);
    assert_eq!(set.epoch(), "1", "one failover");
    assert_eq!(writer.lost_at(&set.master()).1, 0);
}

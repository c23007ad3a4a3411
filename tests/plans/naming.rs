//! Members that are named and addressed in other ways than `POD.SERVICE.NAMESPACE.svc`: the built-in plans find them all
//! the same, and let nobody go only because they did not find it.

use castoff::plan::{Mode, Task, Verdict};
use serde_json::{Value, json};

use castoff_test_support::plans::{Backend, Case, Outcome, builtin};

/// The pod `db-0`, at `10.0.0.7`.
fn pod() -> Value {
    json!({
        "metadata": {"name": "db-0", "namespace": "db", "uid": "u-1", "labels": {}, "annotations": {}},
        "spec": {"hostname": "db-0", "subdomain": "peer"},
        "status": {"phase": "Running", "podIP": "10.0.0.7", "podIPs": [{"ip": "10.0.0.7"}, {"ip": "fd00::7"}]},
    })
}

fn run(plan: &str, parameters: Value, backend: &Backend) -> Outcome {
    let (plan, mode, task) = (builtin(plan), Mode::Restart, Task::Prepare);
    Case { plan, pod: pod(), parameters, member: None, mode, task }.run(backend)
}

/// The ways in which a member may be called by its address, each with the pod's and with another one's.
const HOSTS: [(&str, &str); 5] = [
    ("db-0.peer.db", "db-1.peer.db"),
    ("db-0.peer.db.svc", "db-1.peer.db.svc"),
    ("db-0.peer.db.svc.cluster.local", "db-1.peer.db.svc.cluster.local"),
    ("10.0.0.7", "10.0.0.8"),
    ("[fd00::7]", "[fd00::8]"),
];

fn stores(addresses: &[String]) -> Backend {
    let stores = addresses.iter().zip(1..).map(|(address, id)| {
        json!({"store": {"id": id, "address": address, "state_name": "Up"}, "status": {"leader_count": 5, "region_count": 9}})
    });
    let stores: Vec<Value> = stores.collect();
    Backend::default()
        .json("GET http://pd/pd/api/v1/stores?state=0&state=1&state=2", 200, &json!({"stores": stores}))
        .json("GET http://pd/pd/api/v1/schedulers", 200, &json!([]))
        .json("GET http://pd/pd/api/v1/schedulers?status=paused", 200, &json!([]))
        .json("GET http://pd/pd/api/v1/config/schedule", 200, &json!({"schedulers-v2": []}))
        .text("GET http://pd/pd/api/v1/scheduler-config/evict-leader-scheduler/list", 404, "")
}

#[test]
fn tikv_finds_the_store_under_every_kind_of_address() {
    for (own, other) in HOSTS {
        let backend = stores(&[format!("{other}:20160"), format!("{own}:20160")]);
        assert_eq!(run("tikv", json!({"pd": "http://pd"}), &backend).round.member.as_deref(), Some("2"), "{own}");
    }
    for other in ["db-0.peer.dbx:20160", "db-01.peer.db:20160", "10.0.0.70:20160", "10.0.0.7", "db-0:20160"] {
        let verdict = run("tikv", json!({"pd": "http://pd"}), &stores(&[other.to_owned()])).round.verdict;
        assert!(matches!(verdict, Verdict::Failed { .. }), "{other}: {verdict:?}");
    }
}

/// PD with a member `one` at the first of these hosts, which leads, and `two`, `three` at the others.
fn pd(hosts: [&str; 3]) -> Backend {
    let members = ["one", "two", "three"].iter().zip(hosts).map(|(name, host)| {
        json!({"name": name, "client_urls": [format!("http://{host}:2379")], "peer_urls": [format!("http://{host}:2380")]})
    });
    let members: Vec<Value> = members.collect();
    let health =
        json!([{"name": "one", "health": true}, {"name": "two", "health": true}, {"name": "three", "health": true}]);
    let leader = json!({"name": "one"});
    Backend::default()
        .json(
            "GET http://pd/pd/api/v1/members",
            200,
            &json!({"members": members, "leader": leader, "etcd_leader": leader}),
        )
        .json("GET http://pd/pd/api/v1/health", 200, &health)
}

/// etcd with the same members.
fn etcd(hosts: [&str; 3]) -> Backend {
    let members = ["one", "two", "three"].iter().zip(["1", "2", "3"]).zip(hosts).map(|((name, id), host)| {
        json!({"ID": id, "name": name, "clientURLs": [format!("http://{host}:2379")], "peerURLs": [format!("http://{host}:2380")]})
    });
    let members: Vec<Value> = members.collect();
    let backend = Backend::default().json("POST http://etcd/v3/maintenance/status", 200, &json!({"leader": "1"})).json(
        "POST http://etcd/v3/cluster/member/list",
        200,
        &json!({"members": members}),
    );
    hosts.iter().fold(backend, |backend, host| {
        let url = format!("GET http://{host}:2379/health?exclude=NOSPACE&exclude=CORRUPT");
        backend.json(&url, 200, &json!({"health": "true"}))
    })
}

fn of_pd(hosts: [&str; 3]) -> Outcome {
    run("pd", json!({"pd": "http://pd"}), &pd(hosts))
}

fn of_etcd(hosts: [&str; 3]) -> Outcome {
    run("etcd", json!({"url": "http://etcd"}), &etcd(hosts))
}

#[test]
fn a_leader_at_the_pods_own_address_hands_over_whatever_it_is_called() {
    for (own, other) in HOSTS {
        for (outcome, member) in [(of_pd([own, other, other]), "one"), (of_etcd([own, other, other]), "1")] {
            assert!(matches!(outcome.round.verdict, Verdict::Act(_)), "{own}: {:?}", outcome.round);
            assert_eq!(outcome.round.member.as_deref(), Some(member), "{own}");
        }
    }
}

#[test]
fn nobody_is_let_go_for_being_found_nowhere() {
    // Through a Service for each member, by a short name, by loopback: any of them may be the pod.
    for hidden in ["one-client.db.svc", "db-0", "localhost", "127.0.0.1", "db-0.peer"] {
        for outcome in [of_pd([hidden, "db-1.peer.db", "10.0.0.9"]), of_etcd([hidden, "db-1.peer.db", "10.0.0.9"])] {
            let Verdict::Failed { message, .. } = &outcome.round.verdict else {
                panic!("{hidden}: {:?}", outcome.round)
            };
            assert!(message.contains("can all of its members be told to be other pods"), "{message}");
        }
    }
}

#[test]
fn who_is_proven_to_be_no_member_may_go() {
    for hosts in [["db-1.peer.db", "db-2.peer.db.svc", "10.0.0.9"], ["10.0.0.8", "10.0.0.9", "10.0.0.10"]] {
        for outcome in [of_pd(hosts), of_etcd(hosts)] {
            assert_eq!((outcome.round.verdict, outcome.round.member), (Verdict::Done, None), "{hosts:?}");
        }
    }
}

#[test]
fn a_pod_without_an_address_proves_nothing_by_it() {
    let mut pod = pod();
    pod["status"] = json!({"phase": "Running"});
    let parameters = json!({"pd": "http://pd"});
    let (plan, mode, task) = (builtin("pd"), Mode::Restart, Task::Prepare);
    let case = Case { plan, pod, parameters, member: None, mode, task };
    let verdict = case.verdict(&pd(["10.0.0.7", "10.0.0.8", "10.0.0.9"]));
    assert!(matches!(verdict, Verdict::Failed { .. }), "{verdict:?}");
}

#[test]
fn patroni_finds_the_member_by_its_address() {
    let member = |name: &str, role: &str, host: &str| {
        json!({"name": name, "role": role, "state": "running", "host": host, "lag": 0,
               "api_url": format!("http://{host}:8008/patroni")})
    };
    for (own, other) in HOSTS {
        let cluster = json!({"members": [member("one", "leader", own), member("two", "replica", other)]});
        let backend = Backend::default().json("GET http://10.0.0.7:8008/cluster", 200, &cluster).json(
            "GET http://10.0.0.7:8008/config",
            200,
            &json!({}),
        );
        let outcome = run("patroni", json!({}), &backend);
        assert!(matches!(outcome.round.verdict, Verdict::Act(_)), "{own}: {:?}", outcome.round);
        assert_eq!(outcome.round.member.as_deref(), Some("one"));
    }
}

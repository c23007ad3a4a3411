//! The plans `redis-sentinel` and `redis-cluster`, on what real servers answered, and on what may come besides.

use castoff::plan::{Mode, Task, Verdict};
use castoff_test_support::plans::{Backend, Case, builtin};
use serde_json::{Value, json};

/// The first answer to a command in a recording of Redis.
fn recorded(name: &str, at: &str, command: &str) -> Value {
    let path = format!("{}/tests/recordings/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let steps: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let words = |step: &Value| {
        let words = step["command"].as_array().into_iter().flatten().filter_map(Value::as_str);
        words.collect::<Vec<_>>().join(" ")
    };
    steps.iter().find(|step| step["at"] == at && words(step) == command).expect("a recorded answer")["reply"].clone()
}

/// A map as RESP 2 writes it, as RESP 3 does.
fn map(flat: &Value) -> Value {
    let pairs = flat.as_array().unwrap().chunks(2).map(|pair| (pair[0].as_str().unwrap().to_owned(), pair[1].clone()));
    Value::Object(pairs.collect())
}

fn pod(address: &str) -> Value {
    json!({
        "metadata": {"name": address, "namespace": "db", "uid": address, "labels": {"app": "redis"}, "annotations": {}},
        "spec": {},
        "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "hostIP": "10.9.0.1"},
    })
}

fn blocked(verdict: &Verdict, part: &str) -> bool {
    matches!(verdict, Verdict::Blocked { message } if message.contains(part))
}

/// Three servers with sentinels, before a failover, as they were recorded.
struct Sentinels {
    /// What each sentinel says of the master; `None` where it does not answer.
    views: [Option<Value>; 3],
    replicas: Vec<Value>,
    /// What the server of the pod that is drained is.
    role: Value,
    /// Milliseconds for which writes are paused still.
    left: i64,
    version: &'static str,
    /// What 127.0.42.3 says of itself.
    heir: Value,
}

const RECORDING: &str = "redis-sentinel-failover-with-writer";

impl Sentinels {
    fn recorded() -> Self {
        let at = "127.0.42.1:26379";
        let master = map(&recorded(RECORDING, at, "SENTINEL MASTER mm"));
        let replicas = recorded(RECORDING, at, "SENTINEL REPLICAS mm");
        Sentinels {
            views: [Some(master.clone()), Some(master.clone()), Some(master)],
            replicas: replicas.as_array().unwrap().iter().map(map).collect(),
            role: json!(["master", 797, [["127.0.42.2", "6379", "797"], ["127.0.42.3", "6379", "797"]]]),
            left: -2,
            version: "redis_version:7.0.15",
            heir: json!(["slave", "127.0.42.1", 6379, "connected", 797]),
        }
    }

    /// Now the first `number` sentinels name 127.0.42.3.
    fn named_by(mut self, number: usize) -> Self {
        self.views.iter_mut().take(number).flatten().for_each(|view| view["ip"] = json!("127.0.42.3"));
        let mut old = self.replicas[0].clone();
        old["ip"] = json!("127.0.42.1");
        self.replicas.push(old);
        self
    }

    fn verdict(&self, task: Task) -> Verdict {
        let url = |number: usize| format!("redis://127.0.42.{number}:26379");
        let own = "redis://127.0.42.1:6379";
        let mut backend = Backend::default().pods(&[1, 2, 3].map(|number| pod(&format!("127.0.42.{number}"))));
        for (index, view) in self.views.iter().enumerate() {
            let at = url(index + 1);
            if let Some(view) = view {
                let code = if view.is_string() { 500 } else { 200 };
                backend = backend.json(&format!("SENTINEL MASTER {at}"), code, view);
            }
            backend = backend.json(&format!("SENTINEL REPLICAS {at}"), 200, &json!(self.replicas));
            backend = backend.json(&format!("INFO {at}"), 200, &json!(format!("# Server\r\n{}\r\n", self.version)));
        }
        let info = "# Replication\r\nrole:master\r\nmaster_replid:8371b4\r\nmaster_replid2:0\r\n";
        let backend = backend.json(&format!("ROLE {own}"), 200, &self.role);
        let backend = backend.json(&format!("INFO {own}"), 200, &json!(info));
        let backend = backend.json(&format!("PTTL {own}"), 200, &json!(self.left));
        let backend = backend.json("ROLE redis://127.0.42.3:6379", 200, &self.heir);
        let (plan, parameters) = (builtin("redis-sentinel"), json!({"master": "mm", "sentinels": "app=redis"}));
        Case { plan, pod: pod("127.0.42.1"), parameters, member: None, mode: Mode::Restart, task }.verdict(&backend)
    }

    /// The commands that are sent next, with where they go.
    fn sent(&self) -> String {
        match self.verdict(Task::Prepare) {
            Verdict::Act(act) => {
                let list = act.request.commands.unwrap().list;
                let words: Vec<_> = list.iter().map(|words| words.join(" ")).collect();
                format!("{} at {}", words.join("; "), act.request.url)
            }
            other => panic!("no act but {other:?}"),
        }
    }
}

#[test]
fn redis_is_paused_first_and_moves_once_the_replicas_have_all_writes() {
    let set = Sentinels::recorded();
    assert_eq!(
        set.sent(),
        "MULTI; SET castoff:paused:8371b4 1 PX 20000; CLIENT PAUSE 20500 WRITE; EXEC at redis://127.0.42.1:6379"
    );
    let paused = Sentinels { left: 18_000, ..set };
    assert_eq!(paused.sent(), "SENTINEL FAILOVER mm at redis://127.0.42.1:26379");
    // One replica has not all, or too little is left of the pause to be over in time.
    let role = json!(["master", 798, [["127.0.42.2", "6379", "797"], ["127.0.42.3", "6379", "798"]]]);
    assert_eq!(Sentinels { left: 18_000, role, ..Sentinels::recorded() }.verdict(Task::Prepare), Verdict::Waiting);
    assert_eq!(Sentinels { left: 9_000, ..Sentinels::recorded() }.verdict(Task::Prepare), Verdict::Waiting);
}

#[test]
fn valkey_coordinates_it_itself() {
    let set = Sentinels { version: "redis_version:7.2.4\r\nvalkey_version:9.1.2", ..Sentinels::recorded() };
    assert_eq!(set.sent(), "SENTINEL FAILOVER mm COORDINATED at redis://127.0.42.1:26379");
    let older = Sentinels { version: "redis_version:7.2.4\r\nvalkey_version:8.1.0", ..Sentinels::recorded() };
    assert!(older.sent().starts_with("MULTI; SET"));
}

#[test]
fn no_second_failover_is_asked_for_while_one_is_under_way() {
    let mut flagged = Sentinels { left: 18_000, ..Sentinels::recorded() };
    flagged.views[1].as_mut().unwrap()["flags"] = json!("master,failover_in_progress");
    assert_eq!(flagged.verdict(Task::Prepare), Verdict::Waiting);
    let mut promoted = Sentinels { left: 18_000, ..Sentinels::recorded() };
    promoted.replicas[0]["role-reported"] = json!("master");
    assert_eq!(promoted.verdict(Task::Prepare), Verdict::Waiting);
    assert_eq!(
        Sentinels { left: 18_000, ..Sentinels::recorded().named_by(1) }.verdict(Task::Prepare),
        Verdict::Waiting
    );
}

#[test]
fn the_old_master_follows_as_soon_as_most_name_another_that_is_one() {
    let leads = json!(["master", 900, []]);
    let named = |number| Sentinels { left: 15_000, heir: leads.clone(), ..Sentinels::recorded().named_by(number) };
    let follow = "REPLICAOF 127.0.42.3 6379; CLIENT UNPAUSE; CLIENT KILL TYPE normal at redis://127.0.42.1:6379";
    assert_eq!(named(2).sent(), follow);
    assert_eq!(named(1).verdict(Task::Prepare), Verdict::Waiting);
    assert_eq!(
        Sentinels { left: 15_000, ..Sentinels::recorded().named_by(3) }.verdict(Task::Prepare),
        Verdict::Waiting
    );
    // What nobody paused is left to the sentinels.
    assert_eq!(Sentinels { left: -2, ..named(3) }.verdict(Task::Prepare), Verdict::Waiting);
}

#[test]
fn it_is_done_when_most_name_another_none_this_pod_and_it_is_a_replica_itself() {
    let follows = json!(["slave", "127.0.42.3", 6379, "connected", 900]);
    let named = |number| Sentinels { role: follows.clone(), ..Sentinels::recorded().named_by(number) };
    assert_eq!(named(3).verdict(Task::Prepare), Verdict::Done);
    assert_eq!(named(2).verdict(Task::Prepare), Verdict::Waiting);
    assert_eq!(Sentinels::recorded().named_by(3).verdict(Task::Prepare), Verdict::Waiting, "still master itself");
}

#[test]
fn who_may_not_leave_is_told_why() {
    let set = |change: fn(&mut Sentinels)| {
        let mut set = Sentinels::recorded();
        change(&mut set);
        set.verdict(Task::Prepare)
    };
    assert!(blocked(&set(|set| set.replicas.clear()), "no replica is there"));
    assert!(blocked(
        &set(|set| set.replicas.iter_mut().for_each(|one| one["flags"] = json!("slave,s_down"))),
        "no replica is there"
    ));
    assert!(blocked(
        &set(|set| set.role = json!(["master", 797, [["127.0.42.2", "6379", "797"]]])),
        "behind: 127.0.42.3:6379"
    ));
    let far = |set: &mut Sentinels| set.role[1] = json!(2_000_000);
    assert!(blocked(&set(far), "at most 1048576 bytes behind: 127.0.42.3:6379, 127.0.42.2:6379"));
    assert!(blocked(&set(|set| set.views[2] = None), "1 would stay, and 2 are needed"));
    let wrong = set(|set| set.views = [const { None }; 3]);
    assert!(
        matches!(&wrong, Verdict::Unknown { message } if message == "none of 3 sentinels tells of master mm"),
        "{wrong:?}"
    );
    let unnamed = set(|set| set.views = [(); 3].map(|()| Some(json!("ERR No such master with that name"))));
    assert!(
        matches!(&unnamed, Verdict::Unknown { message } if message.contains("master mm: ERR No such master with that name"))
    );
}

#[test]
fn a_pause_that_is_no_longer_wanted_is_ended_and_nothing_else_is() {
    let Verdict::Act(act) = (Sentinels { left: 9_000, ..Sentinels::recorded() }).verdict(Task::Restore) else {
        panic!()
    };
    let unpause = [vec!["CLIENT", "UNPAUSE"], vec!["DEL", "castoff:paused:8371b4"]];
    assert_eq!(act.request.commands.unwrap().list, unpause);
    assert_eq!(Sentinels::recorded().verdict(Task::Restore), Verdict::Done);
}

/// A node of the recorded cluster is drained: what its lines are turned into, and what its replica says.
fn cluster(address: &str, nodes: impl Fn(String) -> String, replica: Option<&Value>, state: &str) -> Verdict {
    let (name, own) = ("redis-cluster-failover", format!("redis://{address}:6379"));
    let text = recorded(name, "127.0.41.1", "CLUSTER NODES").as_str().unwrap().replace("myself,", "");
    let lines = text.lines().map(|line| {
        let line = if line.contains(&format!(" {address}:")) {
            line.replacen("6379@16379 ", "6379@16379 myself,", 1)
        } else {
            line.to_owned()
        };
        line + "\n"
    });
    let nodes = nodes(lines.collect());
    let backend = Backend::default().json(&format!("ROLE {own}"), 200, &recorded(name, address, "ROLE"));
    let backend = backend.json(&format!("CLUSTER NODES {own}"), 200, &json!(nodes));
    let mut backend = backend.json(&format!("CLUSTER INFO {own}"), 200, &json!(format!("cluster_state:{state}\r\n")));
    if let Some(replica) = replica {
        backend = backend.json("ROLE redis://127.0.41.5:6379", 200, replica);
    }
    let plan = builtin("redis-cluster");
    let (pod, parameters) = (pod(address), json!({}));
    Case { plan, pod, parameters, member: None, mode: Mode::Restart, task: Task::Prepare }.verdict(&backend)
}

#[test]
fn a_replica_of_the_cluster_takes_over_if_it_is_fit() {
    let as_it_is = |text: String| text;
    let linked = recorded("redis-cluster-failover", "127.0.41.5", "ROLE");
    let Verdict::Act(act) = cluster("127.0.41.1", as_it_is, Some(&linked), "ok") else { panic!() };
    assert_eq!(act.request.url, "redis://127.0.41.5:6379");
    assert_eq!(act.request.commands.unwrap().list, [["CLUSTER", "FAILOVER"]]);
    let behind = json!(["slave", "127.0.41.1", 6379, "connected", -2_000_000]);
    let unlinked = json!(["slave", "127.0.41.1", 6379, "sync", 56]);
    for (replica, state) in [(Some(&behind), "ok"), (Some(&unlinked), "ok"), (None, "ok"), (Some(&linked), "fail")] {
        let verdict = cluster("127.0.41.1", as_it_is, replica, state);
        assert!(
            blocked(&verdict, if state == "ok" { "no replica is fit" } else { "cluster_state is not ok" }),
            "{verdict:?}"
        );
    }
    let failing = |text: String| text.replace("slave caa3e", "slave,fail? caa3e");
    assert!(blocked(&cluster("127.0.41.1", failing, Some(&linked), "ok"), "of 0 that are there"));
    let empty = |text: String| text.replace(" connected 0-5460", " connected");
    assert_eq!(cluster("127.0.41.1", empty, None, "ok"), Verdict::Done, "a master that serves nothing");
}

#[test]
fn a_replica_of_the_cluster_leaves_unless_its_master_is_down() {
    assert_eq!(cluster("127.0.41.5", |text| text, None, "ok"), Verdict::Done);
    let down = |text: String| text.replace("127.0.41.1:6379@16379 master", "127.0.41.1:6379@16379 master,fail?");
    assert!(blocked(&cluster("127.0.41.5", down, None, "ok"), "its master 127.0.41.1:6379 is down"));
}

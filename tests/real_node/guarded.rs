//! What is guarded: its containers get their preStop and their SIGTERM only once they may go.

use std::io::Read as _;
use std::process::Child;

use serde_json::Value;

use crate::cluster::{Namespace, kubectl, node, object, until};

const APP: &str = include_str!("app.yaml");
const POLICY: &str = include_str!("policy.yaml");

pub fn a_roll_out_of_an_application_that_is_guarded_loses_no_request() {
    let namespace = Namespace::new("guarded");
    namespace.apply(APP);
    namespace.apply(POLICY);
    let (logs, figures) = roll(&namespace, || namespace.guarding("app"));
    assert_eq!(figures["failed"], 0, "{figures}");
    for log in logs {
        let lines: Vec<&str> = log.lines().collect();
        let prepared = r#"{"inflight":0,"state":"Prepared"}"#;
        assert_eq!(lines, [format!("preStop: {prepared}"), format!("SIGTERM: {prepared}")], "in this order");
    }
}

/// That the client would see it.
pub fn without_a_guard_the_same_roll_out_loses_some() {
    let namespace = Namespace::new("unguarded");
    namespace.apply(APP);
    let (_, figures) = roll(&namespace, || ());
    assert!(figures["failed"].as_u64() > Some(0), "{figures}");
}

/// Rolls the application while the client sends; what the old pods printed, and what the client counted.
fn roll(namespace: &Namespace, before: impl FnOnce()) -> (Vec<String>, Value) {
    namespace.all_ready("app=app", 3);
    namespace.all_ready("app=client", 1);
    before();
    // What came while not everything was there yet does not count.
    let _ = namespace.kubectl(&["delete", "pod", "client", "--now"]);
    namespace.apply(APP);
    namespace.all_ready("app=client", 1);
    let answered = |at_least: u64| {
        until(&format!("{at_least} requests are answered"), 60, || {
            let figures = namespace.ask("client", "figures");
            (figures["answered"].as_u64()? >= at_least).then_some(figures)
        })
    };
    answered(20);
    let logs: Vec<Child> = ["app-0", "app-1", "app-2"].map(|pod| namespace.follow(pod)).into();
    namespace.kubectl(&["rollout", "restart", "statefulset/app"]);
    namespace.kubectl(&["rollout", "status", "statefulset/app", "--timeout=240s"]);
    let sent = namespace.ask("client", "figures")["sent"].as_u64().unwrap();
    let figures = answered(sent - namespace.ask("client", "figures")["failed"].as_u64().unwrap());
    let logs = logs.into_iter().map(|mut log| {
        let mut text = String::new();
        log.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        log.wait().unwrap();
        text
    });
    (logs.collect(), figures)
}

/// A namespace with a simulated PD, and two guarded pods of a TiKV.
pub fn tikv(name: &str) -> Namespace {
    let namespace = Namespace::new(name);
    namespace.apply(include_str!("tikv.yaml"));
    namespace.all_ready("app=pd", 1);
    namespace.all_ready("app=tikv", 2);
    namespace.guarding("tikv");
    namespace
}

pub fn leaders_are_moved_off_by_a_pd_that_a_service_names() {
    let namespace = tikv("tikv");
    let leaders = || namespace.ask("pd", "pd/api/v1/store/1")["status"]["leader_count"].as_u64();
    assert_eq!(leaders(), Some(100));
    let before = namespace.uid("tikv-0");
    namespace.delete_until_it_goes("tikv-0");
    assert_eq!(leaders().unwrap_or(0), 0, "leaders were there when the pod was let go");
    until("the pod is replaced", 60, || (namespace.uid("tikv-0")? != before.clone()?).then_some(()));
    until("the entry is taken back", 60, || {
        let schedulers = namespace.ask("pd", "pd/api/v1/schedulers").to_string();
        (!schedulers.contains("evict-leader-scheduler")).then_some(())
    });
}

pub fn a_drain_of_the_node_waits_for_the_guarded_pod() {
    let namespace = Namespace::new("drain");
    let node = node();
    namespace.apply(APP);
    namespace.apply(&POLICY.replace("pollPeriodSeconds: 1", "pollPeriodSeconds: 1\n  maxUnavailable: 3"));
    namespace.all_ready("app=app", 3);
    namespace.all_ready("app=client", 1);
    namespace.guarding("app");
    let log = namespace.follow("app-0");
    let drained = namespace.run(&["drain", &node, "--pod-selector=app=app", "--timeout=180s"]);
    kubectl(&["uncordon", &node]);
    assert_eq!(drained.code, 0, "{drained:?}");
    assert!(drained.err.contains("will retry after 5s"), "{drained:?}");
    let text = String::from_utf8(log.wait_with_output().unwrap().stdout).unwrap();
    assert!(text.starts_with(r#"preStop: {"inflight":0,"state":"Prepared"}"#), "{text}");
    namespace.all_ready("app=app", 3);
    assert!(object(&["node", &node]).unwrap()["spec"]["unschedulable"].is_null());
}

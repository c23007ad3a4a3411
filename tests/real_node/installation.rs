//! Castoff itself: installed, rolled, killed and taken away.

use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;

use crate::cluster::{Namespace, Printed, SYSTEM, is, kubectl, object, objects, run, until};
use castoff_test_support::stream::Stream;

const LABEL: &str = "app.kubernetes.io/name=castoff";
const POD: &str = include_str!("pod.yaml");

static COMMANDS: OnceLock<Vec<(String, Printed)>> = OnceLock::new();

/// Installs Castoff as the README says, once; without it no scenario can be played.
pub fn installed() {
    let commands = COMMANDS.get_or_init(|| {
        let readme = include_str!("../../README.md");
        let block = readme.split("```sh played\n").nth(1).unwrap().split("```").next().unwrap();
        let commands = block.lines().map(|line| (line.to_owned(), run("bash", &["-c", line])));
        commands.collect()
    });
    for (command, printed) in commands {
        assert_eq!(printed.code, 0, "{command}: {printed:?}");
    }
}

pub fn castoff_is_installed_from_nothing_by_the_commands_of_the_readme() {
    let replicas = replicas();
    assert_eq!(replicas.len(), 2);
    assert!(replicas.iter().all(|pod| is(pod, "Ready") && restarts(pod) == 0), "{replicas:#?}");
    // Without a policy it asks for no review.
    let _guarded = guarded("installed");
    let webhook = object(&["validatingwebhookconfiguration", "castoff"]).unwrap();
    let services: Vec<&Value> =
        webhook["webhooks"].as_array().unwrap().iter().map(|webhook| &webhook["clientConfig"]["service"]).collect();
    assert!(services.iter().all(|service| service["namespace"] == SYSTEM && service["name"] == "castoff"));
    assert_eq!(services.len(), 2);
}

fn replicas() -> Vec<Value> {
    objects(&["pods", "-n", SYSTEM, "-l", LABEL])
}

fn restarts(pod: &Value) -> u64 {
    pod["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap()
}

/// Waits until all replicas are there.
pub fn whole() {
    kubectl(&["-n", SYSTEM, "rollout", "status", "deployment/castoff", "--timeout=180s"]);
    until("both replicas are Ready and alone", 90, || {
        let replicas = replicas();
        (replicas.len() == 2 && replicas.iter().all(|pod| is(pod, "Ready"))).then_some(())
    });
}

/// A guarded pod that is not prepared by itself, so that every question is answered the same.
fn guarded(namespace: &str) -> Namespace {
    let namespace = Namespace::new(namespace);
    namespace.apply(POD);
    namespace.all_ready("app=app", 1);
    namespace.guarding("app");
    namespace
}

pub fn a_roll_out_of_castoff_itself_fails_no_delete() {
    let namespace = guarded("rolled");
    let stream = Stream::of_dry_run_deletes(&namespace.0, "app");
    until("the stream flows", 20, || (stream.sent() > 20).then_some(()));
    kubectl(&["-n", SYSTEM, "rollout", "restart", "deployment/castoff"]);
    whole();
    let far = stream.sent() + 40;
    until("the stream has gone on", 30, || (stream.sent() > far).then_some(()));
    let outcome = stream.end();
    println!("{} dry-run deletes answered during the roll-out", outcome.answers);
    assert!(outcome.errors.is_empty(), "{} of {}: {:#?}", outcome.errors.len(), outcome.answers, outcome.errors);
}

pub fn a_replica_that_is_killed_is_replaced_and_lets_nothing_go() {
    let namespace = guarded("killed");
    let uid = namespace.uid("app");
    let lease = object(&["lease", "castoff", "-n", SYSTEM]).unwrap();
    let leader = lease["spec"]["holderIdentity"].as_str().unwrap().to_owned();
    let before = object(&["pod", "-n", SYSTEM, &leader]).unwrap();
    let container = before["status"]["containerStatuses"][0]["containerID"].as_str().unwrap();
    let container = container.strip_prefix("containerd://").unwrap();
    assert_ne!(namespace.run(&["delete", "pod", "app"]).code, 0, "it is not prepared");
    let stream = Stream::of_dry_run_deletes(&namespace.0, "app");
    until("the stream flows", 20, || (stream.sent() > 20).then_some(()));
    let on_node = std::env::var("CASTOFF_TEST_ON_NODE").expect("CASTOFF_TEST_ON_NODE runs a command on the node");
    let kill = format!("{on_node} ctr -n k8s.io tasks kill --signal SIGKILL {container}");
    let killed = run("bash", &["-c", &kill]);
    assert_eq!(killed.code, 0, "{kill}: {killed:?}");
    until("the kubelet starts it again", 60, || {
        let pod = object(&["pod", "-n", SYSTEM, &leader])?;
        (restarts(&pod) > restarts(&before) && is(&pod, "Ready")).then_some(())
    });
    let far = stream.sent() + 40;
    until("the stream has gone on", 30, || (stream.sent() > far).then_some(()));
    let outcome = stream.end();
    println!("{} answered, {} failed within {:?}", outcome.answers, outcome.errors.len(), outcome.trouble);
    // What the API server sends to a process that has died fails, until its Service has heard of it.
    assert!(outcome.trouble < Duration::from_secs(10), "{:#?}", outcome.errors);
    assert_eq!(namespace.uid("app"), uid, "the pod was let go");
    assert_ne!(namespace.run(&["delete", "pod", "app"]).code, 0, "it is still not prepared");
    whole();
}

pub fn an_uninstall_leaves_nothing() {
    let namespace = guarded("left");
    assert_ne!(namespace.run(&["delete", "pod", "app"]).code, 0, "it is held");
    let printed = run("castoff", &["uninstall", "--yes"]);
    assert_eq!(printed.code, 0, "{printed:?}");
    until("the namespace has gone", 120, || object(&["namespace", SYSTEM]).is_none().then_some(()));
    until("nothing of Castoff is there", 60, || {
        let kinds = "customresourcedefinitions,clusterroles,clusterrolebindings,validatingwebhookconfigurations,\
                     validatingadmissionpolicies,validatingadmissionpolicybindings";
        (!kubectl(&["get", kinds, "-o", "name"]).contains("castoff")).then_some(())
    });
    namespace.kubectl(&["delete", "pod", "app", "--now"]);
}

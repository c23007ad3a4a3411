//! Castoff itself in trouble: nobody answers, clocks jump, objects are gone or of another version.

use std::sync::Arc;
use std::time::{Duration, Instant};

use castoff::kubernetes::crds;
use serde_json::{Value, json};

use crate::doctor::shell;
use crate::ground::Need;
use crate::installation::{self, NAMESPACE, kubectl};
use crate::moves::cluster_wide;
use crate::scenarios::{Scenario, scenarios};
use crate::scene::Scene;
use crate::witness::Witness;

pub const ALONE: [Scenario; 6] = scenarios![Alone, Need::Processes =>
    with_no_replica_nothing_guarded_leaves_and_the_runbook_has_the_way_out,
    a_clock_that_jumps_ahead_and_back_changes_nothing_and_is_told,
    times_that_a_clock_that_has_jumped_wrote_decide_nothing,
    a_lease_that_is_deleted_is_made_again_and_departures_go_on,
    a_definition_that_is_missing_at_the_start_is_waited_for_and_told,
    what_a_newer_version_wrote_is_read_over_or_holds_the_pod_and_is_told,
];

/// The commands of a section of the runbook.
fn runbook(section: &str) -> Vec<&'static str> {
    let section = castoff::runbook::sections().find(|found| found.heading == section).unwrap();
    let block = section.text.split("```sh played\n").nth(1).unwrap();
    block.lines().filter(|line| line.starts_with("kubectl ")).collect()
}

async fn follow_the_runbook(command: &str) {
    let printed = shell(command).await;
    assert_eq!(printed.code, 0, "{command}: {printed:?}");
}

async fn with_no_replica_nothing_guarded_leaves_and_the_runbook_has_the_way_out(scene: Arc<Scene>) {
    let on_node = json!({"template": {"spec": {"nodeSelector": {"kubernetes.io/hostname": "node-2"}}}});
    scene.stateful_set("lost", 2, on_node).await;
    scene.hook_policy("lost", json!({})).await;
    let uids = [scene.uid("lost-0").await, scene.uid("lost-1").await];
    for number in 0..2 {
        scene.ground().kill(number).await;
    }
    let deleted = scene.delete("lost-0").await;
    assert_eq!(deleted.code(), 500, "{deleted:?}");
    assert!(format!("{deleted:?}").contains(r#"failed calling webhook \"pods.castoff.dev\""#), "{deleted:?}");
    let evicted = scene.evict("lost-0", None).await;
    assert_eq!(evicted.code(), 500, "{evicted:?}");
    assert!(format!("{evicted:?}").contains(r#"failed calling webhook \"evictions.castoff.dev\""#), "{evicted:?}");
    // A drain does not try such a pod again: it fails, and says of which.
    let begun = Instant::now();
    let drain = ["drain", "node-2", "--ignore-daemonsets", "--pod-selector=app=lost", "--timeout=100s"];
    let drained = scene.kubectl(&drain).await;
    cluster_wide(&["uncordon", "node-2"]).await;
    assert_eq!(drained.code, 1, "{drained:?}");
    assert!(drained.stderr.contains("failed calling webhook \"evictions.castoff.dev\""), "{drained:?}");
    assert!(begun.elapsed() < Duration::from_mins(1), "it gave up only after {:?}", begun.elapsed());
    for (pod, uid) in ["lost-0", "lost-1"].iter().zip(&uids) {
        assert!(scene.stands(pod, uid).await, "{pod} left");
    }
    // Who is not guarded is not touched.
    let other = scene.namespace.as_str();
    cluster_wide(&["run", other, "-n", "default", "--image=none"]).await;
    cluster_wide(&["delete", "pod", other, "-n", "default", "--wait=false"]).await;
    scene.doctor_finds("NotReached", "failed to call webhook").await;

    let [way_out, guard_again] = runbook("No replica answers")[..] else { panic!("the runbook has two commands") };
    follow_the_runbook(way_out).await;
    assert_eq!(scene.delete("lost-0").await.code(), 200, "deletes pass again, unprepared");
    scene.ground().make_whole().await;
    let said = scene.processes().readiness(0).await;
    assert!(said.contains("guards nothing: the ValidatingWebhookConfiguration castoff is not there"), "{said}");
    let found = scene.doctor_finds("NotRegistered", "Castoff is not registered").await;
    assert!(found.fix.contains("kubectl delete configmap castoff-registration"), "{found:?}");
    follow_the_runbook(guard_again).await;
    scene.until_replaced("lost-0", &uids[0]).await;
    scene
        .until("pods are held again", 30, || async {
            (scene.kubectl(&["delete", "pod", "lost-1", "--dry-run=server"]).await.code == 1).then_some(())
        })
        .await;
    scene.denied("lost-1").await;
    assert!(scene.stands("lost-1", &uids[1]).await);
    scene.doctor_finds_nothing().await;
}

/// A drain of `app-0` that does not get ready before it is let.
struct Held {
    uid: String,
    ip: String,
    witness: Witness,
}

/// Begins it, under a policy with these further fields.
async fn held(scene: &Arc<Scene>, policy: Value) -> Held {
    scene.stateful_set("app", 1, json!({})).await;
    scene.hook_policy("app", policy).await;
    let witness = Witness::of(scene, "app", 1).await;
    let (uid, ip) = (scene.uid("app-0").await, scene.ip("app-0").await);
    scene.hooks().at(&ip, |app| (app.inflight, app.done_per_look) = (1, 0));
    scene.denied("app-0").await;
    scene.until_phase("app-0", "Draining").await;
    Held { uid, ip, witness }
}

impl Held {
    /// Lets it get ready: it goes on to its end, prepared once.
    async fn goes_on(self, scene: &Scene) {
        scene.hooks().at(&self.ip, |app| app.done_per_look = 1);
        scene.until_allowed("app-0").await;
        scene.until_replaced("app-0", &self.uid).await;
        scene.nothing_left_behind().await;
        self.witness.all_left_prepared_once();
    }
}

/// The clock of the leader jumps in the middle of a drain, by more than makes a certificate due, and back by
/// more than makes it one of the future.
async fn a_clock_that_jumps_ahead_and_back_changes_nothing_and_is_told(scene: Arc<Scene>) {
    let clocks = scene.processes().serve_by_clocks().await;
    let held = held(&scene, json!({"abandonAfterSeconds": 60, "progressDeadlineSeconds": 60})).await;
    let (certificates, leader) = (certificates().await, scene.leader().await);
    for (days, told) in [(70, "this node's clock is ahead"), (-70, "this node's clock is behind")] {
        clocks.shift(leader, days * 24 * 60 * 60);
        // Whoever keeps certificates looks at them now, and not only within a minute.
        let touched = format!("test.castoff.dev/clock-is-off-by={days}d");
        cluster_wide(&["annotate", "secret", "castoff-tls", "-n", NAMESPACE, "--overwrite", &touched]).await;
        scene
            .until("the log says that the clock is off", 20, || async {
                (!scene.ground().log(told).await.is_empty()).then_some(())
            })
            .await;
        scene
            .stays("the drain goes on", Duration::from_secs(8), || async {
                scene.phase("app-0").await == "Draining" && scene.state("app-0").await == "Draining"
            })
            .await;
        assert_eq!(scene.leader().await, leader, "the lease has changed hands");
        scene.denied("app-0").await;
    }
    clocks.shift(leader, 0);
    held.goes_on(&scene).await;
    assert_eq!(self::certificates().await, certificates, "certificates were made by a clock that was off");
    scene.doctor_finds_nothing().await;
    scene.processes().serve_with(&[]).await;
}

/// All that is in the Secret.
async fn certificates() -> String {
    cluster_wide(&["get", "secret", "castoff-tls", "-n", NAMESPACE, "-o", "jsonpath={.data}"]).await
}

/// What decides is measured by each process itself: whatever a process with a wrong clock has written changes nothing.
async fn times_that_a_clock_that_has_jumped_wrote_decide_nothing(scene: Arc<Scene>) {
    let held = held(&scene, json!({"abandonAfterSeconds": 60, "progressDeadlineSeconds": 60})).await;
    let leader = scene.leader().await;
    // Written behind and ahead: neither is the lease taken from its holder, nor is the drain stalled or given up.
    for time in ["1970-01-01T00:00:00", "2100-01-01T00:00:00"] {
        write_times(&scene, time).await;
        scene
            .stays("the same replica leads", Duration::from_secs(8), || async {
                scene.ground().leader().await == Some(leader)
            })
            .await;
        assert_eq!((scene.phase("app-0").await, scene.state("app-0").await), ("Draining".into(), "Draining".into()));
    }
    // Renewed, by what is written, for decades: it is taken all the same once nobody is seen to renew it.
    scene.ground().kill(leader).await;
    write_times(&scene, "2100-01-01T00:00:00").await;
    scene
        .until("the other replica leads", 20, || async {
            (scene.ground().leader().await == Some(1 - leader)).then_some(())
        })
        .await;
    held.goes_on(&scene).await;
}

/// Writes this time wherever Castoff writes times: into the Lease, and into the drain of `app-0`.
async fn write_times(scene: &Scene, time: &str) {
    let lease = json!({"spec": {"renewTime": format!("{time}.000000Z"), "acquireTime": format!("{time}.000000Z")}});
    cluster_wide(&["patch", "lease", "castoff", "-n", NAMESPACE, "--type=merge", "-p", &lease.to_string()]).await;
    let drain = scene.drain("app-0").await.unwrap();
    let mut conditions = drain.data["status"]["conditions"].clone();
    for condition in conditions.as_array_mut().unwrap() {
        condition["lastTransitionTime"] = json!(format!("{time}Z"));
    }
    write_status(scene, "app-0", json!({"conditions": conditions})).await;
}

async fn write_status(scene: &Scene, pod: &str, status: Value) {
    let name = scene.drain(pod).await.unwrap().metadata.name.unwrap();
    let patch = json!({"status": status}).to_string();
    scene.must(&["patch", "pdr", &name, "--subresource=status", "--type=merge", "-p", &patch]).await;
}

async fn a_lease_that_is_deleted_is_made_again_and_departures_go_on(scene: Arc<Scene>) {
    let held = held(&scene, json!({})).await;
    let lease = ["get", "lease", "castoff", "-n", NAMESPACE, "-o", "jsonpath={.metadata.uid}"];
    let before = cluster_wide(&lease).await;
    let leader = scene.leader().await;
    cluster_wide(&["delete", "lease", "castoff", "-n", NAMESPACE]).await;
    scene
        .until("there is another Lease, which is held", 20, || async {
            let now = kubectl(&lease).await.stdout;
            (!now.is_empty() && now != before && scene.ground().leader().await.is_some()).then_some(())
        })
        .await;
    // By whoever held it: at no time are two leading.
    assert_eq!(scene.leader().await, leader);
    for number in 0..2 {
        let told = format!("\ncastoff_leader {}\n", u8::from(number == leader));
        let metrics = scene.ground().metrics(number).await;
        assert!(metrics.contains(&told), "replica {leader} leads, and {number} says:\n{metrics}");
    }
    held.goes_on(&scene).await;
}

async fn a_definition_that_is_missing_at_the_start_is_waited_for_and_told(scene: Arc<Scene>) {
    scene.stateful_set("app", 1, json!({})).await;
    scene.hook_policy("app", json!({})).await;
    for number in 0..2 {
        scene.ground().terminate(number).await;
    }
    cluster_wide(&["delete", "customresourcedefinition", "drainplans.castoff.dev"]).await;
    let begun = jiff::Timestamp::now().to_string();
    scene.processes().start_all();
    for number in 0..2 {
        scene
            .until("readiness says what is missing", 20, || async {
                let said = scene.processes().readiness(number).await;
                let line = said.lines().find(|line| line.starts_with("[-]drainplans"))?;
                (line.contains("the first list has not come in yet: ") && line.contains("404")).then_some(())
            })
            .await;
    }
    scene
        .until("the log says so", 20, || async {
            let log = scene.ground().log("what is followed was interrupted").await;
            let told = |line: &str| line.contains("drainplans") && line[3..] > begun[..];
            log.lines().any(told).then_some(())
        })
        .await;
    let found = scene.doctor_finds("DefinitionMissing", "drainplans.castoff.dev").await;
    let printed = shell(&found.fix).await;
    assert_eq!(printed.code, 0, "{found:?}: {printed:?}");
    scene.ground().make_whole().await;
    scene.doctor_finds_nothing().await;
    scene.denied("app-0").await;
    scene.until_phase("app-0", "Drained").await;
}

/// Definitions as a newer version might have them: further fields and words.
fn newer_definitions() -> String {
    let mut all = crds::all();
    let [policies, _, plans, ..] = &mut all[..] else { panic!("definitions are missing") };
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let of_policies = policies.pointer_mut(spec).unwrap();
    of_policies["newer"] = json!({"type": "string"});
    of_policies["mode"]["enum"].as_array_mut().unwrap().push(json!("Dream"));
    plans.pointer_mut(spec).unwrap()["levitate"] = json!({"type": "string"});
    all.iter().map(Value::to_string).collect::<Vec<_>>().join("\n---\n")
}

async fn what_a_newer_version_wrote_is_read_over_or_holds_the_pod_and_is_told(scene: Arc<Scene>) {
    for app in ["field", "word", "planned"] {
        scene.stateful_set(app, 1, json!({})).await;
    }
    installation::apply(&newer_definitions()).await;
    let plan = json!({
        "apiVersion": "castoff.dev/v1alpha1", "kind": "DrainPlan", "metadata": {"name": scene.namespace},
        "spec": {"summary": "Lifts the pod off the ground", "done": "true", "levitate": "true"},
    });
    scene
        .until("the newer definitions are in force", 30, || async {
            installation::try_apply(&plan.to_string()).await.ok()
        })
        .await;
    let hook = json!({"port": scene.hooks().port});
    scene.named_policy("field", "field", "http-hook", hook.clone(), json!({"newer": "x"})).await;
    scene.named_policy("word", "word", "http-hook", hook, json!({"mode": "Dream"})).await;
    let steps = json!([{"name": "lift", "plan": {"name": scene.namespace}}]);
    scene.named_policy("planned", "planned", "http-hook", json!({}), json!({"steps": steps})).await;
    let kept = scene.must(&["get", "drainpolicy", "field", "-o", "jsonpath={.spec.newer}"]).await;
    assert_eq!(kept, "x", "the API server keeps the field");
    // For a while the API server goes on giving those who watched before what the former definitions let through.
    scene.processes().serve_with(&[]).await;
    // A field that is not known is read over: the policy guards, and its pod is prepared.
    scene.guarding("field").await;
    scene.denied("field-0").await;
    scene.until_phase("field-0", "Drained").await;
    // A word that is not known can't be followed: the pod stays, and that is said.
    for (app, word) in [("word", "Dream"), ("planned", "levitate")] {
        let said = scene
            .until(&format!("{app} is held"), 30, || async {
                let printed = scene.kubectl(&["delete", "pod", &format!("{app}-0"), "--dry-run=server"]).await;
                (printed.code == 1).then_some(printed.stderr)
            })
            .await;
        assert!(said.contains(&format!("policy {app} is not valid")) && said.contains(word), "{said}");
        scene.doctor_finds("PolicyNotValid", word).await;
    }
    // A phase that is not known: the drain is left alone, the pod stays, and that is said.
    write_status(&scene, "field-0", json!({"phase": "Levitating", "state": "Levitating"})).await;
    scene
        .until("the denial says so", 20, || async {
            let said = scene.denied("field-0").await;
            said.contains("can't read its drain").then_some(())
        })
        .await;
    let before = scene.versions().await;
    scene.stays("it is left alone", Duration::from_secs(4), || async { scene.versions().await == before }).await;
    scene.doctor_finds("DrainNotKnown", "field-0").await;

    // As after the upgrade, or the way back.
    write_status(&scene, "field-0", json!({"phase": "Drained"})).await;
    let uid = scene.uid("field-0").await;
    scene.until_allowed("field-0").await;
    scene.until_replaced("field-0", &uid).await;
    scene.must(&["delete", "drainpolicy", "word", "planned"]).await;
    cluster_wide(&["delete", "drainplan", &scene.namespace]).await;
    let found = scene.doctor_finds("DefinitionDiffers", "drainpolicies.castoff.dev").await;
    let printed = shell(&found.fix).await;
    assert_eq!(printed.code, 0, "{found:?}: {printed:?}");
    scene.doctor_finds_nothing().await;
}

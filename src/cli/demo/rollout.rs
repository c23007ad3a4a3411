//! The StatefulSet controller and the kubelets of the demo.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::lifecycle::{Drain, Phase};
use crate::pod::Pod;
use crate::ports::{Cluster, Store};
use crate::simulation::pd::SimulatedPd;
use crate::simulation::statefulset::{BackOff, Member, Step, next_step};

use super::super::Failure;
use super::api_server::{ApiServer, CONTROLLER, Deleted};
use super::fault::{Asked, Fault};
use super::guard::GuardProcess;
use super::outcome::Outcome;
use super::screen::Screen;
use super::stores::{PARTITION, REPLICAS, address};

const NAMESPACE: &str = "tidb";

/// How long a pod takes to end, and another one to become Ready.
const ENDING: Duration = Duration::from_millis(800);
const STARTING: Duration = Duration::from_millis(1200);

/// How often the screen is drawn anew.
const FRAME: Duration = Duration::from_millis(100);

/// How far the demo's fault is.
#[derive(Clone, Copy)]
enum Course {
    None,
    Ahead(Fault),
    UnderWay(Fault, Instant),
    Over(Fault),
}

/// Rolls the pods of the StatefulSet.
pub(super) struct RollOut {
    api: ApiServer,
    pd: Arc<SimulatedPd>,
    guard: Option<GuardProcess>,
    screen: Screen,
    fault: Course,
    /// As whom pods are deleted.
    caller: &'static str,
    outcome: Outcome,
    /// How many pods are to be rolled.
    wanted: u32,
    /// The pod that ends or starts, and when it is through.
    kubelet: Option<(u32, Instant)>,
    /// When the pod under way was first seen to be prepared.
    drained_at: Option<Instant>,
}

impl RollOut {
    pub fn new(
        api: ApiServer,
        pd: Arc<SimulatedPd>,
        guard: Option<GuardProcess>,
        screen: Screen,
        fault: Option<Fault>,
    ) -> Self {
        // A controller that gives up is waited for until it surely does not come back, for a quarter of an hour.
        let caller = if fault == Some(Fault::PersonGivesUp) { "alice" } else { CONTROLLER };
        let fault = fault.map_or(Course::None, Course::Ahead);
        let (outcome, wanted) = (Outcome::default(), REPLICAS - PARTITION);
        RollOut { api, pd, guard, screen, fault, caller, outcome, wanted, kubelet: None, drained_at: None }
    }

    /// Rolls until every pod has the new revision, and the guard has restored what it set.
    pub async fn run(mut self) -> Result<Outcome, Failure> {
        self.api.add(&stateful_set("new"));
        for ordinal in 0..REPLICAS {
            self.api.add(&pod(ordinal, "old", true));
            self.api.add(&json!({
                "kind": "Node", "metadata": {"name": format!("node-{ordinal}")},
                "status": {"conditions": [{"type": "Ready", "status": "True"}]},
            }));
        }
        self.screen.begin();
        let (mut back_off, mut try_at) = (BackOff::default(), Instant::now());
        let mut pod_changes = self.api.cluster.changes();
        loop {
            self.fault_turn().await?;
            let pods = self.pods();
            match next_step(&members(&pods), REPLICAS, REPLICAS - self.wanted) {
                Step::Finished if self.is_restored() && !self.is_fault_under_way() => break,
                Step::Create(ordinal) => self.create(ordinal),
                Step::Wait => self.work_as_kubelet(),
                Step::Delete(ordinal) if Instant::now() >= try_at => {
                    if self.delete(&pods, ordinal).await? {
                        back_off.forget();
                    } else {
                        try_at = Instant::now() + back_off.failed();
                    }
                    pod_changes.mark_unchanged();
                    continue;
                }
                Step::Finished | Step::Delete(_) => {}
            }
            self.draw();
            tokio::select! {
                // A change to any pod of the set makes its controller look at once.
                _ = pod_changes.changed() => try_at = Instant::now(),
                () = self.departure_changes() => self.note_prepared(),
                () = tokio::time::sleep(FRAME) => {}
            }
        }
        self.draw();
        self.screen.end();
        if let Course::Over(fault) = self.fault {
            self.screen.say(&format!("What a person would do: {}", fault.advice()));
        }
        self.outcome.leaders_lost = self.pd.leaders_lost();
        self.outcome.entries_left = self.pd.evict_entries().len();
        Ok(self.outcome)
    }

    fn pods(&self) -> Arc<[Arc<Pod<'static>>]> {
        self.api.cluster.pods(NAMESPACE)
    }

    /// Asks for a pod's delete; true if it may go.
    async fn delete(&mut self, pods: &[Arc<Pod<'static>>], ordinal: u32) -> Result<bool, Failure> {
        let Some(pod) = pods.iter().find(|pod| pod.ordinal() == Some(ordinal)) else { return Ok(false) };
        match self.api.delete(pod, self.caller).await? {
            Deleted::Yes => {
                self.note_prepared();
                if let Some(drained_at) = self.drained_at.take() {
                    self.outcome.prepared_to_delete.push(drained_at.elapsed());
                }
                self.kubelet = Some((ordinal, Instant::now() + ENDING));
                self.screen.allowed(ordinal);
                Ok(true)
            }
            Deleted::No(denial) => {
                self.outcome.denials += 1;
                self.screen.denied(ordinal, &denial);
                Ok(false)
            }
        }
    }

    /// Brings a pod that ends to its end, and one that starts to being Ready.
    fn work_as_kubelet(&mut self) {
        let Some((ordinal, _)) = self.kubelet.filter(|(_, through)| Instant::now() >= *through) else { return };
        self.kubelet = None;
        let pods = self.pods();
        let Some(pod) = pods.iter().find(|pod| pod.ordinal() == Some(ordinal)) else { return };
        let store = u64::from(ordinal) + 1;
        if pod.is_terminating() {
            self.pd.pod_ended(store);
            self.api.remove(pod);
        } else {
            self.pd.pod_started(store, &address(ordinal));
            self.api.change(pod, |pod| {
                for condition in &mut pod.status.conditions {
                    condition.status = "True".into();
                }
            });
            self.outcome.pods_rolled += 1;
            self.screen.rolled(ordinal);
        }
    }

    fn create(&mut self, ordinal: u32) {
        self.api.add(&pod(ordinal, "new", false));
        self.kubelet = Some((ordinal, Instant::now() + STARTING));
    }

    /// Notes when the pod under way was prepared.
    fn note_prepared(&mut self) {
        let prepared = self.drains().iter().any(|drain| drain.status.phase == Phase::Drained);
        if prepared && self.drained_at.is_none() {
            self.drained_at = Some(Instant::now());
        }
    }

    /// Whether the guard has nothing open any more.
    fn is_restored(&self) -> bool {
        self.drains().iter().all(|drain| drain.status.phase == Phase::Completed)
    }

    fn is_fault_under_way(&self) -> bool {
        matches!(self.fault, Course::UnderWay(..))
    }

    fn drains(&self) -> Vec<Arc<Drain>> {
        self.guard.as_ref().map(|guard| guard.store().all()).unwrap_or_default()
    }

    /// Waits for a drain to change.
    async fn departure_changes(&self) {
        match &self.guard {
            Some(guard) => drop(guard.store().changes().changed().await),
            None => std::future::pending().await,
        }
    }

    /// Begins the fault when its time has come, and ends it.
    async fn fault_turn(&mut self) -> Result<(), Failure> {
        match self.fault {
            Course::Ahead(fault) if self.is_time_for(fault) => {
                self.screen.say(&format!("!! {}", fault.told()));
                self.fault = Course::UnderWay(fault, Instant::now() + fault.lasts());
                self.carry_out(fault).await
            }
            Course::UnderWay(fault, until) if Instant::now() >= until => {
                fault.end(&self.pd);
                self.screen.say("!! that is over");
                self.fault = Course::Over(fault);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn is_time_for(&self, fault: Fault) -> bool {
        fault.begins_in() == Phase::Queued || self.drains().iter().any(|drain| drain.status.phase == fault.begins_in())
    }

    async fn carry_out(&mut self, fault: Fault) -> Result<(), Failure> {
        match fault.begin(&self.pd) {
            Asked::Nothing => Ok(()),
            Asked::GiveUp => {
                self.wanted = 0;
                self.api.add(&stateful_set("old"));
                Ok(())
            }
            Asked::KillGuard => {
                let Some(guard) = &mut self.guard else { return Ok(()) };
                guard.kill_and_restart().await?;
                self.api.ask_at(guard.address())
            }
            Asked::CrashAndDelete => self.crash_and_delete().await,
        }
    }

    /// The highest pod crashes again and again; its controller waits for it, so a person deletes it.
    async fn crash_and_delete(&mut self) -> Result<(), Failure> {
        let (pods, ordinal) = (self.pods(), REPLICAS - 1);
        let Some(pod) = pods.iter().find(|pod| pod.ordinal() == Some(ordinal)) else { return Ok(()) };
        self.pd.with_state(|state| state.crash_store(u64::from(ordinal) + 1));
        self.api.change(pod, |pod| {
            pod.status.container_statuses.clear();
            for condition in &mut pod.status.conditions {
                condition.status = "False".into();
            }
        });
        let pods = self.pods();
        let Some(pod) = pods.iter().find(|pod| pod.ordinal() == Some(ordinal)) else { return Ok(()) };
        match self.api.delete(pod, "alice").await? {
            Deleted::Yes => {
                self.kubelet = Some((ordinal, Instant::now() + ENDING));
                self.screen.allowed(ordinal);
            }
            Deleted::No(denial) => self.screen.denied(ordinal, &denial),
        }
        Ok(())
    }

    fn draw(&mut self) {
        let drains = self.drains();
        for ordinal in PARTITION..REPLICAS {
            let name = format!("basic-tikv-{ordinal}");
            let phase =
                drains.iter().find(|drain| drain.spec.pod.name == name.as_str()).map(|drain| drain.status.phase);
            let leaders = self.pd.leaders(u64::from(ordinal) + 1);
            self.screen.show(ordinal, phase, leaders);
        }
    }
}

fn members(pods: &[Arc<Pod<'static>>]) -> Vec<Member> {
    let member = |pod: &Arc<Pod<'static>>| {
        Some(Member {
            ordinal: pod.ordinal()?,
            updated: pod.metadata.labels.get("controller-revision-hash").is_some_and(|revision| *revision == "new"),
            ready: pod.is_ready(),
            terminating: pod.is_terminating(),
        })
    };
    pods.iter().filter_map(member).collect()
}

/// The StatefulSet, with the revision that its pods are to have.
fn stateful_set(revision: &str) -> serde_json::Value {
    json!({
        "kind": "StatefulSet", "metadata": {"name": "basic-tikv", "namespace": NAMESPACE, "uid": "set"},
        "spec": {"replicas": REPLICAS}, "status": {"updateRevision": revision},
    })
}

fn pod(ordinal: u32, revision: &str, ready: bool) -> serde_json::Value {
    json!({
        "kind": "Pod",
        "metadata": {
            "name": format!("basic-tikv-{ordinal}"), "namespace": NAMESPACE, "uid": format!("{revision}{ordinal}-demo"),
            "labels": {"app.kubernetes.io/component": "tikv", "controller-revision-hash": revision},
            "ownerReferences": [{"kind": "StatefulSet", "name": "basic-tikv", "uid": "set", "controller": true}],
        },
        "spec": {"nodeName": format!("node-{ordinal}"), "hostname": format!("basic-tikv-{ordinal}"), "subdomain": "basic-tikv-peer"},
        "status": {
            "phase": "Running", "podIP": format!("10.0.0.{}", ordinal + 10), "hostIP": "10.1.0.1",
            "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
            "containerStatuses": [{"state": {"running": {}}}],
        },
    })
}

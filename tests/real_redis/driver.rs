//! Drains a pod as the controller does: look, send at most one act, look again a moment later.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use castoff::backend::credentials::{Secret, SecretError, Secrets};
use castoff::backend::dns::SystemDns;
use castoff::backend::{Backend, Metrics, Scope, SeesCluster, Settings, Unseen};
use castoff::plan::{ClusterRead, Inputs, Mode, Parameters, Round, Task, Verdict, catalogue};
use castoff::pod::Pod;
use serde::Deserialize as _;
use serde_json::{Value, json};
use tokio::time::Instant;

/// Between two rounds, as policies have it by default.
const POLL: Duration = Duration::from_secs(2);

pub fn pod(address: &str) -> Value {
    json!({
        "metadata": {"name": format!("redis-{address}"), "namespace": "db", "uid": address, "labels": {"app": "redis"}},
        "spec": {"hostname": "redis-0"},
        "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "hostIP": "10.9.0.1"},
    })
}

struct Pods(Vec<Value>);

#[async_trait]
impl SeesCluster for Pods {
    async fn read(&self, _pod: &Pod<'_>, read: &ClusterRead) -> Result<Value, Unseen> {
        let ClusterRead::Pods(query) = read else { return Err("no owner here".into()) };
        let taken = |pod: &&Value| query.takes(&Pod::deserialize(*pod).unwrap());
        Ok(self.0.iter().filter(taken).cloned().collect())
    }

    async fn has_pod_at(&self, _namespace: &str, address: IpAddr) -> Result<bool, Unseen> {
        Ok(self.0.iter().any(|pod| pod["status"]["podIP"] == address.to_string()))
    }
}

struct NoSecrets;

#[async_trait]
impl Secrets for NoSecrets {
    async fn read(&self, _namespace: &str, _name: &str) -> Result<Secret, SecretError> {
        Err("there is no Secret".into())
    }
}

/// A drain of one pod by one plan.
pub struct Drain {
    backend: Backend,
    plan: &'static str,
    pod: Value,
    parameters: Value,
    runtime: tokio::runtime::Runtime,
    pub acts: Vec<String>,
}

impl Drain {
    pub fn new(plan: &'static str, address: &str, pods: &[&str], parameters: Value) -> Self {
        let settings = Settings { loopback: true, ..Settings::default() };
        let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
        let backend = Backend::new(settings, Arc::new(NoSecrets), Arc::new(SystemDns::new()), metrics);
        let backend = backend.with_cluster(Arc::new(Pods(pods.iter().map(|address| pod(address)).collect())));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Drain { backend, plan, pod: pod(address), parameters, runtime, acts: Vec::new() }
    }

    /// One round, with the act that it asks for.
    pub fn round(&mut self, task: Task) -> Round {
        let plan = catalogue::builtin(self.plan).unwrap();
        let given: Parameters = serde_json::from_value(self.parameters.clone()).unwrap();
        let parameters = plan.parameters(&given).unwrap();
        let scope = Scope {
            namespace: "db".to_owned(),
            pod: Arc::new(Pod::deserialize(&self.pod).unwrap().into_owned()),
            pod_present: true,
            plan: self.plan.to_owned(),
            ..Scope::default()
        };
        let (pod, now) = (&self.pod, "2026-01-01T12:00:00Z");
        let inputs = Inputs { pod, parameters: &parameters, member: None, mode: Mode::Restart, task, now };
        self.runtime.block_on(async {
            let limit = Instant::now() + Duration::from_secs(3);
            let round = self.backend.observe(&scope, limit, |seen| plan.next(&inputs, seen)).await;
            if let Verdict::Act(act) = &round.verdict {
                let sent = self.backend.send(&scope, act).await;
                self.acts.push(format!("{}{}", act.request.method, if sent.accepted { "" } else { " (refused)" }));
                eprintln!("{} {} -> {sent:?}", act.request.method, act.request.url);
            } else {
                eprintln!("{:?}", round.verdict);
            }
            round
        })
    }

    /// Rounds until the pod may leave: done on two of them running.
    pub fn run(&mut self) {
        let (begun, mut done) = (Instant::now(), 0);
        while done < 2 {
            assert!(begun.elapsed() < Duration::from_secs(45), "not done; sent: {:?}", self.acts);
            done = if self.round(Task::Prepare).verdict == Verdict::Done { done + 1 } else { 0 };
            std::thread::sleep(POLL);
        }
    }
}

//! The pods of a set of three, as DNS and the cluster show them, and rounds of a plan for them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use castoff::backend::credentials::{Secret, SecretError, Secrets};
use castoff::backend::dns::{Found, Lookup, NoAnswer};
use castoff::backend::{Backend, Metrics, Scope, SeesCluster, Settings, Unseen};
use castoff::plan::{Act, ClusterRead, Inputs, Mode, Parameters, Round, Task, Verdict, catalogue};
use castoff::pod::Pod;
use jiff::Timestamp;
use serde::Deserialize as _;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::servers::Server;

/// Three pods NAME-0, NAME-1, NAME-2 under the headless Service NAME, each at an address of its own.
pub struct Members {
    name: &'static str,
    addresses: [IpAddr; 3],
    backend: Backend,
}

impl Members {
    /// The pods of a set whose addresses are 127.0.`net`.1 to .3.
    pub fn new(name: &'static str, net: u8) -> Self {
        let addresses = [1, 2, 3].map(|last| IpAddr::from([127, 0, net, last]));
        let settings = Settings { loopback: true, ..Settings::default() };
        let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
        let known = Known { name, addresses };
        let backend = Backend::new(settings, Arc::new(Credentials), Arc::new(known), metrics);
        let backend = backend.with_cluster(Arc::new(Known { name, addresses }));
        Self { name, addresses, backend }
    }

    pub fn address(&self, ordinal: usize) -> IpAddr {
        self.addresses[ordinal]
    }

    /// One round for the pod of that ordinal.
    pub async fn round(&self, ordinal: usize, parameters: &Value, mode: Mode) -> Round {
        self.look(ordinal, parameters, None, (mode, Task::Prepare)).await
    }

    /// One round that restores what was done for the pod of that ordinal, called so at the backend.
    pub async fn restoring(&self, ordinal: usize, parameters: &Value, member: &str) -> Round {
        self.look(ordinal, parameters, Some(member), (Mode::Restart, Task::Restore)).await
    }

    /// Sends an act for the pod of that ordinal.
    pub async fn send(&self, ordinal: usize, act: &Act) {
        let sent = self.backend.send(&self.scope(ordinal), act).await;
        assert!(sent.accepted, "{}: {}", sent.message, sent.detail);
    }

    async fn look(
        &self,
        ordinal: usize,
        parameters: &Value,
        member: Option<&str>,
        (mode, task): (Mode, Task),
    ) -> Round {
        let plan = catalogue::builtin(self.name).unwrap();
        let given: Parameters = serde_json::from_value(parameters.clone()).unwrap();
        let parameters = plan.parameters(&given).unwrap();
        let (pod, now) = (pod(self.name, self.addresses, ordinal), Timestamp::now().to_string());
        let inputs = Inputs { pod: &pod, parameters: &parameters, member, mode, task, now: &now };
        let limit = Instant::now() + Duration::from_secs(10);
        self.backend.observe(&self.scope(ordinal), limit, |seen| plan.next(&inputs, seen)).await
    }

    fn scope(&self, ordinal: usize) -> Scope {
        let pod = pod(self.name, self.addresses, ordinal);
        Scope {
            namespace: "default".to_owned(),
            pod: Arc::new(Pod::deserialize(&pod).unwrap().into_owned()),
            pod_present: true,
            plan: self.name.to_owned(),
            ..Scope::default()
        }
    }

    pub async fn verdict(&self, ordinal: usize, parameters: &Value) -> Verdict {
        self.round(ordinal, parameters, Mode::Restart).await.verdict
    }

    /// How much is left before the pod may leave for good, once that is told.
    pub async fn left(&self, ordinal: usize, parameters: &Value) -> i64 {
        let limit = Instant::now() + Duration::from_mins(3);
        loop {
            let round = self.round(ordinal, parameters, Mode::Removal).await;
            match (&round.verdict, &round.progress) {
                (Verdict::Waiting, Some(progress)) => return progress.remaining,
                _ => assert!(Instant::now() < limit, "{}-{ordinal} stays {round:?}", self.name),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Asks until the verdict is such, some minutes at most; tells what `server` last said where it never is.
    pub async fn until(&self, ordinal: usize, parameters: &Value, server: &Server, is: impl Fn(&Verdict) -> bool) {
        let limit = Instant::now() + Duration::from_mins(3);
        loop {
            let verdict = self.verdict(ordinal, parameters).await;
            if is(&verdict) {
                return;
            }
            assert!(Instant::now() < limit, "{}-{ordinal} stays {verdict:?}\n{}", self.name, server.said());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

pub fn done(verdict: &Verdict) -> bool {
    *verdict == Verdict::Done
}

/// Whether the verdict is that the pod is held, with these words.
pub fn blocked(part: &str) -> impl Fn(&Verdict) -> bool + '_ {
    move |verdict| matches!(verdict, Verdict::Blocked { message } if message.contains(part))
}

fn pod(name: &str, addresses: [IpAddr; 3], ordinal: usize) -> Value {
    let own = format!("{name}-{ordinal}");
    json!({
        "metadata": {"name": own, "namespace": "default", "uid": own, "labels": {"app": name}, "annotations": {}},
        "spec": {"hostname": own, "subdomain": name},
        "status": {"phase": "Running", "podIP": addresses[ordinal].to_string(), "hostIP": "127.0.0.1"},
    })
}

/// What DNS and the cluster know.
struct Known {
    name: &'static str,
    addresses: [IpAddr; 3],
}

#[async_trait]
impl Lookup for Known {
    async fn lookup(&self, host: &str) -> Result<Found, NoAnswer> {
        let own = |ordinal: &usize| host == format!("{0}-{ordinal}.{0}.default.svc", self.name);
        let found = (0..3).find(own).ok_or_else(|| NoAnswer("no such name".to_owned()))?;
        Ok(Found { addresses: vec![self.addresses[found]], alias_of: None })
    }
}

#[async_trait]
impl SeesCluster for Known {
    async fn read(&self, _: &Pod<'_>, read: &ClusterRead) -> Result<Value, Unseen> {
        let ClusterRead::Pods(query) = read else { return Err("only pods are seen here".into()) };
        let pods = (0..3).map(|ordinal| pod(self.name, self.addresses, ordinal));
        let pods: Vec<Pod<'static>> = pods.map(|pod| Pod::deserialize(&pod).unwrap().into_owned()).collect();
        Ok(pods.iter().filter(|pod| query.takes(pod)).map(|pod| json!(pod)).collect())
    }

    async fn has_pod_at(&self, _: &str, address: IpAddr) -> Result<bool, Unseen> {
        Ok(self.addresses.contains(&address))
    }
}

/// Of every Secret: its name is the password of `guest`.
struct Credentials;

#[async_trait]
impl Secrets for Credentials {
    async fn read(&self, _: &str, name: &str) -> Result<Secret, SecretError> {
        let values = [("username", "guest"), ("password", name)];
        Ok(values.into_iter().map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec())).collect())
    }
}

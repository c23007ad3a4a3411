//! Real etcd: a member behind each pod's address, whose process lives as long as the pod and whose data outlive it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::{self, Event};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::balancer::Balancer;
use crate::scene::Scene;

/// Calm on a busy machine.
pub const ELECTION: Duration = Duration::from_secs(2);

/// The name of the StatefulSet whose pods the members are.
pub const SET: &str = "etcd";

const MEMBERS: u8 = 3;

pub struct Etcd {
    cluster: Arc<Cluster>,
    balancer: Balancer,
    task: JoinHandle<()>,
}

struct Cluster {
    binary: String,
    folder: tempfile::TempDir,
    /// The members' addresses but for the last number.
    network: [u8; 3],
    client: reqwest::Client,
    /// By ordinal: the pod's UID and the process.
    running: Mutex<BTreeMap<u8, (String, Child)>>,
    /// What must not happen, and did.
    trouble: Mutex<Vec<String>>,
}

impl Etcd {
    /// Follows the pods of the StatefulSet that is still to be made, by [`template`].
    pub async fn start(scene: &Arc<Scene>) -> Etcd {
        let build = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/hack/etcd/build")).output().await.unwrap();
        assert!(build.status.success(), "{}", String::from_utf8_lossy(&build.stderr));
        let random = tempfile::tempdir().unwrap();
        let [.., one, two] = *std::process::id().to_be_bytes().as_slice() else { unreachable!() };
        let cluster = Arc::new(Cluster {
            binary: String::from_utf8(build.stdout).unwrap().trim().to_owned(),
            folder: random,
            // Apart from the addresses that simulated pods get by themselves.
            network: [127, 200 + one % 50, two],
            client: reqwest::Client::builder().timeout(Duration::from_millis(500)).build().unwrap(),
            running: Mutex::default(),
            trouble: Mutex::default(),
        });
        let clients = (0..MEMBERS).map(|ordinal| SocketAddr::from((cluster.address(ordinal), 2379))).collect();
        let balancer = Balancer::before(clients).await;
        let task = tokio::spawn(follow(Arc::clone(scene), Arc::clone(&cluster)));
        Etcd { cluster, balancer, task }
    }

    /// One address before all members.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.balancer.port)
    }

    /// Ends a member's process while its pod stands.
    pub async fn kill(&self, ordinal: u8) {
        let (uid, mut process) = self.cluster.running.lock().unwrap().remove(&ordinal).unwrap();
        process.kill().await.unwrap();
        self.cluster.running.lock().unwrap().insert(ordinal, (uid, process));
    }

    pub async fn restart(&self, ordinal: u8) {
        let uid = self.cluster.running.lock().unwrap()[&ordinal].0.clone();
        self.cluster.run(ordinal, uid).await;
    }

    /// What must not happen, and did: a leader's pod that was told to end, a quorum that would have been lost.
    pub fn trouble(&self) -> Vec<String> {
        self.cluster.trouble.lock().unwrap().clone()
    }

    /// Begins to write, again and again.
    pub fn writer(&self) -> Writer {
        let longest = Arc::new(Mutex::new((Duration::ZERO, 0)));
        let task = tokio::spawn(write(Arc::clone(&self.cluster), Arc::clone(&longest)));
        Writer { longest, task }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The pods' template: each waits for its address until its member answers there.
pub fn template() -> Value {
    json!({"metadata": {"annotations": {"test.castoff.dev/behave": "pending"}}})
}

impl Cluster {
    fn address(&self, ordinal: u8) -> Ipv4Addr {
        let [one, two, three] = self.network;
        Ipv4Addr::new(one, two, three, ordinal + 1)
    }

    fn url(&self, ordinal: u8) -> String {
        format!("http://{}:2379", self.address(ordinal))
    }

    async fn ask(&self, ordinal: u8, path: &str, body: &Value) -> Option<Value> {
        let asked =
            self.client.post(format!("{}{path}", self.url(ordinal))).body(body.to_string()).send().await.ok()?;
        if !asked.status().is_success() {
            return None;
        }
        serde_json::from_str(&asked.text().await.ok()?).ok()
    }

    async fn is_healthy(&self, ordinal: u8) -> bool {
        let asked = self.client.get(format!("{}/health", self.url(ordinal))).send().await;
        asked.is_ok_and(|answer| answer.status().is_success())
    }

    /// Starts the member's process, and waits until it serves.
    async fn run(&self, ordinal: u8, uid: String) {
        let name = |ordinal: u8| format!("{SET}-{ordinal}");
        let peer = |ordinal: u8| format!("http://{}:2380", self.address(ordinal));
        let all: Vec<String> = (0..MEMBERS).map(|ordinal| format!("{}={}", name(ordinal), peer(ordinal))).collect();
        let folder = self.folder.path().join(name(ordinal));
        let log = std::fs::File::create(folder.with_extension("log")).unwrap();
        let process = Command::new(Path::new(&self.binary))
            .args(["--name", &name(ordinal), "--data-dir", folder.to_str().unwrap(), "--unsafe-no-fsync"])
            .args(["--listen-client-urls", &self.url(ordinal), "--advertise-client-urls", &self.url(ordinal)])
            .args(["--listen-peer-urls", &peer(ordinal), "--initial-advertise-peer-urls", &peer(ordinal)])
            .args(["--initial-cluster", &all.join(","), "--initial-cluster-state", "new"])
            .args(["--heartbeat-interval", "200", "--election-timeout", &ELECTION.as_millis().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        self.running.lock().unwrap().insert(ordinal, (uid, process));
        while !self.is_healthy(ordinal).await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The pod has been told to end: its member does so at once, without a word to the others.
    async fn end(&self, ordinal: u8) {
        let status = self.ask(ordinal, "/v3/maintenance/status", &json!({})).await;
        if status.is_none_or(|status| status["leader"] == status["header"]["member_id"]) {
            self.note(format!("{SET}-{ordinal} led when it was told to end"));
        }
        let mut healthy = 0;
        for other in (0..MEMBERS).filter(|other| *other != ordinal) {
            healthy += u8::from(self.is_healthy(other).await);
        }
        if healthy < MEMBERS / 2 + 1 {
            self.note(format!("{healthy} others were healthy when {SET}-{ordinal} was told to end"));
        }
        let process = self.running.lock().unwrap().remove(&ordinal);
        if let Some((_, mut process)) = process {
            process.kill().await.unwrap();
        }
    }

    fn note(&self, trouble: String) {
        self.trouble.lock().unwrap().push(trouble);
    }
}

async fn follow(scene: Arc<Scene>, cluster: Arc<Cluster>) {
    let api: Api<Pod> = Api::namespaced(scene.client.clone(), &scene.namespace);
    let selected = watcher::Config::default().labels(&format!("app={SET}"));
    let mut events = Box::pin(watcher::watcher(api, selected));
    let mut begun: BTreeMap<u8, String> = BTreeMap::new();
    while let Some(event) = events.next().await {
        let Ok(Event::Apply(pod) | Event::InitApply(pod)) = event else { continue };
        let (name, uid) = (pod.name_any(), pod.uid().unwrap());
        let Some(ordinal) = name.rsplit('-').next().and_then(|number| number.parse::<u8>().ok()) else { continue };
        let is_mine = begun.get(&ordinal) == Some(&uid);
        if pod.metadata.deletion_timestamp.is_some() {
            if is_mine {
                begun.remove(&ordinal);
                cluster.end(ordinal).await;
            }
        } else if !is_mine && pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some()) {
            begun.insert(ordinal, uid.clone());
            let (scene, cluster) = (Arc::clone(&scene), Arc::clone(&cluster));
            tokio::spawn(async move {
                cluster.run(ordinal, uid).await;
                let address = format!("test.castoff.dev/pod-ip={}", cluster.address(ordinal));
                scene.annotate("pod", &name, &[&address, "test.castoff.dev/behave-"]).await;
            });
        }
    }
}

/// Writes all along, at whichever member answers.
pub struct Writer {
    longest: Arc<Mutex<(Duration, u64)>>,
    task: JoinHandle<()>,
}

impl Writer {
    /// Ends it; for how long at most no write succeeded, and how many have.
    pub fn stop(self) -> (Duration, u64) {
        *self.longest.lock().unwrap()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn write(cluster: Arc<Cluster>, longest: Arc<Mutex<(Duration, u64)>>) {
    let (mut last, mut at) = (Instant::now(), 0);
    // base64 of `key` and `value`.
    let put = json!({"key": "a2V5", "value": "dmFsdWU="});
    loop {
        if cluster.ask(at, "/v3/kv/put", &put).await.is_some() {
            let mut longest = longest.lock().unwrap();
            *longest = (longest.0.max(last.elapsed()), longest.1 + 1);
            last = Instant::now();
        } else {
            at = (at + 1) % MEMBERS;
            continue;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

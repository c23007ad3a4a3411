//! A guard as a user runs it: the real program, policies and pods in files, asked over HTTPS on a real port.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use castoff::backend::client::Clients;
use castoff::backend::credentials::Secret;
use castoff::backend::dns::{GuardedDns, SystemDns};
use castoff::simulation::pd::{Config, SimulatedPd};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longer than anything here takes; a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// The pods' address: not that of PD, since what is asked of a pod's own address ends with the pod.
pub const POD_IP: &str = "127.0.0.9";

/// The policy that most tests use; `{pd}` is the PD's address.
pub const POLICY: &str = r#"
apiVersion: castoff.dev/v1alpha1
kind: DrainPolicy
metadata: {name: tikv, namespace: tidb}
spec:
  selector: {matchLabels: {app.kubernetes.io/component: tikv}}
  steps:
  - name: evict-leaders
    plan: {builtIn: tikv}
    parameters: {pd: "{pd}"}
  pollPeriodSeconds: 1
"#;

/// A guard with what it works on.
pub struct Guard {
    pub directory: TempDir,
    child: Child,
    address: String,
    admin: String,
    client: reqwest::Client,
    log: Arc<Mutex<String>>,
}

/// What the guard answered.
#[derive(Debug)]
pub struct Answer {
    pub allowed: bool,
    pub reason: String,
    pub message: String,
    pub warnings: Vec<String>,
    pub took: Duration,
}

/// How a pod is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    StatefulSet,
    Person,
    DryRun,
    Eviction,
    EvictionDryRun,
}

/// Three stores with 20 leaders each, which leave at 40 a second.
pub async fn pd() -> SimulatedPd {
    let stores = (0..3).map(|ordinal| (ordinal + 1, address_of(ordinal), 20)).collect();
    SimulatedPd::start(Config::with_stores(stores)).await.unwrap()
}

/// The address that a store announces.
pub fn address_of(ordinal: u64) -> String {
    format!("basic-tikv-{ordinal}.basic-tikv-peer.tidb.svc:20160")
}

impl Guard {
    /// A guard under this policy, with three Ready pods.
    pub fn start(policy: &str) -> Guard {
        Guard::start_with(policy, &[])
    }

    /// The same, and further objects are there from the beginning.
    pub fn start_with(policy: &str, objects: &[Value]) -> Guard {
        let directory = tempfile::tempdir().unwrap();
        for folder in ["policies", "pods"] {
            std::fs::create_dir(directory.path().join(folder)).unwrap();
        }
        std::fs::write(directory.path().join("policies/policy.yaml"), policy).unwrap();
        for object in objects {
            write_pod(directory.path(), object);
        }
        Guard::start_in(directory)
    }

    /// A guard on a directory that has its policies already, and maybe its certificates.
    pub fn start_in(directory: TempDir) -> Guard {
        for folder in ["pods", "state"] {
            std::fs::create_dir_all(directory.path().join(folder)).unwrap();
        }
        for ordinal in 0..3 {
            write_pod(directory.path(), &pod(ordinal, "one", true));
        }
        let (child, address, admin, log) = spawn(directory.path());
        let ca = std::fs::read(directory.path().join("certificates/ca.crt")).unwrap();
        let secret: Secret = [("ca.crt".to_owned(), ca)].into_iter().collect();
        let client = Clients::new(GuardedDns::new(Arc::new(SystemDns::new()), true)).with(&secret).unwrap();
        Guard { directory, child, address, admin, client, log }
    }

    /// Ends the process as a power cut would, and begins another on the same files.
    pub fn kill_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let (child, address, admin, log) = spawn(self.directory.path());
        let before = self.log();
        log.lock().unwrap().insert_str(0, &before);
        (self.child, self.address, self.admin, self.log) = (child, address, admin, log);
    }

    /// Asks for the drain of a pod.
    pub async fn ask(&self, ordinal: u64, by: By) -> Answer {
        let file = self.directory.path().join(format!("pods/basic-tikv-{ordinal}.json"));
        let pod = std::fs::read(&file).map_or(Value::Null, |bytes| serde_json::from_slice(&bytes).unwrap());
        self.send(&review(ordinal, &pod, by)).await
    }

    /// Sends a review.
    pub async fn send(&self, review: &Value) -> Answer {
        let began = Instant::now();
        let answer = self
            .client
            .post(format!("https://localhost:{}/validate?timeout=10s", port(&self.address)))
            .header("content-type", "application/json")
            .body(review.to_string())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        Answer {
            allowed: answer.pointer("/response/allowed").unwrap().as_bool().unwrap(),
            reason: text("/response/auditAnnotations/reason"),
            message: text("/response/status/message"),
            warnings: serde_json::from_value(answer.pointer("/response/warnings").cloned().unwrap_or(json!([])))
                .unwrap(),
            took: began.elapsed(),
        }
    }

    /// Asks again and again until the pod may go; every denial must be one that can be tried again.
    pub async fn ask_until_allowed(&self, ordinal: u64, by: By) -> Vec<Answer> {
        self.ask_until(ordinal, by, "allowed", |answer| answer.allowed).await
    }

    /// Asks again and again until the answer is such; all answers, that one last.
    pub async fn ask_until(&self, ordinal: u64, by: By, what: &str, is_it: impl Fn(&Answer) -> bool) -> Vec<Answer> {
        let mut answers = Vec::new();
        let began = Instant::now();
        loop {
            let answer = self.ask(ordinal, by).await;
            let over = is_it(&answer);
            answers.push(answer);
            if over {
                return answers;
            }
            assert!(began.elapsed() < PATIENCE, "never {what}: {:#?}\n{}", answers.last(), self.end_of_log());
            pause().await;
        }
    }

    /// The drain of a pod, as its file says. The file comes first: an answer given at once may still be by what was
    /// before.
    pub fn outcome(&self, ordinal: u64) -> Option<Value> {
        let prefix = format!("tidb.basic-tikv-{ordinal}-");
        let entries = std::fs::read_dir(self.directory.path().join("state")).unwrap();
        let newest = entries
            .map(|entry| entry.unwrap())
            .filter(|entry| {
                let name = entry.file_name().to_string_lossy().into_owned();
                name.starts_with(&prefix) && entry.path().extension().is_some_and(|ending| ending == "json")
            })
            .max_by_key(|entry| entry.metadata().unwrap().modified().unwrap());
        newest.map(|entry| serde_json::from_slice(&std::fs::read(entry.path()).unwrap()).unwrap())
    }

    /// The phase of a pod's drain; empty where there is none.
    pub fn phase(&self, ordinal: u64) -> String {
        let phase = self.outcome(ordinal).and_then(|drain| drain.pointer("/status/phase").cloned());
        phase.and_then(|phase| phase.as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// Waits for a condition.
    pub async fn until(&self, what: &str, condition: impl Fn() -> bool) {
        let began = Instant::now();
        while !condition() {
            assert!(began.elapsed() < PATIENCE, "not seen: {what}\n{}", self.end_of_log());
            pause().await;
        }
    }

    /// Takes a pod away: as a kubelet that has ended it.
    pub fn remove_pod(&self, ordinal: u64) {
        std::fs::remove_file(self.directory.path().join(format!("pods/basic-tikv-{ordinal}.json"))).unwrap();
    }

    /// Puts another policy in the place of the one that it began with.
    pub fn write_policy(&self, policy: &str) {
        let file = self.directory.path().join("policies/policy.yaml");
        let temporary = file.with_extension("tmp");
        std::fs::write(&temporary, policy).unwrap();
        std::fs::rename(temporary, file).unwrap();
    }

    /// Whether a client that trusts this CA alone gets through.
    pub async fn is_trusted_by(&self, ca: &Path) -> bool {
        let secret: Secret = [("ca.crt".to_owned(), std::fs::read(ca).unwrap())].into_iter().collect();
        let client = Clients::new(GuardedDns::new(Arc::new(SystemDns::new()), true)).with(&secret).unwrap();
        client.get(format!("https://localhost:{}/", port(&self.address))).send().await.is_ok()
    }

    /// Sends SIGHUP.
    pub fn hang_up(&self) {
        let sent = Command::new("kill").args(["-HUP", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Puts a pod, or another object, there.
    pub fn put_pod(&self, pod: &Value) {
        write_pod(self.directory.path(), pod);
    }

    /// The sum of a metric's series that have these labels among theirs: `name{a="b",c="d"}`.
    pub async fn metric(&self, name: &str) -> u64 {
        let (name, labels) = name.strip_suffix('}').and_then(|name| name.split_once('{')).unwrap_or((name, ""));
        let text = self.admin("/metrics").await;
        let series = text.lines().filter_map(|line| line.strip_prefix(name)?.rsplit_once(' '));
        let is_meant = |of: &str| {
            of.is_empty() && labels.is_empty()
                || of.starts_with('{') && labels.split(',').all(|label| of.contains(label))
        };
        series.filter(|(of, _)| is_meant(of)).map(|(_, value)| value.parse::<u64>().unwrap()).sum()
    }

    /// What an admin route says.
    pub async fn admin(&self, path: &str) -> String {
        let client = Clients::new(GuardedDns::new(Arc::new(SystemDns::new()), true)).plain().unwrap();
        let answer = client.get(format!("http://{}{path}", self.admin)).send().await.unwrap();
        String::from_utf8(answer.bytes().await.unwrap().to_vec()).unwrap()
    }

    /// The last lines of the log, for a test that has failed.
    fn end_of_log(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().filter(|line| !line.contains("answered")).collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// What was logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(directory: &Path) -> (Child, String, String, Arc<Mutex<String>>) {
    let path = |name: &str| -> PathBuf { directory.join(name) };
    let mut child = Command::new(env!("CARGO_BIN_EXE_castoff"))
        .args(["serve", "--standalone", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
        .args(["--log-format", "json", "--log", "info"])
        .arg("--policies")
        .arg(path("policies"))
        .arg("--pods")
        .arg(path("pods"))
        .arg("--state")
        .arg(path("state"))
        .arg("--self-signed")
        .arg(path("certificates"))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut read = String::new();
    let (address, admin) = loop {
        let line = lines.next().unwrap_or_else(|| panic!("the guard has ended: {read}")).unwrap();
        read.push_str(&line);
        read.push('\n');
        let line: Value = serde_json::from_str(&line).unwrap();
        if let (Some(address), Some(admin)) = (line["address"].as_str(), line["admin"].as_str()) {
            break (address.to_owned(), admin.to_owned());
        }
    };
    let log = Arc::new(Mutex::new(read));
    let kept = Arc::clone(&log);
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let mut kept = kept.lock().unwrap();
            kept.push_str(&line);
            kept.push('\n');
        }
    });
    (child, address, admin, log)
}

/// A pod of the StatefulSet `basic-tikv`.
pub fn pod(ordinal: u64, generation: &str, ready: bool) -> Value {
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {
            "name": format!("basic-tikv-{ordinal}"), "namespace": "tidb", "uid": format!("{ordinal}{generation}-uid"),
            "labels": {"app.kubernetes.io/component": "tikv"},
            "ownerReferences": [{"kind": "StatefulSet", "name": "basic-tikv", "uid": "set", "controller": true}],
        },
        "spec": {"nodeName": "node-1", "hostname": format!("basic-tikv-{ordinal}"), "subdomain": "basic-tikv-peer"},
        "status": {
            "phase": "Running", "podIP": POD_IP, "hostIP": "127.0.0.1",
            "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
            "containerStatuses": [{"state": {"running": {}}}],
        },
    })
}

/// The StatefulSet `basic-tikv`.
pub fn set(replicas: u32) -> Value {
    let metadata = json!({"name": "basic-tikv", "namespace": "tidb", "uid": "set"});
    json!({"kind": "StatefulSet", "apiVersion": "apps/v1", "metadata": metadata, "spec": {"replicas": replicas}})
}

fn write_pod(directory: &Path, pod: &Value) {
    let name = pod.pointer("/metadata/name").unwrap().as_str().unwrap();
    let file = directory.join(format!("pods/{name}.json"));
    let temporary = file.with_extension("tmp");
    std::fs::write(&temporary, pod.to_string()).unwrap();
    std::fs::rename(temporary, file).unwrap();
}

/// The review of a request for this pod.
pub fn review(ordinal: u64, pod: &Value, by: By) -> Value {
    let name = format!("basic-tikv-{ordinal}");
    let evicts = matches!(by, By::Eviction | By::EvictionDryRun);
    let username = match by {
        By::StatefulSet | By::DryRun => "system:serviceaccount:kube-system:statefulset-controller",
        By::Person | By::Eviction | By::EvictionDryRun => "alice",
    };
    let mut request = json!({
        "uid": "6a1f1bb3-0f3f-4f4e-9a49-7f7b1d9a5d2b",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "name": name, "namespace": "tidb", "operation": "DELETE",
        "userInfo": {"username": username, "groups": ["system:authenticated"]},
        "object": null, "oldObject": pod, "dryRun": by == By::DryRun,
        "options": {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1", "gracePeriodSeconds": 30},
    });
    if evicts {
        let options = if by == By::EvictionDryRun { json!({"dryRun": ["All"]}) } else { json!({}) };
        request["operation"] = json!("CREATE");
        request["subResource"] = json!("eviction");
        request["kind"] = json!({"group": "policy", "version": "v1", "kind": "Eviction"});
        request["oldObject"] = Value::Null;
        request["object"] = json!({
            "kind": "Eviction", "apiVersion": "policy/v1",
            "metadata": {"name": name, "namespace": "tidb"}, "deleteOptions": options,
        });
    }
    json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request})
}

fn port(address: &str) -> &str {
    address.rsplit(':').next().unwrap()
}

/// Between two looks at a condition.
async fn pause() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

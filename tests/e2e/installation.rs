//! Castoff as it runs in the scenarios: two replicas of the real program on this machine, under a ServiceAccount of
//! their own, behind one address. What would differ in a cluster that runs its pods itself is here and nowhere else.

use std::fmt::Write as _;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::backends::Hooks;
use crate::balancer::Balancer;

/// The guard's own namespace.
pub const NAMESPACE: &str = "castoff-system";

/// Shorter than in production, so that a killed leader is followed soon.
const LEASE_DURATION: &str = "5s";

pub struct Installation {
    pub client: Client,
    pub hooks: Hooks,
    directory: tempfile::TempDir,
    pub balancer: Balancer,
    replicas: Mutex<Vec<Replica>>,
    /// What replicas are started with besides what is usual.
    further: Mutex<Vec<String>>,
}

struct Replica {
    number: usize,
    port: u16,
    admin: u16,
    child: Option<Child>,
}

impl Installation {
    /// Installs the resources, starts both replicas, and waits until they answer.
    pub async fn start() -> Installation {
        rustls::crypto::ring::default_provider().install_default().unwrap();
        let mut config = Config::infer().await.expect("KUBECONFIG must name a cluster: hack/test e2e starts one");
        // Scenarios run side by side, and each waits by looking again and again.
        config.read_timeout = Some(Duration::from_mins(5));
        // A denial is a 429, and a scenario wants to see it.
        config.default_retry = false;
        let client = Client::try_from(config).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let ports = free_ports(4);
        let replicas = (0..2)
            .map(|number| Replica { number, port: ports[number], admin: ports[2 + number], child: None })
            .collect();
        let balancer = Balancer::start(ports[..2].to_vec()).await;
        let installation = Installation {
            client,
            hooks: Hooks::start().await,
            directory,
            balancer,
            replicas: Mutex::new(replicas),
            further: Mutex::default(),
        };
        apply_manifests().await;
        installation.log_in().await;
        installation.make_whole().await;
        installation
    }

    /// Gives replicas a way to the API server, under the account of the manifests.
    async fn log_in(&self) {
        let token = kubectl(&["create", "token", "castoff", "-n", NAMESPACE, "--duration=6h"]).await;
        assert_eq!(token.code, 0, "{}", token.stderr);
        let server = kubectl(&["config", "view", "--raw", "--minify", "-o", "json"]).await;
        let mut kubeconfig: Value = serde_json::from_str(&server.stdout).unwrap();
        kubeconfig["users"][0]["user"] = json!({"token": token.stdout.trim()});
        std::fs::write(self.path("kubeconfig"), kubeconfig.to_string()).unwrap();
    }

    /// Ends both replicas, and starts them with these further arguments.
    pub async fn serve_with(&self, further: &[&str]) {
        for number in 0..2 {
            self.terminate(number).await;
        }
        *self.further.lock().unwrap() = further.iter().map(|&argument| argument.to_owned()).collect();
        self.make_whole().await;
    }

    /// Makes all as it was before a scenario that may have taken things away, and may have failed before it put them
    /// back.
    pub async fn put_back(&self) {
        kubectl(&["delete", "deployment", "castoff", "-n", NAMESPACE, "--ignore-not-found"]).await;
        apply_manifests().await;
        if self.further.lock().unwrap().is_empty() {
            self.make_whole().await;
        } else {
            self.serve_with(&[]).await;
        }
        self.balancer.set(self.addresses());
    }

    /// Where the replicas answer.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.replicas.lock().unwrap().iter().map(|replica| SocketAddr::from(([127, 0, 0, 1], replica.port))).collect()
    }

    /// What a replica says of its readiness.
    pub async fn readiness(&self, number: usize) -> String {
        let admin = self.replicas.lock().unwrap()[number].admin;
        match reqwest::get(format!("http://127.0.0.1:{admin}/readyz")).await {
            Ok(answer) => answer.text().await.unwrap_or_default(),
            Err(error) => error.to_string(),
        }
    }

    /// Starts what does not run, and waits until it is ready.
    pub async fn make_whole(&self) {
        for admin in self.start_all() {
            self.wait_until_ready(admin).await;
        }
    }

    /// Starts what does not run; where readiness is told.
    pub fn start_all(&self) -> Vec<u16> {
        let mut replicas = self.replicas.lock().unwrap();
        for replica in replicas.iter_mut() {
            let runs = replica.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none());
            if !runs {
                replica.child = Some(self.spawn(replica));
            }
        }
        replicas.iter().map(|replica| replica.admin).collect()
    }

    async fn wait_until_ready(&self, admin: u16) {
        let mut last = String::new();
        for _ in 0..300 {
            match reqwest::get(format!("http://127.0.0.1:{admin}/readyz")).await {
                Ok(answer) if answer.status().is_success() => return,
                Ok(answer) => last = answer.text().await.unwrap_or_default(),
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("a replica does not become ready: {last}\n{}", self.log("").await);
    }

    fn spawn(&self, replica: &Replica) -> Child {
        let listen = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let identity = format!("replica-{}-{}", replica.number, std::process::id());
        self.replica(&identity, listen(replica.port), listen(replica.admin), &self.log_file(replica.number))
            .args(self.further.lock().unwrap().iter())
            .spawn()
            .unwrap()
    }

    /// The real program, as one replica.
    pub fn replica(&self, identity: &str, listen: SocketAddr, admin: SocketAddr, log: &Path) -> Command {
        let log = File::options().create(true).append(true).open(log).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_castoff"));
        command
            .arg("serve")
            .args(["--listen", &listen.to_string(), "--admin-listen", &admin.to_string(), "--identity", identity])
            .args(["--webhook-url", &format!("https://127.0.0.1:{}/validate", self.balancer.port)])
            .args(["--namespace", NAMESPACE, "--lease-duration", LEASE_DURATION, "--shutdown-delay", "1"])
            .args(["--log", "info,castoff::server::gate=debug", "--allow-loopback"])
            .env("KUBECONFIG", self.path("kubeconfig"))
            .stdout(Stdio::from(log.try_clone().unwrap()))
            .stderr(Stdio::from(log))
            .kill_on_drop(true);
        command
    }

    /// Ends a replica as a power cut would.
    pub async fn kill(&self, number: usize) {
        let child = self.replicas.lock().unwrap()[number].child.take();
        if let Some(mut child) = child {
            child.kill().await.unwrap();
        }
    }

    /// Asks a replica to end, and waits until it has.
    pub async fn terminate(&self, number: usize) {
        let child = self.replicas.lock().unwrap()[number].child.take();
        if let Some(mut child) = child {
            let pid = child.id().unwrap().to_string();
            Command::new("kill").args(["-TERM", &pid]).status().await.unwrap();
            let ended = child.wait().await.unwrap();
            assert!(ended.success(), "a replica that was told to end did not end in peace: {ended}");
        }
    }

    /// Which replica is in charge now.
    pub async fn leader(&self) -> Option<usize> {
        let lease =
            kubectl(&["get", "lease", "castoff", "-n", NAMESPACE, "-o", "jsonpath={.spec.holderIdentity}"]).await;
        lease
            .stdout
            .strip_prefix("replica-")
            .and_then(|rest| rest.split('-').next())
            .and_then(|number| number.parse().ok())
    }

    /// A replica's metrics, as Prometheus would read them.
    pub async fn metrics(&self, number: usize) -> String {
        let admin = self.replicas.lock().unwrap()[number].admin;
        reqwest::get(format!("http://127.0.0.1:{admin}/metrics")).await.unwrap().text().await.unwrap()
    }

    /// The lines of both replicas' logs that hold `word`.
    pub async fn log(&self, word: &str) -> String {
        let mut text = String::new();
        for number in 0..2 {
            let log = tokio::fs::read_to_string(self.log_file(number)).await.unwrap_or_default();
            for line in log.lines().filter(|line| line.contains(word)) {
                writeln!(text, "{number}: {line}").unwrap();
            }
        }
        text
    }

    pub async fn stop(&self) {
        for number in 0..2 {
            self.terminate(number).await;
        }
        kubectl(&["delete", "validatingwebhookconfiguration", "castoff", "--ignore-not-found"]).await;
        // So that the next run makes it again: a registration that a person has deleted is left alone.
        kubectl(&["delete", "configmap", "castoff-registration", "-n", NAMESPACE, "--ignore-not-found"]).await;
    }

    /// A place for a file, for as long as this runs.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn log_file(&self, number: usize) -> PathBuf {
        self.path(&format!("replica-{number}.log"))
    }
}

/// All that the manifests hold but the Deployment: its replicas run here.
async fn apply_manifests() {
    let built = kubectl(&["kustomize", concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/base")]).await;
    assert_eq!(built.code, 0, "{}", built.stderr);
    let objects: Vec<&str> = built.stdout.split("\n---\n").collect();
    let (first, rest): (Vec<&str>, Vec<&str>) =
        objects.into_iter().filter(|object| !object.contains("\nkind: Deployment\n")).partition(|object| {
            ["\nkind: Namespace\n", "\nkind: CustomResourceDefinition\n"].iter().any(|kind| object.contains(kind))
        });
    apply(&first.join("\n---\n")).await;
    apply(&rest.join("\n---\n")).await;
}

/// What a command printed.
#[derive(Debug)]
pub struct Printed {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs kubectl, as an admin.
pub async fn kubectl(arguments: &[&str]) -> Printed {
    let output = Command::new("kubectl")
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("kubectl must be in PATH: hack/test e2e puts the control plane's own there");
    Printed {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Applies YAML or JSON, which must succeed.
pub async fn apply(text: &str) {
    try_apply(text).await.unwrap_or_else(|error| panic!("{error}\nin\n{text}"));
}

/// Applies YAML or JSON; what kubectl says where it does not succeed.
pub async fn try_apply(text: &str) -> Result<(), String> {
    use tokio::io::AsyncWriteExt as _;
    let mut child = Command::new("kubectl")
        .args(["apply", "--server-side", "--force-conflicts", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kubectl must be in PATH");
    child.stdin.take().unwrap().write_all(text.as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

pub fn free_ports(count: usize) -> Vec<u16> {
    let listeners: Vec<_> = (0..count).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

//! Two replicas of the real program as processes on this machine, under the manifests' ServiceAccount, behind one
//! address. Pods are simulated by kwok; each has an address on loopback, where the tests' hooks listen.

use std::fmt::Write as _;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use castoff_test_support::proxy::Proxy;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::{Clocks, Ground, Need};
use crate::balancer::Balancer;
use crate::installation::{LEASE_DURATION, LOG, NAMESPACE, holder, install, kubectl, unregister};

pub struct Loopback {
    directory: tempfile::TempDir,
    pub balancer: Balancer,
    replicas: Mutex<Vec<Replica>>,
    further: Mutex<Further>,
}

/// What replicas are started with besides what is usual.
#[derive(Default)]
struct Further {
    arguments: Vec<String>,
    clocks: Option<Arc<Clocks>>,
    /// Each replica's own way to the API server.
    proxies: Option<Arc<[Proxy; 2]>>,
}

impl Further {
    fn is_usual(&self) -> bool {
        self.arguments.is_empty() && self.clocks.is_none() && self.proxies.is_none()
    }
}

struct Replica {
    number: usize,
    port: u16,
    admin: u16,
    child: Option<Child>,
}

impl Loopback {
    pub async fn start() -> Loopback {
        let directory = tempfile::tempdir().unwrap();
        let ports = free_ports(4);
        let replicas = (0..2)
            .map(|number| Replica { number, port: ports[number], admin: ports[2 + number], child: None })
            .collect();
        let balancer = Balancer::start(ports[..2].to_vec()).await;
        let ground = Loopback { directory, balancer, replicas: Mutex::new(replicas), further: Mutex::default() };
        ground.take_account().await;
        ground
    }

    /// Writes the file by which the replicas are the ServiceAccount of the manifests.
    async fn take_account(&self) {
        let token = kubectl(&["create", "token", "castoff", "-n", NAMESPACE, "--duration=6h"]).await;
        assert_eq!(token.code, 0, "{}", token.stderr);
        let server = kubectl(&["config", "view", "--raw", "--minify", "-o", "json"]).await;
        let mut kubeconfig: Value = serde_json::from_str(&server.stdout).unwrap();
        kubeconfig["users"][0]["user"] = json!({"token": token.stdout.trim()});
        std::fs::write(self.path("kubeconfig"), kubeconfig.to_string()).unwrap();
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

    /// Ends both replicas, and starts them with these further arguments.
    pub async fn serve_with(&self, further: &[&str]) {
        let arguments = further.iter().map(|&argument| argument.to_owned()).collect();
        self.restart(Further { arguments, ..Further::default() }).await;
    }

    /// Ends both replicas, and starts them so that they go by these clocks.
    pub async fn serve_by_clocks(&self) -> Arc<Clocks> {
        let clocks = Arc::new(Clocks::make(self.directory.path()).await);
        self.restart(Further { clocks: Some(Arc::clone(&clocks)), ..Further::default() }).await;
        clocks
    }

    /// Ends both replicas, and starts them so that each reaches the API server by a proxy of its own.
    pub async fn serve_through_proxies(&self) -> Arc<[Proxy; 2]> {
        let account = Kubeconfig::read_from(self.path("kubeconfig")).unwrap();
        let mut config = Config::from_custom_kubeconfig(account, &KubeConfigOptions::default()).await.unwrap();
        config.default_retry = false;
        let upstream = Client::try_from(config).unwrap();
        let proxies = Arc::new([Proxy::to(upstream.clone()).await, Proxy::to(upstream).await]);
        for (number, proxy) in proxies.iter().enumerate() {
            std::fs::write(self.proxied(number), proxy.kubeconfig()).unwrap();
        }
        self.restart(Further { proxies: Some(Arc::clone(&proxies)), ..Further::default() }).await;
        proxies
    }

    fn proxied(&self, number: usize) -> PathBuf {
        self.path(&format!("proxied-{number}"))
    }

    async fn restart(&self, further: Further) {
        for number in 0..2 {
            self.terminate(number).await;
        }
        *self.further.lock().unwrap() = further;
        self.make_whole().await;
    }

    /// Where the replicas answer.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.replicas.lock().unwrap().iter().map(|replica| SocketAddr::from(([127, 0, 0, 1], replica.port))).collect()
    }

    /// Where the replicas tell of themselves.
    pub fn admin_addresses(&self) -> Vec<SocketAddr> {
        self.replicas.lock().unwrap().iter().map(|replica| SocketAddr::from(([127, 0, 0, 1], replica.admin))).collect()
    }

    /// What a replica says of its readiness.
    pub async fn readiness(&self, number: usize) -> String {
        let admin = self.replicas.lock().unwrap()[number].admin;
        match reqwest::get(format!("http://127.0.0.1:{admin}/readyz")).await {
            Ok(answer) => answer.text().await.unwrap_or_default(),
            Err(error) => error.to_string(),
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

    fn spawn(&self, replica: &Replica) -> Child {
        let listen = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let identity = format!("replica-{}-{}", replica.number, std::process::id());
        let further = self.further.lock().unwrap();
        let clock = further.clocks.iter().flat_map(|clocks| clocks.environment(replica.number));
        let proxied = further.proxies.iter().map(|_| ("KUBECONFIG", self.proxied(replica.number)));
        self.replica(&identity, listen(replica.port), listen(replica.admin), &self.log_file(replica.number))
            .args(&further.arguments)
            .envs(clock)
            .envs(proxied)
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
            .args(["--log", LOG, "--allow-loopback"])
            .env("KUBECONFIG", self.path("kubeconfig"))
            .stdout(Stdio::from(log.try_clone().unwrap()))
            .stderr(Stdio::from(log))
            .kill_on_drop(true);
        command
    }

    /// A place for a file, for as long as this runs.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn log_file(&self, number: usize) -> PathBuf {
        self.path(&format!("replica-{number}.log"))
    }
}

#[async_trait]
impl Ground for Loopback {
    async fn make_whole(&self) {
        for admin in self.start_all() {
            self.wait_until_ready(admin).await;
        }
    }

    async fn put_back(&self) {
        kubectl(&["delete", "deployment", "castoff", "-n", NAMESPACE, "--ignore-not-found"]).await;
        install().await;
        let as_usual = self.further.lock().unwrap().is_usual();
        if as_usual {
            self.make_whole().await;
        } else {
            self.serve_with(&[]).await;
        }
        self.balancer.set(self.addresses());
    }

    fn processes(&self) -> Option<&Loopback> {
        Some(self)
    }

    async fn kill(&self, number: usize) {
        let child = self.replicas.lock().unwrap()[number].child.take();
        if let Some(mut child) = child {
            child.kill().await.unwrap();
        }
    }

    async fn terminate(&self, number: usize) {
        let child = self.replicas.lock().unwrap()[number].child.take();
        if let Some(mut child) = child {
            let pid = child.id().unwrap().to_string();
            Command::new("kill").args(["-TERM", &pid]).status().await.unwrap();
            let ended = child.wait().await.unwrap();
            assert!(ended.success(), "a replica that was told to end did not end in peace: {ended}");
        }
    }

    async fn leader(&self) -> Option<usize> {
        let holder = holder().await;
        holder.strip_prefix("replica-")?.split('-').next()?.parse().ok()
    }

    async fn metrics(&self, number: usize) -> String {
        let admin = self.replicas.lock().unwrap()[number].admin;
        reqwest::get(format!("http://127.0.0.1:{admin}/metrics")).await.unwrap().text().await.unwrap()
    }

    async fn log(&self, word: &str) -> String {
        let mut text = String::new();
        for number in 0..2 {
            let log = tokio::fs::read_to_string(self.log_file(number)).await.unwrap_or_default();
            for line in log.lines().filter(|line| line.contains(word)) {
                writeln!(text, "{number}: {line}").unwrap();
            }
        }
        text
    }

    async fn stop(&self) {
        for number in 0..2 {
            self.terminate(number).await;
        }
        unregister().await;
    }

    fn pod(&self) -> Value {
        json!({"containers": [{"name": "main", "image": "none"}], "terminationGracePeriodSeconds": 5})
    }

    async fn reach(&self, url: &str) -> String {
        url.to_owned()
    }

    fn lacks(&self, need: Need) -> Option<&'static str> {
        super::lacks(need)
    }

    fn to_be_revived(&self) -> &'static [&'static str] {
        &["controller-manager", "scheduler", "kwok"]
    }
}

pub fn free_ports(count: usize) -> Vec<u16> {
    let listeners: Vec<_> = (0..count).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

//! The servers that are measured, each a process of its own on the first processor.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use castoff::trust::self_signed;
use tempfile::TempDir;

const POLICY: &str = "apiVersion: castoff.dev/v1alpha1
kind: DrainPolicy
metadata: {name: bench, namespace: NAMESPACE}
spec:
  selector: {matchExpressions: [{key: no-such-label, operator: DoesNotExist}]}
  steps: [{name: s, plan: {builtIn: tikv}, parameters: {pd: 'http://127.0.0.1:1'}}]
";

pub struct Server {
    child: Child,
    pub address: String,
    /// When its process was started.
    pub began: Instant,
    /// Whether it allows what it is asked for.
    pub allows: bool,
    pub ca: Vec<u8>,
    _directory: TempDir,
}

impl Server {
    /// One of those that are compared.
    pub fn start(name: &str) -> Server {
        if name == "floor" { Server::floor() } else { Server::castoff(name == "denied") }
    }

    fn floor() -> Server {
        let directory = tempfile::tempdir().unwrap();
        self_signed::make(directory.path(), &[]).unwrap();
        let program = std::env::current_exe().unwrap();
        let mut command = pinned(program.to_str().unwrap());
        command.arg("floor").arg(directory.path()).stdout(Stdio::piped());
        Server::run(command, directory, true, |child| BufReader::new(child.stdout.take()?).lines().next()?.ok())
    }

    /// Castoff with a policy for the reviews' namespace, or for another one.
    fn castoff(guarded: bool) -> Server {
        let directory = tempfile::tempdir().unwrap();
        self_signed::make(&directory.path().join("certificates"), &[]).unwrap();
        let policies = directory.path().join("policies");
        std::fs::create_dir(&policies).unwrap();
        let review = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/hack/bench-gate/review-12k.json")).unwrap();
        let review: serde_json::Value = serde_json::from_slice(&review).unwrap();
        let namespace = if guarded { review["request"]["namespace"].as_str().unwrap() } else { "elsewhere" };
        std::fs::write(policies.join("policy.yaml"), POLICY.replace("NAMESPACE", namespace)).unwrap();
        // As `hack/release` builds it.
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/target/x86_64-unknown-linux-gnu/release/castoff");
        let mut command = pinned(program);
        command
            .args(["serve", "--standalone", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(["--log-format", "json", "--log", "info", "--policies"])
            .arg(&policies)
            .arg("--self-signed")
            .arg(directory.path().join("certificates"))
            .stderr(Stdio::piped());
        Server::run(command, directory, !guarded, |child| {
            let mut lines = BufReader::new(child.stderr.take()?).lines().map_while(Result::ok);
            let line = lines.find(|line| line.contains("\"address\""))?;
            std::thread::spawn(move || lines.for_each(drop));
            let line: serde_json::Value = serde_json::from_str(&line).ok()?;
            line["address"].as_str().map(str::to_owned)
        })
    }

    fn run(
        mut command: Command,
        directory: TempDir,
        allows: bool,
        address: impl FnOnce(&mut Child) -> Option<String>,
    ) -> Server {
        let began = Instant::now();
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let address = address(&mut child).expect("the server says where it listens");
        let ca = ["ca.crt", "certificates/ca.crt"].map(|file| std::fs::read(directory.path().join(file)));
        let ca = ca.into_iter().find_map(Result::ok).unwrap();
        Server { child, address, began, allows, ca, _directory: directory }
    }

    /// Processor time of all its threads, in microseconds.
    pub fn cpu(&self) -> f64 {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let of_thread = |thread: std::fs::DirEntry| {
            let text = std::fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
            text.split(' ').next().and_then(|nanoseconds| nanoseconds.parse::<f64>().ok()).unwrap_or(0.0)
        };
        threads.map_while(Result::ok).map(of_thread).sum::<f64>() / 1000.0
    }

    /// Resident memory in mebibytes.
    pub fn memory(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command on the first processor; the load comes from the others.
fn pinned(program: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", "0", program]);
    command
}

//! The page on `http-hook`: its examples do what it says, and it shows them as they are.
//!
//! Those that take more than cargo are ignored here; `hack/test examples` runs them where their language is there.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;

use castoff::backend::client::Clients;
use castoff::backend::dns::{GuardedDns, SystemDns};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{By, Guard, PATIENCE, POD_IP};
use crate::own_plan::policy;

const PAGE: &str = include_str!("../../docs/http-hook.md");

/// An example that runs.
struct Application {
    child: Child,
    port: u16,
    _directory: TempDir,
}

impl Application {
    /// Runs a copy of the example that listens on a free port; `command` is made for its path and that port.
    fn start(file: &str, command: impl FnOnce(&Path, u16) -> Command) -> Application {
        let text = std::fs::read_to_string(example(file)).unwrap();
        assert!(PAGE.contains(&text), "the page shows another text than {file}");
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let directory = tempfile::tempdir().unwrap();
        let copy = directory.path().join(file);
        std::fs::write(&copy, text.replace("8080", &port.to_string())).unwrap();
        let mut command = command(&copy, port);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Application { child, port, _directory: directory }
    }

    async fn state(&self) -> Option<String> {
        let client = Clients::new(GuardedDns::new(Arc::new(SystemDns::new()), true)).plain().unwrap();
        let answer = client.get(format!("http://{POD_IP}:{}/prestop", self.port)).send().await.ok()?;
        let answer: Value = serde_json::from_slice(&answer.bytes().await.ok()?).ok()?;
        answer["state"].as_str().map(str::to_owned)
    }

    /// Waits until it says so.
    async fn until(&self, state: &str) {
        let wait = async {
            while self.state().await.as_deref() != Some(state) {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never {state}"));
    }

    /// Prepared by the guard, and taken back once nobody asks any more.
    async fn keeps_the_contract(self) {
        self.until("Idle").await;
        let hasty = policy("{builtIn: http-hook}", &json!({"port": self.port})) + "  abandonAfterSeconds: 3\n";
        let guard = Guard::start(&hasty);
        // A person: a controller would be waited for longer.
        assert!(!guard.ask(2, By::Person).await.allowed);
        self.until("Prepared").await;
        // A dry run is no try: the drain is given up meanwhile.
        guard.ask_until_allowed(2, By::DryRun).await;
        self.until("Idle").await;
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn example(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples").join(file)
}

#[tokio::test]
async fn the_hook_in_rust_keeps_the_contract() {
    // Cargo builds it with all other tests, but not where this test alone is asked for.
    let arguments = ["build", "--quiet", "--locked", "--example", "http-hook"];
    let built = Command::new(env!("CARGO")).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).status();
    assert!(built.is_ok_and(|status| status.success()), "the example does not build");
    let program = Path::new(env!("CARGO_BIN_EXE_castoff")).with_file_name("examples").join("http-hook");
    let run = |_: &Path, port: u16| {
        let mut command = Command::new(program);
        command.env("LISTEN", format!("0.0.0.0:{port}"));
        command
    };
    Application::start("http-hook.rs", run).keeps_the_contract().await;
}

#[tokio::test]
#[ignore = "needs Go: hack/test examples"]
async fn the_hook_in_go_keeps_the_contract() {
    let run = |file: &Path, _: u16| {
        let program = file.with_extension("");
        let built = Command::new("go").args(["build", "-o"]).arg(&program).arg(file).status();
        assert!(built.is_ok_and(|status| status.success()), "go build has failed");
        Command::new(program)
    };
    Application::start("http-hook.go", run).keeps_the_contract().await;
}

#[tokio::test]
#[ignore = "needs Python: hack/test examples"]
async fn the_hook_in_python_keeps_the_contract() {
    let run = |file: &Path, _: u16| {
        let mut command = Command::new("python3");
        command.arg(file).stderr(std::process::Stdio::null());
        command
    };
    Application::start("http-hook.py", run).keeps_the_contract().await;
}

#[tokio::test]
#[ignore = "needs Java: hack/test examples"]
async fn the_hook_in_java_keeps_the_contract() {
    let run = |file: &Path, _: u16| {
        let mut command = Command::new("java");
        command.arg(file);
        command
    };
    Application::start("HttpHook.java", run).keeps_the_contract().await;
}

#[test]
fn the_policy_on_the_page_is_accepted() {
    let policy = PAGE.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("policy.yaml"), policy).unwrap();
    castoff::standalone::policies::read(directory.path()).unwrap();
}

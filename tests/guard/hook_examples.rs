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

/// An application that runs, or what answers for it.
pub struct Application {
    child: Child,
    pub port: u16,
    pub directory: TempDir,
}

impl Application {
    /// Runs a copy of the example that listens on a free port; `command` is made for its path and that port.
    fn start(file: &str, command: impl FnOnce(&Path, u16) -> Command) -> Application {
        let text = std::fs::read_to_string(example(file)).unwrap();
        assert!(PAGE.contains(&text), "the page shows another text than {file}");
        Application::on_free_port(|directory, port| {
            let copy = directory.join(file);
            std::fs::write(&copy, text.replace("8080", &port.to_string())).unwrap();
            command(&copy, port)
        })
    }

    /// Runs what `command` makes for a directory of its own and a free port.
    pub fn on_free_port(command: impl FnOnce(&Path, u16) -> Command) -> Application {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let directory = tempfile::tempdir().unwrap();
        let child = spawn(command(directory.path(), port));
        Application { child, port, directory }
    }

    /// Ends it as a power cut would, and runs it again by this command.
    pub fn kill_and_restart(&mut self, command: Command) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = spawn(command);
    }

    /// What it answers; `Null` where it does not.
    pub async fn answer(&self, method: &str) -> Value {
        let client = Clients::new(GuardedDns::new(Arc::new(SystemDns::new()), true)).plain().unwrap();
        let url = format!("http://{POD_IP}:{}/prestop", self.port);
        let Ok(answer) = client.request(method.parse().unwrap(), url).send().await else { return Value::Null };
        let (status, body) = (answer.status(), answer.bytes().await.unwrap_or_default());
        let text = || json!({"status": status.as_u16(), "text": String::from_utf8_lossy(&body)});
        serde_json::from_slice(&body).unwrap_or_else(|_| text())
    }

    /// Waits until it answers so.
    pub async fn until(&self, what: &str, is_it: impl Fn(&Value) -> bool) {
        let wait = async {
            while !is_it(&self.answer("GET").await) {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        assert!(waited.is_ok(), "never {what}: {}", self.answer("GET").await);
    }

    /// Waits until it says that it is in this state.
    pub async fn until_state(&self, state: &str) {
        self.until(state, |answer| answer["state"] == state).await;
    }

    /// Prepared by the guard, and taken back once nobody asks any more.
    pub async fn keeps_the_contract(&self) {
        self.until_state("Idle").await;
        let guard = self.guard();
        // A person: a controller would be waited for longer.
        assert!(!guard.ask(2, By::Person).await.allowed);
        self.until_state("Prepared").await;
        // A dry run is no try: the drain is given up meanwhile.
        guard.ask_until_allowed(2, By::DryRun).await;
        self.until_state("Idle").await;
    }

    /// A guard whose policy asks it, and that soon gives up.
    pub fn guard(&self) -> Guard {
        Guard::start(&(policy("{builtIn: http-hook}", &json!({"port": self.port})) + "  abandonAfterSeconds: 3\n"))
    }
}

fn spawn(mut command: Command) -> Child {
    command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
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

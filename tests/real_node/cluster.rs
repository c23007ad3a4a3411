//! kubectl, and what is looked at with it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Castoff's own namespace.
pub const SYSTEM: &str = "castoff-system";

/// What a command printed.
#[derive(Debug)]
pub struct Printed {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Runs such a command until it ends.
pub fn run(program: &str, arguments: &[&str]) -> Printed {
    let output = command(program, arguments).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    Printed {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A command from the repository, with this build's castoff in PATH.
pub fn command(program: &str, arguments: &[&str]) -> Command {
    let here = Path::new(env!("CARGO_BIN_EXE_castoff")).parent().unwrap().display().to_string();
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("PATH", format!("{here}:{}", std::env::var("PATH").unwrap()));
    command
}

/// kubectl, which must succeed; what it printed.
pub fn kubectl(arguments: &[&str]) -> String {
    let printed = run("kubectl", arguments);
    assert_eq!(printed.code, 0, "kubectl {arguments:?}: {}{}", printed.out, printed.err);
    printed.out
}

/// An object, if it is there.
pub fn object(arguments: &[&str]) -> Option<Value> {
    let printed = run("kubectl", &[&["get", "-o", "json"], arguments].concat());
    (printed.code == 0).then(|| serde_json::from_str(&printed.out).unwrap())
}

/// The objects of a list.
pub fn objects(arguments: &[&str]) -> Vec<Value> {
    let list = object(arguments).unwrap_or_default();
    list["items"].as_array().cloned().unwrap_or_default()
}

/// Looks again and again until there is an answer.
pub fn until<T>(what: &str, seconds: u64, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{seconds} s have passed, and not yet: {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Whether a condition of an object is True.
pub fn is(object: &Value, condition: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.iter().any(|one| one["type"] == condition && one["status"] == "True")
}

/// The one node.
pub fn node() -> String {
    objects(&["nodes"])[0]["metadata"]["name"].as_str().unwrap().to_owned()
}

/// A namespace of a scenario, gone with it.
pub struct Namespace(pub String);

impl Namespace {
    pub fn new(name: &str) -> Self {
        kubectl(&["create", "namespace", name]);
        Namespace(name.to_owned())
    }

    /// Applies a file of `tests/real_node`; `{ns}` in it is this namespace.
    pub fn apply(&self, text: &str) {
        use std::io::Write as _;
        let mut child = command("kubectl", &["apply", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.replace("{ns}", &self.0).as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// kubectl here.
    pub fn run(&self, arguments: &[&str]) -> Printed {
        run("kubectl", &[&["-n", &self.0], arguments].concat())
    }

    /// kubectl here, which must succeed.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        kubectl(&[&["-n", &self.0], arguments].concat())
    }

    /// The pods with this label.
    pub fn pods(&self, selector: &str) -> Vec<Value> {
        objects(&["pods", "-n", &self.0, "-l", selector])
    }

    /// The pod's UID.
    pub fn uid(&self, pod: &str) -> Option<String> {
        let pod = object(&["pod", "-n", &self.0, pod])?;
        pod["metadata"]["uid"].as_str().map(str::to_owned)
    }

    /// Waits until so many pods with this label are Ready, and none else has it.
    pub fn all_ready(&self, selector: &str, count: usize) {
        until(&format!("{count} pods with {selector} are Ready"), 90, || {
            let pods = self.pods(selector);
            let whole = |pod: &&Value| is(pod, "Ready") && pod["metadata"]["deletionTimestamp"].is_null();
            (pods.len() == count && pods.iter().filter(whole).count() == count).then_some(())
        });
    }

    /// Waits until a policy is in force.
    pub fn guarding(&self, policy: &str) {
        until(&format!("policy {policy} is Ready"), 60, || {
            let policy = object(&["drainpolicy", "-n", &self.0, policy])?;
            (is(&policy, "Ready") && !is(&policy, "NoPods")).then_some(())
        });
    }

    /// Deletes a pod as people do who try again until they succeed.
    pub fn delete_until_it_goes(&self, pod: &str) {
        until(&format!("{pod} may leave"), 120, || {
            (self.run(&["delete", "pod", pod, "--wait=false"]).code == 0).then_some(())
        });
    }

    /// What a pod's container prints, from now on until it ends.
    pub fn follow(&self, pod: &str) -> Child {
        command("kubectl", &["-n", &self.0, "logs", "-f", pod])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// JSON that a pod answers.
    pub fn ask(&self, pod: &str, path: &str) -> Value {
        let place = format!("/api/v1/namespaces/{}/pods/{pod}:8080/proxy/{path}", self.0);
        serde_json::from_str(&kubectl(&["get", "--raw", &place])).unwrap()
    }

    fn explain(&self) {
        for arguments in [
            &["get", "pods,drainpolicies,poddrains", "-o", "wide"][..],
            &["get", "poddrains", "-o", "jsonpath={range .items[*]}{.metadata.name}: {.status}{\"\\n\"}{end}"],
            &["get", "events", "--sort-by=.lastTimestamp"],
        ] {
            let printed = self.run(arguments);
            println!("{}{}", printed.out, printed.err);
        }
        let log =
            run("kubectl", &["-n", SYSTEM, "logs", "-l", "app.kubernetes.io/name=castoff", "--tail=40", "--prefix"]);
        println!("{}", log.out);
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.explain();
        }
        // Policies first: without one nothing holds the pods.
        self.run(&["delete", "drainpolicies", "--all"]);
        run("kubectl", &["delete", "namespace", &self.0, "--wait=false"]);
    }
}

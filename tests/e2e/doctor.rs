//! `castoff doctor`, the real program, asked by an admin.

use std::path::Path;
use std::time::{Duration, Instant};

use castoff_test_support::proxy::Proxy;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::installation::{self, Printed};
use crate::scene::Scene;

/// How long a fault takes to be seen, or to be gone: a lease, a cache and a retry of each.
const PATIENCE: Duration = Duration::from_mins(1);

/// Something that is wrong, as the doctor tells it.
#[derive(Clone, Debug, Deserialize)]
pub struct Finding {
    pub reason: String,
    pub what: String,
    pub why: String,
    pub fix: String,
    /// The section of the runbook that says more.
    pub runbook: Option<String>,
    /// To be known, but nothing that has to be mended.
    pub note: bool,
}

#[derive(Deserialize)]
struct Report {
    findings: Vec<Finding>,
}

/// Runs a line of a shell, in which `castoff` is the program that is tested.
pub async fn shell(line: &str) -> Printed {
    let programs = Path::new(env!("CARGO_BIN_EXE_castoff")).parent().unwrap().display();
    installation::run("bash", &["-c", &format!("PATH='{programs}':\"$PATH\"\n{line}")]).await
}

/// What `castoff check-pod` says is next for a pod, once that has these words; typed as it stands, by somebody whose
/// editor changes nothing.
pub async fn type_next(scene: &Scene, pod: &str, words: &str) {
    let line = format!("castoff check-pod {pod} -n {} -o json", scene.namespace);
    let next = scene
        .until(&format!("what is next has {words}"), 40, || async {
            let told: Value = serde_json::from_str(&shell(&line).await.stdout).ok()?;
            told["next"].as_str().filter(|next| next.contains(words)).map(str::to_owned)
        })
        .await;
    let printed = shell(&format!("export KUBE_EDITOR=true\n{next}")).await;
    assert_eq!(printed.code, 0, "{next}: {printed:?}");
}

/// What the doctor finds. Its exit code tells whether that is anything.
pub async fn findings() -> Vec<Finding> {
    findings_of("castoff doctor -o json").await
}

impl Scene {
    /// What it finds by an API server's clock that is so many seconds ahead: as if things had stood as they do for as
    /// long.
    pub async fn findings_in(&self, seconds: i64) -> Vec<Finding> {
        let proxy = Proxy::to(self.client.clone()).await;
        proxy.ahead(seconds);
        let directory = tempfile::tempdir().unwrap();
        let kubeconfig = directory.path().join("kubeconfig");
        std::fs::write(&kubeconfig, proxy.kubeconfig()).unwrap();
        findings_of(&format!("KUBECONFIG='{}' castoff doctor -o json", kubeconfig.display())).await
    }
}

async fn findings_of(line: &str) -> Vec<Finding> {
    let printed = shell(line).await;
    let report: Report = serde_json::from_str(&printed.stdout).unwrap_or_else(|error| panic!("{error}: {printed:?}"));
    let wrong = report.findings.iter().any(|found| !found.note);
    assert_eq!(printed.code, i32::from(wrong), "{printed:?}");
    report.findings
}

impl Scene {
    /// One pod under a policy: an installation that has something to guard.
    pub async fn guarded(&self) {
        self.stateful_set("app", 1, json!({})).await;
        self.hook_policy("app", json!({})).await;
    }

    /// Waits until the doctor finds something of this reason whose description has these words.
    pub async fn doctor_finds(&self, reason: &str, words: &str) -> Finding {
        let is_it = |found: &Finding| found.reason == reason && found.what.contains(words);
        let found = doctor(&format!("finds {reason} ({words})"), |found| found.into_iter().find(is_it)).await;
        assert!(!found.note && !found.why.is_empty() && !found.fix.is_empty(), "{found:?}");
        found
    }

    /// Waits until the doctor tells of something that is to be known, and no fault.
    pub async fn doctor_notes(&self, reason: &str) -> Finding {
        let note = doctor(&format!("notes {reason}"), |found| found.into_iter().find(|it| it.reason == reason)).await;
        assert!(note.note, "{note:?}");
        note
    }

    /// Waits until nothing of this reason is found any more.
    pub async fn doctor_no_longer_finds(&self, reason: &str) {
        doctor(&format!("no longer finds {reason}"), |found| {
            found.iter().all(|found| found.reason != reason).then_some(())
        })
        .await;
    }

    /// Waits until nothing at all is found: what earlier scenarios have left goes by and by.
    pub async fn doctor_finds_nothing(&self) {
        doctor("finds nothing", |found| found.is_empty().then_some(())).await;
    }
}

/// Lets the doctor look again and again, until what it has found holds an answer.
async fn doctor<T>(what: &str, look: impl Fn(Vec<Finding>) -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = findings().await;
        let last = format!("{found:#?}");
        if let Some(answer) = look(found) {
            return answer;
        }
        assert!(Instant::now() < deadline, "not yet: the doctor {what}. It finds {last}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

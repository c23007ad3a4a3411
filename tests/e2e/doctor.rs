//! `castoff doctor`, the real program, asked by an admin.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use crate::installation::{self, Printed};
use crate::scene::Scene;

/// How long a fault takes to be seen, or to be gone, in seconds: a lease, a cache and a retry of each.
const PATIENCE: u64 = 60;

/// Something that is wrong, as the doctor tells it.
#[derive(Clone, Debug, Deserialize)]
pub struct Finding {
    pub reason: String,
    pub what: String,
    pub why: String,
    pub fix: String,
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

/// What the doctor finds. Its exit code tells whether that is anything.
pub async fn findings() -> Vec<Finding> {
    let printed = shell("castoff doctor -o json").await;
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
        let what = format!("the doctor finds {reason} ({words})");
        let found = self
            .until(&what, PATIENCE, || async {
                let found = findings().await;
                found.into_iter().find(|found| found.reason == reason && found.what.contains(words))
            })
            .await;
        assert!(!found.note && !found.why.is_empty() && !found.fix.is_empty(), "{found:?}");
        found
    }

    /// Waits until nothing of this reason is found any more.
    pub async fn doctor_no_longer_finds(&self, reason: &str) {
        self.until(&format!("the doctor no longer finds {reason}"), PATIENCE, || async {
            findings().await.iter().all(|found| found.reason != reason).then_some(())
        })
        .await;
    }

    /// Waits until nothing at all is found: what earlier scenarios have left goes by and by.
    pub async fn doctor_finds_nothing(&self) {
        let mut last = Vec::new();
        for _ in 0..PATIENCE {
            last = findings().await;
            if last.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        panic!("the doctor still finds {last:#?}");
    }
}

//! A policy that only tells: pods leave, and callers, metrics and `castoff review` say what would have happened.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{By, Guard, POLICY, pd, pod, review};

#[tokio::test]
async fn an_audited_pod_leaves_with_a_warning_is_counted_and_nothing_is_touched() {
    let pd = pd().await;
    let guard = Guard::start(&POLICY.replace("{pd}", &pd.url()).replace("spec:\n", "spec:\n  mode: Audit\n"));
    let answer = guard.ask(2, By::StatefulSet).await;
    assert!(answer.allowed && answer.reason == "Audited" && answer.message.is_empty(), "{answer:?}");
    let warning = "tidb/basic-tikv-2 would have been denied (policy tikv, audit only): Queued";
    assert!(answer.warnings[0].contains(warning), "{answer:?}");
    let counted = "castoff_requests_total{decision=\"allow\",reason=\"Audited\"}";
    assert_eq!(guard.metric(counted).await, 1);
    let of_policy = "castoff_audited_total{namespace=\"tidb\",policy=\"tikv\",would=\"Queued\"}";
    assert_eq!(guard.metric(of_policy).await, 1);
    assert_eq!(guard.outcome(2), None, "no drain");
    assert!(pd.evict_entries().is_empty(), "nothing is set at the backend");

    let file = guard.directory.path().join("review.json");
    std::fs::write(&file, review(2, &pod(2, "one", true), By::StatefulSet).to_string()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_castoff"))
        .args(["review", "-o", "json", "--policies"])
        .arg(guard.directory.path().join("policies"))
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "it would be allowed");
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        rows,
        json!([{
            "file": file.to_str(), "allowed": true, "reason": "Audited", "code": 200, "message": "",
            "warnings": answer.warnings,
        }])
    );
}

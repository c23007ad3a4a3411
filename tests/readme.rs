//! What the README shows is what happens.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Command;

const README: &str = include_str!("../README.md");

#[test]
fn the_answer_in_the_readme_is_the_one_that_is_given() {
    let shown = README.split("<!-- answer -->\n```json\n").nth(1).unwrap().split('\n').next().unwrap();
    let shown: serde_json::Value = serde_json::from_str(shown).unwrap();
    let review = "tests/reviews/1.36/delete-by-statefulset-controller.json";
    assert!(README.contains(&format!("--json @{review} https://localhost:8443/validate")));
    let output = Command::new(env!("CARGO_BIN_EXE_castoff"))
        .args(["review", "--policies", "tests/policies", "-o", "json", review])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "a denial is exit code 1");
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(rows[0]["message"], shown["response"]["status"]["message"]);
    assert_eq!(rows[0]["reason"], shown["response"]["auditAnnotations"]["reason"]);
    assert_eq!(rows[0]["code"], shown["response"]["status"]["code"]);
}

#[test]
fn the_files_that_the_readme_names_are_there() {
    for place in README.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
        let is_local = !place.starts_with('#') && !place.contains("://");
        assert!(!is_local || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(place).exists(), "{place}");
    }
}

#[test]
fn the_policy_in_the_readme_is_accepted() {
    let policy = README.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("policy.yaml"), policy).unwrap();
    castoff::standalone::policies::read(directory.path()).unwrap();
}

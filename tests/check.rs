//! `castoff check` on files that are wrong, each with what must be said of it, and on files that are right.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::Command;

use castoff::standalone::policies;

/// Lines of a wrong file that say what must be said of it.
const SAYS: &str = "# says: ";

fn check(folder: &Path, file: &str, output: &str) -> (Option<i32>, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_castoff")).args(["check", "-o", output, file]).current_dir(folder).output();
    let output = output.unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

fn wrong() -> (PathBuf, Vec<String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wrong");
    let mut files: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| Path::new(name).extension().is_some_and(|ending| ending == "yaml"))
        .collect();
    files.sort();
    (folder, files)
}

#[test]
fn every_wrong_file_gets_the_message_that_it_must_get_and_no_other() {
    let (folder, files) = wrong();
    assert!(files.len() >= 40, "{} files", files.len());
    let mut different = Vec::new();
    for file in &files {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        let must: Vec<String> =
            text.lines().filter_map(|line| line.strip_prefix(SAYS)).map(|says| format!("{file}:{says}")).collect();
        assert!(!must.is_empty(), "{file} does not say what must be said of it");
        let (code, said) = check(&folder, file, "table");
        assert_eq!(code, Some(1), "{file}");
        let said: Vec<&str> = said.lines().take_while(|line| !line.is_empty()).collect();
        if said != must {
            different.push(format!("{file}:\n  must {must:#?}\n  says {said:#?}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn every_mistake_has_its_file_line_field_and_message() {
    let (folder, files) = wrong();
    for file in &files {
        let (_, said) = check(&folder, file, "json");
        let complaints: serde_json::Value = serde_json::from_str(&said).unwrap();
        for complaint in complaints.as_array().unwrap() {
            assert_eq!(complaint["file"], file.as_str());
            assert!(complaint["line"].as_u64().is_some_and(|line| line > 0), "{complaint}");
            assert!(!complaint["message"].as_str().unwrap().is_empty(), "{complaint}");
            // What is no YAML has no fields.
            let has_fields = !["policy-broken-yaml.yaml", "policy-field-twice.yaml"].contains(&file.as_str());
            assert_eq!(complaint["field"].as_str().unwrap().is_empty(), !has_fields, "{complaint}");
        }
    }
}

#[test]
fn what_check_refuses_serve_refuses_and_what_it_accepts_serve_accepts() {
    let (folder, files) = wrong();
    for file in &files {
        let directory = tempfile::tempdir().unwrap();
        std::fs::copy(folder.join(file), directory.path().join(file)).unwrap();
        // Policies in each other's way are followed all the same: their pods are denied, naming both.
        let is_followed = file == "policy-in-each-others-way.yaml";
        assert_eq!(policies::read(directory.path()).is_ok(), is_followed, "{file}");
    }
    let right = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policies");
    assert_eq!(check(&right, ".", "json"), (Some(0), "[]\n".to_owned()));
    policies::read(&right).unwrap();
}

#[test]
fn the_policy_of_the_quickstart_is_right() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples");
    assert_eq!(check(&examples, "shop-policy.yaml", "json"), (Some(0), "[]\n".to_owned()));
}

#[test]
fn five_mistakes_are_told_in_one_run_and_none_that_follows_from_another() {
    let directory = tempfile::tempdir().unwrap();
    let text = "apiVersion: castoff.dev/v1alpha1
kind: DrainPolicy
metadata: {name: web, namespace: shop}
spec:
  selectr: {matchLabels: {app: web}}
  mode: Enforced
  steps:
  - name: hook
    plan: {builtin: http-hok}
    parameters: {prt: 8080}
  maxUnavailable: 0
---
apiVersion: castoff.dev/v1alpha1
kind: DrainPlan
metadata: {name: mine}
spec:
  summary: Asks the application
  observe: {hook: {url: \"http://${pod.name}:80/\"}}
  don: hook.body.ready
---
apiVersion: castoff.dev/v1alpha1
kind: DrainPolicy
metadata: {name: other, namespace: shop}
spec:
  selector: {matchLabels: {app: other}}
  steps:
  - {name: a, plan: {name: mine}}
";
    std::fs::write(directory.path().join("all.yaml"), text).unwrap();
    let (code, said) = check(directory.path(), "all.yaml", "table");
    assert_eq!(code, Some(1));
    let places: Vec<&str> =
        said.lines().filter_map(|line| line.strip_prefix("all.yaml:")?.split(": ").nth(1)).collect();
    let expected = [
        "spec.selectr",
        "spec.mode",
        "spec.steps[0].plan.builtin",
        "spec.steps[0].plan",
        "spec.maxUnavailable",
        "spec.observe.hook.url",
        "spec.don",
    ];
    for place in expected {
        assert!(places.contains(&place), "{place}: {said}");
    }
    assert!(said.contains("did you mean pod.metadata.name?") && said.contains("did you mean http-hook?"), "{said}");
    assert!(!said.contains("there is no DrainPlan"), "it is there, with mistakes: {said}");
    assert_eq!(places.len(), expected.len(), "{said}");
}

#[test]
fn all_files_that_are_named_are_checked_together() {
    let (folder, _) = wrong();
    let output = Command::new(env!("CARGO_BIN_EXE_castoff"))
        .args(["check", "plan-no-done.yaml", "policy-no-name.yaml"])
        .current_dir(&folder)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.ends_with("\nmistakes: 2, files with mistakes: 2\n"), "{said}");
    let missing = Command::new(env!("CARGO_BIN_EXE_castoff")).args(["check", "no-such-file"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(2));
}

//! `castoff plan test`: the tests of built-in plans hold, and one that does not is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn castoff(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_castoff")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The files of tests, with their plans' names.
fn files() -> Vec<(String, PathBuf)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/plan/builtin");
    let paths = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let named = |path: PathBuf| {
        let name = path.file_name()?.to_str()?.strip_suffix(".test.yaml")?.to_owned();
        Some((name, path))
    };
    paths.filter_map(named).collect()
}

#[test]
fn the_tests_of_built_in_plans_hold() {
    assert!(files().len() >= 18);
    for (name, path) in files() {
        let played = castoff(&["plan", "test", "-o", "json", path.to_str().unwrap()]);
        let told = text(&played.stdout);
        assert!(played.status.success(), "{name}: {told}{}", text(&played.stderr));
        let reports: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(reports[0]["plan"], name.as_str());
        assert!(reports[0]["cases"].as_array().unwrap().len() >= 5, "{name}");
    }
}

#[test]
fn they_are_what_explain_shows() {
    for (name, path) in files() {
        let shown = castoff(&["plans", &name, "--explain"]);
        assert!(shown.status.success(), "{name}: {}", text(&shown.stderr));
        let shown = text(&shown.stdout);
        assert!(shown.contains("Checked against "), "{shown}");
        let file = std::fs::read_to_string(path).unwrap();
        let cases = file.lines().filter(|line| line.starts_with("- name: ") || line.starts_with("- {name: ")).count();
        let verdicts = ["Done", "Waiting", "Act", "Blocked", "Unknown", "Failed"];
        let told = shown.lines().filter(|line| verdicts.iter().any(|verdict| line.starts_with(verdict))).count();
        assert_eq!(told, cases, "{name}: {shown}");
    }
    assert_eq!(castoff(&["plans", "--explain"]).status.code(), Some(2));
}

/// The DrainPlan of a recipe.
fn of_recipe(file: &Path) -> Option<String> {
    let recipe = std::fs::read_to_string(file).unwrap();
    recipe.split("\n---\n").find(|document| document.contains("kind: DrainPlan")).map(str::to_owned)
}

#[test]
fn the_tests_of_recipes_plans_hold_and_each_plan_has_some() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let recipes = std::fs::read_dir(root.join("manifests/recipes")).unwrap().map(|entry| entry.unwrap().path());
    let plans: Vec<(PathBuf, String)> = recipes.filter_map(|file| Some((file.clone(), of_recipe(&file)?))).collect();
    assert!(plans.len() >= 5);
    for (file, plan) in plans {
        let name = file.file_stem().unwrap().to_str().unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(format!("{name}.yaml")), plan).unwrap();
        let tests = directory.path().join("tests.yaml");
        std::fs::copy(root.join(format!("tests/recipes/{name}.test.yaml")), &tests).expect(name);
        let played = castoff(&["plan", "test", tests.to_str().unwrap()]);
        assert!(played.status.success(), "{name}: {}{}", text(&played.stdout), text(&played.stderr));
    }
}

const PLAN: &str = "
apiVersion: castoff.dev/v1alpha1
kind: DrainPlan
metadata: {name: mine}
spec:
  summary: x
  params: {url: {type: string, required: true}}
  observe: {leader: {url: '${params.url}/leader'}}
  prepare:
  - {when: leader.body.name == member, method: POST, url: '${params.url}/transfer', body: {from: '${member}'}}
  done: leader.body.name != member
";

const TESTS: &str = "
plan: mine.yaml
parameters: {url: 'http://db:80'}
pods: [db-0, db-1]
cases:
- name: the leader hands over
  pod: db-0
  answers: {GET http://db:80/leader: {body: {name: db-0}}}
  expect: {verdict: Act, member: db-0, act: 'POST http://db:80/transfer {\"from\":\"db-0\"}'}
- name: a follower goes
  pod: db-1
  answers: {GET http://db:80/leader: {body: {name: db-0}}}
  expect: {verdict: Done}
";

fn play(tests: &str) -> Output {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("mine.yaml"), PLAN).unwrap();
    let path = directory.path().join("mine.test.yaml");
    std::fs::write(&path, tests).unwrap();
    castoff(&["plan", "test", path.to_str().unwrap()])
}

#[test]
fn a_plan_of_ones_own_is_tested_and_what_differs_is_told() {
    let held = play(TESTS);
    assert!(held.status.success(), "{}{}", text(&held.stdout), text(&held.stderr));
    let wrong = play(&TESTS.replace("verdict: Done", "verdict: Waiting, message: nothing at all, remaining: 1"));
    assert_eq!(wrong.status.code(), Some(1));
    let told = text(&wrong.stdout);
    for part in [
        "as expected  the leader hands over: Act, POST http://db:80/transfer",
        "DIFFERS      a follower goes: Done",
        "verdict: expected Waiting, is Done",
        "remaining: expected 1, is not counted",
        "cases: 2, of which differ: 1",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let unanswered = text(&play(&TESTS.replace("/leader: {body: {name: db-0}}", "/other: {}")).stdout);
    assert!(unanswered.contains("no answer is given to GET http://db:80/leader"), "{unanswered}");
}

#[test]
fn a_mistake_in_a_test_is_wrong_usage_with_its_place() {
    for (part, instead, told) in [
        ("pod: db-1", "pod: db-9", "case \"a follower goes\": there is no pod db-9"),
        ("verdict: Done", "verdict: Fine", "mine.test.yaml:"),
        ("plan: mine.yaml", "plan: none.yaml", "none.yaml"),
        ("{url: 'http://db:80'}", "{}", "parameters.url"),
        ("cases:", "recording: none.json\ncases:", "none.json"),
    ] {
        let refused = play(&TESTS.replacen(part, instead, 1));
        assert_eq!(refused.status.code(), Some(2), "{instead}");
        assert!(text(&refused.stderr).contains(told), "{}", text(&refused.stderr));
    }
}

//! Policies and plans from files: what is wrong is told with its place.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use castoff::standalone::policies;

const POLICY: &str = "apiVersion: castoff.dev/v1alpha1
kind: DrainPolicy
metadata: {name: tikv, namespace: tidb}
spec:
  selector: {matchLabels: {app: tikv}}
  steps:
  - name: evict
    plan: {builtIn: tikv}
    parameters: {pd: \"http://basic-pd:2379\"}
";

fn read(text: &str) -> Result<usize, String> {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file.yaml"), text).unwrap();
    let place = format!("{}/", directory.path().display());
    policies::read(directory.path())
        .map(|index| index.all().count())
        .map_err(|error| error.to_string().replace(&place, ""))
}

#[test]
fn several_policies_in_one_file_are_read() {
    let two = format!("{POLICY}---\n{}", POLICY.replace("name: tikv,", "name: other,"));
    assert_eq!(read(&two), Ok(2));
}

#[test]
fn what_a_policy_needs_of_kubernetes_may_stand_beside_it() {
    let beside = |api_version: &str, kind: &str| {
        read(&format!("{POLICY}---\napiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: x}}\n"))
    };
    for (api_version, kind) in [("rbac.authorization.k8s.io/v1", "Role"), ("v1", "Secret"), ("apps/v1", "StatefulSet")]
    {
        assert_eq!(beside(api_version, kind), Ok(1), "{kind}");
    }
    for (api_version, kind) in [("castof.dev/v1alpha1", "DrainPolicy"), ("v1", "DrainPolicy"), ("x.dev/v1", "Role")] {
        let error = beside(api_version, kind).unwrap_err();
        assert!(error.contains(&format!("apiVersion: {api_version} is not known here")), "{error}");
    }
}

#[test]
fn every_mistake_is_told_with_file_line_field_and_a_hint() {
    for (wrong, instead, told) in [
        ("builtIn: tikv}", "builtIn: tikvv}", "file.yaml:8: spec.steps[0].plan: there is no built-in plan tikvv"),
        (
            "{pd: ",
            "{pdd: ",
            "file.yaml:9: spec.steps[0].parameters.pdd: the plan has no such parameter; did you mean pd?",
        ),
        ("\"http://basic-pd:2379\"", "7", "file.yaml:9: spec.steps[0].parameters.pd"),
        ("selector:", "selectr:", "file.yaml:5: "),
        ("{matchLabels: {app: tikv}}", "{}", "file.yaml:5: spec.selector: an empty selector"),
        ("v1alpha1", "v1", "file.yaml:1: apiVersion: castoff.dev/v1 is not known here; write castoff.dev/v1alpha1"),
        ("kind: DrainPolicy", "kind: Policy", "file.yaml:2: kind: Policy is no kind"),
        (", namespace: tidb", "", "file.yaml:3: metadata: a DrainPolicy needs metadata.namespace"),
        ("  selector", "  ordinals: \"2-1\"\n  selector", "file.yaml:5: spec.ordinals: `2-1` is no range"),
        ("  selector", "  maxUnavailable: 0\n  selector", "file.yaml:5: spec.maxUnavailable: a number of at least 1"),
        (
            "  selector",
            "  maxUnavailable: half\n  selector",
            "file.yaml:5: spec.maxUnavailable: a number of at least 1",
        ),
        ("  selector", "  pollPeriodSeconds: 0\n  selector", "file.yaml:5: spec.pollPeriodSeconds: at least 1 second"),
        ("  selector", "  mode: Off\n  selector", "file.yaml:5: "),
        ("  selector", "  exempt: [Never]\n  selector", "file.yaml:5: "),
    ] {
        let error = read(&POLICY.replace(wrong, instead)).expect_err(instead);
        assert!(error.starts_with(told), "{instead}:\n{error}\ndoes not begin with\n{told}");
    }
}

#[test]
fn mistakes_in_a_plan_of_ones_own_are_told_with_their_place() {
    let plan = "apiVersion: castoff.dev/v1alpha1
kind: DrainPlan
metadata: {name: mine}
spec:
  summary: Asks the application
  observe:
    hook: {url: \"http://${pod.status.podIP}:80/\"}
  done: hok.body.ready
";
    let error = read(plan).unwrap_err();
    assert!(error.starts_with("file.yaml:8: spec.done: there is no hok in this plan; did you mean hook?"), "{error}");
    assert!(read(&format!("{POLICY}---\n{plan}")).unwrap_err().starts_with("file.yaml:18: "));
}

#[test]
fn two_policies_of_one_name_are_refused() {
    assert!(read(&format!("{POLICY}---\n{POLICY}")).unwrap_err().contains("two policies tidb/tikv"));
}

#[test]
fn policies_in_each_others_way_are_told_by_check_and_followed_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let narrower = POLICY.replace("name: tikv,", "name: other,").replace("{app: tikv}", "{app: tikv, zone: a}");
    let elsewhere = POLICY.replace("name: tikv,", "name: third,").replace("namespace: tidb", "namespace: elsewhere");
    std::fs::write(directory.path().join("file.yaml"), format!("{POLICY}---\n{narrower}---\n{elsewhere}")).unwrap();
    assert_eq!(policies::read(directory.path()).unwrap().all().count(), 3);
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_castoff"))
        .args(["check", "-o", "json"])
        .arg(directory.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let complaints: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(complaints.as_array().unwrap().len(), 1, "{complaints}");
    assert_eq!((&complaints[0]["line"], &complaints[0]["field"]), (&15.into(), &"spec.selector".into()));
    assert!(complaints[0]["message"].as_str().unwrap().contains("the policy tikv"));
}

#[test]
fn check_says_so_when_nothing_is_wrong() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_castoff"))
        .args(["check", "tests/policies"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().contains("nothing is wrong"));
}

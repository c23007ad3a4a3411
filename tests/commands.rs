//! The small commands.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

fn castoff(arguments: &[&str], directory: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_castoff")).args(arguments).current_dir(directory).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn every_built_in_plan_is_printed_as_files_that_check_accepts() {
    let directory = tempfile::tempdir().unwrap();
    let list = castoff(&["plans", "-o", "json"], directory.path());
    let list: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
    assert!(list.as_array().unwrap().len() >= 8);
    for plan in list.as_array().unwrap() {
        let name = plan["name"].as_str().unwrap();
        let printed = castoff(&["plans", name], directory.path());
        assert!(printed.status.success());
        let page = text(&printed.stdout);
        assert!(page.contains("# Parameters:") && page.contains("# Reads"), "{page}");
        std::fs::write(directory.path().join("plan.yaml"), page).unwrap();
        let checked = castoff(&["check", "plan.yaml"], directory.path());
        assert!(checked.status.success(), "{name}: {}", text(&checked.stdout));
        let example = std::fs::read_to_string(directory.path().join("plan.yaml")).unwrap();
        for (plan, parameters) in [("tikv", "{pd: \"http://my-service:80\"}"), ("in-flight", "{figure: \"my-figure\"}")]
        {
            assert!(name != plan || example.contains(parameters), "{example}");
        }
    }
    assert_eq!(castoff(&["plans", "nonesuch"], directory.path()).status.code(), Some(2));
}

#[test]
fn certificates_are_made_and_not_overwritten_unless_forced() {
    let directory = tempfile::tempdir().unwrap();
    assert!(castoff(&["certs", "made", "--host", "guard.example"], directory.path()).status.success());
    let key = directory.path().join("made/tls.key");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let before = std::fs::read(&key).unwrap();
    let refused = castoff(&["certs", "made"], directory.path());
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("--force"));
    assert_eq!(std::fs::read(&key).unwrap(), before);
    assert!(castoff(&["certs", "made", "--force"], directory.path()).status.success());
    assert_ne!(std::fs::read(&key).unwrap(), before);
}

#[test]
fn wrong_usage_is_exit_code_2_and_help_teaches() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    for wrong in [&["serve"][..], &["review"], &["nonesuch"], &["review", "--policies", "nonesuch", "x"]] {
        assert_eq!(castoff(wrong, here).status.code(), Some(2), "{wrong:?}");
    }
    let help = text(&castoff(&["serve", "--help"], here).stdout);
    for word in ["CASTOFF_POLICIES", "CASTOFF_LISTEN", "[default: 127.0.0.1:8443]", "Examples:"] {
        assert!(help.contains(word), "{word}");
    }
    assert!(text(&castoff(&["--version"], here).stdout).starts_with("castoff "));
}

#[test]
fn the_runbook_prints_the_section_that_a_message_names() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let all = text(&castoff(&["runbook"], here).stdout);
    let headings = include_str!("../docs/runbook.md").lines().filter(|line| line.starts_with("## ")).count();
    assert_eq!(all.lines().count(), headings, "{all}");
    for line in all.lines() {
        let (name, means) = line.split_at(26);
        assert!(!means.is_empty(), "{name} is not explained");
        assert!(castoff(&["runbook", name.trim()], here).status.success(), "{name}");
    }
    let by_name = text(&castoff(&["runbook", "stalled"], here).stdout);
    assert!(by_name.starts_with("Stalled\n\nEvent DrainStalled") && by_name.contains("DO look at"), "{by_name}");
    assert!(!by_name.contains("Event DrainBlocked"), "only this section: {by_name}");
    assert_eq!(text(&castoff(&["runbook", "DrainStalled"], here).stdout), by_name);
    let mistyped = castoff(&["runbook", "staled"], here);
    assert_eq!(mistyped.status.code(), Some(2));
    assert!(text(&mistyped.stderr).contains("Did you mean stalled?"), "{}", text(&mistyped.stderr));
}

#[test]
fn lists_come_as_yaml_too() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let review = "tests/reviews/1.36/delete-by-user.json";
    for (arguments, text_in_it) in [
        (&["plans", "-o", "yaml"][..], "name: tikv"),
        (&["plans", "http-hook", "-o", "yaml"], "summary: "),
        (&["review", "--policies", "tests/policies", "-o", "yaml", review], "reason: NotGuarded"),
    ] {
        let output = castoff(arguments, here);
        assert!(output.status.success() && text(&output.stdout).contains(text_in_it), "{}", text(&output.stdout));
    }
}

#[test]
fn shells_get_completions_and_people_a_manual_page() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    for shell in ["bash", "zsh", "fish"] {
        let output = castoff(&["completions", shell], here);
        assert!(output.status.success() && text(&output.stdout).contains("review"), "{shell}");
    }
    assert!(text(&castoff(&["man"], here).stdout).contains(".TH castoff"));
}

/// Files of a folder of the repository, by name.
fn files(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap();
    let mut files: Vec<String> =
        entries.map(|entry| format!("{folder}/{}", entry.unwrap().file_name().to_str().unwrap())).collect();
    files.sort();
    files
}

#[test]
fn review_answers_all_captured_reviews_in_one_list_and_never_acts() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let state = tempfile::tempdir().unwrap();
    let reviews = [files("tests/reviews/1.20"), files("tests/reviews/1.36")].concat();
    let mut arguments = vec!["review", "--policies", "tests/policies", "--state", state.path().to_str().unwrap()];
    arguments.extend(["-o", "json"]);
    arguments.extend(reviews.iter().map(String::as_str));
    let output = castoff(&arguments, here);
    assert_eq!(output.status.code(), Some(1), "some are denied");
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.iter().map(|row| row["file"].as_str().unwrap()).collect::<Vec<_>>(), reviews);
    for row in rows {
        let fields: Vec<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
        let known = ["allowed", "code", "file", "message", "reason", "warnings"];
        assert!(fields.iter().all(|field| known.contains(field)), "{row}");
        let allowed = row["allowed"].as_bool().unwrap();
        assert_eq!(row["code"], if allowed { 200 } else { 429 }, "{row}");
        assert_eq!(row["message"] == "", allowed, "{row}");
        assert_ne!(row["reason"], "", "{row}");
    }
    assert!(rows.iter().any(|row| row["reason"] == "Queued") && rows.iter().any(|row| row["allowed"] == true));
    assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 0, "nothing is written");

    let table = castoff(&[&["review", "--policies", "tests/policies"], &arguments[7..]].concat(), here);
    assert_eq!(text(&table.stdout).lines().count(), reviews.len() + 1, "one table");
}

#[test]
fn review_reads_standard_input_and_calls_what_is_no_review_malformed() {
    use std::io::Write;
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_castoff"))
        .args(["review", "--policies", "tests/policies", "-o", "json", "-"])
        .current_dir(here)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"{\"kind\": \"Pod\"}").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&rows[0]["file"], &rows[0]["reason"], &rows[0]["code"]),
        (&"-".into(), &"Malformed".into(), &400.into())
    );
    assert_ne!(rows[0]["message"], "");
}

#[test]
fn nothing_is_coloured_where_there_is_no_terminal() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let review = "tests/reviews/1.36/delete-by-user.json";
    for arguments in [
        &["--help"][..],
        &["serve", "--help"],
        &["serve"],
        &["plans"],
        &["plans", "tikv"],
        &["check", "tests/wrong"],
        &["review", "--policies", "tests/policies", review],
        &["review", "--policies", "nonesuch", review],
    ] {
        let output = castoff(arguments, here);
        assert!(!output.stdout.contains(&0x1b) && !output.stderr.contains(&0x1b), "{arguments:?}");
    }
}

#[test]
fn as_a_plugin_of_kubectl_it_teaches_by_that_name() {
    let directory = tempfile::tempdir().unwrap();
    let plugin = directory.path().join("kubectl-castoff");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_castoff"), &plugin).unwrap();
    let called = |arguments: &[&str]| {
        let output = Command::new(&plugin).args(arguments).env("KUBECONFIG", "/nonexistent").output().unwrap();
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    let (code, help) = called(&["prepare", "--help"]);
    assert!(code == Some(0) && help.contains("Usage: kubectl castoff prepare"), "{help}");
    assert!(help.contains("  kubectl castoff prepare basic-tikv-2 -n tidb --wait"), "{help}");
    let (code, said) = called(&["status", "--context", "nonesuch"]);
    assert!(code == Some(2) && said.contains("kubectl castoff: no cluster") && said.contains("--kubeconfig"), "{said}");
}

#[test]
fn an_uninstall_says_first_what_it_would_do_or_is_told_to_do_it() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    for wrong in [&["uninstall"][..], &["uninstall", "--dry-run", "--yes"]] {
        let refused = castoff(wrong, here);
        assert_eq!(refused.status.code(), Some(2), "{wrong:?}");
        assert!(text(&refused.stderr).contains("--yes"), "{wrong:?}");
    }
}

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
fn lists_come_as_yaml_too() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let review = "tests/reviews/1.36/delete-by-user.json";
    for (arguments, text_in_it) in [
        (&["plans", "-o", "yaml"][..], "name: tikv"),
        (&["plans", "http-hook", "-o", "yaml"], "summary: "),
        (&["review", "--policies", "tests/policies", "-o", "yaml", review], "question: NotGuarded"),
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

//! `castoff hook`: commands of the pod's owner keep the contract of `http-hook`, under the real guard.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::harness::By;
use crate::hook_examples::Application;

/// The commands work on files of this directory.
fn hook(directory: &Path, port: u16, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_castoff"));
    command.args(["hook", "--shell", "--listen", &format!("0.0.0.0:{port}")]);
    if !more.contains(&"--state") {
        command.args(["--state", "hook.json"]);
    }
    command.args(more).current_dir(directory).stderr(Stdio::null());
    command
}

fn start(more: &[&str]) -> Application {
    Application::on_free_port(|directory, port| hook(directory, port, more))
}

/// How often the command that writes there has run.
fn lines(application: &Application, file: &str) -> usize {
    std::fs::read_to_string(file_of(application, file)).map_or(0, |text| text.lines().count())
}

fn file_of(application: &Application, file: &str) -> PathBuf {
    application.directory.path().join(file)
}

#[tokio::test]
async fn what_commands_prepared_they_take_back_once_nobody_asks() {
    let application = start(&["--prepare", "echo x >> prepared", "--undo", "echo x >> undone"]);
    application.keeps_the_contract().await;
    assert_eq!((lines(&application, "prepared"), lines(&application, "undone")), (1, 1));
}

#[tokio::test]
async fn a_pod_is_held_until_the_status_command_says_so_and_people_read_its_words() {
    let more = ["--prepare", "echo x >> prepared", "--status", "cat left; test -e gone", "--undo", "true"];
    let application = start(&more);
    std::fs::write(file_of(&application, "left"), "no secondary is near enough\n").unwrap();
    application.until_state("Idle").await;
    let guard = application.guard();
    let says = |words: &'static str| {
        move |answer: &crate::harness::Answer| {
            answer.message.contains(words) || answer.warnings.iter().any(|warning| warning.contains(words))
        }
    };
    guard.ask_until(2, By::StatefulSet, "the reason", says("no secondary is near enough")).await;
    std::fs::write(file_of(&application, "left"), "3 of them left\n").unwrap();
    guard.ask_until(2, By::StatefulSet, "how much is left", says("3 requests")).await;
    std::fs::write(file_of(&application, "gone"), "").unwrap();
    guard.ask_until_allowed(2, By::StatefulSet).await;
    assert_eq!(lines(&application, "prepared"), 1);
}

#[tokio::test]
async fn a_command_that_fails_is_told_to_whoever_asks_and_run_again() {
    let prepare = "echo x >> prepared; test -e quorum || { echo 'no quorum, 1 of 3'; exit 3; }";
    let application = start(&["--prepare", prepare]);
    application.until_state("Idle").await;
    let guard = application.guard();
    let tells = |answer: &crate::harness::Answer| answer.message.contains("exit code 3: no quorum, 1 of 3");
    guard.ask_until(2, By::StatefulSet, "why", tells).await;
    std::fs::write(file_of(&application, "quorum"), "").unwrap();
    guard.ask_until_allowed(2, By::StatefulSet).await;
    assert!(lines(&application, "prepared") >= 2);
}

#[tokio::test]
async fn a_container_that_starts_anew_goes_on_where_it_was() {
    let more =
        ["--prepare", "echo x >> prepared", "--undo", "echo x >> undone; test -e undoable || { echo no; exit 1; }"];
    let mut application = start(&more);
    application.until_state("Idle").await;
    application.answer("POST").await;
    application.until_state("Prepared").await;
    let again = |application: &Application| hook(application.directory.path(), application.port, &more);
    let command = again(&application);
    application.kill_and_restart(command);
    application.until_state("Prepared").await;
    assert_eq!(lines(&application, "prepared"), 1, "it is not prepared twice");
    application.answer("DELETE").await;
    application.until("told why", |answer| answer["blocked"] == "sh: exit code 1: no").await;
    let command = again(&application);
    application.kill_and_restart(command);
    application.until_state("Preparing").await;
    std::fs::write(file_of(&application, "undoable"), "").unwrap();
    application.answer("DELETE").await;
    application.until_state("Idle").await;
    assert_eq!((lines(&application, "prepared"), lines(&application, "undone")), (1, 2));
}

#[tokio::test]
async fn an_undo_that_fails_is_refused_in_its_words_and_begun_again() {
    let application = start(&["--prepare", "true", "--undo", "echo x >> undone; echo 'no route'; exit 1"]);
    application.until_state("Idle").await;
    application.answer("POST").await;
    application.until_state("Prepared").await;
    application.answer("DELETE").await;
    application.until("told why", |answer| answer["blocked"] != "").await;
    let refused = json!({"status": 500, "text": "sh: exit code 1: no route"});
    assert_eq!(application.answer("DELETE").await, refused);
    application.until("begun again", |_| lines(&application, "undone") == 2).await;
}

#[tokio::test]
async fn a_preparation_that_is_given_up_is_ended_before_it_is_undone() {
    let prepare = "trap 'echo ended >> order; exit 1' TERM; echo x >> prepared; while true; do sleep 0.05; done";
    let application = start(&["--prepare", prepare, "--undo", "echo undone >> order"]);
    application.until_state("Idle").await;
    application.answer("POST").await;
    application.until("begun", |_| lines(&application, "prepared") == 1).await;
    application.answer("DELETE").await;
    application.until_state("Idle").await;
    assert_eq!(std::fs::read_to_string(file_of(&application, "order")).unwrap(), "ended\nundone\n");
}

#[tokio::test]
async fn what_can_not_be_kept_is_not_begun_and_that_is_told() {
    let application = start(&["--prepare", "echo x >> prepared", "--state", "nowhere/hook.json"]);
    application.until_state("Idle").await;
    let refused = application.answer("POST").await;
    assert_eq!(refused["status"], 500);
    assert!(refused["text"].as_str().unwrap().contains("emptyDir"), "{refused}");
    assert_eq!(application.answer("GET").await["state"], "Idle");
    assert_eq!(lines(&application, "prepared"), 0);
}

#[tokio::test]
async fn what_an_application_loses_as_it_starts_anew_is_prepared_again() {
    let status = "if test -e lost; then rm lost; exit 2; fi";
    let application = start(&["--prepare", "echo x >> prepared", "--status", status]);
    application.until_state("Idle").await;
    application.answer("POST").await;
    application.until_state("Prepared").await;
    std::fs::write(file_of(&application, "lost"), "").unwrap();
    application.until_state("Idle").await;
    application.answer("POST").await;
    application.until_state("Prepared").await;
    assert_eq!(lines(&application, "prepared"), 2);
}

/// The page's sidecar, but for where it keeps and finds things.
#[tokio::test]
async fn the_arguments_on_the_page_are_those_of_the_command() {
    let page = include_str!("../../docs/hook-commands.md");
    let arguments =
        page.lines().map(str::trim).skip_while(|line| *line != "- hook").map_while(|line| line.strip_prefix("- "));
    let arguments: Vec<&str> = arguments.filter(|argument| !argument.starts_with("--state=")).collect();
    assert!(arguments.len() > 3, "{arguments:?}");
    let application = start(&arguments[1..]);
    application.until_state("Idle").await;
}

#[test]
fn other_images_get_the_program_by_a_volume() {
    let directory = tempfile::tempdir().unwrap();
    let copied = Command::new(env!("CARGO_BIN_EXE_castoff")).args(["hook", "--copy-to"]).arg(directory.path()).status();
    assert!(copied.unwrap().success());
    let version = Command::new(directory.path().join("castoff")).arg("--version").output().unwrap();
    assert!(String::from_utf8_lossy(&version.stdout).starts_with("castoff "), "{version:?}");
}

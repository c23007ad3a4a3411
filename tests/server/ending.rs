//! The end of a server.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::harness::{PATIENCE, closed, exchange, post_head, read_answer, start, start_with};
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn it_fails_readiness_goes_on_serving_and_then_closes() {
    let server = start_with(|config| config.shutdown_delay = Duration::from_secs(1)).await;
    let mut open = server.connect().await;
    assert_eq!(exchange(&mut open, &post_head("", 2), b"{}").await.status, 200);

    server.shutdown.begin();
    let ready = server.admin("/readyz").await;
    assert_eq!((ready.status, ready.body.as_str()), (503, "[-]shutdown: stopping\n"));
    let on_open = exchange(&mut open, &post_head("", 2), b"{}").await;
    assert!(on_open.status == 200 && on_open.head.contains("connection: close"), "{on_open:?}");
    closed(&mut open).await;
    let on_new = server.post("", "{}").await;
    assert!(on_new.status == 200 && on_new.head.contains("connection: close"), "{on_new:?}");

    tokio::time::timeout(PATIENCE, server.serving).await.unwrap().unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn what_is_in_flight_is_still_answered() {
    let mut server = start().await;
    let mut stream = server.connect().await;
    stream.write_all(post_head("", 4).as_bytes()).await.unwrap();
    stream.write_all(b"wait").await.unwrap();
    stream.flush().await.unwrap();
    server.gate.waiting.notified().await;
    server.shutdown.begin();
    while tokio::net::TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut server.serving).await.is_err());
    server.gate.go_on.notify_one();
    assert_eq!(read_answer(&mut stream).await.status, 200);
    tokio::time::timeout(PATIENCE, server.serving).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_it_up() {
    let server = start_with(|config| config.webhook.idle = Some(Duration::from_mins(5))).await;
    let mut idle = server.connect().await;
    assert_eq!(exchange(&mut idle, &post_head("", 2), b"{}").await.status, 200);
    server.shutdown.begin();
    tokio::time::timeout(PATIENCE, server.serving).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_second_order_ends_it_at_once() {
    let server = start_with(|config| config.shutdown_delay = Duration::from_mins(5)).await;
    let mut stream = server.connect().await;
    stream.write_all(post_head("", 4).as_bytes()).await.unwrap();
    stream.write_all(b"hang").await.unwrap();
    stream.flush().await.unwrap();
    server.shutdown.begin();
    server.shutdown.end_at_once();
    tokio::time::timeout(Duration::from_secs(5), server.serving).await.unwrap().unwrap().unwrap();
}

/// The program itself, with real signals; how long after the last one it took to end.
fn program_ends_after(signals: usize) -> (std::process::ExitStatus, Duration) {
    let directory = tempfile::tempdir().unwrap();
    let policies = directory.path().join("policies");
    std::fs::create_dir(&policies).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_castoff"))
        .args(["serve", "--standalone", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
        .args(["--shutdown-delay", if signals == 1 { "0" } else { "300" }])
        .arg("--policies")
        .arg(&policies)
        .arg("--self-signed")
        .arg(directory.path().join("certificates"))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("answers AdmissionReviews")), "the program has ended early");
    let terminate = |child: &std::process::Child| {
        assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    };
    terminate(&child);
    if signals == 2 {
        assert!(lines.any(|line| line.contains("stopping")), "the first signal was not taken");
        terminate(&child);
    }
    let told = std::time::Instant::now();
    (child.wait().unwrap(), told.elapsed())
}

#[test]
fn what_ends_the_program_is_the_last_line_of_its_log() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    let ended = Command::new(env!("CARGO_BIN_EXE_castoff"))
        .args(["serve", "--standalone", "--log-format", "json", "--listen", "127.0.0.1:0", "--admin-listen", &address])
        .arg("--policies")
        .arg(directory.path())
        .arg("--self-signed")
        .arg(directory.path().join("certificates"))
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let log = String::from_utf8(ended.stderr).unwrap();
    let last: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!(last["level"], "ERROR");
    assert!(last["message"].as_str().unwrap().contains(&address), "{log}");
}

#[test]
fn the_program_ends_well_on_sigterm() {
    let (status, took) = program_ends_after(1);
    assert!(status.success() && took < PATIENCE, "{status:?} after {took:?}");
}

#[test]
fn a_second_sigterm_ends_the_program_at_once() {
    let (_, took) = program_ends_after(2);
    assert!(took < PATIENCE, "after {took:?}");
}

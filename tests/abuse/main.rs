//! What callers with bad intentions, or none at all, can do to the guard: nothing that others notice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::path::Path;
use std::time::Duration;

use castoff_test_support::chance::{Chance, mutate};
use harness::{Guard, review};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than the guard waits for a body or a handshake.
const PATIENCE: Duration = Duration::from_secs(40);

/// Mebibytes that the process may take at most, whatever is sent to it.
const MEMORY: u64 = 64;

/// Reviews that are made from real ones by chance.
const MUTATIONS: usize = 10_000;

fn captured() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reviews/1.36");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutated_reviews_are_answered_or_refused_and_change_nothing() {
    let guard = Guard::start();
    let reviews = captured();
    let abuse = async {
        let (mut chance, mut early) = (Chance(0x5EED), 0);
        for round in 0..MUTATIONS {
            let mut bytes = reviews[chance.below(reviews.len())].clone();
            for _ in 0..=chance.below(3) {
                mutate(&mut chance, &mut bytes);
            }
            let (status, body) = guard.post(bytes.clone()).await;
            assert!([200, 400].contains(&status), "round {round}: {status} for {}", String::from_utf8_lossy(&bytes));
            let has_control = body.bytes().any(|byte| byte < 0x20 && byte != b'\n');
            assert!(!has_control, "round {round}: control characters come back: {body:?}");
            if round == MUTATIONS / 5 {
                early = guard.memory();
            }
        }
        early
    };
    let early = guard.answers_others_during(abuse).await;
    let late = guard.memory();
    assert!(late <= early + 8 && late <= MEMORY, "{early} MiB after a fifth, {late} MiB at the end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nested_brackets_are_refused() {
    let guard = Guard::start();
    let abuse = async {
        for bracket in
            ["[", "{\"a\":", "{\"request\":{\"oldObject\":[", "{\"request\":{\"oldObject\":{\"spec\":{\"x\":"]
        {
            let (status, _) = guard.post(bracket.repeat(200_000).into_bytes()).await;
            assert_eq!(status, 400, "{bracket}");
        }
    };
    guard.answers_others_during(abuse).await;
    assert!(guard.memory() <= MEMORY, "{} MiB", guard.memory());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_megabytes_of_annotations_are_read_and_answered_and_nine_are_not_taken() {
    let guard = Guard::start();
    let big = |megabytes: usize| {
        let mut big = review();
        let note = "x".repeat(megabytes * 1_000_000);
        big["request"]["oldObject"]["metadata"]["annotations"] = serde_json::json!({"note": note});
        big.to_string().into_bytes()
    };
    let abuse = async {
        for _ in 0..10 {
            assert_eq!(guard.post(big(2)).await.0, 200);
        }
        // Refused by its length, before it has come: the connection may be closed before the answer is read.
        let mut stream = guard.connect().await;
        let head = format!(
            "POST /validate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            big(9).len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        assert!(answer(&mut stream).await.starts_with("HTTP/1.1 413"));
    };
    guard.answers_others_during(abuse).await;
    assert!(guard.memory() <= MEMORY, "{} MiB", guard.memory());
}

#[tokio::test]
async fn control_characters_in_names_come_neither_back_nor_into_the_log() {
    let guard = Guard::start();
    let mut odd = review();
    let evil = "a\u{1b}[31m\nb\u{0}\u{202e}";
    for field in ["name", "namespace"] {
        odd["request"][field] = evil.into();
        odd["request"]["oldObject"]["metadata"][field] = evil.into();
    }
    let raw = ["\\u001b", "\\u0000", "\u{1b}", "\u{0}", "\u{202e}"];
    let (status, body) = guard.post(odd.to_string().into_bytes()).await;
    assert_eq!(status, 200);
    assert!(raw.iter().all(|raw| !body.contains(raw)), "{body}");
    // In the namespace of a policy, so that the answer names the pod.
    let mut guarded = review();
    guarded["request"]["name"] = evil.into();
    guarded["request"]["oldObject"]["metadata"]["name"] = evil.into();
    guarded["request"]["userInfo"]["username"] = evil.into();
    let (status, body) = guard.post(guarded.to_string().into_bytes()).await;
    assert!(status == 200 && body.contains("policy web"), "{body}");
    assert!(raw.iter().all(|raw| !body.contains(raw)), "{body}");
    let logged = async {
        while !guard.log().contains("answered") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, logged).await.expect("the answer is logged");
    let log = guard.log();
    assert!(raw.iter().all(|raw| !log.contains(raw)), "{log:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_are_answered_while_a_thousand_connections_idle() {
    let guard = Guard::start();
    let mut held = Vec::new();
    for number in 0..1000 {
        let mut stream = TcpStream::connect(guard.address()).await.unwrap();
        if number % 4 == 0 {
            // The beginning of a handshake that does not go on.
            stream.write_all(&[0x16, 0x03, 0x01, 0x02]).await.unwrap();
        }
        held.push(stream);
    }
    guard.answers_others_during(async {}).await;
    assert!(guard.memory() <= MEMORY, "{} MiB", guard.memory());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_heads_slow_bodies_and_half_open_connections_end_and_disturb_nobody() {
    let guard = Guard::start();
    let (mut heads, mut bodies, mut open) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..50 {
        let mut head = guard.connect().await;
        head.write_all(b"POST /validate HTTP/1.1\r\nhost").await.unwrap();
        heads.push(head);
        let mut body = guard.connect().await;
        let begins =
            "POST /validate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{";
        body.write_all(begins.as_bytes()).await.unwrap();
        bodies.push(body);
        // One whose handshake does not begin, and one that will never send anything again.
        let silent = TcpStream::connect(guard.address()).await.unwrap();
        let mut half = TcpStream::connect(guard.address()).await.unwrap();
        half.shutdown().await.unwrap();
        open.extend([silent, half]);
    }
    let ending = async {
        for body in &mut bodies {
            assert!(answer(body).await.starts_with("HTTP/1.1 408"));
        }
        for stream in &mut open {
            let closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
            assert!(closed.is_ok(), "a half-open connection is kept");
        }
    };
    guard.answers_others_during(ending).await;
    assert!(guard.memory() <= MEMORY, "{} MiB", guard.memory());
    // Heads have as long as the API server keeps idle connections; that they end is shown with shorter waits.
    drop(heads);
}

/// The beginning of an answer.
async fn answer(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut bytes = vec![0; 1024];
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut bytes)).await.expect("an answer").unwrap();
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}

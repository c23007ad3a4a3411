//! What callers with bad intentions, or none at all, can do to the guard: nothing that others notice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::path::Path;
use std::time::{Duration, Instant};

use harness::{Guard, review};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// Mebibytes that the process may take at most, whatever is sent to it.
const MEMORY: u64 = 64;

/// Reviews that are made from real ones by chance.
const MUTATIONS: usize = 10_000;

/// A generator of numbers with a seed of its own: a failure can be had again.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }
}

/// One change of a kind that breaks parsers: bits, bytes, pieces left out or doubled, an early end.
fn mutate(chance: &mut Chance, bytes: &mut Vec<u8>) {
    let (one, other) = (chance.below(bytes.len()), chance.below(bytes.len()));
    let (from, to) = (one.min(other), one.max(other).min(one.min(other) + 200));
    match chance.below(7) {
        0 => bytes[one] ^= 1 << chance.below(8),
        1 => bytes[one] = b"\"{}[]:,\\\0\x1b\xff"[chance.below(11)],
        2 => drop(bytes.drain(from..to)),
        3 => {
            let piece = bytes[from..to].to_vec();
            bytes.splice(one..one, piece);
        }
        4 => bytes.truncate(one),
        5 => drop(bytes.splice(one..one, b"null".iter().copied())),
        _ => drop(bytes.splice(one..one, b"\\u0000".iter().copied())),
    }
    if bytes.is_empty() {
        bytes.push(b' ');
    }
}

fn captured() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reviews/1.36");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

#[tokio::test]
async fn mutated_reviews_are_answered_or_refused_and_change_nothing() {
    let guard = Guard::start();
    let reviews = captured();
    let mut chance = Chance(0x5EED);
    for round in 0..MUTATIONS {
        let mut bytes = reviews[chance.below(reviews.len())].clone();
        for _ in 0..=chance.below(3) {
            mutate(&mut chance, &mut bytes);
        }
        let (status, body) = guard.post(bytes.clone()).await;
        assert!([200, 400].contains(&status), "round {round}: {status} for {}", String::from_utf8_lossy(&bytes));
        let has_control = body.bytes().any(|byte| byte < 0x20 && byte != b'\n');
        assert!(!has_control, "round {round}: control characters come back: {body:?}");
    }
    assert!(guard.memory() <= MEMORY, "{} MiB", guard.memory());
}

#[tokio::test]
async fn nested_brackets_are_refused() {
    let guard = Guard::start();
    for bracket in ["[", "{\"a\":", "{\"request\":{\"oldObject\":["] {
        let (status, _) = guard.post(bracket.repeat(200_000).into_bytes()).await;
        assert_eq!(status, 400, "{bracket}");
    }
    assert!(guard.memory() <= MEMORY, "{} MiB", guard.memory());
}

#[tokio::test]
async fn two_megabytes_of_annotations_are_read_and_answered() {
    let guard = Guard::start();
    let mut big = review();
    big["request"]["oldObject"]["metadata"]["annotations"] = serde_json::json!({"note": "x".repeat(2_000_000)});
    for _ in 0..10 {
        assert_eq!(guard.post(big.to_string().into_bytes()).await.0, 200);
    }
    assert!(guard.memory() <= MEMORY, "{} MiB", guard.memory());
}

#[tokio::test]
async fn control_characters_in_names_are_not_given_back() {
    let guard = Guard::start();
    let mut odd = review();
    for field in ["name", "namespace"] {
        odd["request"][field] = "a\u{1b}[31m\nb\u{0}".into();
        odd["request"]["oldObject"]["metadata"][field] = "a\u{1b}[31m\nb\u{0}".into();
    }
    let (status, body) = guard.post(odd.to_string().into_bytes()).await;
    assert_eq!(status, 200);
    assert!(!body.contains("\\u001b") && !body.contains("\\u0000") && !body.contains('\u{1b}'), "{body}");
}

#[tokio::test]
async fn others_are_answered_while_a_thousand_connections_idle_and_hundreds_dawdle() {
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
    let mut times = Vec::new();
    for _ in 0..50 {
        let began = Instant::now();
        assert_eq!(guard.post(review().to_string().into_bytes()).await.0, 200);
        times.push(began.elapsed());
    }
    times.sort();
    assert!(times[25] < Duration::from_millis(50), "half of them took longer than {:?}", times[25]);
    assert!(guard.memory() <= MEMORY, "{} MiB", guard.memory());
}

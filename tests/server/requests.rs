//! Requests, good and bad.

use castoff::server::WebhookPaths;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::harness::{exchange, head, post_head, read_answer, start, start_with};

const TOO_LONG: usize = 8 * 1024 * 1024 + 1;

#[tokio::test]
async fn a_review_is_answered_by_the_gate_as_json() {
    let server = start().await;
    let answer = server.post("", "a review").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "8"));
    assert!(answer.head.contains("content-type: application/json"));
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request() {
    let server = start().await;
    let mut stream = server.connect().await;
    for _ in 0..3 {
        assert_eq!(exchange(&mut stream, &post_head("", 2), b"{}").await.status, 200);
    }
}

#[tokio::test]
async fn what_is_wrong_is_answered_with_its_status_and_what_to_do() {
    let server = start().await;
    let json = "content-type: application/json\r\n";
    let request =
        |line: &str, headers: &str| format!("{line} HTTP/1.1\r\nhost: x\r\n{headers}content-length: 2\r\n\r\n");
    for (head, status, text) in [
        (request("GET /validate", json), 405, "POST an AdmissionReview"),
        (request("POST /elsewhere", json), 404, "/validate"),
        (request("POST /validate", ""), 415, "application/json"),
        (request("POST /validate", "content-type: text/plain\r\n"), 415, "application/json"),
        (
            request("POST /validate", "content-type: application/json\r\ncontent-encoding: gzip\r\n"),
            415,
            "content-encoding",
        ),
        (request("POST /validate", "content-type: application/json; charset=utf-8\r\n"), 200, ""),
    ] {
        let answer = server.send(&head, b"{}").await;
        assert_eq!(answer.status, status, "{head}");
        assert!(answer.body.contains(text), "{head}: {}", answer.body);
        assert_eq!(status == 405, answer.head.contains("allow: post"), "{head}");
    }
}

#[tokio::test]
async fn a_malformed_review_is_400_with_its_place() {
    let server = start().await;
    let answer = server.post("", "malformed").await;
    assert_eq!((answer.status, answer.body.as_str()), (400, "line 1 column 1: no review\n"));
}

#[tokio::test]
async fn a_body_that_is_too_long_is_413_before_it_has_come() {
    let server = start_with(|config| config.body_timeout = crate::harness::PATIENCE).await;
    assert_eq!(server.send(&post_head("", TOO_LONG), b"").await.status, 413);
}

#[tokio::test]
async fn a_caller_that_writes_all_of_a_body_before_it_reads_still_sees_why_it_is_refused() {
    let server = start().await;
    let mut stream = server.connect().await;
    stream.write_all(post_head("", TOO_LONG).as_bytes()).await.unwrap();
    stream.write_all(&vec![b' '; TOO_LONG]).await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(read_answer(&mut stream).await.status, 413);

    let mut probe = TcpStream::connect(server.admin).await.unwrap();
    probe.write_all(head("/readyz", "", TOO_LONG).as_bytes()).await.unwrap();
    probe.write_all(&vec![b' '; TOO_LONG]).await.unwrap();
    assert_eq!(read_answer(&mut probe).await.status, 405);
}

#[tokio::test]
async fn a_body_of_unknown_length_is_not_begun() {
    let server = start().await;
    let head =
        "POST /validate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    assert_eq!(server.send(head, b"").await.status, 411);
}

#[tokio::test]
async fn a_body_of_several_pieces_arrives_whole() {
    let server = start_with(|config| config.body_timeout = crate::harness::PATIENCE).await;
    let body = "x".repeat(1_000_000);
    assert_eq!(server.post("", &body).await.body, "1000000");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let server = start().await;
    assert_eq!(server.send(&post_head("", 10), b"only").await.status, 408);
}

#[tokio::test]
async fn the_gate_gets_the_time_that_the_caller_allows_less_a_margin() {
    let server = start().await;
    for (query, at_most, at_least) in [("?timeout=5s", 4500, 3000), ("", 9500, 8000), ("?timeout=700ms", 350, 1)] {
        let milliseconds: u64 = server.post(query, "time").await.body.parse().unwrap();
        assert!((at_least..=at_most).contains(&milliseconds), "{query}: {milliseconds}");
    }
}

#[tokio::test]
async fn a_gate_that_keeps_no_deadline_costs_the_caller_no_more_than_the_time_it_allows() {
    let server = start().await;
    let began = std::time::Instant::now();
    assert_eq!(server.post("?timeout=1s", "hang").await.status, 503);
    assert!(began.elapsed() < std::time::Duration::from_secs(1));
}

#[tokio::test]
async fn a_gate_that_fails_takes_nothing_else_along() {
    let server = start().await;
    assert_eq!(server.post("", "panic").await.status, 500);
    assert_eq!(server.post("", "{}").await.status, 200);
}

#[tokio::test]
async fn health_readiness_and_metrics_are_on_a_port_of_their_own() {
    let server = start().await;
    server.post("", "{}").await;
    assert_eq!(server.admin("/readyz").await.body, "[+]shutdown ok\n");
    let metrics = server.admin("/metrics").await.body;
    assert!(metrics.contains("castoff_http_requests_total{code=\"200\"} 1"), "{metrics}");
    assert!(metrics.contains("castoff_build_info{version="), "{metrics}");
    let ours = metrics.lines().filter(|line| !line.starts_with('#')).all(|line| line.starts_with("castoff_"));
    assert!(ours, "{metrics}");
    assert_eq!(server.admin("/elsewhere").await.status, 404);
}

#[tokio::test]
async fn control_characters_in_a_path_are_not_given_back() {
    let server = start().await;
    let mut stream = server.connect().await;
    stream.write_all(b"POST /\x1b[31mred HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    stream.flush().await.unwrap();
    let answer = read_answer(&mut stream).await;
    assert!((400..500).contains(&answer.status) && !answer.body.contains('\x1b'), "{answer:?}");
}

#[tokio::test]
async fn livez_names_the_part_that_stands_still() {
    let server = start().await;
    let stuck = server.liveness.register("controller", std::time::Duration::ZERO);
    let answer = server.admin("/livez").await;
    assert!(answer.status == 503 && answer.body.contains("[-]controller: no sign of life"), "{answer:?}");
    stuck.rest();
    assert_eq!(server.admin("/livez").await.status, 200);
}

#[tokio::test]
async fn reviews_are_answered_at_the_paths_that_are_accepted_now_and_nowhere_else() {
    let paths = WebhookPaths::fixed("/first");
    let server = start_with(|config| config.paths = paths.clone()).await;
    let statuses = async |expected: [u16; 3]| {
        for (path, status) in ["/validate", "/first", "/second"].into_iter().zip(expected) {
            assert_eq!(server.send(&head(path, "?timeout=10s", 2), b"{}").await.status, status, "{path}");
        }
    };
    statuses([404, 200, 404]).await;
    paths.replace(["/first".to_owned(), "/second".to_owned()]);
    statuses([404, 200, 200]).await;
    paths.replace(["/second".to_owned()]);
    statuses([404, 404, 200]).await;
}

#[tokio::test]
async fn at_another_path_the_body_is_not_waited_for() {
    let server = start_with(|config| config.body_timeout = crate::harness::PATIENCE).await;
    for method in ["GET", "POST"] {
        let head = head("/elsewhere", "", 10).replace("POST", method);
        assert_eq!(server.send(&head, b"").await.status, 404);
    }
}

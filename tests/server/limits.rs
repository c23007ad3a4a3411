//! What callers may take, and that others are answered meanwhile.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::harness::{
    ELSEWHERE, HERE, PATIENCE, Running, closed, exchange, head, post_head, read_answer, start, start_with,
};

/// Longer than a test takes: whatever ends meanwhile was not waited for so long.
const LONG: Duration = Duration::from_mins(5);

const HTTP: &[&str] = &["http/1.1"];

/// Waits until so many requests are being answered.
async fn in_flight(server: &Running, count: usize) {
    let told = format!("castoff_requests_in_flight {count}\n");
    while !server.admin("/metrics").await.body.contains(&told) {}
}

#[tokio::test]
async fn a_connection_that_asks_for_nothing_ends_soon_and_one_that_has_asked_is_kept() {
    let server = start_with(|config| config.webhook.idle = Some(LONG)).await;
    let (mut idle, mut slow, mut asked) = (server.connect().await, server.connect().await, server.connect().await);
    slow.write_all(b"POST /vali").await.unwrap();
    slow.flush().await.unwrap();
    assert_eq!(exchange(&mut asked, &post_head("", 2), b"{}").await.status, 200);
    closed(&mut idle).await;
    closed(&mut slow).await;
    assert_eq!(exchange(&mut asked, &post_head("", 2), b"{}").await.status, 200);
}

#[tokio::test]
async fn a_handshake_that_does_not_begin_is_not_waited_for() {
    let server = start().await;
    closed(&mut TcpStream::connect(server.address).await.unwrap()).await;
}

#[tokio::test]
async fn only_who_is_answered_well_keeps_the_connection() {
    let server = start_with(|config| config.webhook.idle = Some(LONG)).await;
    for (head, body) in
        [(head("/elsewhere", "", 2), "{}"), (post_head("", 9), "malformed"), (post_head("", 5), "panic")]
    {
        let mut stream = server.connect().await;
        assert_ne!(exchange(&mut stream, &head, body.as_bytes()).await.status, 200);
        closed(&mut stream).await;
    }
}

#[tokio::test]
async fn one_address_has_its_share_of_the_connections_and_others_have_the_rest() {
    let server = start_with(|config| {
        (config.webhook.connections, config.webhook.of_one_address) = (3, 2);
        (config.webhook.first_request, config.webhook.idle) = (LONG, Some(LONG));
    })
    .await;
    let mut other = server.connect_with(ELSEWHERE, HTTP).await;
    assert_eq!(exchange(&mut other, &post_head("", 2), b"{}").await.status, 200);
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(server.connect_from(HERE).await);
    }
    for stream in held.iter_mut().take(18) {
        closed(stream).await;
    }
    assert_eq!(exchange(&mut other, &post_head("", 2), b"{}").await.status, 200);
    assert_eq!(server.post("", "{}").await.status, 200);
}

#[tokio::test]
async fn a_full_house_makes_room_for_whoever_comes() {
    let server = start_with(|config| {
        (config.webhook.connections, config.webhook.of_one_address) = (2, 2);
        (config.webhook.first_request, config.webhook.idle) = (LONG, Some(LONG));
    })
    .await;
    let mut idle = server.connect_from(HERE).await;
    let mut known = server.connect().await;
    assert_eq!(exchange(&mut known, &post_head("", 2), b"{}").await.status, 200);
    let mut new = server.connect_with(ELSEWHERE, HTTP).await;
    closed(&mut idle).await;
    assert_eq!(exchange(&mut new, &post_head("", 2), b"{}").await.status, 200);
    assert_eq!(exchange(&mut known, &post_head("", 2), b"{}").await.status, 200);
}

#[tokio::test]
async fn probes_are_answered_while_idle_connections_press_on_the_admin_port() {
    let server = start_with(|config| config.admin.first_request = LONG).await;
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(TcpStream::connect(server.admin).await.unwrap());
    }
    assert_eq!(server.admin("/livez").await.status, 200);
    assert_eq!(server.admin("/readyz").await.status, 200);
}

#[tokio::test]
async fn an_answered_probe_leaves_no_connection_behind() {
    let server = start().await;
    let mut stream = TcpStream::connect(server.admin).await.unwrap();
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert_eq!(read_answer(&mut stream).await.status, 200);
    closed(&mut stream).await;
}

#[tokio::test]
async fn a_body_waits_for_room_and_is_told_where_none_comes() {
    let server = start_with(|config| (config.bytes, config.bytes_of_one_address) = (40, 10)).await;
    let mut holds = server.connect().await;
    holds.write_all((post_head("", 4) + "wait").as_bytes()).await.unwrap();
    holds.flush().await.unwrap();
    server.gate.waiting.notified().await;
    let refused = server.post("", "8 bytes.").await;
    assert!(refused.status == 429 && refused.head.contains("retry-after: 1"), "{refused:?}");
    assert_eq!(server.post("", "6bytes").await.status, 200);

    let mut waits = server.connect().await;
    waits.write_all((post_head("", 8) + "8 bytes.").as_bytes()).await.unwrap();
    waits.flush().await.unwrap();
    server.gate.go_on.notify_one();
    assert_eq!(read_answer(&mut holds).await.status, 200);
    assert_eq!(read_answer(&mut waits).await.status, 200);
}

#[tokio::test]
async fn bodies_of_one_address_leave_room_for_those_of_others() {
    let server = start_with(|config| {
        (config.bytes, config.bytes_of_one_address) = (40, 5);
        (config.body_timeout, config.webhook.first_request) = (PATIENCE, LONG);
    })
    .await;
    let mut holds = Vec::new();
    for _ in 0..5 {
        let mut stream = server.connect().await;
        stream.write_all(post_head("", 5).as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        holds.push(stream);
    }
    in_flight(&server, 5).await;
    let mut other = server.connect_with(ELSEWHERE, HTTP).await;
    assert_eq!(exchange(&mut other, &post_head("", 5), b"{   }").await.status, 200);
}

#[tokio::test]
async fn long_bodies_that_come_slowly_leave_room_for_short_ones() {
    const MEBIBYTE: usize = 1024 * 1024;
    let server = start_with(|config| {
        (config.bytes, config.bytes_of_one_address) = (4 * MEBIBYTE, 8 * MEBIBYTE);
        (config.body_timeout, config.webhook.first_request) = (PATIENCE, LONG);
    })
    .await;
    let mut slow = server.connect().await;
    slow.write_all(post_head("", 3 * MEBIBYTE).as_bytes()).await.unwrap();
    slow.flush().await.unwrap();
    in_flight(&server, 1).await;
    assert_eq!(server.post("", &" ".repeat(MEBIBYTE)).await.status, 429);
    assert_eq!(server.post("", "{}").await.status, 200);
}

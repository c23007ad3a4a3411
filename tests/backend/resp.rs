//! Redis commands: where they go, by whom they are sent, and what is made of each answer.

use std::sync::Arc;
use std::time::Duration;

use castoff::backend::{Backend, Scope};
use castoff::plan::spec::Accept;
use castoff::plan::{Commands, Observation, Request};
use castoff_test_support::resp::{self, RespServer, wire};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::credentials::Authority;
use crate::support::{Bench, act, failure, get, observe_one, scope};

fn commands(url: impl Into<String>, list: &[&[&str]], one: bool) -> Request {
    let list: Vec<Vec<String>> =
        list.iter().map(|words| words.iter().map(|word| (*word).to_owned()).collect()).collect();
    let method = list.first().map_or_else(String::new, |words| words.join(" "));
    Request { method, commands: Some(Commands { list, one }), ..get(url) }
}

fn command(url: impl Into<String>, words: &[&str]) -> Request {
    commands(url, &[words], true)
}

/// A server that greets, and answers all else alike.
async fn server(answer: Value) -> (RespServer, String) {
    let server = RespServer::start(move |words| {
        Some(if words[0] == "HELLO" { wire(&json!({"server": "redis", "proto": 3})) } else { wire(&answer) })
    });
    let server = server.await;
    let url = format!("redis://{}", server.address);
    (server, url)
}

fn plain() -> Backend {
    Bench::new().backend()
}

async fn told(backend: &Backend, request: Request) -> (String, String) {
    failure(observe_one(backend, &scope(), request).await)
}

#[tokio::test]
async fn an_answer_is_read_over_a_connection_of_its_own() {
    let master = json!({"name": "mm", "ip": "10.0.0.7", "flags": "master", "num-slaves": "2"});
    let (server, url) = server(master.clone()).await;
    for _ in 0..2 {
        let seen = observe_one(&plain(), &scope(), command(&url, &["SENTINEL", "MASTER", "mm"])).await;
        assert_eq!(seen, Observation::Answer { code: 200, body: master.clone() });
    }
    assert_eq!(server.asked(), ["HELLO 3", "SENTINEL MASTER mm", "HELLO 3", "SENTINEL MASTER mm"]);
}

#[tokio::test]
async fn several_commands_go_together_and_bring_a_list() {
    let (server, url) = server(json!("OK")).await;
    let request = commands(&url, &[&["MULTI"], &["CLIENT", "PAUSE", "1000", "WRITE"], &["EXEC"]], false);
    assert!(plain().send(&scope(), &act(request.clone())).await.accepted);
    let seen = observe_one(&plain(), &scope(), request).await;
    assert_eq!(seen, Observation::Answer { code: 200, body: json!(["OK", "OK", "OK"]) });
    assert_eq!(server.asked()[..4], ["HELLO 3", "MULTI", "CLIENT PAUSE 1000 WRITE", "EXEC"]);
}

#[tokio::test]
async fn a_long_answer_in_many_pieces_is_one_answer() {
    let long: Vec<Value> = (0..20_000).map(|number| json!(format!("entry {number}"))).collect();
    let (_server, url) = server(json!(long.clone())).await;
    let seen = observe_one(&plain(), &scope(), command(&url, &["CONFIG", "GET", "*"])).await;
    assert_eq!(seen, Observation::Answer { code: 200, body: json!(long) });
}

#[tokio::test]
async fn an_error_is_told_in_the_servers_words() {
    let (_server, url) = server(json!({"error": "NOGOODSLAVE No suitable replica to promote"})).await;
    let request = command(&url, &["SENTINEL", "FAILOVER", "mm"]);
    let (message, detail) = told(&plain(), request.clone()).await;
    assert_eq!(message, format!("{url} answers NOGOODSLAVE to SENTINEL FAILOVER mm"));
    assert_eq!(detail, "NOGOODSLAVE No suitable replica to promote");
    let sent = plain().send(&scope(), &act(request.clone())).await;
    assert!(!sent.accepted && !sent.cut_off);
    let refused = sent.refused.unwrap();
    assert!(refused.ends_with(": NOGOODSLAVE No suitable replica to promote"), "{refused}");
    let seen = observe_one(&plain(), &scope(), Request { ok: Accept::Codes(vec![500]), ..request }).await;
    assert_eq!(seen, Observation::Answer { code: 500, body: json!("NOGOODSLAVE No suitable replica to promote") });
}

#[tokio::test]
async fn who_asks_is_said_first_and_never_told() {
    let answers = |words: &[String]| {
        let said = words.join(" ");
        Some(wire(&match said.as_str() {
            "HELLO 3 AUTH castoff hunter2" | "HELLO 3 AUTH default hunter2" => json!({"proto": 3}),
            "ROLE" => json!("hunter2 is here"),
            _ if said.starts_with("HELLO") => json!({"error": format!("WRONGPASS not {said}")}),
            _ => json!({"error": "NOAUTH Authentication required."}),
        }))
    };
    let server = RespServer::start(answers).await;
    let url = format!("redis://{}", server.address);
    let bench = Bench::new().secret("user", &[("username", "castoff"), ("password", "hunter2\n")]);
    let bench = bench.secret("alone", &[("password", "hunter2")]).secret("wrong", &[("password", "s3cret")]);
    let backend = bench.secret("token", &[("token", "x")]).backend();
    let as_user = |secret: &str| Request { auth_secret: secret.to_owned(), ..command(&url, &["ROLE"]) };
    for secret in ["user", "alone"] {
        let seen = observe_one(&backend, &scope(), as_user(secret)).await;
        assert_eq!(seen, Observation::Answer { code: 200, body: json!("hunter2 is here") });
    }
    let (message, detail) = told(&backend, as_user("wrong")).await;
    assert_eq!(message, format!("{url} answers WRONGPASS to HELLO"));
    assert_eq!(detail, "WRONGPASS not HELLO 3 AUTH default (hidden)");
    let (message, _) = told(&backend, as_user("token")).await;
    assert!(message.ends_with("it has no password (it has token)"), "{message}");
}

#[tokio::test]
async fn a_server_that_wants_a_password_is_told_with_what_the_step_lacks() {
    let server = RespServer::start(|_| Some(wire(&json!({"error": "NOAUTH HELLO must be called with"})))).await;
    let (message, _) = told(&plain(), command(format!("redis://{}", server.address), &["ROLE"])).await;
    assert!(
        message.ends_with("answers NOAUTH to HELLO to a request without credentials: the step names none"),
        "{message}"
    );
}

#[tokio::test]
async fn what_is_no_answer_is_told_and_ends() {
    let rows: [(&[u8], &str); 4] = [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak Redis' protocol"),
        (b"$3\r\nab", "does not answer: the connection breaks off"),
        (b"$2\r\n\xff\xfe\r\n", "answers what can't be read"),
        (b">2\r\n+message\r\n+x\r\n", "answers what can't be read"),
    ];
    for (bytes, expected) in rows {
        let greeted = std::sync::atomic::AtomicBool::new(false);
        let server = RespServer::start(move |_| {
            let first = !greeted.swap(true, std::sync::atomic::Ordering::SeqCst);
            if first { Some(wire(&json!({"proto": 3}))) } else { Some(bytes.to_vec()) }
        });
        let url = format!("redis://{}", server.await.address);
        let request = Request { timeout: Duration::from_millis(300), ..command(&url, &["PING"]) };
        let (message, _) = told(&plain(), request).await;
        // What has begun may go on: of half an answer nobody knows that it ends here.
        assert!(message.ends_with(expected) || bytes.starts_with(b"$3") && message.ends_with("in time"), "{message}");
    }
}

#[tokio::test]
async fn an_answer_without_an_end_is_cut_at_4_mib_and_one_without_a_floor_is_refused() {
    let endless = |_: &[String]| Some([b"$99999999\r\n".to_vec(), vec![b'x'; 5 << 20]].concat());
    let deep = |_: &[String]| Some(b"*1\r\n".repeat(5000));
    let (endless, deep) = (RespServer::start(endless).await, RespServer::start(deep).await);
    let (message, _) = told(&plain(), command(format!("redis://{}", endless.address), &["PING"])).await;
    assert!(message.ends_with("answers more than 4 MiB"), "{message}");
    let (message, _) = told(&plain(), command(format!("redis://{}", deep.address), &["PING"])).await;
    assert!(message.ends_with("does not speak Redis' protocol"), "{message}");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_waited_for_no_longer_than_the_request_says() {
    let server = RespServer::start(|_| Some(Vec::new())).await;
    let request = command(format!("redis://{}", server.address), &["PING"]);
    let hasty = Request { timeout: Duration::from_millis(50), ..request };
    let sent = plain().send(&scope(), &act(hasty.clone())).await;
    assert!(sent.cut_off && sent.message.ends_with("does not answer in time"), "{sent:?}");
    let seen =
        observe_one(&plain(), &scope(), Request { ok: Accept::Any(castoff::plan::spec::AnyWord::Any), ..hasty }).await;
    assert_eq!(seen, Observation::Answer { code: 0, body: Value::Null });
}

#[tokio::test]
async fn each_protocol_has_its_own_urls() {
    let (_server, url) = server(json!("PONG")).await;
    let (message, _) = told(&plain(), get(&url)).await;
    assert!(message.ends_with("can't be asked by HTTP: it is the URL of a Redis server"), "{message}");
    let (message, _) = told(&plain(), command(url.replace("redis", "http"), &["PING"])).await;
    assert!(message.ends_with("begins neither with redis:// nor with rediss://"), "{message}");
}

#[tokio::test]
async fn a_name_is_looked_up_once_and_never_followed_to_a_forbidden_address() {
    let (server, _) = server(json!("PONG")).await;
    let port = server.address.port();
    let bench = || Bench::new().name("redis.tidb.svc", &["127.0.0.1"]).name("cloud.tidb.svc", &["169.254.169.254"]);
    let seen = observe_one(&bench().backend(), &scope(), command(format!("redis://redis:{port}"), &["PING"])).await;
    assert_eq!(seen, Observation::Answer { code: 200, body: json!("PONG") });
    let (message, _) = told(&bench().backend(), command("redis://cloud", &["PING"])).await;
    assert!(message.contains("is never allowed: DNS leads it to a forbidden address"), "{message}");
    let strict = Bench { loopback: false, ..bench() }.backend();
    let (message, _) = told(&strict, command(format!("redis://redis:{port}"), &["PING"])).await;
    assert!(message.contains("is never allowed"), "{message}");
}

#[tokio::test]
async fn over_tls_both_sides_show_who_they_are() {
    let (authority, stranger) = (Authority::new("redis"), Authority::new("stranger"));
    let tls = TlsAcceptor::from(Arc::new(authority.server_config(&["127.0.0.1"], Some(&authority))));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("rediss://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = tls.accept(stream).await {
                tokio::spawn(resp::serve(stream, Arc::new(|_: &[String]| Some(wire(&json!("PONG"))))));
            }
        }
    });
    let own = authority.certificate(&["castoff"]);
    let (ca, other, chain, key) = (authority.pem(), stranger.pem(), own.chain.clone(), own.key.serialize_pem());
    let bench = Bench::new().secret("mine", &[("ca.crt", &ca), ("tls.crt", &chain), ("tls.key", &key)]);
    let backend = bench.secret("ca", &[("ca.crt", &ca)]).secret("other", &[("ca.crt", &other)]).backend();
    let with = |secret: &str| Scope { credentials: Some(secret.to_owned()), ..scope() };
    let seen = observe_one(&backend, &with("mine"), command(&url, &["PING"])).await;
    assert_eq!(seen, Observation::Answer { code: 200, body: json!("PONG") });
    let asked = |secret: &'static str| async {
        failure(observe_one(&backend, &with(secret), command(&url, &["PING"])).await).0
    };
    assert!(asked("other").await.ends_with("shows a certificate that is not trusted"));
    assert!(asked("ca").await.ends_with("refuses the TLS connection"));
    let (message, _) = told(&backend, command(&url, &["PING"])).await;
    assert!(
        message.ends_with("can't be asked: rediss needs a Secret with ca.crt, and the step names none"),
        "{message}"
    );
}

//! What is made of each answer, and what is never sent.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{any, get as route, post};
use castoff::backend::BODY_LIMIT;
use castoff::plan::spec::{Accept, AnyWord, Parse};
use castoff::plan::{BackendRead, Observation, Read, Request, Source};
use prometheus::{Encoder, TextEncoder};
use serde_json::{Value, json};

use crate::support::{Bench, act, failure, get, in_time, observe, observe_one, read, scope, serve};

/// A server that counts whatever reaches it.
async fn counting() -> (SocketAddr, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let router = Router::new().fallback(any(move || async move {
        counted.fetch_add(1, Ordering::SeqCst);
        "{}"
    }));
    (serve(router).await, count)
}

/// An address where nobody listens.
pub async fn closed() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}/x", listener.local_addr().unwrap())
}

#[tokio::test]
async fn tells_a_status_that_is_no_answer() {
    let said = format!("ouch\u{1b}[31m\n{}", "x".repeat(5000));
    let router = Router::new().route("/x", route(async || (StatusCode::INTERNAL_SERVER_ERROR, said)));
    let url = format!("http://{}/x", serve(router).await);
    let (message, detail) =
        failure(observe_one(&Bench::new().backend(), &scope(), get(format!("{url}?key=s3cret"))).await);
    assert_eq!(message, format!("{url} answers 500"));
    assert_eq!(detail, format!("HTTP 500: ouch[31m{}", "x".repeat(200 - 8)));
}

#[tokio::test]
async fn takes_statuses_that_the_read_accepts() {
    let router = Router::new().route("/x", route(async || (StatusCode::NOT_FOUND, "not found")));
    let mut request = get(format!("http://{}/x", serve(router).await));
    let backend = Bench::new().backend();
    failure(observe_one(&backend, &scope(), request.clone()).await);
    for ok in [Accept::Codes(vec![404]), Accept::Any(AnyWord::Any)] {
        request.ok = ok;
        let expected = Observation::Answer { code: 404, body: json!("not found") };
        assert_eq!(observe_one(&backend, &scope(), request.clone()).await, expected);
    }
}

#[tokio::test]
async fn asks_for_json_where_there_is_a_choice() {
    let choose = async |headers: HeaderMap| {
        let wanted = headers.get(header::ACCEPT).and_then(|wanted| wanted.to_str().ok()).unwrap_or_default().to_owned();
        if wanted.starts_with("application/json") && wanted.contains("*/*") { "{\"json\":true}" } else { "<xml/>" }
    };
    let url = format!("http://{}/x", serve(Router::new().route("/x", route(choose))).await);
    let answer = observe_one(&Bench::new().backend(), &scope(), get(url)).await;
    assert_eq!(answer, Observation::Answer { code: 200, body: json!({"json": true}) });
}

#[tokio::test]
async fn tells_that_nobody_listens() {
    let url = closed().await;
    let backend = Bench::new().backend();
    let (message, detail) = failure(observe_one(&backend, &scope(), get(&url)).await);
    assert_eq!(message, format!("{url} does not answer: it refuses connections"));
    assert!(detail.contains("os error 111"), "{detail}");
    let mut request = get(&url);
    request.ok = Accept::Any(AnyWord::Any);
    let nothing = Observation::Answer { code: 0, body: Value::Null };
    assert_eq!(observe_one(&backend, &scope(), request).await, nothing);
}

#[tokio::test]
async fn tells_garbage() {
    let url = format!("http://{}/x", serve(Router::new().route("/x", route(async || "<html>"))).await);
    let (message, detail) = failure(observe_one(&Bench::new().backend(), &scope(), get(&url)).await);
    assert_eq!(message, format!("{url} gives no valid JSON"));
    assert!(detail.contains("<html>"), "{detail}");
}

#[tokio::test]
async fn reads_an_answer_as_the_read_says() {
    let router = Router::new()
        .route("/metrics", route(async || "in_flight{pool=\"a\"} 3.5\n"))
        .route("/empty", route(async || ""));
    let base = format!("http://{}", serve(router).await);
    let backend = Bench::new().backend();
    let rows = [
        ("metrics", Parse::Prometheus, json!([{"name": "in_flight", "labels": {"pool": "a"}, "value": 3.5}])),
        ("metrics", Parse::Text, json!("in_flight{pool=\"a\"} 3.5\n")),
        ("empty", Parse::Json, json!(null)),
    ];
    for (path, parse, body) in rows {
        let source = Source::Backend(BackendRead { request: get(format!("{base}/{path}")), parse });
        let one = Read { source, ..read("it", get(String::new())) };
        let observed = observe(&backend, &scope(), in_time(), &[one]).await;
        assert_eq!(observed.into_values().next(), Some(Observation::Answer { code: 200, body }), "{path} as {parse:?}");
    }
}

#[tokio::test]
async fn reads_no_more_than_its_limit() {
    let body = |length: usize| move || async move { Body::from(format!("\"{}\"", "x".repeat(length - 2))) };
    let router = Router::new().route("/fits", route(body(BODY_LIMIT))).route("/over", route(body(BODY_LIMIT + 1)));
    let base = format!("http://{}", serve(router).await);
    let backend = Bench::new().backend();
    let fits = observe_one(&backend, &scope(), get(format!("{base}/fits"))).await;
    assert!(matches!(fits, Observation::Answer { code: 200, .. }));
    let (message, _) = failure(observe_one(&backend, &scope(), get(format!("{base}/over"))).await);
    assert_eq!(message, format!("{base}/over answers more than 4 MiB"));
}

#[tokio::test]
async fn follows_no_redirect() {
    let (elsewhere, count) = counting().await;
    let to = format!("http://{elsewhere}/");
    let router = Router::new().route("/x", route(async || (StatusCode::FOUND, [(header::LOCATION, to)])));
    let url = format!("http://{}/x", serve(router).await);
    let (message, _) = failure(observe_one(&Bench::new().backend(), &scope(), get(&url)).await);
    assert_eq!(message, format!("{url} answers 302"));
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn sends_nothing_to_an_address_that_the_pod_no_longer_has() {
    let (address, count) = counting().await;
    let mut scope = scope();
    Arc::make_mut(&mut scope.pod).status.pod_ip = Ipv4Addr::LOCALHOST.to_string().into();
    let backend = Bench::new().backend();
    let request = get(format!("http://{address}/"));
    observe_one(&backend, &scope, request.clone()).await;
    assert_eq!(count.load(Ordering::SeqCst), 1, "while the pod is there");

    scope.pod_present = false;
    assert_eq!(observe_one(&backend, &scope, request.clone()).await, Observation::PodGone);
    let sent = backend.send(&scope, &act(request)).await;
    assert!(!sent.accepted && sent.message.ends_with("is no longer the pod's"), "{sent:?}");
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn connects_to_no_forbidden_address_that_dns_answers_with() {
    let (address, count) = counting().await;
    let port = address.port();
    let mut bench = Bench::new().name("pd.tidb.svc", &["127.0.0.1", "169.254.169.254"]);
    bench.loopback = false;
    let backend = bench.backend();
    let url = format!("http://pd:{port}/x");
    let mut request = get(&url);
    request.ok = Accept::Any(AnyWord::Any);
    let (message, detail) = failure(observe_one(&backend, &scope(), request).await);
    assert_eq!(message, format!("{url} is never allowed: DNS leads it to a forbidden address"));
    assert!(detail.contains("pd.tidb.svc"), "{detail}");
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn connects_to_the_allowed_ones_among_what_dns_answers_with() {
    let (address, count) = counting().await;
    let backend = Bench::new().name("pd.tidb.svc", &["169.254.169.254", "127.0.0.1"]).backend();
    let observation = observe_one(&backend, &scope(), get(format!("http://pd:{}/", address.port()))).await;
    assert!(matches!(observation, Observation::Answer { .. }), "{observation:?}");
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn connects_to_a_service_that_has_an_address_of_ipv6_alone() {
    let listener = tokio::net::TcpListener::bind("[::1]:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(any(async || "{}"))).await });
    let backend = Bench::new().name("pd.tidb.svc", &["::1"]).backend();
    let observation = observe_one(&backend, &scope(), get(format!("http://pd:{port}/"))).await;
    assert!(matches!(observation, Observation::Answer { .. }), "{observation:?}");
}

#[tokio::test]
async fn follows_no_service_that_is_another_name_for_something_else() {
    let (address, count) = counting().await;
    let url = format!("http://pd:{}/", address.port());
    for host in ["pd.tidb.svc", "pd.tidb.svc.cluster.local", "pd-0.pd.tidb.svc"] {
        let bench = Bench::new().name(host, &["127.0.0.1"]).alias(host, "vault.vault.svc.cluster.local");
        let url = url.replace("//pd:", &format!("//{host}:"));
        let (message, detail) = failure(observe_one(&bench.backend(), &scope(), get(&url)).await);
        let why = "is not allowed: the Service is another name for vault.vault.svc.cluster.local. Ask that itself";
        assert_eq!(message, format!("{url} {why}"));
        assert!(detail.contains("--allow-endpoint"), "{detail}");
    }
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn tells_a_name_that_nobody_knows() {
    let (message, detail) = failure(observe_one(&Bench::new().backend(), &scope(), get("http://pd:1/x")).await);
    assert_eq!(message, "http://pd:1/x does not answer: DNS does not know its name");
    assert!(detail.contains("no address for pd.tidb.svc: no such name"), "{detail}");
}

#[tokio::test]
async fn finds_localhost_without_dns() {
    let (address, _) = counting().await;
    let url = format!("http://localhost:{}/", address.port());
    let observation = observe_one(&Bench::new().backend(), &scope(), get(url)).await;
    assert!(matches!(observation, Observation::Answer { .. }), "{observation:?}");
}

#[tokio::test]
async fn sends_an_act_as_it_is_written() {
    let router = Router::new().route(
        "/evict",
        post(async |headers: HeaderMap, body: String| {
            assert_eq!(headers[header::CONTENT_TYPE], "application/json");
            format!("got {body}")
        }),
    );
    let mut request = get(format!("http://{}/evict", serve(router).await));
    request.method = "POST".to_owned();
    request.body = Some(json!({"store_id": 4}));
    let sent = Bench::new().backend().send(&scope(), &act(request)).await;
    assert!(sent.accepted, "{sent:?}");
    assert_eq!(sent.detail, r#"HTTP 200: got {"store_id":4}"#);
}

#[tokio::test]
async fn tells_an_act_that_was_not_accepted() {
    let url = closed().await;
    let sent = Bench::new().backend().send(&scope(), &act(get(&url))).await;
    assert!(!sent.accepted);
    assert_eq!(sent.message, format!("{url} does not answer: it refuses connections"));
}

#[tokio::test]
async fn tells_a_refused_act_in_the_backends_own_words() {
    let said = "switchover is not possible: can not find sync_standby";
    let router = Router::new()
        .route("/switchover", post(async move || (StatusCode::PRECONDITION_FAILED, said)))
        .route("/page", post(async || (StatusCode::BAD_GATEWAY, "<html>Bad Gateway</html>")))
        .route("/hang", post(std::future::pending::<&str>));
    let base = format!("http://{}", serve(router).await);
    let backend = Bench::new().backend();
    let asked = |path: &str| Request { method: "POST".to_owned(), ..get(format!("{base}{path}")) };
    let refused = backend.send(&scope(), &act(asked("/switchover"))).await;
    assert!(!refused.accepted && !refused.cut_off);
    assert_eq!(refused.refused, Some(format!("POST {base}/switchover answers 412: {said}")));
    assert_eq!(refused.message, format!("{base}/switchover answers 412"), "constant for a cause");

    let page = backend.send(&scope(), &act(asked("/page"))).await;
    assert_eq!(page.refused, Some(format!("POST {base}/page answers 502")), "a page for browsers says nothing");
    let hasty = Request { timeout: Duration::from_millis(50), ..asked("/hang") };
    let silent = backend.send(&scope(), &act(hasty)).await;
    assert!(silent.cut_off && silent.refused.is_none(), "it may be carried out yet: {silent:?}");
    let unreachable = backend.send(&scope(), &act(get(closed().await))).await;
    assert!(unreachable.refused.is_some_and(|told| told.ends_with("does not answer: it refuses connections")));
}

#[tokio::test]
async fn counts_requests_by_how_they_ended() {
    let router = Router::new()
        .route("/ok", route(async || "{}"))
        .route("/garbage", route(async || "{"))
        .route("/status", route(async || StatusCode::IM_A_TEAPOT));
    let base = format!("http://{}", serve(router).await);
    let bench = Bench::new();
    let registry = bench.registry.clone();
    let backend = bench.backend();
    let mut gone = scope();
    gone.pod_present = false;
    for path in ["ok", "ok", "garbage", "status"] {
        observe_one(&backend, &scope(), get(format!("{base}/{path}"))).await;
    }
    observe_one(&backend, &scope(), get(closed().await)).await;
    observe_one(&backend, &scope(), get("http://169.254.169.254/")).await;
    observe_one(&backend, &gone, get("http://127.0.0.9/")).await;
    observe_one(&backend, &scope(), get("https://127.0.0.1/")).await;

    let mut text = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let outcomes =
        [("ok", 2), ("garbage", 1), ("status", 1), ("refused", 1), ("guard", 1), ("gone", 1), ("credentials", 1)];
    for (outcome, count) in outcomes {
        let line = format!(r#"castoff_backend_requests_total{{outcome="{outcome}",plan="test"}} {count}"#);
        assert!(text.contains(&line), "{line} in {text}");
    }
    assert!(text.contains(r#"castoff_backend_request_duration_seconds_count{plan="test"} 6"#), "{text}");
}

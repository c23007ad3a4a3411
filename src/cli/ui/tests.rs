#![allow(clippy::unwrap_used)]
use axum::body::Body;
use futures_util::StreamExt;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use kube::core::DynamicObject;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::page::Board;
use super::*;
use crate::kubernetes::cache::{Cache, key_of};

const TOKEN: &str = "0123456789abcdef";

fn drain(pod: &str, status: &Value) -> DynamicObject {
    serde_json::from_value(json!({
        "apiVersion": "castoff.dev/v1alpha1", "kind": "PodDrain",
        "metadata": {"name": format!("{pod}-7c0ffee1"), "namespace": "tidb", "creationTimestamp": "2030-01-01T00:00:00Z"},
        "spec": {"pod": {"name": pod, "uid": "7c0ffee1"}, "policy": "tikv", "requester": "alice"},
        "status": status,
    }))
    .unwrap()
}

fn put(cache: &Cache<DynamicObject>, version: &str, object: DynamicObject) {
    cache.put(&key_of(&object), version, object);
}

fn nothing() -> Board {
    Board { drains: Arc::default(), policies: Arc::default(), namespace: None, client: None }
}

/// Two drains, one of which waits for the other, and a policy with history.
fn board() -> Board {
    let board = Board { namespace: Some("tidb".to_owned()), ..nothing() };
    put(
        &board.drains,
        "1",
        drain("tikv-0", &json!({"phase": "Queued", "message": "waits for tikv-1 (maxUnavailable 1)"})),
    );
    let progress = json!({"step": "evict", "total": 40, "remaining": 12, "unit": "leaders"});
    put(&board.drains, "2", drain("tikv-1", &json!({"phase": "Draining", "step": "evict", "progress": progress})));
    let over = json!({"pod": "tikv-2", "drain": "tikv-2-1", "outcome": "Prepared", "ended": "2030-01-01T00:00:00Z",
        "preparedSeconds": 61});
    let policy = json!({
        "apiVersion": "castoff.dev/v1alpha1", "kind": "DrainPolicy", "spec": {"selector": {}, "steps": []},
        "metadata": {"name": "tikv", "namespace": "tidb"},
        "status": {"pods": 3, "history": [over], "conditions": [
            {"type": "Ready", "status": "False", "reason": "BackendNotReached", "message": "pd does not answer",
             "lastTransitionTime": "2030-01-01T00:00:00Z"}]},
    });
    put(&board.policies, "3", serde_json::from_value(policy).unwrap());
    board
}

fn served(board: &Arc<Board>) -> axum::Router {
    routes::router(Arc::clone(board), access::Access::by(TOKEN.to_owned()))
}

async fn ask(board: Board, method: &str, host: Option<&str>, path: &str) -> (StatusCode, http::HeaderMap, String) {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(host) = host {
        request = request.header("host", host);
    }
    let answer = served(&Arc::new(board)).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (head, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status, head.headers, String::from_utf8(body.to_vec()).unwrap())
}

async fn page_of(board: Board) -> String {
    ask(board, "GET", Some("127.0.0.1:1"), "/0123456789abcdef/").await.2
}

#[tokio::test]
async fn only_who_knows_the_token_and_asks_this_machine_by_its_name_sees_the_page() {
    let own = Some("127.0.0.1:41234");
    for (method, host, path, status) in [
        ("GET", own, "/0123456789abcdef/", 200),
        ("HEAD", own, "/0123456789abcdef/", 200),
        ("GET", Some("localhost:8000"), "/0123456789abcdef/", 200),
        ("GET", Some("LOCALHOST"), "/0123456789abcdef/", 200),
        ("GET", Some("[::1]:8000"), "/0123456789abcdef/", 200),
        ("GET", own, "/0123456789abcdef/other", 404),
        ("POST", own, "/0123456789abcdef/", 405),
        ("GET", own, "/0123456789abcdee/", 403),
        ("GET", own, "/0123456789abcdef", 403),
        ("GET", own, "/", 403),
        ("GET", own, "//", 403),
        ("GET", own, "/favicon.ico", 403),
        ("GET", own, "/events", 403),
        ("GET", None, "/0123456789abcdef/", 421),
        ("GET", Some("evil.example:41234"), "/0123456789abcdef/", 421),
        ("GET", Some("127.0.0.1.evil.example"), "/0123456789abcdef/", 421),
        ("GET", Some("127.0.0.1:evil.example"), "/0123456789abcdef/", 421),
        ("GET", Some("evil.example"), "/0123456789abcdef/events", 421),
        ("GET", Some("0.0.0.0:41234"), "/0123456789abcdef/", 421),
    ] {
        let (answered, headers, body) = ask(board(), method, host, path).await;
        assert_eq!(answered.as_u16(), status, "{method} {host:?} {path}: {body}");
        assert_eq!(status == 200 && method == "GET", body.contains("tikv-0"), "{method} {host:?} {path}: {body}");
        assert!(!headers.keys().any(|name| name.as_str().starts_with("access-control")), "{headers:?}");
        assert!(status == 405 || headers["cache-control"] == "no-store", "{headers:?}");
    }
}

#[tokio::test]
async fn a_browser_runs_nothing_but_the_script_of_the_page() {
    use base64::Engine as _;
    use sha2::{Digest, Sha256};
    let (_, headers, page) = ask(board(), "GET", Some("127.0.0.1"), "/0123456789abcdef/").await;
    let policy = headers["content-security-policy"].to_str().unwrap();
    for (kind, open, close) in
        [("script-src", "<script type=\"module\">", "</script>"), ("style-src", "<style>", "</style>")]
    {
        let inner = page.split(open).nth(1).unwrap().split(close).next().unwrap();
        let digest = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(inner));
        assert!(policy.contains(&format!("{kind} 'sha256-{digest}';")), "{policy}");
    }
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'") && policy.contains("base-uri 'none'"), "{policy}");
    assert!(!page.contains(" style=") && !page.contains("http://") && !page.contains("https://"), "{page}");
    assert_eq!((page.matches("<script").count(), page.matches("<style").count()), (1, 1));
    assert_eq!(
        (headers["referrer-policy"].to_str().unwrap(), headers["x-content-type-options"].to_str().unwrap()),
        ("no-referrer", "nosniff")
    );
}

#[tokio::test]
async fn without_a_script_the_page_is_tables_that_say_all_of_it() {
    let page = page_of(board()).await;
    let main = page.split("<main>").nth(1).unwrap().split("</main>").next().unwrap();
    for said in [
        "2 drains under way, 0 over",
        ">tikv-0 <small>tikv</small></th>",
        "<b>Queued</b>",
        "waits for tikv-1 (maxUnavailable 1)",
        "<b>Draining</b> <small>step evict</small>",
        "value=28 max=40></progress> 12 of 40 leaders left",
        "asked for by alice",
        "<td class=bad data-head=\"READY\">no</td>",
        "pd does not answer",
        "<td class=good data-head=\"OUTCOME\">Prepared</td>",
        ">61s</td>",
    ] {
        assert!(main.contains(said), "{said} is not in {main}");
    }
    assert_eq!(main.matches("<tr>").count(), main.matches("</tr>").count());
    assert!(page.contains("<noscript><meta http-equiv=\"refresh\""), "it is loaded again from time to time");
    let all = page_of(Board { namespace: None, ..board() }).await;
    assert!(all.contains(">tidb/<wbr>tikv-0 ") && all.contains("<th scope=col>NAMESPACE</th>"), "{all}");
}

#[tokio::test]
async fn what_was_not_read_yet_is_not_taken_for_nothing() {
    let page = page_of(nothing()).await;
    assert!(page.contains("role=alert") && page.contains("the first list has not come in yet"), "{page}");
}

/// What somebody who may write PodDrains would have others' browsers do.
const EVIL: &str =
    "</td><script>alert(1)</script><img src=x onerror=\"alert('2')\">\r\n\r\nevent: evil\u{0}\ndata: <b>&amp;\u{202e}";

fn evil() -> Board {
    let board = board();
    let mut evil = drain(
        EVIL,
        &json!({"phase": "Draining", "step": EVIL, "message": EVIL,
        "progress": {"step": EVIL, "total": 2, "remaining": 1, "unit": EVIL}}),
    );
    evil.data["spec"]["policy"] = json!(EVIL);
    evil.data["spec"]["requester"] = json!(EVIL);
    put(&board.drains, "9", evil);
    let kept = json!({"pod": EVIL, "drain": EVIL, "outcome": EVIL, "requester": EVIL, "ended": EVIL});
    let policy = json!({
        "apiVersion": "castoff.dev/v1alpha1", "kind": "DrainPolicy", "spec": {"selector": {}, "steps": []},
        "metadata": {"name": EVIL, "namespace": EVIL},
        "status": {"history": [kept], "conditions": [{"type": "Ready", "status": "False", "reason": EVIL, "message": EVIL,
            "lastTransitionTime": EVIL}]},
    });
    put(&board.policies, "9", serde_json::from_value(policy).unwrap());
    board
}

#[tokio::test]
async fn texts_of_the_cluster_stay_texts() {
    for board in [evil(), Board { namespace: None, ..evil() }, Board { namespace: Some(EVIL.to_owned()), ..evil() }] {
        let page = page_of(board).await;
        assert_eq!((page.matches("<script").count(), page.matches("<img").count()), (1, 0), "{page}");
        assert!(page.matches("&lt;script&gt;").count() >= 10, "{page}");
        let main = page.split("<main>").nth(1).unwrap();
        assert!(!main.contains("onerror=\"") && main.contains("&amp;amp;"), "{main}");
        assert!(!page.contains(['\r', '\u{0}', '\u{202e}']), "{page:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_changes_is_sent_as_one_event() {
    let board = Arc::new(evil());
    let request = Request::get("/0123456789abcdef/events").header("host", "127.0.0.1").body(Body::empty()).unwrap();
    let answer = served(&board).oneshot(request).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut frames = answer.into_body().into_data_stream();
    let mut next = async || String::from_utf8(frames.next().await.unwrap().unwrap().to_vec()).unwrap();
    let first = next().await;
    assert!(first.contains("12 of 40 leaders") && !first.contains("39 of 40"), "{first}");
    let lines: Vec<&str> = first.strip_suffix("\n\n").unwrap().split('\n').collect();
    assert!(lines.iter().all(|line| line.starts_with("data: ") || *line == "data:"), "{first}");
    let progress = json!({"step": "evict", "total": 40, "remaining": 39, "unit": "leaders"});
    put(&board.drains, "10", drain("tikv-1", &json!({"phase": "Draining", "step": "evict", "progress": progress})));
    // A comment may come first, which keeps the connection open.
    let mut then = next().await;
    while !then.starts_with("data: ") || then.contains("12 of 40 leaders") {
        then = next().await;
    }
    assert!(then.contains("39 of 40 leaders"), "{then}");
}

#[test]
fn a_line_leads_from_each_that_waits_to_the_one_that_it_waits_for() {
    let waits = |pod: &str, awaited: &str| {
        let status = json!({"phase": "Queued", "message": "waits", "waitsFor": {"pods": [awaited]}});
        crate::cli::drains::DrainView::of(&drain(pod, &status))
    };
    let away = crate::cli::drains::DrainView::of(&drain("a-2", &json!({"phase": "Departing"})));
    let (first, second, third) = (waits("a-0", "a-2"), waits("a-1", "a-2"), waits("b-0", "a-9"));
    let (lanes, links) = lanes::lanes(&[&first, &second, &away, &third]);
    let link = |awaited, waiting: &[usize]| lanes::Link { awaited, waiting: waiting.to_vec() };
    assert_eq!(links, [link(2, &[0, 1]), link(3, &[4])]);
    assert_eq!((lanes[3].pod.as_str(), lanes[3].view.is_none()), ("a-9", true), "one without a drain has a lane too");
}

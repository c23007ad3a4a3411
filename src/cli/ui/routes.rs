//! What is answered: the page, and what is new of it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use futures_util::{Stream, stream};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;
use tokio::time::sleep;

use super::super::waits::Reasons;
use super::access::{Access, Refusal};
use super::page::{self, Board};

/// Times go on, and so what is shown.
const TICK: Duration = Duration::from_secs(1);

/// What changes more often is shown together.
const OFTEN: Duration = Duration::from_millis(250);

struct Shown {
    board: Arc<Board>,
    access: Access,
    policy: HeaderValue,
}

/// Whatever is asked for.
pub(super) fn router(board: Arc<Board>, access: Access) -> Router {
    // It is made of letters that a header may have.
    let policy = HeaderValue::try_from(page::content_security_policy());
    let policy = policy.unwrap_or(HeaderValue::from_static("default-src 'none'"));
    Router::new().fallback(get(answer)).with_state(Arc::new(Shown { board, access, policy }))
}

async fn answer(State(shown): State<Arc<Shown>>, request: Request) -> Response {
    let refused = |status: StatusCode, why: &'static str| (status, format!("{why}\n")).into_response();
    let mut answer = match shown.access.judge(host(request.headers()), request.uri().path()) {
        Ok("") => Html(shown.board.page(Timestamp::now()).await).into_response(),
        Ok("events") => Sse::new(news(Arc::clone(&shown.board))).keep_alive(KeepAlive::default()).into_response(),
        Ok(_) => refused(StatusCode::NOT_FOUND, "There is one page here: the address as castoff ui has printed it."),
        Err(Refusal::Host) => refused(StatusCode::MISDIRECTED_REQUEST, "Ask for this page by 127.0.0.1 or localhost."),
        Err(Refusal::Token) => {
            refused(StatusCode::FORBIDDEN, "Not without the token: use the whole address as castoff ui has printed it.")
        }
    };
    let headers = answer.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, shown.policy.clone());
    for (name, value) in [
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// The one host that is asked for.
fn host(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(HOST).iter();
    let one = all.next().filter(|_| all.next().is_none())?;
    one.to_str().ok()
}

/// What the page shows, whenever that is something else, for as long as somebody looks.
fn news(board: Arc<Board>) -> impl Stream<Item = Result<Event, Infallible>> {
    let changes = (board.drains.changes(), board.policies.changes());
    let shown = (None, Reasons::default());
    stream::unfold((board, changes, shown), |(board, mut changes, (before, mut reasons))| async move {
        if before.is_some() {
            sleep(OFTEN).await;
        }
        loop {
            let now = board.main(&mut reasons, Timestamp::now()).await;
            if before.as_ref() != Some(&now) {
                return Some((Ok(Event::default().data(&now)), (board, changes, (Some(now), reasons))));
            }
            tokio::select! {
                _ = changes.0.changed() => {}
                _ = changes.1.changed() => {}
                () = sleep(TICK) => {}
            }
        }
    })
}

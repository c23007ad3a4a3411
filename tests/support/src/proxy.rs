//! Stands between a program and the API server, and lets single requests and watches disappear, or answers them itself.
//!
//! A program reaches it by plain HTTP; it speaks to the API server as the client that it was given.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderValue, StatusCode};
use http_body_util::BodyExt;
use k8s_openapi::jiff::fmt::rfc2822::DateTimePrinter;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::{Client, Config};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Which requests are meant, by method and address, as `GET /api/v1/pods?watch=true`.
pub type Which = fn(&str) -> bool;

/// A proxy; it ends with this.
pub struct Proxy {
    pub address: SocketAddr,
    faults: Faults,
    _task: JoinSet<()>,
}

#[derive(Clone, Default)]
struct Faults(Arc<Mutex<Fault>>);

#[derive(Clone, Copy, Default)]
enum Fault {
    #[default]
    None,
    /// These are passed on, and no answer comes back; what is being answered tells nothing any more and does not end.
    Swallow(Which),
    /// Every so many of these are answered with this code, and not passed on.
    Answer { which: Which, code: u16, every: usize, seen: usize },
    /// By the dates of the answers it is so many seconds later than it is.
    Ahead(i64),
}

impl Proxy {
    /// Begins to pass on what comes to `upstream`.
    pub async fn to(upstream: Client) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, faults) = (listener.local_addr().unwrap(), Faults::default());
        let router = Router::new().fallback(pass_on).with_state((upstream, faults.clone()));
        let mut task = JoinSet::new();
        task.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Proxy { address, faults, _task: task }
    }

    /// What a client is to be told to reach it.
    pub fn config(&self) -> Config {
        Config::new(format!("http://{}", self.address).parse().unwrap())
    }

    /// The same as a file that kubectl and Castoff read.
    pub fn kubeconfig(&self) -> String {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "proxied",
            "clusters": [{"name": "proxied", "cluster": {"server": format!("http://{}", self.address)}}],
            "contexts": [{"name": "proxied", "context": {"cluster": "proxied", "user": "proxied"}}],
            "users": [{"name": "proxied", "user": {}}],
        })
        .to_string()
    }

    /// Swallows these from now on, those that are under way too.
    pub fn swallow(&self, which: Which) {
        self.faults.set(Fault::Swallow(which));
    }

    /// Answers one in `every` of these with `code`.
    pub fn answer(&self, which: Which, code: u16, every: usize) {
        self.faults.set(Fault::Answer { which, code, every, seen: 0 });
    }

    /// Tells whoever asks that it is so many seconds later than it is.
    pub fn ahead(&self, seconds: i64) {
        self.faults.set(Fault::Ahead(seconds));
    }

    /// Passes everything on again. What was swallowed stays so.
    pub fn heal(&self) {
        self.faults.set(Fault::None);
    }
}

impl Faults {
    fn set(&self, fault: Fault) {
        *self.0.lock().unwrap() = fault;
    }

    fn swallow(&self, asked: &str) -> bool {
        matches!(*self.0.lock().unwrap(), Fault::Swallow(which) if which(asked))
    }

    /// The code with which this is answered instead.
    fn answers(&self, asked: &str) -> Option<u16> {
        match &mut *self.0.lock().unwrap() {
            Fault::Answer { which, code, every, seen } if which(asked) => {
                *seen += 1;
                seen.is_multiple_of(*every).then_some(*code)
            }
            _ => None,
        }
    }

    /// The date to be told.
    fn date(&self) -> Option<HeaderValue> {
        let Fault::Ahead(seconds) = *self.0.lock().unwrap() else { return None };
        let later = Timestamp::now() + SignedDuration::from_secs(seconds);
        let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&later).unwrap();
        Some(HeaderValue::from_str(&date).unwrap())
    }
}

async fn pass_on(State((upstream, faults)): State<(Client, Faults)>, request: Request) -> Response {
    let asked = format!("{} {}", request.method(), request.uri());
    if let Some(code) = faults.answers(&asked) {
        return refuse(code);
    }
    let (mut head, body) = request.into_parts();
    // The client puts its own there.
    head.headers.remove(http::header::HOST);
    head.headers.remove(http::header::AUTHORIZATION);
    let body = body.collect().await.unwrap().to_bytes();
    let answer = upstream.send(http::Request::from_parts(head, kube::client::Body::from(body))).await;
    if faults.swallow(&asked) {
        return std::future::pending().await;
    }
    match answer {
        Ok(answer) => {
            let (mut head, body) = answer.into_parts();
            if let Some(date) = faults.date() {
                head.headers.insert(http::header::DATE, date);
            }
            Response::from_parts(head, Body::from_stream(unless_swallowed(body.into_data_stream(), faults, asked)))
        }
        Err(error) => {
            eprintln!("the API server could not be asked for {asked}: {error}");
            refuse(502)
        }
    }
}

/// An answer as it comes, until it is swallowed: then neither more of it nor its end.
fn unless_swallowed<E: Send + 'static>(
    chunks: impl Stream<Item = Result<Bytes, E>> + Send + Unpin + 'static,
    faults: Faults,
    asked: String,
) -> impl Stream<Item = Result<Bytes, E>> + Send + 'static {
    stream::unfold((chunks, faults, asked), |(mut chunks, faults, asked)| async move {
        let chunk = chunks.next().await;
        if faults.swallow(&asked) {
            return std::future::pending().await;
        }
        chunk.map(|chunk| (chunk, (chunks, faults, asked)))
    })
}

fn refuse(code: u16) -> Response {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": code, "reason": "", "message": format!("the proxy answers {code}"),
    });
    let mut response = Response::new(Body::from(status.to_string()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}

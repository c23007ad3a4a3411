//! An API server in memory, without a socket: it lists, watches and keeps objects, and can be made to fail. Time may be
//! tokio's paused clock.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use castoff::kubernetes::client::Limits;
use futures_util::{Stream, StreamExt, stream};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use kube::Client;
use kube::client::{Body, ClientBuilder, DynBody};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Sleep;
use tower::{BoxError, Layer, service_fn};

type Answer = Response<Box<DynBody>>;

/// How it treats what comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// As it should.
    #[default]
    Well,
    /// Requests are swallowed, and watches that are open tell nothing any more and do not end.
    Swallows,
    /// Answers begin, and do not end.
    Stalls,
}

/// An API server in memory.
#[derive(Clone, Default)]
pub struct ApiServer(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// By the path of each.
    objects: BTreeMap<String, Value>,
    version: u64,
    /// Watches of older versions are told that they are too old.
    oldest: u64,
    watches: Vec<Watch>,
    mood: Mood,
    /// Codes with which the next requests are answered.
    failures: VecDeque<u16>,
    /// How long each answer takes.
    slowness: Duration,
    /// Whether a list may come in as a watch.
    streams: bool,
    requests: Vec<String>,
}

struct Watch {
    collection: String,
    events: mpsc::UnboundedSender<Value>,
    open: Arc<AtomicBool>,
}

/// What a watch tells, when it ends, and whether it is open.
type Watched = (mpsc::UnboundedReceiver<Value>, Pin<Box<Sleep>>, Arc<AtomicBool>);

impl ApiServer {
    /// A client of it, as Castoff makes it.
    pub fn client(&self, limits: Limits) -> Client {
        let server = self.clone();
        let service = service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, BoxError>(server.answer(request).await) }
        });
        ClientBuilder::new(limits.layer(service), "default").build()
    }

    pub fn set_mood(&self, mood: Mood) {
        self.state().mood = mood;
        if mood == Mood::Swallows {
            self.swallow_open_watches();
        }
    }

    pub fn set_slowness(&self, slowness: Duration) {
        self.state().slowness = slowness;
    }

    /// From now on a list may come in as a watch, as on newer API servers.
    pub fn stream_lists(&self) {
        self.state().streams = true;
    }

    /// Answers the next requests with these codes.
    pub fn fail_with(&self, codes: impl IntoIterator<Item = u16>) {
        self.state().failures.extend(codes);
    }

    /// Every watch that is open now tells nothing any more, and does not end.
    pub fn swallow_open_watches(&self) {
        for watch in &self.state().watches {
            watch.open.store(false, Ordering::Relaxed);
        }
    }

    /// Ends every watch, and forgets what happened before now.
    pub fn compact(&self) {
        let mut state = self.state();
        state.version += 1;
        state.oldest = state.version;
        state.watches.clear();
    }

    /// Stores an object at this path, as somebody else.
    pub fn put(&self, path: &str, object: Value) {
        self.state().store(path, object);
    }

    /// Removes the object at this path, as somebody else.
    pub fn delete(&self, path: &str) {
        let mut state = self.state();
        state.version += 1;
        let version = state.version;
        if let Some(mut gone) = state.objects.remove(path) {
            gone["metadata"]["resourceVersion"] = json!(version.to_string());
            state.tell(path, "DELETED", &gone);
        }
    }

    /// Method and address of every request so far that contains `part`.
    pub fn requests(&self, part: &str) -> Vec<String> {
        self.state().requests.iter().filter(|request| request.contains(part)).cloned().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    async fn answer(&self, request: Request<Body>) -> Answer {
        let (head, body) = request.into_parts();
        let (path, query) = (head.uri.path().to_owned(), head.uri.query().unwrap_or_default().to_owned());
        let body = body.collect().await.unwrap().to_bytes();
        let (now, slowness) = {
            let mut state = self.state();
            state.requests.push(format!("{} {}", head.method, head.uri));
            (state.mood, state.slowness)
        };
        tokio::time::sleep(slowness).await;
        if now == Mood::Swallows {
            return std::future::pending().await;
        }
        let failure = self.state().failures.pop_front();
        let (code, answer) = match failure {
            Some(code) => failure_of(code, "InternalError"),
            None if query.contains("sendInitialEvents=true") && !self.state().streams => failure_of(422, "Invalid"),
            None if query.contains("watch=true") => return self.watch(&path, &query),
            None => self.state().act(&head.method, &path, &body),
        };
        if now == Mood::Stalls {
            return respond(code, stream::iter([Bytes::from_static(b"{")]).chain(stream::pending()));
        }
        respond(code, stream::iter([Bytes::from(answer.to_string())]))
    }

    fn watch(&self, path: &str, query: &str) -> Answer {
        let number = |name: &str| {
            let value = query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
            value.and_then(|value| value.parse::<u64>().ok()).unwrap_or(0)
        };
        let mut state = self.state();
        let (from, lists) = (number("resourceVersion"), query.contains("sendInitialEvents=true"));
        if from < state.oldest && !lists {
            let (_, status) = failure_of(410, "Expired");
            return respond(200, stream::iter([Bytes::from(format!("{}\n", event("ERROR", &status)))]));
        }
        let (events, told) = mpsc::unbounded_channel();
        for (_, object) in state.objects.iter().filter(|(key, _)| belongs(key, path)) {
            if version_of(object) > from {
                let _ = events.send(event("MODIFIED", object));
            }
        }
        if lists {
            let all = json!({"resourceVersion": state.version.to_string(), "annotations": {"k8s.io/initial-events-end": "true"}});
            let _ = events.send(event("BOOKMARK", &json!({"kind": "Pod", "apiVersion": "v1", "metadata": all})));
        }
        let open = Arc::new(AtomicBool::new(true));
        state.watches.push(Watch { collection: path.to_owned(), events, open: Arc::clone(&open) });
        let end = Box::pin(tokio::time::sleep(Duration::from_secs(number("timeoutSeconds"))));
        respond(200, stream::unfold((told, end, open), next_line))
    }
}

/// The next line of a watch; none at its end. Neither comes once the watch was swallowed.
async fn next_line(mut watch: Watched) -> Option<(Bytes, Watched)> {
    let (told, end, open) = &mut watch;
    let event = tokio::select! {
        event = told.recv() => event,
        () = end => None,
    };
    if !open.load(Ordering::Relaxed) {
        return std::future::pending().await;
    }
    event.map(|event| (Bytes::from(format!("{event}\n")), watch))
}

impl State {
    fn act(&mut self, method: &Method, path: &str, body: &Bytes) -> (u16, Value) {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        match *method {
            Method::GET => match self.objects.get(path) {
                Some(object) => (200, object.clone()),
                None if is_object(path) => failure_of(404, "NotFound"),
                None => {
                    let items: Vec<&Value> =
                        self.objects.iter().filter(|(key, _)| belongs(key, path)).map(|(_, object)| object).collect();
                    let version = self.version.to_string();
                    (
                        200,
                        json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": version}, "items": items}),
                    )
                }
            },
            Method::POST => {
                let path = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap());
                if self.objects.contains_key(&path) {
                    return failure_of(409, "AlreadyExists");
                }
                (201, self.store(&path, body))
            }
            Method::PUT => match self.objects.get(path) {
                None => failure_of(404, "NotFound"),
                Some(known) if known["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"] => {
                    failure_of(409, "Conflict")
                }
                Some(_) => (200, self.store(path, body)),
            },
            _ => failure_of(405, "MethodNotAllowed"),
        }
    }

    fn store(&mut self, path: &str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let told = if self.objects.insert(path.to_owned(), object.clone()).is_some() { "MODIFIED" } else { "ADDED" };
        self.tell(path, told, &object);
        object
    }

    fn tell(&mut self, path: &str, kind: &str, object: &Value) {
        let event = event(kind, object);
        self.watches.retain(|watch| !belongs(path, &watch.collection) || watch.events.send(event.clone()).is_ok());
    }
}

/// Whether an object's path lies in a collection, which may be that of all namespaces.
fn belongs(path: &str, collection: &str) -> bool {
    let Some((_, kind)) = collection.rsplit_once('/') else { return false };
    let root = collection.strip_suffix(kind).unwrap_or(collection);
    path.starts_with(root) && path.rsplit('/').nth(1) == Some(kind)
}

/// Whether a path names an object rather than a collection: the kinds of these tests end in an s, and no name does.
fn is_object(path: &str) -> bool {
    !path.ends_with('s')
}

fn version_of(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().and_then(|version| version.parse().ok()).unwrap_or(0)
}

fn failure_of(code: u16, reason: &str) -> (u16, Value) {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": code, "reason": reason, "message": format!("refused with {code}"),
    });
    (code, status)
}

fn event(kind: &str, object: &Value) -> Value {
    json!({"type": kind, "object": object})
}

fn respond(code: u16, chunks: impl Stream<Item = Bytes> + Send + 'static) -> Answer {
    let frames = chunks.map(|chunk| Ok::<_, Infallible>(Frame::data(chunk)));
    let body = StreamBody::new(frames).map_err(|never| match never {}).boxed_unsync();
    let body: Box<DynBody> = Box::new(body);
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}

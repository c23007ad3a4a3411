//! An API server that knows pods, and nothing else: in this process, without a socket, and from bytes that are made
//! beforehand, so that what it costs is little of what is measured.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use kube::Client;
use kube::client::{Body, ClientBuilder, DynBody};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tower::{BoxError, service_fn};

/// What makes the JSON of the pod of a number, in a version.
pub type Make = Arc<dyn Fn(usize, u64) -> String + Send + Sync>;

/// An API server with so many pods.
#[derive(Clone)]
pub struct Api {
    pods: usize,
    make: Make,
    events: UnboundedSender<Bytes>,
    watched: Arc<Mutex<Option<UnboundedReceiver<Bytes>>>>,
    /// How often owners were asked for.
    pub owners: Arc<AtomicU64>,
}

impl Api {
    pub fn new(pods: usize, make: Make) -> Api {
        let (events, watched) = unbounded_channel();
        Api { pods, make, events, watched: Arc::new(Mutex::new(Some(watched))), owners: Arc::default() }
    }

    pub fn client(&self) -> Client {
        let api = self.clone();
        let service = service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move { Ok::<_, BoxError>(api.answer(&request)) }
        });
        ClientBuilder::new(service, "default").build()
    }

    /// A line of the watch that tells of the pod of this number, in this version.
    pub fn event(&self, number: usize, version: u64) -> Bytes {
        format!("{{\"type\":\"MODIFIED\",\"object\":{}}}\n", (self.make)(number, version)).into()
    }

    pub fn tell(&self, event: Bytes) {
        self.events.send(event).unwrap();
    }

    fn answer(&self, request: &Request<Body>) -> Response<Box<DynBody>> {
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
        let one = |text: String| respond(200, stream::iter([Bytes::from(text)]));
        if path.contains("/daemonsets/") {
            self.owners.fetch_add(1, Ordering::Relaxed);
            let set = r#"{"metadata": {"name": "agent", "uid": "set", "generation": 1}, "spec": {}, "status": {"desiredNumberScheduled": 5000, "observedGeneration": 1}}"#;
            return one(set.to_owned());
        }
        if path.ends_with("/controllerrevisions") {
            return one(r#"{"kind": "List", "apiVersion": "v1", "metadata": {}, "items": []}"#.to_owned());
        }
        if !query.contains("sendInitialEvents=true") {
            return respond(200, stream::pending());
        }
        let (api, watched) = (self.clone(), self.watched.lock().unwrap().take().unwrap());
        let all = stream::iter(0..self.pods).map(move |number| api.event(number, 1));
        let end = r#"{"type":"BOOKMARK","object":{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"1","annotations":{"k8s.io/initial-events-end":"true"}}}}"#;
        let later = stream::unfold(watched, |mut watched| async { Some((watched.recv().await?, watched)) });
        respond(200, all.chain(stream::iter([Bytes::from(format!("{end}\n"))])).chain(later))
    }
}

fn respond(code: u16, chunks: impl stream::Stream<Item = Bytes> + Send + 'static) -> Response<Box<DynBody>> {
    let frames = chunks.map(|chunk| Ok::<_, Infallible>(Frame::data(chunk)));
    let body = StreamBody::new(frames).map_err(|never| match never {}).boxed_unsync();
    let body: Box<DynBody> = Box::new(body);
    Response::builder().status(code).body(body).unwrap()
}

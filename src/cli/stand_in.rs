//! `castoff simulate stand-in`: a container of a guarded pod, whose application is played by a test outside the cluster.
//! The test comes by the API server's proxy, so that it needs no way into the pods' network, nor they one out.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::HOST;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Args;
use tokio::signal::unix::Signal;

use crate::simulation::pd::cut_off;
use crate::simulation::serve;
use crate::simulation::stand_in::{Answered, Asked, Behaviour, Course, Relay};

use super::Failure;

/// Between two looks at the annotations.
const PERIOD: Duration = Duration::from_millis(100);

/// Whoever comes for a request and finds none comes again after so long: what lies between may forget a longer call.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest body that is carried.
const BODY_LIMIT: usize = 64 * 1024;

#[derive(Debug, Args)]
pub(super) struct StandIn {
    /// Where the application answers
    #[arg(long, default_value = "0.0.0.0:8080", value_name = "ADDRESS")]
    listen: SocketAddr,

    /// Where whoever plays it fetches requests (GET /next) and brings answers (POST /answers), and kubelets ask /ready
    #[arg(long, default_value = "0.0.0.0:8081", value_name = "ADDRESS")]
    control: SocketAddr,

    /// The pod's annotations, as the downward API writes them
    #[arg(long, default_value = "/etc/pod/annotations", value_name = "FILE")]
    annotations: PathBuf,
}

/// A stand-in at work.
#[derive(Clone)]
struct Played {
    relay: Arc<Relay>,
    began: Instant,
    annotations: Arc<PathBuf>,
}

/// Plays until it is told to end, or until its annotations have it end by itself.
pub(super) async fn run(command: StandIn, mut terminate: Signal) -> Result<(), Failure> {
    let played =
        Played { relay: Relay::new(), began: Instant::now(), annotations: Arc::new(command.annotations.clone()) };
    let application = Router::new().fallback(carry).with_state(Arc::clone(&played.relay));
    let control = Router::new()
        .route("/next", get(next))
        .route("/answers", post(answer))
        .route("/ready", get(ready))
        .with_state(played.clone());
    tokio::select! {
        ended = serve(command.listen, application) => ended.map_err(Failure::no),
        ended = serve(command.control, control) => ended.map_err(Failure::no),
        ended = follows_its_course(&played) => ended,
        () = is_told_to_end(&mut terminate, &played) => Ok(()),
    }
}

impl Played {
    /// A file that is not there says nothing.
    fn behaviour(&self) -> Behaviour {
        Behaviour::read(&std::fs::read_to_string(self.annotations.as_path()).unwrap_or_default())
    }
}

async fn follows_its_course(played: &Played) -> Result<(), Failure> {
    loop {
        match played.behaviour().course {
            Course::Crashes => return Err(Failure::No("crashes, as the annotations say".to_owned())),
            Course::Completes(after) if played.began.elapsed() >= after => return Ok(()),
            Course::Fails(after) if played.began.elapsed() >= after => {
                return Err(Failure::No("fails, as the annotations say".to_owned()));
            }
            _ => tokio::time::sleep(PERIOD).await,
        }
    }
}

async fn is_told_to_end(terminate: &mut Signal, played: &Played) {
    terminate.recv().await;
    tokio::time::sleep(played.behaviour().ends_after).await;
}

/// What is asked of the application.
async fn carry(State(relay): State<Arc<Relay>>, request: Request) -> Response {
    let text = |value: Option<&http::HeaderValue>| value.and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
    let host = text(request.headers().get(HOST));
    let method = request.method().as_str().to_owned();
    let path = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
    let body = to_bytes(request.into_body(), BODY_LIMIT).await.unwrap_or_default();
    let body = String::from_utf8_lossy(&body).into_owned();
    let Some(answered) = relay.ask(Asked { id: 0, host, method, path, body }).await else { return cut_off() };
    match answered.status {
        Some(status) => Response::builder().status(status).body(Body::from(answered.body)).unwrap_or_default(),
        None => cut_off(),
    }
}

async fn next(State(played): State<Played>) -> Response {
    match tokio::time::timeout(PATIENCE, played.relay.next()).await {
        Ok(Some(asked)) => Json(asked).into_response(),
        _ => StatusCode::NO_CONTENT.into_response(),
    }
}

async fn answer(State(played): State<Played>, Json(answered): Json<Answered>) {
    played.relay.answer(answered);
}

/// Ready is a pod that somebody plays.
async fn ready(State(played): State<Played>) -> StatusCode {
    let behaviour = played.behaviour();
    let is_ready = played.relay.is_attended()
        && behaviour.course != Course::NeverReady
        && played.began.elapsed() >= behaviour.ready_after;
    if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

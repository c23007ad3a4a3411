//! `castoff simulate`: what stands behind guarded pods in tests on a real node, from the same image. Not for production,
//! and not shown in the help.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{Method, StatusCode};
use axum::routing::{any, get};
use axum::{Json, Router};
use clap::{Args, Subcommand};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use crate::backend::dns::{Lookup as _, SystemDns};
use crate::simulation::pd::{Config, SimulatedPd};
use crate::simulation::serve;
use crate::simulation::work::{Client, Work};

use super::stand_in::{self, StandIn};
use super::{Failure, output};

/// Plays a backend, for tests
#[derive(Debug, Args)]
pub(super) struct Simulate {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// An application that answers `/prestop`, works on `/work?ms=N`, and on SIGTERM ends at once with what it works on
    Hook(Listen),
    /// Sends a request again and again, each on a connection of its own, and counts what failed at `/figures`
    Client(Sender),
    /// A PD with stores
    Pd(Pd),
    /// An application that is played from outside, and a pod that behaves as its annotations say
    StandIn(StandIn),
}

#[derive(Debug, Args)]
struct Listen {
    /// Where to answer
    #[arg(long, default_value = "0.0.0.0:8080", value_name = "ADDRESS")]
    listen: SocketAddr,
}

#[derive(Debug, Args)]
struct Sender {
    /// What to ask
    url: url::Url,

    /// Between two requests, in milliseconds
    #[arg(long, default_value_t = 50, value_name = "MS")]
    every: u64,

    #[command(flatten)]
    listen: Listen,
}

#[derive(Debug, Args)]
struct Pd {
    /// A store, as ID=ADDRESS; may be repeated
    #[arg(long = "store", value_name = "STORE", value_parser = store)]
    stores: Vec<(u64, String)>,

    /// How many leaders each has at first
    #[arg(long, default_value_t = 100, value_name = "NUMBER")]
    leaders: u64,

    #[command(flatten)]
    listen: Listen,
}

fn store(text: &str) -> Result<(u64, String), &'static str> {
    let (id, address) = text.split_once('=').ok_or("write a store as ID=ADDRESS")?;
    Ok((id.parse().map_err(|_| "a store's ID is a number")?, address.to_owned()))
}

/// Plays until SIGTERM.
pub(super) async fn run(command: Simulate) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::no)?;
    match command.role {
        Role::Hook(Listen { listen }) => {
            let work = Arc::new(Work::default());
            let application = application(Arc::clone(&work));
            tokio::select! {
                ended = serve(listen, application) => ended.map_err(Failure::no),
                _ = terminate.recv() => {
                    output::line(format!("SIGTERM: {}", work.answer()));
                    Ok(())
                }
            }
        }
        Role::Client(Sender { url, every, listen }) => {
            let client = Client::new(find(&url).await?, &url[url::Position::BeforePath..]);
            let figures = Arc::clone(&client);
            let routes = Router::new().route("/figures", get(|| async move { Json(figures.figures()) }));
            tokio::select! {
                ended = serve(listen.listen, routes) => ended.map_err(Failure::no),
                () = client.send(Duration::from_millis(every)) => Ok(()),
                _ = terminate.recv() => Ok(()),
            }
        }
        Role::Pd(Pd { stores, leaders, listen }) => {
            let stores = stores.into_iter().map(|(id, address)| (id, address, leaders)).collect();
            let _pd = SimulatedPd::start_at(listen.listen, Config::with_stores(stores)).await.map_err(Failure::no)?;
            terminate.recv().await;
            Ok(())
        }
        Role::StandIn(command) => stand_in::run(command, terminate).await,
    }
}

/// The Service's address stays the same.
async fn find(url: &url::Url) -> Result<SocketAddr, Failure> {
    let host = url.host_str().unwrap_or_default();
    let found = SystemDns::new().lookup(host).await.map_err(|error| Failure::No(format!("{host}: {error}")))?;
    let address = found.addresses.first().ok_or_else(|| Failure::No(format!("{host} has no address")))?;
    Ok(SocketAddr::new(*address, url.port_or_known_default().unwrap_or(80)))
}

fn application(work: Arc<Work>) -> Router {
    Router::new()
        .route("/work", get(do_work))
        .route("/prestop", any(hook))
        // A kubelet's preStop, which comes when the pod has been let go.
        .route("/leaving", get(leaving))
        .route("/ready", get(ready))
        .with_state(work)
}

async fn do_work(State(work): State<Arc<Work>>, Query(query): Query<BTreeMap<String, String>>) -> &'static str {
    let time = query.get("ms").and_then(|ms| ms.parse().ok()).unwrap_or(0);
    let _begun = work.begin();
    tokio::time::sleep(Duration::from_millis(time)).await;
    "done"
}

async fn hook(State(work): State<Arc<Work>>, method: Method) -> Json<Value> {
    match method {
        Method::POST => work.prepare(),
        Method::DELETE => work.go_on(),
        _ => {}
    }
    Json(work.answer())
}

async fn leaving(State(work): State<Arc<Work>>) {
    output::line(format!("preStop: {}", work.answer()));
}

async fn ready(State(work): State<Arc<Work>>) -> StatusCode {
    if work.takes_new() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

#[cfg(test)]
mod tests {
    use super::store;

    #[test]
    fn a_store_is_an_id_and_an_address() {
        assert_eq!(store("1=tikv-0.tikv-peer:20160"), Ok((1, "tikv-0.tikv-peer:20160".to_owned())));
        assert!(store("tikv-0").is_err() && store("a=b").is_err());
    }
}

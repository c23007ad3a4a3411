//! Backends over real HTTP: an application's own hook on each pod's address, and a simulated PD whose stores are pods.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::serve::IncomingStream;
use castoff::simulation::pd::{Config, SimulatedPd, cut_off};
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::scene::Scene;

/// The applications of guarded pods, all answering on one port of their own addresses.
#[derive(Clone)]
pub struct Hooks {
    pub port: u16,
    apps: Arc<Mutex<HashMap<IpAddr, App>>>,
    /// By pod UID, as they were at the end.
    ended: Arc<Mutex<HashMap<String, App>>>,
}

/// One application, behind one pod's address.
#[derive(Clone, Debug)]
pub struct App {
    /// `Idle`, `Preparing` or `Prepared`.
    pub state: &'static str,
    /// What it still works on; it is prepared once that is 0.
    pub inflight: u64,
    /// How many of these are done with each look.
    pub done_per_look: u64,
    /// Why it must not leave now.
    pub blocked: String,
    /// Answers this status and nonsense instead.
    pub broken: Option<u16>,
    /// Does not answer.
    pub is_down: bool,
    /// How long it takes until a request to get ready has its effect and is answered, whether the caller waits or not.
    pub gets_ready_after: Duration,
    /// The requests that came in, by method.
    pub asked: Vec<Method>,
}

impl Default for App {
    fn default() -> Self {
        App {
            state: "Idle",
            inflight: 0,
            done_per_look: 1,
            blocked: String::new(),
            broken: None,
            is_down: false,
            gets_ready_after: Duration::ZERO,
            asked: Vec::new(),
        }
    }
}

impl App {
    /// How often it was asked to get ready.
    pub fn prepared_times(&self) -> usize {
        self.asked.iter().filter(|method| **method == Method::POST).count()
    }

    /// How often it was asked for anything but how it is.
    pub fn changes(&self) -> usize {
        self.asked.iter().filter(|method| **method != Method::GET).count()
    }

    fn take(&mut self, method: &Method) {
        match *method {
            Method::POST if self.state == "Idle" => self.state = "Preparing",
            Method::DELETE => self.state = "Idle",
            _ => {}
        }
        if self.state == "Preparing" {
            self.inflight = self.inflight.saturating_sub(self.done_per_look);
            if self.inflight == 0 {
                self.state = "Prepared";
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Local(SocketAddr);

impl Connected<IncomingStream<'_, TcpListener>> for Local {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Local(stream.io().local_addr().unwrap())
    }
}

impl Hooks {
    /// Applications that whoever runs the pods has [asked](Hooks::ask).
    pub fn at_port(port: u16) -> Hooks {
        Hooks { port, apps: Arc::default(), ended: Arc::default() }
    }

    /// Applications that listen on this machine, on whichever address they are asked at.
    pub async fn listening() -> Hooks {
        let listener = match TcpListener::bind("[::]:0").await {
            Ok(every) => every,
            // A machine without IPv6.
            Err(_) => TcpListener::bind("0.0.0.0:0").await.unwrap(),
        };
        let hooks = Hooks::at_port(listener.local_addr().unwrap().port());
        let router = Router::new().fallback(answer).with_state(hooks.clone());
        let service = router.into_make_service_with_connect_info::<Local>();
        tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        hooks
    }

    /// What the application behind an address answers: a status, where it does, and a body.
    pub async fn ask(&self, address: IpAddr, method: Method) -> (Option<u16>, String) {
        let (is_down, broken, wait) = {
            let mut apps = self.apps.lock().unwrap();
            let app = apps.entry(address).or_default();
            app.asked.push(method.clone());
            let wait = if method == Method::POST { app.gets_ready_after } else { Duration::ZERO };
            (app.is_down, app.broken, wait)
        };
        if is_down {
            return (None, String::new());
        }
        if broken.is_some() {
            return (broken, "<html>nonsense</html>".to_owned());
        }
        // What was asked for is done, whether or not the caller is still there.
        let apps = Arc::clone(&self.apps);
        let work = tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            let mut apps = apps.lock().unwrap();
            let app = apps.entry(address).or_default();
            app.take(&method);
            json!({"state": app.state, "inflight": app.inflight, "blocked": app.blocked})
        });
        (Some(200), work.await.unwrap().to_string())
    }

    /// Forgets the application of each pod that is gone: another pod may get its address.
    pub fn follow(&self, client: &Client) {
        let api: Api<Pod> = Api::all(client.clone());
        let (apps, ended) = (Arc::clone(&self.apps), Arc::clone(&self.ended));
        tokio::spawn(async move {
            let mut events = Box::pin(watcher::watcher(api, watcher::Config::default()));
            let mut listed = HashSet::new();
            while let Some(event) = events.next().await {
                match event {
                    Ok(Event::Delete(pod)) => {
                        if let Some(app) = address_of_pod(&pod).and_then(|ip| apps.lock().unwrap().remove(&ip)) {
                            ended.lock().unwrap().insert(pod.metadata.uid.unwrap_or_default(), app);
                        }
                    }
                    // After a break, what is gone is told by nothing but that it is not listed.
                    Ok(Event::Init) => listed.clear(),
                    Ok(Event::InitApply(pod)) => listed.extend(address_of_pod(&pod)),
                    Ok(Event::InitDone) => apps.lock().unwrap().retain(|address, _| listed.contains(address)),
                    Ok(Event::Apply(_)) => {}
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        });
    }

    /// The application of a pod that is leaving or has left.
    pub fn of(&self, pod: &Pod) -> App {
        let ended = self.ended.lock().unwrap().get(pod.metadata.uid.as_deref().unwrap_or_default()).cloned();
        let address = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref());
        ended.or_else(|| address.map(|address| self.at(address, |app| app.clone()))).unwrap_or_default()
    }

    /// Looks at or changes the application behind an address.
    pub fn at<T>(&self, address: &str, look: impl FnOnce(&mut App) -> T) -> T {
        look(self.apps.lock().unwrap().entry(address.parse().unwrap()).or_default())
    }
}

fn address_of_pod(pod: &Pod) -> Option<IpAddr> {
    pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()
}

async fn answer(ConnectInfo(local): ConnectInfo<Local>, State(hooks): State<Hooks>, method: Method) -> Response {
    let (status, body) = hooks.ask(local.0.ip().to_canonical(), method).await;
    status.map_or_else(cut_off, |status| (StatusCode::from_u16(status).unwrap(), body).into_response())
}

/// A PD, and TiKV stores that live and die with the pods of one StatefulSet.
pub struct Tikv {
    pub pd: Arc<SimulatedPd>,
    /// Where the guard finds it.
    pub url: String,
    task: JoinHandle<()>,
}

impl Tikv {
    /// Stores for the pods `NAME-0` to `NAME-(replicas - 1)`, and one more that no pod stands for and that takes leaders.
    pub async fn start(scene: &Scene, name: &str, replicas: u64, leaders: u64) -> Tikv {
        let namespace = scene.namespace.as_str();
        let address = |ordinal: u64| address_of(namespace, name, ordinal);
        let mut stores: Vec<_> = (0..replicas).map(|ordinal| (ordinal + 1, address(ordinal), leaders)).collect();
        stores.push((100, "elsewhere.example:20160".to_owned(), leaders));
        let pd = Arc::new(SimulatedPd::start(Config::with_stores(stores)).await.unwrap());
        let url = scene.ground().reach(&pd.url()).await;
        let api: Api<Pod> = Api::namespaced(scene.client.clone(), namespace);
        let prefix = format!("{name}-");
        let task = tokio::spawn(follow(api, prefix, Arc::clone(&pd), namespace.to_owned(), name.to_owned()));
        Tikv { pd, url, task }
    }

    pub fn store_of(ordinal: u64) -> u64 {
        ordinal + 1
    }
}

impl Drop for Tikv {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The address that the store of a pod announces.
pub fn address_of(namespace: &str, name: &str, ordinal: u64) -> String {
    format!("{name}-{ordinal}.{name}-peer.{namespace}.svc:20160")
}

/// A store's process ends as soon as its pod begins to terminate, and begins when the pod is Ready.
async fn follow(api: Api<Pod>, prefix: String, pd: Arc<SimulatedPd>, namespace: String, name: String) {
    let mut running: HashMap<String, bool> = HashMap::new();
    let mut events = Box::pin(watcher::watcher(api, watcher::Config::default()));
    while let Some(event) = events.next().await {
        let (pod, gone) = match event {
            Ok(Event::Apply(pod) | Event::InitApply(pod)) => (pod, false),
            Ok(Event::Delete(pod)) => (pod, true),
            Ok(_) => continue,
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let pod_name = pod.metadata.name.clone().unwrap_or_default();
        let Some(ordinal) = pod_name.strip_prefix(&prefix).and_then(|number| number.parse::<u64>().ok()) else {
            continue;
        };
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let before = running.get(&uid).copied().unwrap_or(false);
        // A probe that fails ends no process.
        let runs = !gone && pod.metadata.deletion_timestamp.is_none() && (before || is_ready(&pod));
        running.insert(uid, runs);
        let store = Tikv::store_of(ordinal);
        match (before, runs) {
            (true, false) => pd.pod_ended(store),
            (false, true) => pd.pod_started(store, &address_of(&namespace, &name, ordinal)),
            _ => {}
        }
    }
}

pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

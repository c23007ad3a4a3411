//! Pods whose applications are played here: stand-ins (`castoff simulate stand-in`) carry what they are asked through the
//! API server to this process, and the answers back. So backends are the same on every ground, and need no way from the
//! cluster to this machine.

use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, Request};
use castoff::simulation::stand_in::{Answered, Asked};
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::backends::Hooks;
use crate::installation::{apply, kubectl};

/// Where the backends that are no guarded pods are found.
const NAMESPACE: &str = "castoff-test";

/// What the guard must be allowed to ask for that.
pub const ALLOWED: &str = "*.castoff-test.svc:8080";

const CONTROL_PORT: u16 = 8081;

/// The spec of a pod that stands in for one.
pub fn spec(image: &str) -> Value {
    json!({
        "terminationGracePeriodSeconds": 5,
        "containers": [{
            "name": "main",
            "image": image,
            "args": ["simulate", "stand-in"],
            "volumeMounts": [{"name": "pod", "mountPath": "/etc/pod"}],
            "readinessProbe": {
                "httpGet": {"path": "/ready", "port": CONTROL_PORT}, "periodSeconds": 1, "timeoutSeconds": 5,
            },
        }],
        "volumes": [{"name": "pod", "downwardAPI": {"items": [
            {"path": "annotations", "fieldRef": {"fieldPath": "metadata.annotations"}},
        ]}}],
    })
}

/// Plays the applications of all pods that are stand-ins, from now on.
pub fn play(client: &Client, hooks: &Hooks) {
    let (client, hooks) = (client.clone(), hooks.clone());
    tokio::spawn(async move {
        let mut played: HashMap<String, (String, JoinHandle<()>)> = HashMap::new();
        let api: Api<Pod> = Api::all(client.clone());
        let mut events = Box::pin(watcher::watcher(api, watcher::Config::default()));
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Apply(pod) | Event::InitApply(pod)) => {
                    let (place, uid) = (place(&pod), pod.uid().unwrap_or_default());
                    let Some(address) = address(&pod).filter(|_| is_guarded_stand_in(&pod)) else { continue };
                    if played.get(&place).is_some_and(|(of, _)| *of == uid) {
                        continue;
                    }
                    let hooks = hooks.clone();
                    let answer = move |asked: Asked| {
                        let hooks = hooks.clone();
                        async move { hooks.ask(address, method(&asked)).await }
                    };
                    let task = tokio::spawn(attend(client.clone(), place.clone(), answer));
                    if let Some((_, former)) = played.insert(place, (uid, task)) {
                        former.abort();
                    }
                }
                Ok(Event::Delete(pod)) => {
                    if let Some((_, task)) = played.remove(&place(&pod)) {
                        task.abort();
                    }
                }
                Ok(_) => {}
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    });
}

fn place(pod: &Pod) -> String {
    place_of(&pod.namespace().unwrap_or_default(), &pod.name_any())
}

/// Where the API server passes on what is for a stand-in's player.
fn place_of(namespace: &str, pod: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods/{pod}:{CONTROL_PORT}/proxy")
}

fn address(pod: &Pod) -> Option<IpAddr> {
    pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()
}

fn is_guarded_stand_in(pod: &Pod) -> bool {
    let container = pod.spec.as_ref().and_then(|spec| spec.containers.first());
    let arguments = container.and_then(|container| container.args.as_deref()).unwrap_or_default();
    arguments == ["simulate", "stand-in"] && pod.namespace().as_deref() != Some(NAMESPACE)
}

fn method(asked: &Asked) -> Method {
    Method::from_bytes(asked.method.as_bytes()).unwrap()
}

/// Fetches requests and brings answers, for ever.
async fn attend<A>(client: Client, place: String, answer: impl Fn(Asked) -> A)
where
    A: Future<Output = (Option<u16>, String)> + Send + 'static,
{
    loop {
        let next = Request::get(format!("{place}/next")).body(Vec::new()).unwrap();
        let fetched = client.request_text(next).await.map(|text| serde_json::from_str::<Asked>(&text));
        let asked = match fetched {
            Ok(Ok(asked)) => asked,
            // Nobody has asked for a while.
            Ok(Err(_)) => continue,
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let (id, answer) = (asked.id, answer(asked));
        let (client, place) = (client.clone(), place.clone());
        tokio::spawn(async move {
            let (status, body) = answer.await;
            let answered = serde_json::to_vec(&Answered { id, status, body }).unwrap();
            let brought = Request::post(format!("{place}/answers")).header(CONTENT_TYPE, "application/json");
            // A pod that has ended meanwhile can't be told.
            let _ = client.request_text(brought.body(answered).unwrap()).await;
        });
    }
}

/// One pod by which the guard reaches backends that listen on this machine: each is a Service of its own.
pub struct Outside {
    pod: String,
    made: AtomicUsize,
    urls: Arc<Mutex<HashMap<String, String>>>,
}

impl Outside {
    pub async fn start(client: &Client, image: &str, tolerations: &Value) -> Outside {
        let pod = format!("outside-{}", std::process::id());
        let mut spec = spec(image);
        spec["tolerations"] = tolerations.clone();
        for object in [
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}),
            json!({
                "apiVersion": "v1", "kind": "Pod", "spec": spec,
                "metadata": {"name": pod, "namespace": NAMESPACE, "labels": {"app": pod}},
            }),
        ] {
            apply(&object.to_string()).await;
        }
        let urls: Arc<Mutex<HashMap<String, String>>> = Arc::default();
        let (known, http) = (Arc::clone(&urls), reqwest::Client::new());
        let answer = move |asked: Asked| {
            let name = asked.host.split('.').next().unwrap_or_default();
            let url = known.lock().unwrap().get(name).cloned();
            let http = http.clone();
            async move {
                match url {
                    Some(url) => pass_on(&http, &url, asked).await,
                    None => (Some(404), format!("nothing is called {}", asked.host)),
                }
            }
        };
        tokio::spawn(attend(client.clone(), place_of(NAMESPACE, &pod), answer));
        let ready = ["wait", "-n", NAMESPACE, "--for=condition=Ready", &format!("pod/{pod}"), "--timeout=90s"];
        let printed = kubectl(&ready).await;
        let seen = kubectl(&["describe", "pod", "-n", NAMESPACE, &pod]).await.stdout;
        assert_eq!(printed.code, 0, "{printed:?}: is {image} on the node?\n{seen}");
        Outside { pod, made: AtomicUsize::new(0), urls }
    }

    pub async fn reach(&self, url: &str) -> String {
        let name = format!("{}-{}", self.pod, self.made.fetch_add(1, Ordering::Relaxed));
        self.urls.lock().unwrap().insert(name.clone(), url.to_owned());
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"clusterIP": "None", "publishNotReadyAddresses": true, "selector": {"app": self.pod}},
        });
        apply(&service.to_string()).await;
        format!("http://{name}.{NAMESPACE}.svc:8080")
    }

    pub async fn stop(&self) {
        kubectl(&["delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false"]).await;
    }
}

async fn pass_on(http: &reqwest::Client, url: &str, asked: Asked) -> (Option<u16>, String) {
    let sent = http.request(method(&asked), format!("{url}{}", asked.path)).body(asked.body).send().await;
    let Ok(answer) = sent else { return (None, String::new()) };
    let status = answer.status().as_u16();
    // What breaks off here breaks off there too.
    answer.text().await.map_or((None, String::new()), |body| (Some(status), body))
}

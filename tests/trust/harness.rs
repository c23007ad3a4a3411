//! A Castoff of certificates and registration alone, under the ServiceAccount of the manifests, outside the cluster.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use castoff::admission::Malformed;
use castoff::kubernetes::certificates::{self, Access, Lives, Place, Served};
use castoff::kubernetes::registration::{Guarded, NAME, Registration, Seen, Settings, Target};
use castoff::runtime::shutdown::Shutdown;
use castoff::runtime::{Liveness, Readiness};
use castoff::server::{Config, Gate, Server, WebhookPaths};
use castoff::trust::{Certificates, Expiry};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Secret, ServiceAccount};
use kube::api::{Api, DeleteParams, PostParams};
use kube::runtime::events::{Recorder, Reporter};
use kube::{Client, ResourceExt};
use prometheus::Registry;
use serde_json::{Value, json};
use tokio::sync::{Mutex as Turn, MutexGuard, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

pub const OWN: &str = "castoff-system";

/// The objects are there once in a cluster: one test at a time.
pub static TURN: Turn<()> = Turn::const_new(());

/// What a test is played with. Its tasks end with it.
pub struct Scene {
    pub admin: Client,
    pub guarded: Arc<Namespaces>,
    pub readiness: Readiness,
    pub registry: Registry,
    pub access: watch::Receiver<Access>,
    pub address: SocketAddr,
    pub seen: watch::Receiver<Seen>,
    _tasks: JoinSet<()>,
    _turn: MutexGuard<'static, ()>,
}

impl Scene {
    /// A Castoff whose `leaders` all believe that they lead, in a cluster without a trace of an earlier one.
    pub async fn new(lives: Lives, leaders: usize) -> Scene {
        let turn = TURN.lock().await;
        let _ = rustls::crypto::ring::default_provider().install_default();
        let admin = client(None).await;
        clean(&admin).await;
        let castoff = client(Some(&format!("system:serviceaccount:{OWN}:castoff"))).await;
        let (readiness, registry) = (Readiness::new(), Registry::new());
        let certificates = Certificates::none_yet();
        let mut config = Config::new(certificates.clone());
        (config.listen, config.admin_listen) = ("127.0.0.1:0".parse().unwrap(), "127.0.0.1:0".parse().unwrap());
        config.paths = WebhookPaths::none_yet();
        let paths = config.paths.clone();
        let webhook = Server::bind(config).await.unwrap();
        let address = webhook.local_addr();
        let url = format!("https://{address}").parse().unwrap();
        let settings = Settings { target: Target::Url(url), ..Settings::new(OWN) };
        let guarded = Arc::new(Namespaces::default());
        let reporter = Reporter { controller: "castoff".to_owned(), instance: Some("test".to_owned()) };
        let recorder = Recorder::new(castoff.clone(), reporter);
        let registration =
            Registration::new(castoff.clone(), settings, Arc::clone(&guarded) as _, recorder, &registry).unwrap();
        let registration = Arc::new(registration);
        let place = Place { further_names: vec!["127.0.0.1".to_owned()], ..Place::new(OWN) };
        let (told, access) = watch::channel(Access::default());
        let (tell, seen) = watch::channel(Seen::NotYet);

        let mut tasks = JoinSet::new();
        let expiry = Expiry::register(&registry).unwrap();
        let ready = readiness.register("certificates", "there is none yet");
        let served = Some(Served { certificates, expiry, ready });
        tasks.spawn(certificates::follow(castoff.clone(), place.clone(), served, told));
        let mut changes = access.clone();
        tasks.spawn(async move {
            while changes.changed().await.is_ok() {
                paths.replace(changes.borrow_and_update().paths.iter().cloned());
            }
        });
        let ready = readiness.register("registration", "not seen yet");
        let follower = Arc::clone(&registration);
        tasks.spawn(async move { follower.follow(tell, ready).await });
        for _ in 0..leaders {
            tasks.spawn(certificates::keep(castoff.clone(), place.clone(), lives, access.clone()));
            let (registration, access, seen) = (Arc::clone(&registration), access.clone(), seen.clone());
            tasks.spawn(async move { registration.keep(access, seen).await });
        }
        let (ready, all) = (readiness.clone(), registry.clone());
        tasks.spawn(async move {
            webhook.run(Arc::new(Denies), ready, Liveness::new(), all, Shutdown::new()).await.unwrap();
        });
        Scene { admin, guarded, readiness, registry, access, address, seen, _tasks: tasks, _turn: turn }
    }

    pub fn configurations(&self) -> Api<ValidatingWebhookConfiguration> {
        Api::all(self.admin.clone())
    }

    pub fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.admin.clone(), OWN)
    }

    pub fn mark(&self) -> Api<ConfigMap> {
        Api::namespaced(self.admin.clone(), OWN)
    }

    /// A namespace with a pod that runs; gives the pod.
    pub async fn pod(&self, namespace: &str) -> Pod {
        make_namespace(&self.admin, namespace).await;
        let pods: Api<Pod> = Api::namespaced(self.admin.clone(), namespace);
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "c"}]}});
        let _ = pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await;
        eventually("the pod runs", async || {
            let pod = pods.get_opt("p").await.unwrap()?;
            (pod.status.as_ref()?.phase.as_deref() == Some("Running")).then_some(pod)
        })
        .await
    }

    /// Whether a person's dry-run delete is denied by Castoff; else what comes of it.
    pub async fn denied(&self, pod: &Pod) -> Result<(), String> {
        let pods: Api<Pod> = Api::namespaced(self.admin.clone(), &pod.namespace().unwrap());
        match pods.delete(&pod.name_any(), &DeleteParams::default().dry_run()).await {
            Err(kube::Error::Api(status)) if status.message.contains("denied the request: not yet") => Ok(()),
            Err(error) => Err(error.to_string()),
            Ok(_) => Err("allowed".to_owned()),
        }
    }

    /// The bundle that the Secret holds.
    pub fn bundle(&self) -> Option<Arc<str>> {
        self.access.borrow().bundle.clone()
    }

    /// The paths that the API server is told to ask on.
    pub async fn paths(&self) -> BTreeSet<String> {
        let live = self.configurations().get(NAME).await.unwrap();
        Seen::There(Arc::new(live)).paths()
    }

    /// What becomes of a review that anybody sends who reaches the port: the status of the answer.
    pub async fn forge(&self, path: &str) -> u16 {
        let authority = reqwest::Certificate::from_pem(self.bundle().unwrap().as_bytes()).unwrap();
        let anybody = reqwest::Client::builder().tls_certs_only([authority]).build().unwrap();
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "1"}});
        let request =
            anybody.post(format!("https://{}{path}", self.address)).header("content-type", "application/json");
        request.body(review.to_string()).send().await.unwrap().status().as_u16()
    }

    /// The namespaces that are registered now.
    pub async fn registered(&self) -> Vec<String> {
        let live = self.configurations().get_opt(NAME).await.unwrap();
        live.map(|live| Seen::There(Arc::new(live)).namespaces().into_iter().collect()).unwrap_or_default()
    }

    pub async fn becomes_registered(&self, namespaces: &[&str]) {
        eventually(&format!("{namespaces:?} are registered"), async || {
            (self.registered().await == namespaces).then_some(())
        })
        .await;
    }

    /// Does to the registration what a person would do with kubectl edit.
    pub async fn edit(&self, patch: Value) {
        let parameters =
            kube::api::PatchParams { field_manager: Some("kubectl-edit".to_owned()), ..Default::default() };
        self.configurations().patch(NAME, &parameters, &kube::api::Patch::Strategic(patch)).await.unwrap();
    }
}

/// The namespaces that are to be guarded, as the test says.
#[derive(Default)]
pub struct Namespaces {
    memory: Mutex<BTreeSet<String>>,
    /// What a list would show; nothing where it fails.
    list: Mutex<Option<BTreeSet<String>>>,
    changes: watch::Sender<u64>,
}

impl Namespaces {
    pub fn set(&self, memory: &[&str], list: Option<&[&str]>) {
        *self.memory.lock().unwrap() = owned(memory);
        *self.list.lock().unwrap() = list.map(owned);
        self.changes.send_modify(|count| *count += 1);
    }
}

fn owned(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[async_trait]
impl Guarded for Namespaces {
    fn namespaces(&self) -> BTreeSet<String> {
        self.memory.lock().unwrap().clone()
    }

    async fn namespaces_now(&self) -> Option<BTreeSet<String>> {
        self.list.lock().unwrap().clone()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

/// Denies everything.
struct Denies;

#[async_trait]
impl Gate for Denies {
    async fn answer(&self, body: Bytes, _: Instant) -> Result<Bytes, Malformed> {
        let review: Value = serde_json::from_slice(&body).unwrap();
        let status = json!({"code": 429, "reason": "TooManyRequests", "message": "not yet"});
        let response = json!({"uid": review["request"]["uid"], "allowed": false, "status": status});
        let answer = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
        Ok(answer.to_string().into())
    }
}

pub async fn client(user: Option<&str>) -> Client {
    let mut config = kube::Config::infer().await.expect("KUBECONFIG must name a cluster: hack/cluster env");
    config.auth_info.impersonate = user.map(str::to_owned);
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

pub async fn clean(admin: &Client) {
    let (secrets, maps): (Api<Secret>, Api<ConfigMap>) =
        (Api::namespaced(admin.clone(), OWN), Api::namespaced(admin.clone(), OWN));
    let configurations: Api<ValidatingWebhookConfiguration> = Api::all(admin.clone());
    let _ = configurations.delete(NAME, &DeleteParams::default()).await;
    let _ = secrets.delete("castoff-tls", &DeleteParams::default()).await;
    let _ = maps.delete("castoff-registration", &DeleteParams::default()).await;
}

pub async fn make_namespace(admin: &Client, name: &str) {
    let namespaces: Api<Namespace> = Api::all(admin.clone());
    let namespace = json!({"metadata": {"name": name}});
    let _ = namespaces.create(&PostParams::default(), &serde_json::from_value(namespace).unwrap()).await;
    // Without its ServiceAccount no pod can be made.
    let accounts: Api<ServiceAccount> = Api::namespaced(admin.clone(), name);
    eventually("the namespace can be used", async || accounts.get_opt("default").await.unwrap()).await;
}

/// Looks again and again until there is something.
pub async fn eventually<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    for _ in 0..300 {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{what}: not within 30 s");
}

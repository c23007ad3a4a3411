//! Castoff in pods of its own: those of the manifests' Deployment. What a kubelet does is done here: behind the address
//! of each pod runs the real program, the pod is Ready when that says so, and is told to end with the pod.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use serde_json::json;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::backends::is_ready;
use crate::ground::free_ports;
use crate::installation::{Installation, NAMESPACE, apply, holder, kubectl, manifests};
use crate::moves::cluster_wide;
use crate::scene::{Scene, merge};

/// The pods that are Castoff's.
pub const LABEL: &str = "app.kubernetes.io/name=castoff";

/// Set while the program behind a pod does not say that it is ready.
const NOT_READY: &str = "test.castoff.dev/behave";

/// Castoff in pods, in place of the replicas that run without.
pub struct OwnPods {
    installation: Arc<Installation>,
    running: Arc<Mutex<BTreeMap<String, Running>>>,
    kubelet: JoinHandle<()>,
}

/// Where every one of them listens, at its pod's address: not at the manifests' ports, which this machine may use.
#[derive(Clone, Copy)]
struct Ports {
    webhook: u16,
    admin: u16,
}

struct Running {
    child: Child,
    told_to_end: bool,
}

impl OwnPods {
    /// Starts them, and ends the others once these answer.
    pub async fn start(scene: &Scene) -> OwnPods {
        // What an earlier run has left that was cut short.
        gone(scene).await;
        apply(&deployment().await).await;
        let (installation, running) = (Arc::clone(&scene.installation), Arc::default());
        let free = free_ports(2);
        let ports = Ports { webhook: free[0], admin: free[1] };
        let kubelet = tokio::spawn(kubelet(Arc::clone(&installation), Arc::clone(&running), ports));
        let pods = OwnPods { installation, running, kubelet };
        pods.until_whole(scene).await;
        for number in 0..2 {
            pods.installation.ground.terminate(number).await;
        }
        pods
    }

    /// Waits until two are there, both Ready.
    pub async fn until_whole(&self, scene: &Scene) {
        scene
            .until("two replicas are Ready in pods, and no further one is there", 90, || async {
                let pods = all(&self.installation).await;
                (pods.len() == 2 && pods.iter().all(serves)).then_some(())
            })
            .await;
    }

    /// The pod that leads, and the other.
    pub async fn leader_and_standby(&self, scene: &Scene) -> (Pod, Pod) {
        scene
            .until("a pod leads", 60, || async {
                let holder = holder().await;
                let (leader, mut others): (Vec<Pod>, Vec<Pod>) =
                    all(&self.installation).await.into_iter().partition(|pod| name(pod) == holder);
                Some((leader.into_iter().next()?, others.pop()?))
            })
            .await
    }

    /// Stops or continues the program behind a pod.
    pub async fn signal(&self, pod: &Pod, signal: &str) {
        let pid = self.running.lock().unwrap()[&name(pod)].child.id().unwrap().to_string();
        Command::new("kill").args([signal, &pid]).status().await.unwrap();
    }

    /// Has the usual replicas back.
    pub async fn end(self, scene: &Scene) {
        self.installation.ground.make_whole().await;
        self.kubelet.abort();
        let processes = scene.processes();
        processes.balancer.set(processes.addresses());
        gone(scene).await;
    }
}

impl Drop for OwnPods {
    fn drop(&mut self) {
        self.kubelet.abort();
    }
}

/// Takes the Deployment away, and waits until its pods are gone.
async fn gone(scene: &Scene) {
    cluster_wide(&["delete", "deployment", "castoff", "-n", NAMESPACE, "--ignore-not-found"]).await;
    scene
        .until("Castoff's pods are gone", 60, || async { all(&scene.installation).await.is_empty().then_some(()) })
        .await;
}

/// The manifests' Deployment. Its pods are not Ready until they are said to be, and end once their program has had the
/// time to.
async fn deployment() -> String {
    let (_, deployment) = manifests().await;
    let mut object = serde_saphyr::from_str(&deployment).unwrap();
    let annotations = json!({NOT_READY: "never-ready", "test.castoff.dev/ends-after": "4s"});
    merge(&mut object, &json!({"spec": {"template": {"metadata": {"annotations": annotations}}}}));
    object.to_string()
}

/// Castoff's pods.
pub async fn all(installation: &Installation) -> Vec<Pod> {
    let api: Api<Pod> = Api::namespaced(installation.client.clone(), NAMESPACE);
    api.list(&ListParams::default().labels(LABEL)).await.map(|list| list.items).unwrap_or_default()
}

pub fn name(pod: &Pod) -> String {
    pod.metadata.name.clone().unwrap_or_default()
}

fn serves(pod: &Pod) -> bool {
    is_ready(pod) && pod.metadata.deletion_timestamp.is_none()
}

fn address(pod: &Pod, port: u16) -> Option<SocketAddr> {
    let address = pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()?;
    Some(SocketAddr::new(address, port))
}

/// Starts, asks and ends programs, and has those that are Ready asked, as a Service would.
async fn kubelet(installation: Arc<Installation>, running: Arc<Mutex<BTreeMap<String, Running>>>, ports: Ports) {
    let mut marked_ready = BTreeSet::new();
    loop {
        let pods = all(&installation).await;
        for pod in &pods {
            run(&installation, &running, pod, ports);
            if pod.metadata.deletion_timestamp.is_none() {
                mark(pod, ports, &mut marked_ready).await;
            }
        }
        let ready: Vec<SocketAddr> =
            pods.iter().filter(|pod| serves(pod)).filter_map(|pod| address(pod, ports.webhook)).collect();
        if !ready.is_empty() {
            installation.processes().balancer.set(ready);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// A program for each pod that is there, told to end with it.
fn run(installation: &Installation, running: &Mutex<BTreeMap<String, Running>>, pod: &Pod, ports: Ports) {
    let mut running = running.lock().unwrap();
    let terminates = pod.metadata.deletion_timestamp.is_some();
    match (running.get_mut(&name(pod)), address(pod, ports.webhook), address(pod, ports.admin)) {
        (Some(runs), ..) if terminates && !runs.told_to_end => {
            runs.told_to_end = true;
            let pid = runs.child.id().map(|pid| pid.to_string()).unwrap_or_default();
            let _ = std::process::Command::new("kill").args(["-TERM", &pid]).status();
        }
        (None, Some(listen), Some(admin)) if !terminates => {
            let processes = installation.processes();
            let log = processes.path(&format!("{}.log", name(pod)));
            let child = processes.replica(&name(pod), listen, admin, &log).spawn().unwrap();
            running.insert(name(pod), Running { child, told_to_end: false });
        }
        _ => {}
    }
}

/// Has the pod be Ready, or not, as its program says.
async fn mark(pod: &Pod, ports: Ports, marked_ready: &mut BTreeSet<String>) {
    let Some(admin) = address(pod, ports.admin) else { return };
    let client = reqwest::Client::builder().timeout(Duration::from_secs(2)).build().unwrap();
    let answer = client.get(format!("http://{admin}/readyz")).send().await;
    let ready = answer.is_ok_and(|answer| answer.status().is_success());
    if ready == marked_ready.contains(&name(pod)) {
        return;
    }
    let annotation = if ready { format!("{NOT_READY}-") } else { format!("{NOT_READY}=never-ready") };
    kubectl(&["annotate", "pod", &name(pod), "-n", NAMESPACE, "--overwrite", &annotation]).await;
    if ready {
        marked_ready.insert(name(pod));
    } else {
        marked_ready.remove(&name(pod));
    }
}

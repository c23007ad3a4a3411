//! Castoff as users run it: the Deployment of the manifests, from an image that the nodes have, behind its Service.
//! Guarded pods are real containers of the same image, which stand in for applications that the tests play.

use std::fmt::Write as _;
use std::future::Future;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axum::http::Request;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::stand_ins::{self, Outside};
use super::{Ground, Need};
use crate::backends::{Hooks, is_ready};
use crate::installation::{
    LEASE_DURATION, LOG, NAMESPACE, Printed, apply, holder, kubectl, kubectl_with, run, unregister,
};

/// Where stand-ins answer.
pub const HOOK_PORT: u16 = 8080;

const DEPLOYMENT: &str = "deployment/castoff";
const LABEL: &str = "app.kubernetes.io/name=castoff";

pub struct InCluster {
    client: Client,
    /// The image of guarded pods.
    stand_in: String,
    outside: Outside,
    /// Runs a command on the node, where the replicas' processes are.
    on_node: Option<String>,
    /// The pods that the replicas are.
    replicas: Mutex<[Option<String>; 2]>,
    /// The logs of those that were ended, with the names of their pods.
    ended: Mutex<Vec<(String, String)>>,
}

/// The image that a variable names, or else this one.
fn image_named(variable: &str, otherwise: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| otherwise.to_owned())
}

impl InCluster {
    pub async fn start(client: &Client, hooks: &Hooks, deployment: &str) -> InCluster {
        let castoff = image_named("CASTOFF_TEST_IMAGE", concat!("castoff:", env!("CARGO_PKG_VERSION")));
        let stand_in =
            image_named("CASTOFF_TEST_STAND_IN_IMAGE", concat!("castoff-for-tests:", env!("CARGO_PKG_VERSION")));
        // A scenario taints the node, which may be the only one.
        let tolerations = json!([{"key": "test", "operator": "Exists"}]);
        let change = for_tests(&castoff, &tolerations).to_string();
        let local = ["patch", "--local", "-f", "-", "--type=strategic", "-o", "yaml", "-p", &change];
        let changed = kubectl_with(&local, deployment).await;
        assert_eq!(changed.code, 0, "{changed:?}");
        apply(&changed.stdout).await;
        stand_ins::play(client, hooks);
        let outside = Outside::start(client, &stand_in, &tolerations).await;
        let ground = InCluster {
            client: client.clone(),
            stand_in,
            outside,
            on_node: std::env::var("CASTOFF_TEST_ON_NODE").ok(),
            replicas: Mutex::default(),
            ended: Mutex::default(),
        };
        ground.roll_out().await;
        ground
    }

    async fn roll_out(&self) {
        let said = of_castoff(&["rollout", "status", DEPLOYMENT, "--timeout=180s"]).await;
        assert_eq!(said.code, 0, "{said:?}\n{}", of_castoff(&["describe", "pods"]).await.stdout);
    }

    /// The replicas that serve, each under its number; whether that is all of them.
    async fn number_them(&self) -> bool {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), NAMESPACE);
        let pods = api.list(&ListParams::default().labels(LABEL)).await.map(|list| list.items).unwrap_or_default();
        let serves = |pod: &&Pod| is_ready(pod) && pod.metadata.deletion_timestamp.is_none();
        let serving: Vec<String> = pods.iter().filter(serves).map(ResourceExt::name_any).collect();
        let mut replicas = self.replicas.lock().unwrap();
        for replica in replicas.iter_mut() {
            replica.take_if(|name| !serving.contains(name));
        }
        let news: Vec<String> =
            serving.iter().filter(|name| !replicas.contains(&Some((*name).clone()))).cloned().collect();
        for (replica, name) in replicas.iter_mut().filter(|replica| replica.is_none()).zip(news) {
            *replica = Some(name);
        }
        serving.len() == replicas.len() && replicas.iter().all(Option::is_some)
    }

    /// Ends a replica, and sees to it that no other takes its place; with `power_cut`, before it can do anything more.
    async fn end(&self, number: usize, power_cut: bool) {
        let (name, others) = {
            let mut replicas = self.replicas.lock().unwrap();
            let Some(name) = replicas[number].take() else { return };
            (name, replicas.iter().flatten().count())
        };
        let api: Api<Pod> = Api::namespaced(self.client.clone(), NAMESPACE);
        let Some(pod) = api.get_opt(&name).await.unwrap() else { return };
        // It stands still until its pod is gone from the API: else its kubelet would start it anew, or end it in peace.
        if power_cut {
            self.signal("SIGSTOP", &pod).await;
        }
        let log = of_castoff(&["logs", &name]).await.stdout;
        self.ended.lock().unwrap().push((name.clone(), log));
        must(&["annotate", "pod", &name, "--overwrite", "controller.kubernetes.io/pod-deletion-cost=-1"]).await;
        must(&["scale", DEPLOYMENT, &format!("--replicas={others}")]).await;
        until(&format!("{name} is the one to go"), || async {
            let pod = api.get_opt(&name).await.ok()?;
            pod.is_none_or(|pod| pod.metadata.deletion_timestamp.is_some()).then_some(())
        })
        .await;
        if power_cut {
            of_castoff(&["delete", "pod", &name, "--force", "--grace-period=0", "--wait=false"]).await;
            self.signal("SIGKILL", &pod).await;
            return;
        }
        until(&format!("{name} is gone"), || async {
            let pod = api.get_opt(&name).await.ok()?;
            if let Some(code) = pod.as_ref().and_then(exit_code) {
                assert_eq!(code, 0, "a replica that was told to end did not end in peace");
            }
            pod.is_none().then_some(())
        })
        .await;
    }

    async fn signal(&self, signal: &str, pod: &Pod) {
        let on_node = self.on_node.as_deref().expect("scenarios that kill are not played without a node");
        let status = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref()?.first()).unwrap();
        let container = status.container_id.as_deref().and_then(|id| id.strip_prefix("containerd://")).unwrap();
        let command = format!("{on_node} ctr -n k8s.io tasks kill --signal {signal} {container}");
        let printed = run("bash", &["-c", &command]).await;
        assert_eq!(printed.code, 0, "{command}: {printed:?}");
    }
}

/// What the tests change about the Deployment: the image, what is shorter than in production, where backends are.
fn for_tests(image: &str, tolerations: &Value) -> Value {
    let environment = [
        ("CASTOFF_LEASE_DURATION", LEASE_DURATION),
        ("CASTOFF_SHUTDOWN_DELAY", "1"),
        ("CASTOFF_LOG", LOG),
        ("CASTOFF_ALLOW_ENDPOINT", stand_ins::ALLOWED),
    ];
    let environment: Vec<Value> =
        environment.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    // New each time, so that an image that was put on the node under the same name is taken up.
    let run = jiff::Timestamp::now().to_string();
    json!({"spec": {"replicas": 2, "template": {
        "metadata": {"annotations": {"test.castoff.dev/run": run}},
        "spec": {
            "tolerations": tolerations,
            "containers": [{"name": "castoff", "image": image, "env": environment}],
        },
    }}})
}

fn exit_code(pod: &Pod) -> Option<i32> {
    let status = pod.status.as_ref()?.container_statuses.as_ref()?.first()?;
    Some(status.state.as_ref()?.terminated.as_ref()?.exit_code)
}

/// kubectl in Castoff's own namespace.
async fn of_castoff(arguments: &[&str]) -> Printed {
    kubectl(&[&["-n", NAMESPACE], arguments].concat()).await
}

async fn must(arguments: &[&str]) {
    let printed = of_castoff(arguments).await;
    assert_eq!(printed.code, 0, "kubectl {arguments:?}: {printed:?}");
}

async fn until<T, F: Future<Output = Option<T>>>(what: &str, look: impl Fn() -> F) -> T {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "a minute has passed, and not yet: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[async_trait]
impl Ground for InCluster {
    async fn make_whole(&self) {
        if self.number_them().await {
            return;
        }
        must(&["scale", DEPLOYMENT, "--replicas=2"]).await;
        self.roll_out().await;
        until("both replicas serve", || async { self.number_them().await.then_some(()) }).await;
    }

    async fn kill(&self, number: usize) {
        self.end(number, true).await;
    }

    async fn terminate(&self, number: usize) {
        self.end(number, false).await;
    }

    async fn leader(&self) -> Option<usize> {
        let holder = holder().await;
        self.replicas.lock().unwrap().iter().position(|name| name.as_deref() == Some(&holder))
    }

    async fn metrics(&self, number: usize) -> String {
        let Some(name) = self.replicas.lock().unwrap()[number].clone() else { return String::new() };
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{name}:8081/proxy/metrics");
        self.client.request_text(Request::get(path).body(Vec::new()).unwrap()).await.unwrap()
    }

    async fn log(&self, word: &str) -> String {
        let mut logs = self.ended.lock().unwrap().clone();
        let running: Vec<String> = self.replicas.lock().unwrap().iter().flatten().cloned().collect();
        for name in running {
            let log = of_castoff(&["logs", &name]).await.stdout;
            logs.push((name, log));
        }
        let mut text = String::new();
        for (name, log) in logs {
            for line in log.lines().filter(|line| line.contains(word)) {
                writeln!(text, "{name}: {line}").unwrap();
            }
        }
        text
    }

    async fn stop(&self) {
        of_castoff(&["delete", DEPLOYMENT, "--wait=true", "--cascade=foreground"]).await;
        unregister().await;
        self.outside.stop().await;
    }

    fn pod(&self) -> Value {
        stand_ins::spec(&self.stand_in)
    }

    async fn reach(&self, url: &str) -> String {
        self.outside.reach(url).await
    }

    fn lacks(&self, need: Need) -> Option<&'static str> {
        match need {
            Need::SimulatedNodes => Some("needs simulated nodes"),
            Need::Ipv6 => Some("needs pods that run on this machine"),
            Need::Processes | Need::Evictions => Some("needs replicas that a test starts as it likes"),
            Need::Kill if self.on_node.is_none() => Some("needs CASTOFF_TEST_ON_NODE"),
            need => super::lacks(need),
        }
    }

    fn to_be_revived(&self) -> &'static [&'static str] {
        &["controller-manager", "scheduler"]
    }
}

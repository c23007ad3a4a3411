//! Many pods: what it costs to know them, to follow them, and to look at those of a node.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use castoff::app::assemble::{Guard, Parts, settings};
use castoff::backend::guard;
use castoff::controller::log_events::LogEvents;
use castoff::kubernetes::cache::Source;
use castoff::kubernetes::cluster::WatchedCluster;
use castoff::kubernetes::follow::Pace;
use castoff::kubernetes::pods;
use castoff::kubernetes::registration::Seen;
use castoff::lifecycle::{Drain, Phase};
use castoff::ports::{Cluster, Store};
use castoff::runtime::Liveness;
use castoff::standalone::policies;
use castoff::standalone::secrets::DirectorySecrets;
use castoff::standalone::store::FileStore;

use super::api::Api;
use super::process;
use super::report::Figure;
use super::scene::{PERIOD, pod_of};

/// So many pods a namespace, and a node.
const OF_A_NAMESPACE: usize = 50;
const OF_A_NODE: usize = 30;

/// Numbers that stand for those of a pod.
const NUMBER: usize = 7_171_717;
const POLICY: usize = 81_818_181;

/// What a pod of usual size has besides what Castoff reads: some KiB of spec and of who manages which field.
fn whole(mut pod: serde_json::Value, more: &serde_json::Value) -> String {
    for part in ["metadata", "spec", "status"] {
        let fields = more[part].as_object().unwrap().clone();
        pod[part].as_object_mut().unwrap().extend(fields);
    }
    pod.to_string()
}

/// The pods of a cluster: 50 a namespace, 30 a node; `agents` more are a DaemonSet's, one a node.
fn api(ordinary: usize, agents: usize) -> Api {
    let review = include_str!("../bench-gate/review-12k.json");
    let review: serde_json::Value = serde_json::from_str(review).unwrap();
    let real = &review["request"]["oldObject"];
    let more = serde_json::json!({
        "metadata": {"managedFields": real["metadata"]["managedFields"]},
        "spec": {"containers": real["spec"]["containers"], "volumes": real["spec"]["volumes"]},
        "status": {"qosClass": "Burstable"},
    });
    // Written once, so that to make a pod costs little of what is measured. The numbers are in no other place of it.
    let mut pod = serde_json::to_value(pod_of(POLICY, NUMBER)).unwrap();
    pod["metadata"]["resourceVersion"] = "@version".into();
    pod["metadata"]["labels"]["tier"] = "ordinary".into();
    pod["spec"]["nodeName"] = "@node".into();
    // Ready, and not, in turns.
    pod["status"]["conditions"][1]["status"] = "@ready".into();
    let template = whole(pod.clone(), &more);
    (pod["metadata"]["name"], pod["metadata"]["namespace"]) = ("agent-@number".into(), "agents".into());
    (pod["metadata"]["uid"], pod["metadata"]["labels"]) = ("agent-@number".into(), serde_json::json!({"app": "agent"}));
    pod["metadata"]["ownerReferences"] = serde_json::json!([
        {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "agent", "uid": "set", "controller": true}]);
    let agent = whole(pod, &more);
    let make = move |number: usize, version: u64| {
        let common = |template: &str, node: usize| {
            let ready = if version % 2 == 1 { "True" } else { "False" };
            let text = template.replace("@version", &version.to_string()).replace("@ready", ready);
            text.replace("@node", &format!("node-{node}"))
        };
        if number >= ordinary {
            let node = number - ordinary;
            return common(&agent, node).replace("@number", &node.to_string());
        }
        let text = common(&template, number / OF_A_NODE);
        let text = text.replace(&NUMBER.to_string(), &format!("{:07}", number % OF_A_NAMESPACE));
        text.replace(&POLICY.to_string(), &(number / OF_A_NAMESPACE).to_string())
    };
    Api::new(ordinary + agents, Arc::new(make))
}

/// A guard that follows these pods.
struct Following {
    guard: Guard,
    store: Arc<FileStore>,
    cluster: Arc<WatchedCluster>,
}

impl Following {
    fn new(api: &Api, text: &str) -> Following {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("policies.yaml"), text).unwrap();
        let (_tell, seen) = tokio::sync::watch::channel(Seen::NotYet);
        let cluster = Arc::new(WatchedCluster::new(api.client(), seen, true));
        let store = Arc::new(FileStore::in_memory());
        let parts = Parts {
            policies: Arc::new(ArcSwap::from_pointee(policies::read(directory.path()).unwrap())),
            store: Arc::clone(&store) as _,
            cluster: Arc::clone(&cluster) as _,
            secrets: Arc::new(DirectorySecrets::new(directory.path().to_owned())),
            events: Arc::new(LogEvents),
            endpoints: guard::Settings { loopback: true, ..Default::default() },
            is_leader: Arc::new(|| true),
            settings: settings(),
            own_user: None,
        };
        let guard = parts.assemble(&prometheus::Registry::new()).unwrap_or_else(|_| panic!("no guard"));
        let source = Source::new(kube::Api::all(api.client()), "pods", pods::read);
        let pace = Pace { streams: true, watch_seconds: 600, silence: Duration::from_secs(700), ..Pace::default() };
        tokio::spawn(Arc::clone(&cluster.pods.cache).follow(Source { pace, ..source }));
        Following { guard, store, cluster }
    }

    async fn work(&self) {
        self.cluster.pods.cache.filled().await;
        let pulse = Liveness::new().register("controller", Duration::from_mins(10));
        tokio::spawn(Arc::clone(&self.guard.controller).run(std::future::pending(), pulse));
    }
}

/// So many policies, each for ten pods of a namespace of its own.
fn policies_of(number: usize) -> String {
    let mut text = String::new();
    for policy in 0..number {
        write!(
            text,
            "---\napiVersion: castoff.dev/v1alpha1\nkind: DrainPolicy\nmetadata: {{name: p{policy}, namespace: n{policy}}}\n\
             spec:\n  selector: {{matchLabels: {{app: a{policy}}}}}\n  steps: [{{name: s, plan: {{builtIn: http-hook}}}}]\n"
        )
        .unwrap();
    }
    text
}

/// A leader begins in a cluster of so many pods: how long until it knows them, and what it takes.
pub async fn begin(number: usize) -> Vec<Figure> {
    let (api, cpu, began) = (api(number, 0), process::cpu(), Instant::now());
    let following = Following::new(&api, &policies_of(1000.min(number / OF_A_NAMESPACE)));
    let before = process::memory("VmRSS");
    following.work().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (took, cpu) = (began.elapsed(), process::cpu() - cpu);
    let most = process::memory("VmHWM");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = process::memory("VmRSS");
    vec![
        Figure::new("until its first turn, with what the API server takes", took.as_secs_f64(), "s"),
        Figure::new("CPU of that", cpu / 1e6, "s"),
        Figure::new("resident memory before any pod", before, "MiB"),
        Figure::new("resident memory", after, "MiB"),
        Figure::new("the most that was resident meanwhile, of that", most / after, "x"),
    ]
}

/// Pods change, 2,000 a second, in a cluster of so many pods and policies.
pub async fn events(number: usize, policies: usize) -> Vec<Figure> {
    const EVENTS: u64 = 10_000;
    let api = api(number, 0);
    let following = Following::new(&api, &policies_of(policies));
    following.work().await;
    // What is guarded is looked at, as the leader does that shows the state of each policy.
    for policy in 0..policies {
        following.cluster.pods(&format!("n{policy}"));
    }
    let events: Vec<_> =
        (0..EVENTS).map(|event| api.event(usize::try_from(event).unwrap() * 7919 % number, event + 2)).collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (cpu, mut ticks) = (process::cpu(), tokio::time::interval(Duration::from_millis(10)));
    for chunk in events.chunks(20) {
        ticks.tick().await;
        for event in chunk {
            api.tell(event.clone());
        }
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let cpu = process::cpu() - cpu;
    #[allow(clippy::cast_precision_loss)]
    let each = cpu / EVENTS as f64;
    vec![
        Figure::new("CPU of one event", each, "us"),
        Figure::new("processors at 2,000 a second", each * 2000.0 / 1e6, ""),
    ]
}

/// Agents of so many nodes leave at once, each once no pod of its node depends on it.
pub async fn neighbours(leaving: usize, nodes: usize) -> Vec<Figure> {
    let api = api(nodes * OF_A_NODE, nodes);
    let text = format!(
        "apiVersion: castoff.dev/v1alpha1\nkind: DrainPolicy\nmetadata: {{name: agents, namespace: agents}}\n\
         spec:\n  selector: {{matchLabels: {{app: agent}}}}\n  maxUnavailable: {leaving}\n  pollPeriodSeconds: {}\n  \
         steps: [{{name: s, plan: {{builtIn: neighbours}}, parameters: {{selector: tier=ordinary, namespaces: '*'}}}}]\n",
        PERIOD.as_secs()
    );
    let following = Following::new(&api, &text);
    following.work().await;
    for node in 0..leaving {
        let pod = following.cluster.known("agents", &format!("agent-{node}")).unwrap();
        let mut drain = Drain::new(&pod, "agents", "system:serviceaccount:kube-system:daemon-set-controller");
        drain.status.pod = Some(Arc::new((*pod).clone()));
        following.store.create(drain).await.unwrap();
    }
    let under_way = || following.store.all().iter().filter(|drain| drain.status.phase == Phase::Draining).count();
    let began = Instant::now();
    while under_way() < leaving && began.elapsed() < Duration::from_mins(1) {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    tokio::time::sleep(PERIOD * 2).await;
    let (before, cpu) = (api.owners.load(Ordering::Relaxed), process::cpu());
    tokio::time::sleep(Duration::from_secs(10)).await;
    let (looks, cpu) = (api.owners.load(Ordering::Relaxed) - before, process::cpu() - cpu);
    #[allow(clippy::cast_precision_loss)]
    let (looks, leaving) = (looks as f64, leaving as f64);
    #[allow(clippy::cast_precision_loss)]
    let under_way = under_way() as f64;
    vec![
        Figure::new("under way", under_way, ""),
        Figure::new("CPU of one look", cpu / looks, "us"),
        Figure::new("period, of the one that is wanted", leaving * 10.0 / PERIOD.as_secs_f64() / looks, "x"),
    ]
}

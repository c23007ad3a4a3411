//! A guard as it runs, its store in memory, with as many policies, pods and drains as are wanted.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use castoff::app::assemble::{Guard, Standalone};
use castoff::lifecycle::{Drain, Phase};
use castoff::pod::{self, Pod};
use castoff::ports::{Cluster, News, Store, WAKE_ANNOTATION};
use castoff::runtime::Liveness;
use castoff::server::Gate;
use castoff::standalone::cluster::LocalCluster;
use castoff::standalone::objects::Objects;
use castoff::standalone::policies;
use castoff::standalone::secrets::DirectorySecrets;
use castoff::standalone::store::FileStore;
use serde_json::json;

/// As whom pods are asked for.
const CALLER: &str = "system:serviceaccount:kube-system:statefulset-controller";

/// Between two looks at a backend.
pub const PERIOD: Duration = Duration::from_secs(2);

const PLAN: &str = "
---
apiVersion: castoff.dev/v1alpha1
kind: DrainPlan
metadata: {name: bench}
spec:
  summary: waits until nothing is left
  params: {url: {type: string, required: true}}
  endpoints: {backend: {url: '${params.url}'}}
  observe: {left: {url: '${backend}/${pod.metadata.name}'}}
  done: left.body.left == 0
  progress: {remaining: left.body.left, unit: things}
---
apiVersion: castoff.dev/v1alpha1
kind: DrainPlan
metadata: {name: long}
spec:
  summary: goes through all that a backend lists, several times
  params: {url: {type: string, required: true}}
  endpoints: {backend: {url: '${params.url}'}}
  observe: {left: {url: '${backend}/${pod.metadata.name}'}}
  done: left.body.items.map(a, string(a)).map(a, a + a).exists(a, size(a) == 3)
";

/// Policies with pods of theirs, each policy with a namespace and a backend of its own.
#[derive(Clone, Debug)]
pub struct Plan {
    pub policies: usize,
    pub pods_each: usize,
    pub max_unavailable: usize,
    /// The address of the backend of a policy.
    pub url: fn(&str, usize) -> String,
}

/// A guard that works.
pub struct Scene {
    pub guard: Guard,
    pub store: Arc<FileStore>,
    pub cluster: Arc<LocalCluster>,
    pub pods: Vec<Arc<Pod<'static>>>,
}

impl Scene {
    /// A guard that knows all of these policies and pods; `host` gives the backend's host for each policy.
    pub fn new(plan: &Plan, host: impl Fn(usize) -> String) -> Scene {
        Scene::with(plan, host, "", u32::try_from(plan.pods_each).unwrap())
    }

    /// The same, where each StatefulSet wants so many pods, and the policy guards a part of them.
    pub fn of_a_part(plan: &Plan, host: impl Fn(usize) -> String, replicas: u32) -> Scene {
        Scene::with(plan, host, "  ordinals: 3-1999999999\n", replicas)
    }

    fn with(plan: &Plan, host: impl Fn(usize) -> String, more: &str, replicas: u32) -> Scene {
        let directory = tempfile::tempdir().unwrap();
        let mut text = PLAN.to_owned();
        let (mut objects, mut pods) = (Objects::default(), Vec::new());
        for policy in 0..plan.policies {
            let url = (plan.url)(&host(policy), policy);
            let name = if url.ends_with("/long") { "long" } else { "bench" };
            write!(
                text,
                "---\napiVersion: castoff.dev/v1alpha1\nkind: DrainPolicy\nmetadata: {{name: p{policy}, namespace: n{policy}}}\n\
                 spec:\n  selector: {{matchLabels: {{app: a{policy}}}}}\n  maxUnavailable: {}\n  pollPeriodSeconds: {}\n{more}  \
                 steps: [{{name: s, plan: {{name: {name}}}, parameters: {{url: '{url}'}}}}]\n",
                plan.max_unavailable,
                PERIOD.as_secs()
            )
            .unwrap();
            let set = json!({"kind": "StatefulSet", "metadata": {"uid": format!("set-{policy}")}, "spec": {"replicas": replicas}});
            objects.add(&set).unwrap();
            for number in 0..plan.pods_each {
                let pod = pod_of(policy, number);
                let pod = Arc::new(pod);
                objects.pods.insert(pod.full_name(), Arc::clone(&pod));
                pods.push(pod);
            }
        }
        std::fs::write(directory.path().join("policies.yaml"), text).unwrap();
        let policies = policies::read(directory.path()).unwrap();
        let store = Arc::new(FileStore::in_memory());
        let cluster = Arc::new(LocalCluster::new(objects));
        let parts = Standalone {
            policies,
            store: Arc::clone(&store) as _,
            cluster: Arc::clone(&cluster),
            secrets: DirectorySecrets::new(directory.path().to_owned()),
            allow_endpoints: Vec::new(),
            labels: castoff::metrics::Labels::default(),
        };
        let guard = parts.assemble(&prometheus::Registry::new()).unwrap_or_else(|_| panic!("no guard"));
        Scene { guard, store, cluster, pods }
    }

    /// Lets the controller work, for ever.
    pub fn work(&self) {
        let pulse = Liveness::new().register("controller", Duration::from_mins(10));
        tokio::spawn(Arc::clone(&self.guard.controller).run(std::future::pending(), pulse));
    }

    /// All pods are asked for at once.
    pub async fn ask_for_all(&self) {
        for pod in &self.pods {
            let mut drain = Drain::new(pod, &format!("p{}", &pod.metadata.namespace[1..]), CALLER);
            drain.status.pod = Some(Arc::clone(pod));
            self.store.create(drain).await.unwrap();
        }
    }

    /// Asks for the first pod, which is being prepared, over and over for so long; how long each denial took, the
    /// shortest first.
    pub async fn denials(&self, time: Duration) -> Vec<Duration> {
        let mut review: serde_json::Value =
            serde_json::from_str(include_str!("../bench-gate/review-12k.json")).unwrap();
        let pod = &self.pods[0];
        review["request"]["name"] = json!(pod.metadata.name);
        review["request"]["namespace"] = json!(pod.metadata.namespace);
        review["request"]["oldObject"] = serde_json::to_value(pod.as_ref()).unwrap();
        let body = Bytes::from(review.to_string());
        let (began, mut took) = (Instant::now(), Vec::new());
        while began.elapsed() < time {
            let asked = Instant::now();
            let limit = tokio::time::Instant::now() + Duration::from_secs(5);
            let answer: serde_json::Value =
                serde_json::from_slice(&self.guard.gate.answer(body.clone(), limit).await.unwrap()).unwrap();
            took.push(asked.elapsed());
            assert_eq!(answer["response"]["allowed"], false, "{answer}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        took.sort_unstable();
        took
    }

    /// Every pod goes, and is replaced by one of its name that is Ready.
    pub fn replace_all(&self) {
        self.cluster.change(|objects| {
            for pod in objects.pods.values_mut() {
                let pod = Arc::make_mut(pod);
                pod.metadata.uid = format!("{}-next", pod.metadata.uid).into();
                pod.metadata.annotations.clear();
            }
        });
    }

    /// How many pods carry the mark that wakes their controller.
    pub fn woken(&self) -> usize {
        let is_woken = |pod: &&Arc<Pod<'static>>| {
            let now = self.cluster.known(&pod.metadata.namespace, &pod.metadata.name);
            now.is_some_and(|pod| pod.metadata.annotations.contains_key(WAKE_ANNOTATION))
        };
        self.pods.iter().filter(is_woken).count()
    }

    /// How often the store was written: each write has the next version.
    pub async fn writes(&self) -> usize {
        let last = self.store.create(Drain::new(&pod_of(999_999, 0), "p", "someone")).await.unwrap();
        last.metadata.resource_version.parse::<usize>().unwrap() - 1
    }

    /// Counts the writes from now on that tell of progress alone.
    pub fn count_progress(&self) -> Arc<AtomicUsize> {
        let counted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&counted);
        self.store.listen(Box::new(move |news| {
            if let News::One { before: Some(before), now: Some(now) } = news {
                let mut told = Drain::clone(&before);
                told.metadata.clone_from(&now.metadata);
                told.status.progress.clone_from(&now.status.progress);
                count.fetch_add(usize::from(told == *now), Ordering::Relaxed);
            }
            true
        }));
        counted
    }

    /// How many drains are in a phase.
    pub fn count(&self, phase: Phase) -> usize {
        self.store.all().iter().filter(|drain| drain.status.phase == phase).count()
    }

    /// Waits until so many are in a phase; what is there after `patience` is all there is.
    pub async fn until(&self, phase: Phase, number: usize, patience: Duration) -> usize {
        let began = Instant::now();
        while self.count(phase) < number && began.elapsed() < patience {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        self.count(phase)
    }
}

/// A pod of usual size.
pub fn pod_of(policy: usize, number: usize) -> Pod<'static> {
    let (name, namespace) = (format!("p{policy}-{number}"), format!("n{policy}"));
    let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let kinds = ["Initialized", "Ready", "ContainersReady", "PodScheduled", "PodReadyToStartContainers"];
    let conditions = kinds.map(condition);
    let pod = json!({
        "metadata": {
            "name": name, "namespace": namespace, "uid": format!("{policy:08}-0000-4000-8000-{number:012}"),
            "labels": {"app": format!("a{policy}"), "controller-revision-hash": "a-7cf8b9d5d", "app.kubernetes.io/name": "a",
                "statefulset.kubernetes.io/pod-name": name, "apps.kubernetes.io/pod-index": number.to_string()},
            "annotations": {"prometheus.io/scrape": "true"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": format!("p{policy}"),
                "uid": format!("set-{policy}"), "controller": true}],
        },
        "spec": {"nodeName": format!("node-{number}"), "hostname": name, "subdomain": format!("p{policy}"), "tolerations": [
            {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
            {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}]},
        "status": {"phase": "Running", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}], "hostIP": "10.0.0.1",
            "conditions": conditions,
            "containerStatuses": [{"name": "main", "state": {"running": {}}}]},
    });
    pod::deserialize_owned(&pod).unwrap()
}

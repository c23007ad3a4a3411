//! What else scenarios do to pods, and see of them.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::DynamicObject;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::installation;
use crate::scene::{Scene, merge};

/// What came of a request for a pod's drain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Came {
    Allowed,
    /// The status code, and what was said.
    Refused(u16, String),
}

impl Came {
    pub fn of<T>(answer: Result<T, kube::Error>) -> Came {
        match answer {
            Ok(_) => Came::Allowed,
            Err(kube::Error::Api(status)) => Came::Refused(status.code, status.message.clone()),
            Err(error) => Came::Refused(0, error.to_string()),
        }
    }

    pub fn code(&self) -> u16 {
        match self {
            Came::Allowed => 200,
            Came::Refused(code, _) => *code,
        }
    }
}

impl Scene {
    fn pod_api(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// One eviction, as a drain loop asks for it; with the UID that is meant, where one is given.
    pub async fn evict(&self, pod: &str, uid: Option<&str>) -> Came {
        let eviction = json!({
            "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": self.namespace},
            "deleteOptions": uid.map(|uid| json!({"preconditions": {"uid": uid}})),
        });
        let answer: Result<Value, _> =
            self.pod_api().create_subresource("eviction", pod, &PostParams::default(), &eviction).await;
        Came::of(answer)
    }

    /// One delete, as a person asks for it.
    pub async fn delete(&self, pod: &str) -> Came {
        Came::of(self.pod_api().delete(pod, &DeleteParams::default()).await)
    }

    /// One delete of the pod that has this UID, and of no other of its name.
    pub async fn delete_this(&self, pod: &str, uid: &str) -> Came {
        let preconditions = Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None });
        Came::of(self.pod_api().delete(pod, &DeleteParams { preconditions, ..DeleteParams::default() }).await)
    }

    /// One delete, as this user.
    pub async fn delete_as(&self, user: &str, pod: &str) -> Result<(), Box<kube::core::Status>> {
        let mut config = kube::Config::infer().await.unwrap();
        config.default_retry = false;
        config.auth_info.impersonate = Some(user.to_owned());
        config.auth_info.impersonate_groups = Some(vec!["system:masters".to_owned()]);
        let api: Api<Pod> = Api::namespaced(kube::Client::try_from(config).unwrap(), &self.namespace);
        match api.delete(pod, &DeleteParams::default()).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) => Err(status),
            Err(error) => panic!("{error}"),
        }
    }

    /// A pod that nobody owns, and waits until it is Ready. `spec` is merged into its spec.
    pub async fn ready_bare_pod(&self, name: &str, app: &str, spec: Value) {
        self.bare_pod(name, app, json!({"spec": spec})).await;
        self.until(&format!("{name} is Ready"), 60, || async {
            self.pod(name).await.filter(crate::backends::is_ready).map(drop)
        })
        .await;
    }

    /// A DaemonSet on the nodes that its `nodeSelector` names, and waits until its pods are Ready.
    pub async fn daemon_set(&self, name: &str, node_selector: Value, pods: u64) {
        let mut template = self.pod_template(name);
        merge(&mut template, &json!({"spec": {"nodeSelector": node_selector}}));
        let object = json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": name, "namespace": "{ns}"},
            "spec": {"selector": {"matchLabels": {"app": name}}, "template": template},
        });
        self.apply(&object.to_string()).await;
        self.all_ready(name, pods).await;
    }

    /// The phase of a pod's drain, as the guard keeps it.
    pub async fn phase(&self, pod: &str) -> String {
        let drain = self.drain(pod).await;
        drain.and_then(|drain| drain.data["status"]["phase"].as_str().map(str::to_owned)).unwrap_or_default()
    }

    pub async fn until_phase(&self, pod: &str, wanted: &str) {
        let deadline = Instant::now() + Duration::from_secs(90);
        while self.phase(pod).await != wanted {
            if Instant::now() > deadline {
                let drain = self.drain(pod).await.map(|drain| drain.data["status"].clone());
                panic!("90 s have passed, and the drain of {pod} is not {wanted}: {drain:#?}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A PodDisruptionBudget of the pods `app=app`, with so many in this field.
    pub async fn budget(&self, name: &str, field: &str, pods: u32) {
        let budget = json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name, "namespace": "{ns}"},
            "spec": {field: pods, "selector": {"matchLabels": {"app": "app"}}},
        });
        self.apply(&budget.to_string()).await;
    }

    /// Asks for the pod's eviction again and again until that goes through.
    pub async fn until_evicted(&self, pod: &str, uid: &str, seconds: u64) {
        self.until(&format!("the eviction of {pod} goes through"), seconds, || async {
            (self.evict(pod, Some(uid)).await.code() == 200).then_some(())
        })
        .await;
    }

    /// Gives a drain up, as a person does.
    pub async fn cancel(&self, pod: &str) {
        let drain = self.drain(pod).await.unwrap_or_else(|| panic!("{pod} has no drain"));
        let change = Patch::Merge(json!({"spec": {"cancel": true}}));
        let name = drain.metadata.name.unwrap();
        self.api("PodDrain").patch(&name, &PatchParams::default(), &change).await.unwrap();
    }

    /// The drains that a policy's slots are taken by.
    pub async fn slots(&self, policy: &str) -> Vec<String> {
        let policy = self.object("DrainPolicy", policy).await;
        let departing = policy.map(|policy| policy.data["status"]["departing"].clone()).unwrap_or_default();
        let list = departing.as_array().cloned().unwrap_or_default();
        list.iter().map(|slot| slot["drain"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Nothing is left of any drain: all are over, no slot is taken, no pod is marked.
    pub async fn nothing_left_behind(&self) {
        self.until_all_completed().await;
        for drain in self.drains().await {
            for condition in drain.data["status"]["conditions"].as_array().unwrap() {
                assert_eq!(condition["observedGeneration"].as_i64(), drain.metadata.generation, "{condition}");
            }
        }
        for policy in self.api("DrainPolicy").list(&ListParams::default()).await.unwrap() {
            let name = policy.metadata.name.unwrap();
            assert_eq!(self.slots(&name).await, Vec::<String>::new(), "slots of {name}");
        }
        for pod in self.pod_api().list(&ListParams::default()).await.unwrap() {
            let marks: Vec<String> =
                pod.metadata.annotations.unwrap_or_default().into_keys().filter(|key| is_mark(key)).collect();
            assert_eq!(marks, Vec::<String>::new(), "marks of {:?}", pod.metadata.name);
        }
    }

    /// How often a user asked for a pod, by the guard's log.
    pub async fn tries_of(&self, user: &str, pod: &str) -> usize {
        let log = self.ground().log(&format!("{}/{pod}", self.namespace)).await;
        log.lines().filter(|line| line.contains("answered") && line.contains(user)).count()
    }

    /// Has a pod be Ready, or not, as its probe would.
    pub async fn is_to_serve(&self, pod: &str, serves: bool) {
        let key = "test.castoff.dev/behave";
        let change = if serves { format!("{key}-") } else { format!("{key}=never-ready") };
        self.annotate("pod", pod, &[&change]).await;
        self.until(&format!("{pod} is Ready: {serves}"), 30, || async {
            let now = self.pod(pod).await?;
            (crate::backends::is_ready(&now) == serves).then_some(())
        })
        .await;
    }

    /// Has a pod's application get ready, but not before it is [let](Scene::let_get_ready); the pod's UID and address.
    pub async fn busy(&self, pod: &str) -> (String, String) {
        let ip = self.ip(pod).await;
        self.hooks().at(&ip, |app| (app.inflight, app.done_per_look) = (1, 0));
        (self.uid(pod).await, ip)
    }

    pub fn let_get_ready(&self, ip: &str) {
        self.hooks().at(ip, |app| app.done_per_look = 1);
    }

    /// Why a pod's drain does not go on, as its PodDrain says.
    pub async fn message(&self, pod: &str) -> String {
        let drain = self.drain(pod).await;
        drain.and_then(|drain| drain.data["status"]["message"].as_str().map(str::to_owned)).unwrap_or_default()
    }

    pub async fn until_message(&self, pod: &str, wanted: &str) {
        self.until(&format!("the drain of {pod} says: {wanted}"), 30, || async {
            self.message(pod).await.contains(wanted).then_some(())
        })
        .await;
    }

    /// What `castoff status` says of this namespace.
    pub async fn status(&self) -> String {
        let printed = crate::doctor::shell(&format!("castoff status -n {} -o json", self.namespace)).await;
        assert_eq!(printed.code, 0, "{printed:?}");
        printed.stdout
    }

    /// Deletes these pods, by deletes that name their UIDs, again and again until all have left.
    pub async fn until_all_left(&self, pods: &[(&str, &str)]) {
        self.until(&format!("{pods:?} have left"), 150, || async {
            let mut there = 0;
            for (pod, uid) in pods {
                if self.stands(pod, uid).await {
                    there += 1;
                    self.delete_this(pod, uid).await;
                }
            }
            tokio::time::sleep(Duration::from_millis(150)).await;
            (there == 0).then_some(())
        })
        .await;
    }

    /// The versions of all drains here: any write changes them.
    pub async fn versions(&self) -> BTreeMap<String, String> {
        let drains: Vec<DynamicObject> = self.drains().await;
        let version = |drain: DynamicObject| Some((drain.metadata.name?, drain.metadata.resource_version?));
        drains.into_iter().filter_map(version).collect()
    }

    pub async fn node(&self, name: &str) -> Option<Node> {
        Api::<Node>::all(self.client.clone()).get_opt(name).await.ok().flatten()
    }

    /// What the guard has counted, all replicas together: the sum of a metric's series that have these labels among
    /// theirs, as `name{a="b",c="d"}`.
    pub async fn counted(&self, metric: &str) -> f64 {
        let (name, labels) = metric.strip_suffix('}').and_then(|metric| metric.split_once('{')).unwrap_or((metric, ""));
        let mut sum = 0.0;
        for number in 0..2 {
            let text = self.ground().metrics(number).await;
            let series = text.lines().filter_map(|line| line.strip_prefix(name)?.rsplit_once(' '));
            let meant = series.filter(|(of, _)| labels.split(',').all(|label| of.contains(label)));
            sum += meant.map(|(_, value)| value.parse::<f64>().unwrap_or_default()).sum::<f64>();
        }
        sum
    }

    /// Waits until some replica leads, and tells which.
    pub async fn leader(&self) -> usize {
        self.until("a replica leads", 60, || self.ground().leader()).await
    }
}

fn is_mark(annotation: &str) -> bool {
    annotation == "castoff.dev/drained" || annotation == "castoff.dev/former-deletion-cost"
}

/// Disturbs the control plane: `restart apiserver`, `pause etcd`.
pub async fn control_plane(arguments: &[&str]) {
    let name = std::env::var("CASTOFF_TEST_CLUSTER").unwrap();
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/hack/cluster");
    let output = tokio::time::timeout(
        Duration::from_mins(2),
        tokio::process::Command::new(program).args(["--name", &name]).args(arguments).output(),
    )
    .await
    .unwrap()
    .unwrap();
    assert!(output.status.success(), "hack/cluster {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Starts what has ended by itself again, as a kubelet would: a scheduler that finds its own cache in disorder ends
/// itself, and counts on that.
pub struct Supervisor(tokio::task::JoinHandle<()>);

impl Supervisor {
    pub async fn start(scene: &Scene) -> Supervisor {
        let components = scene.ground().to_be_revived();
        Self::look(components).await;
        Supervisor(tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(2)).await;
                Self::look(components).await;
            }
        }))
    }

    async fn look(components: &[&str]) {
        for component in components {
            control_plane(&["start", component]).await;
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// kubectl without a namespace, which must succeed.
pub async fn cluster_wide(arguments: &[&str]) -> String {
    let printed = installation::kubectl(arguments).await;
    assert_eq!(printed.code, 0, "kubectl {arguments:?}: {}{}", printed.stdout, printed.stderr);
    printed.stdout
}

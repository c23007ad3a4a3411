//! One scenario's namespace, and what it does and looks at there.

use std::fmt::Write as _;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::core::DynamicObject;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use crate::audit;
use crate::backends::{Hooks, is_ready};
use crate::ground::{Ground, Loopback};
use crate::installation::{self, Installation, Printed};

pub struct Scene {
    pub namespace: String,
    pub client: Client,
    pub installation: Arc<Installation>,
    began: Instant,
}

impl Scene {
    pub async fn new(scenario: &str, installation: &Arc<Installation>) -> Arc<Scene> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let short: String = scenario.rsplit("::").next().unwrap().replace('_', "-").chars().take(30).collect();
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        let unique = format!("{}-{made}", jiff::Timestamp::now().as_millisecond() % 1_000_000);
        let namespace = format!("{}-{unique}", short.trim_end_matches('-'));
        installation::apply(
            &json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": namespace, "labels": {"scenario": "yes"}},
            })
            .to_string(),
        )
        .await;
        Arc::new(Scene {
            namespace,
            client: installation.client.clone(),
            installation: Arc::clone(installation),
            began: Instant::now(),
        })
    }

    pub fn hooks(&self) -> &Hooks {
        &self.installation.hooks
    }

    pub fn ground(&self) -> &dyn Ground {
        self.installation.ground.as_ref()
    }

    /// The replicas as processes; for scenarios that say that they need them.
    pub fn processes(&self) -> &Loopback {
        self.installation.processes()
    }

    /// One of the nodes, numbered from 1; where there are fewer, numbers share them.
    pub fn node_name(&self, number: usize) -> &str {
        let nodes = &self.installation.nodes;
        &nodes[(number - 1) % nodes.len()]
    }

    /// Selects one of the nodes.
    pub fn on_node(&self, number: usize) -> Value {
        json!({"kubernetes.io/hostname": self.node_name(number)})
    }

    /// What workloads make pods of.
    pub fn pod_template(&self, app: &str) -> Value {
        json!({"metadata": {"labels": {"app": app}}, "spec": self.ground().pod()})
    }

    /// Applies objects; `{ns}` in the text is this namespace.
    pub async fn apply(&self, text: &str) {
        installation::apply(&text.replace("{ns}", &self.namespace)).await;
    }

    /// kubectl in this namespace.
    pub async fn kubectl(&self, arguments: &[&str]) -> Printed {
        let mut all = vec!["-n", &self.namespace];
        all.extend(arguments);
        installation::kubectl(&all).await
    }

    /// kubectl in this namespace, which must succeed.
    pub async fn must(&self, arguments: &[&str]) -> String {
        let printed = self.kubectl(arguments).await;
        assert_eq!(printed.code, 0, "kubectl {arguments:?}: {}{}", printed.stdout, printed.stderr);
        printed.stdout
    }

    /// A StatefulSet with a headless Service, and waits until its pods are Ready. `extra` is merged into its spec.
    pub async fn stateful_set(&self, name: &str, replicas: u64, extra: Value) {
        let mut spec = json!({
            "replicas": replicas,
            "serviceName": format!("{name}-peer"),
            "selector": {"matchLabels": {"app": name}},
            "template": self.pod_template(name),
        });
        merge(&mut spec, &extra);
        let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name, "namespace": "{ns}"}, "spec": spec});
        self.apply(&set.to_string()).await;
        self.all_ready(name, replicas).await;
    }

    /// A Deployment, and waits until its pods are Ready.
    pub async fn deployment(&self, name: &str, replicas: u64) {
        let spec = json!({
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": self.pod_template(name),
        });
        let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "{ns}"}, "spec": spec});
        self.apply(&object.to_string()).await;
        self.all_ready(name, replicas).await;
    }

    /// A pod of nobody's, not waited for. `extra` is merged into it.
    pub async fn bare_pod(&self, name: &str, app: &str, extra: Value) {
        let mut pod = self.pod_template(app);
        merge(&mut pod, &json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "{ns}"}}));
        merge(&mut pod, &extra);
        self.apply(&pod.to_string()).await;
    }

    /// A policy with one step. `extra` is merged into its spec.
    pub async fn policy(&self, app: &str, plan: &str, parameters: Value, extra: Value) {
        self.named_policy(app, app, plan, parameters, extra).await;
        self.guarding(app).await;
    }

    /// As [`Scene::policy`], under a name of its own; waits for nothing.
    pub async fn named_policy(&self, name: &str, app: &str, plan: &str, parameters: Value, extra: Value) {
        let mut spec = json!({
            "selector": {"matchLabels": {"app": app}},
            "pollPeriodSeconds": 1,
            "steps": [{"name": "prepare", "plan": {"builtIn": plan}, "parameters": parameters}],
        });
        merge(&mut spec, &extra);
        let policy = json!({
            "apiVersion": "castoff.dev/v1alpha1", "kind": "DrainPolicy",
            "metadata": {"name": name, "namespace": "{ns}"}, "spec": spec,
        });
        self.apply(&policy.to_string()).await;
    }

    /// A policy whose pods answer hooks themselves.
    pub async fn hook_policy(&self, app: &str, extra: Value) {
        self.policy(app, "http-hook", json!({"port": self.hooks().port}), extra).await;
    }

    /// Waits until the policy guards, which it does once both replicas have it and its pods are seen.
    pub async fn guarding(&self, policy: &str) {
        self.until(&format!("policy {policy} is guarding"), 20, || async {
            let policy = self.object("DrainPolicy", policy).await?;
            let conditions = policy.data["status"]["conditions"].as_array()?.clone();
            let ready = conditions.iter().find(|condition| condition["type"] == "Ready")?;
            (ready["status"] == "True" && ready["reason"] == "Guarding").then_some(())
        })
        .await;
    }

    /// Waits until so many pods with the label `app` are Ready, none terminating.
    pub async fn all_ready(&self, app: &str, count: u64) {
        self.until(&format!("{count} pods of {app} are Ready"), 60, || async {
            let pods = self.pods_of(app).await;
            let ready = pods.iter().filter(|pod| is_ready(pod) && pod.metadata.deletion_timestamp.is_none()).count();
            (ready as u64 == count && pods.len() as u64 == count).then_some(())
        })
        .await;
    }

    pub async fn pods_of(&self, app: &str) -> Vec<Pod> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let listed = api.list(&ListParams::default().labels(&format!("app={app}"))).await;
        listed.map(|list| list.items).unwrap_or_default()
    }

    pub async fn pod(&self, name: &str) -> Option<Pod> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        api.get_opt(name).await.ok().flatten()
    }

    pub async fn uid(&self, pod: &str) -> String {
        self.pod(pod).await.unwrap_or_else(|| panic!("there is no pod {pod}")).uid().unwrap()
    }

    pub async fn ip(&self, pod: &str) -> String {
        self.pod(pod).await.unwrap().status.unwrap().pod_ip.unwrap()
    }

    /// One of Castoff's own objects.
    pub async fn object(&self, kind: &str, name: &str) -> Option<DynamicObject> {
        self.api(kind).get_opt(name).await.ok().flatten()
    }

    pub fn api(&self, kind: &str) -> Api<DynamicObject> {
        use castoff::kubernetes::resources::{drain_policies, pod_drains};
        let resource = if kind == "PodDrain" { pod_drains() } else { drain_policies() };
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    /// All PodDrains here, oldest first.
    pub async fn drains(&self) -> Vec<DynamicObject> {
        let mut drains =
            self.api("PodDrain").list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default();
        drains.sort_by_key(|drain| drain.metadata.creation_timestamp.as_ref().map(|time| time.0));
        drains
    }

    /// The PodDrain of the pod that has this name now, or of the last that had it.
    pub async fn drain(&self, pod: &str) -> Option<DynamicObject> {
        let all = self.drains().await;
        let uid = self.pod(pod).await.and_then(|pod| pod.uid());
        let of_pod = |drain: &&DynamicObject| drain.data["spec"]["pod"]["name"] == pod;
        let exact = all.iter().find(|drain| uid.as_deref() == drain.data["spec"]["pod"]["uid"].as_str());
        exact.or_else(|| all.iter().rev().find(of_pod)).cloned()
    }

    /// What users read in the column PHASE.
    pub async fn state(&self, pod: &str) -> String {
        let drain = self.drain(pod).await;
        drain.and_then(|drain| drain.data["status"]["state"].as_str().map(str::to_owned)).unwrap_or_default()
    }

    pub async fn until_state(&self, pod: &str, wanted: &str) {
        self.until(&format!("{pod} is {wanted}"), 60, || async { (self.state(pod).await == wanted).then_some(()) })
            .await;
    }

    /// Waits until a pod of this name has another UID and is Ready.
    pub async fn until_replaced(&self, pod: &str, uid: &str) {
        self.until(&format!("{pod} is replaced"), 90, || async {
            let now = self.pod(pod).await?;
            (now.uid().as_deref() != Some(uid) && is_ready(&now)).then_some(())
        })
        .await;
    }

    /// Waits until no drain is open any more.
    pub async fn until_all_completed(&self) {
        self.until("all drains are completed", 90, || async {
            let drains = self.drains().await;
            // The last write of a drain takes its finalizer off.
            let over = |drain: &DynamicObject| {
                let free = drain.metadata.finalizers.as_ref().is_none_or(Vec::is_empty);
                free && drain.data["status"]["phase"] == "Completed"
            };
            drains.iter().all(over).then_some(())
        })
        .await;
    }

    /// Waits until no pod has this UID any more.
    pub async fn until_gone(&self, pod: &str, uid: &str) {
        self.until(&format!("{pod} is gone"), 180, || async {
            let now = self.pod(pod).await.and_then(|pod| pod.uid());
            (now.as_deref() != Some(uid)).then_some(())
        })
        .await;
    }

    /// Whether the pod with this UID is there, and nothing has told it to end.
    pub async fn stands(&self, pod: &str, uid: &str) -> bool {
        self.pod(pod)
            .await
            .is_some_and(|pod| pod.uid().as_deref() == Some(uid) && pod.metadata.deletion_timestamp.is_none())
    }

    /// Waits until the pod with this UID has been told to end, or is gone.
    pub async fn until_leaving(&self, pod: &str, uid: &str) {
        self.until(&format!("{pod} leaves"), 120, || async { (!self.stands(pod, uid).await).then_some(()) }).await;
    }

    /// Deletes a pod, which must be denied; what kubectl says.
    pub async fn denied(&self, pod: &str) -> String {
        let printed = self.kubectl(&["delete", "pod", pod, "--wait=false"]).await;
        assert!(printed.code == 1 && printed.stderr.contains("denied the request"), "{pod} may leave: {printed:?}");
        printed.stderr
    }

    /// Deletes a pod again and again until that is allowed; what kubectl says.
    pub async fn until_allowed(&self, pod: &str) -> String {
        self.until(&format!("{pod} may leave"), 60, || async {
            let printed = self.kubectl(&["delete", "pod", pod, "--wait=false"]).await;
            (printed.code == 0).then_some(printed.stderr)
        })
        .await
    }

    /// Sets annotations, or with `KEY-` removes them.
    pub async fn annotate(&self, kind: &str, name: &str, annotations: &[&str]) {
        self.must(&[&["annotate", kind, name, "--overwrite"], annotations].concat()).await;
    }

    /// Looks again and again until there is an answer.
    pub async fn until<T, F: Future<Output = Option<T>>>(&self, what: &str, seconds: u64, look: impl Fn() -> F) -> T {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        loop {
            if let Some(found) = look().await {
                return found;
            }
            assert!(Instant::now() < deadline, "{seconds} s have passed, and not yet: {what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Looks for so long, and sees all the time that it is so.
    pub async fn stays<F: Future<Output = bool>>(&self, what: &str, time: Duration, look: impl Fn() -> F) {
        let deadline = Instant::now() + time;
        while Instant::now() < deadline {
            assert!(look().await, "no longer: {what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Events of a reason, as their messages.
    pub async fn events(&self, reason: &str) -> Vec<String> {
        let printed = self.kubectl(&["get", "events.v1.events.k8s.io", "-o", "json"]).await;
        let list: Value = serde_json::from_str(&printed.stdout).unwrap_or_default();
        let items = list["items"].as_array().cloned().unwrap_or_default();
        items
            .iter()
            .filter(|event| event["reason"] == reason && event["regarding"]["kind"] == "Pod")
            .map(|event| event["note"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// What one needs to find out why a scenario failed.
    pub async fn what_is_there(&self) -> String {
        let mut text = format!("after {:?}, in namespace {}:\n", self.began.elapsed(), self.namespace);
        for arguments in [
            &["get", "pods,sts,drainpolicies", "-o", "wide"][..],
            &["get", "pdr", "-o", "wide"],
            &["get", "pdr", "-o", "jsonpath={range .items[*]}{.metadata.name}{\": \"}{.status}{\"\\n\"}{end}"],
            &["get", "events", "--sort-by=.lastTimestamp"],
        ] {
            let printed = self.kubectl(arguments).await;
            let _ = writeln!(text, "{}{}", printed.stdout, printed.stderr);
        }
        let log = self.ground().log(&self.namespace).await;
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.iter().skip(lines.len().saturating_sub(60)).copied().collect::<Vec<_>>().join("\n");
        let changes = audit::last_changes(&self.namespace, 60);
        format!("{text}the guard's log:\n{last}\nthe API server's audit log:\n{changes}\n")
    }

    /// Takes the namespace away without waiting for it.
    pub async fn clean_up(&self) {
        self.kubectl(&["delete", "drainpolicies", "--all", "--wait=false"]).await;
        installation::kubectl(&["delete", "namespace", &self.namespace, "--wait=false"]).await;
    }
}

/// Merges objects into one another, field by field.
pub fn merge(target: &mut Value, from: &Value) {
    match (target, from) {
        (Value::Object(target), Value::Object(from)) => {
            for (key, value) in from {
                merge(target.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (target, from) => *target = from.clone(),
    }
}

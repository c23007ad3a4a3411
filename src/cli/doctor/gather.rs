//! Looks at an installation. What may not be read is noted, and the rest is looked at all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::{Api, ListParams};
use kube::client::Body;
use kube::core::{ApiResource, DynamicObject, Request};
use serde_json::Value;

use crate::cli::connect::refused;
use crate::cli::history;
use crate::cli::operators;
use crate::cli::trial;
use crate::cli::{Failure, clock};
use crate::kubernetes::policies::{PlanObject, PolicyObject, compile, read_plan, read_policy};
use crate::kubernetes::policy_status::{self, Known, NodeLabels};
use crate::kubernetes::registration::{MARK, mark_is_of};
use crate::kubernetes::resources::{GROUP, drain_plans, drain_policies, pod_drains};
use crate::kubernetes::{cluster, crds, pods};
use crate::pod::Pod;
use crate::policy::Policy;
use crate::policy::selector;
use crate::policy::spec::{LabelSelector, PolicyMode};

use super::seen::{Budget, KEEPS, NeverAsked, PolicySeen, Replica, Seen, TrialSeen};
use super::{api, rights};

/// So many deletes are tried out at once.
const AT_ONCE: usize = 4;

/// A look at everything.
pub(super) async fn gather(client: &Client, namespace: &str) -> Result<Seen, Failure> {
    // Whoever does not answer this answers nothing.
    client.apiserver_version().await.map_err(|error| refused("ask the API server", &error))?;
    let now = clock::now(client).await?;
    let mut look = Look { client, seen: Seen { now, namespace: namespace.to_owned(), ..Seen::default() } };
    look.definitions().await;
    look.installation().await;
    look.guarded().await;
    Ok(look.seen)
}

struct Look<'a> {
    client: &'a Client,
    seen: Seen,
}

/// Labels of nodes, by name.
#[derive(Debug)]
struct Nodes(BTreeMap<String, BTreeMap<String, String>>);

impl NodeLabels for Nodes {
    fn labels(&self, node: &str) -> Option<BTreeMap<String, String>> {
        self.0.get(node).cloned()
    }
}

impl Look<'_> {
    fn api(&self, resource: &ApiResource, namespace: Option<&str>) -> Api<DynamicObject> {
        match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, resource),
            None => Api::all_with(self.client.clone(), resource),
        }
    }

    /// All of a kind; `None`, and a note, where they may not be read.
    async fn list(
        &mut self,
        resource: &ApiResource,
        namespace: Option<&str>,
        labels: Option<&str>,
    ) -> Option<Vec<DynamicObject>> {
        let parameters = labels.map_or_else(ListParams::default, |labels| ListParams::default().labels(labels));
        let listed = self.api(resource, namespace).list(&parameters).await;
        self.or_note(&resource.plural, listed).map(|list| list.items)
    }

    /// One object; `Some(None)` where it is not there.
    async fn get(&mut self, resource: &ApiResource, namespace: &str, name: &str) -> Option<Option<DynamicObject>> {
        let found = self.api(resource, Some(namespace)).get_opt(name).await;
        self.or_note(&format!("{} {name}", resource.plural), found)
    }

    fn or_note<T>(&mut self, what: &str, outcome: kube::Result<T>) -> Option<T> {
        outcome.map_err(|error| self.note(what, &error)).ok()
    }

    fn note(&mut self, what: &str, error: &kube::Error) {
        let why = match error {
            // That a kind is not defined is a finding of its own.
            kube::Error::Api(status) if status.is_not_found() => return,
            kube::Error::Api(status) => status.message.clone(),
            error => crate::kubernetes::cache::chain(error),
        };
        self.seen.unseen.push((what.to_owned(), why));
    }

    async fn definitions(&mut self) {
        let resource = ApiResource::erase::<CustomResourceDefinition>(&());
        let Some(found) = self.list(&resource, None, None).await else { return };
        let ours = found.iter().filter(|found| found.data.pointer("/spec/group") == Some(&Value::from(GROUP)));
        self.seen.defined = ours.map(|it| (it.metadata.name.clone().unwrap_or_default(), api::version(it))).collect();
        let of = |wanted: &Value| {
            let name = wanted.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
            let found = found.iter().find(|found| found.metadata.name.as_deref() == Some(name));
            (name.to_owned(), api::definition(wanted, found))
        };
        self.seen.definitions = Some(crds::all().iter().map(of).collect());
    }

    async fn installation(&mut self) {
        let namespace = self.seen.namespace.clone();
        let configurations = ApiResource::erase::<ValidatingWebhookConfiguration>(&());
        let configurations = self.list(&configurations, None, None).await;
        let given = configurations.iter().flatten().any(api::has_given_certificates);
        self.seen.hooks = configurations.map(|all| all.iter().flat_map(api::hooks).collect());
        let lease = self.get(&ApiResource::erase::<Lease>(&()), &namespace, "castoff").await;
        self.seen.lease = lease.map(|lease| lease.as_ref().map(api::lease).unwrap_or_default());
        self.seen.was_registered = self.was_registered(&namespace).await;
        if !given {
            let secret = self.get(&ApiResource::erase::<Secret>(&()), &namespace, "castoff-tls").await.flatten();
            self.seen.certificate = secret.and_then(|secret| api::decoded(secret.data.pointer("/data/tls.crt")?));
        }
        let pods = self.list(&pods::resource(), Some(&namespace), Some("app.kubernetes.io/name=castoff")).await;
        if let Some(pods) = pods {
            let mut replicas = Vec::new();
            for pod in &pods {
                let replica = api::replica(pod);
                let says = if replica.ready { Vec::new() } else { self.missing(&namespace, pod).await };
                replicas.push(Replica { says, ..replica });
            }
            self.seen.replicas = Some(replicas);
        }
        match rights::missing(self.client, &namespace).await {
            Ok(missing) => self.seen.missing_rights = missing,
            Err(error) => self.note("what Castoff may do", &error),
        }
    }

    /// Whether the mark says that there was a registration of this installation.
    async fn was_registered(&mut self, namespace: &str) -> bool {
        let mark = self.get(&ApiResource::erase::<ConfigMap>(&()), namespace, MARK).await.flatten();
        let Some(mark) = mark.and_then(|mark| mark.try_parse::<ConfigMap>().ok()) else { return false };
        let home = self.api(&cluster::namespaces(), None).get_opt(namespace).await.ok().flatten();
        // Who may not read the namespace takes the mark's word for it.
        home.and_then(|home| home.metadata.uid).is_none_or(|home| mark_is_of(&mark, &home))
    }

    /// What a replica's `/readyz` says is missing, by way of the API server.
    async fn missing(&self, namespace: &str, pod: &DynamicObject) -> Vec<String> {
        let (Some(name), Some(port)) = (&pod.metadata.name, api::admin_port(pod)) else { return Vec::new() };
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}:{port}/proxy/readyz");
        let Ok(request) = Request::new(path).get("", &kube::api::GetParams::default()) else { return Vec::new() };
        let Ok(response) = self.client.send(request.map(Body::from)).await else { return Vec::new() };
        let Ok(body) = response.into_body().collect_bytes().await else { return Vec::new() };
        let body = String::from_utf8_lossy(&body).into_owned();
        body.lines().filter_map(|line| line.strip_prefix("[-]")).map(str::to_owned).collect()
    }

    async fn guarded(&mut self) {
        let policies = self.list(&drain_policies(), None, None).await.unwrap_or_default();
        let plans = self.list(&drain_plans(), None, None).await.unwrap_or_default();
        let nodes = self.list(&cluster::nodes(), None, None).await.unwrap_or_default();
        self.seen.provider = nodes.iter().find_map(api::provider);
        let name = |object: &DynamicObject| object.metadata.name.clone().unwrap_or_default();
        let nodes = Nodes(nodes.iter().map(|node| (name(node), api::labels(node))).collect());
        let drains = self.list(&pod_drains(), None, None).await.unwrap_or_default();
        self.seen.drains = drains.iter().map(|drain| api::drain(drain, self.seen.now)).collect();
        let objects: Vec<Arc<PolicyObject>> =
            policies.iter().filter_map(read_policy).map(|(_, it)| Arc::new(it)).collect();
        let plans: Vec<Arc<PlanObject>> = plans.iter().filter_map(read_plan).map(|(_, it)| Arc::new(it)).collect();
        let index = compile(&objects, &plans);
        let mut wanted = Vec::new();
        for namespace in objects.iter().map(|policy| policy.namespace.clone()).collect::<BTreeSet<_>>() {
            if let Ok(Some(found)) = self.api(&cluster::namespaces(), None).get_opt(&namespace).await {
                self.seen.namespaces.insert(namespace.clone(), api::labels(&found));
            }
            let Some(pods) = self.list(&pods::resource(), Some(&namespace), None).await else { continue };
            let pods: Vec<Arc<Pod<'static>>> = pods.iter().filter_map(cluster::pod_of).map(Arc::new).collect();
            let policies = index.of_namespace(&namespace);
            let mut guarded = Vec::new();
            for policy in policies {
                let known = Known {
                    pods: &pods,
                    nodes: &nodes,
                    policies,
                    not_called: None,
                    backend: None,
                    elsewhere: BTreeMap::default(),
                    now: self.seen.now,
                };
                let object = objects.iter().find(|it| it.namespace == namespace && it.name == policy.name);
                let judged = judged(policy, &known, object.map(Arc::as_ref));
                let selected: Vec<&Arc<Pod<'static>>> = pods
                    .iter()
                    .filter(|pod| !pod.is_finished() && !pod.is_terminating() && !pod.spec.node_name.is_empty())
                    .filter(|pod| policy.selects_by(pod, &|node| nodes.labels(node)))
                    .collect();
                let operator = selected.first().and_then(|pod| operators::operator(pod));
                let never_asked = selected.iter().find_map(|pod| never_asked(pod));
                self.seen.policies.push(PolicySeen { operator, never_asked, ..judged });
                wanted.extend(selected.first().map(|pod| (Arc::clone(policy), Arc::clone(pod))));
                guarded.extend(selected.into_iter().map(Arc::clone));
            }
            self.budgets(&namespace, &guarded).await;
        }
        self.try_out(wanted).await;
    }

    /// Tries one delete for each policy out: what the API server then says is what callers would be told.
    async fn try_out(&mut self, wanted: Vec<(Arc<Policy>, Arc<Pod<'static>>)>) {
        let client = self.client;
        let tried: Vec<_> = stream::iter(wanted)
            .map(async |(policy, pod)| {
                let (namespace, name) = (&pod.metadata.namespace, &pod.metadata.name);
                let trial = trial::delete(client, namespace, name, &pod.metadata.uid).await;
                trial.map(|trial| TrialSeen {
                    namespace: namespace.to_string(),
                    pod: name.to_string(),
                    policy: policy.name.clone(),
                    enforced: policy.spec.mode == PolicyMode::Enforce,
                    trial,
                    secrets: secrets_of(&policy),
                })
            })
            .buffered(AT_ONCE)
            .collect()
            .await;
        for tried in tried {
            match tried {
                Ok(trial) => self.seen.trials.push(trial),
                Err(error) => self
                    .seen
                    .unseen
                    .push(("a delete that is tried out".to_owned(), crate::kubernetes::cache::chain(&error))),
            }
        }
    }

    async fn budgets(&mut self, namespace: &str, guarded: &[Arc<Pod<'static>>]) {
        let resource = ApiResource::erase::<PodDisruptionBudget>(&());
        for budget in self.list(&resource, Some(namespace), None).await.unwrap_or_default() {
            let Some(selector) = budget.data.pointer("/spec/selector") else { continue };
            let Ok(selector) = serde_json::from_value::<LabelSelector>(selector.clone()) else { continue };
            let selected = guarded.iter().find(|pod| selector::matches(&selector, &pod.metadata.labels));
            self.seen.budgets.extend(selected.map(|pod| Budget {
                namespace: namespace.to_owned(),
                name: budget.metadata.name.clone().unwrap_or_default(),
                pod: pod.metadata.name.to_string(),
                never_allows: api::never_allows(&budget),
            }));
        }
    }
}

/// The Secrets that a policy's steps name, by step.
fn secrets_of(policy: &Policy) -> BTreeMap<String, String> {
    let steps = policy.steps.as_deref().unwrap_or_default();
    steps.iter().filter_map(|step| Some((step.name.clone(), step.credentials.clone()?))).collect()
}

fn judged(policy: &Policy, known: &Known<'_>, object: Option<&PolicyObject>) -> PolicySeen {
    let judged = policy_status::ready(policy, known);
    let ready = object.and_then(|object| policy_status::worst(&object.conditions));
    PolicySeen {
        namespace: policy.namespace.clone(),
        name: policy.name.clone(),
        enforced: policy.spec.mode == PolicyMode::Enforce,
        reason: judged.reason.to_owned(),
        message: judged.message,
        told: ready.map(|ready| (ready.reason.clone(), ready.message.clone())),
        took: object.and_then(history::told),
        operator: None,
        never_asked: None,
    }
}

/// What keeps an autoscaler from ever asking for the pod.
pub(super) fn never_asked(pod: &Pod<'_>) -> Option<NeverAsked> {
    let annotations = &pod.metadata.annotations;
    let by =
        KEEPS.iter().find(|keeps| annotations.get(keeps.annotation).is_some_and(|value| *value == *keeps.value))?;
    Some(NeverAsked { pod: pod.metadata.name.to_string(), by })
}

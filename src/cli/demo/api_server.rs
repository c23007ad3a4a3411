//! The API server's part in the demo: holds the pods, and asks the guard before it deletes one.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::backend::client::Clients;
use crate::backend::credentials::{Secret, SecretError};
use crate::backend::dns::{GuardedDns, SystemDns};
use crate::lifecycle::drain::seat_of;
use crate::pod::Pod;
use crate::standalone::cluster::LocalCluster;
use crate::standalone::objects::Objects;

use super::super::Failure;
use super::guard::GuardAddress;

/// The user that the StatefulSet controller is.
pub(super) const CONTROLLER: &str = "system:serviceaccount:kube-system:statefulset-controller";

/// Pods, and the webhook that is asked before one goes.
pub(super) struct ApiServer {
    pub cluster: Arc<LocalCluster>,
    webhook: Webhook,
}

/// A denial, as kubectl would print it.
pub(super) struct Denial {
    /// A line each, or nothing.
    pub warnings: String,
    pub message: String,
}

/// What came of a delete.
pub(super) enum Deleted {
    /// The pod is terminating.
    Yes,
    /// The webhook said no.
    No(Denial),
}

impl ApiServer {
    pub fn new(cluster: Arc<LocalCluster>, guard: Option<&GuardAddress>) -> Result<Self, Failure> {
        Ok(ApiServer { cluster, webhook: webhook_at(guard)? })
    }

    /// Asks the guard at another address from now on.
    pub fn ask_at(&mut self, guard: &GuardAddress) -> Result<(), Failure> {
        self.webhook = webhook_at(Some(guard))?;
        Ok(())
    }

    /// Asks the webhook, and marks the pod as terminating if it may go.
    pub async fn delete(&self, pod: &Pod<'static>, user: &str) -> Result<Deleted, Failure> {
        if let Some(denial) = self.ask(pod, user).await? {
            return Ok(Deleted::No(denial));
        }
        self.change(pod, |pod| pod.metadata.deletion_timestamp = Some("2026-01-01T00:00:00Z".into()));
        Ok(Deleted::Yes)
    }

    /// Changes a pod, if it is still that one.
    pub fn change(&self, pod: &Pod<'static>, change: impl FnOnce(&mut Pod<'static>)) {
        self.cluster.change(|objects| {
            let known = objects.pods.get_mut(&pod.full_name());
            if let Some(known) = known.filter(|known| known.metadata.uid == pod.metadata.uid) {
                change(Arc::make_mut(known));
            }
        });
    }

    /// Takes the pod away.
    pub fn remove(&self, pod: &Pod<'static>) {
        self.cluster.change(|objects| {
            objects.pods.remove(&pod.full_name());
        });
    }

    /// Adds an object.
    pub fn add(&self, object: &Value) {
        self.cluster.change(|objects: &mut Objects| {
            // The demo's own objects are well-formed.
            let _ = objects.add(object);
        });
    }

    /// What the webhook has against the delete, if anything.
    async fn ask(&self, pod: &Pod<'static>, user: &str) -> Result<Option<Denial>, Failure> {
        let Some((client, url)) = &self.webhook else { return Ok(None) };
        let failed = |error: &dyn std::fmt::Display| Failure::No(format!("the guard could not be asked: {error}"));
        let review = review_of(pod, user);
        let answer = client
            .post(url)
            .timeout(Duration::from_secs(10))
            .header("content-type", "application/json")
            .body(review.to_string())
            .send()
            .await
            .map_err(|error| failed(&error))?;
        let answer = answer.bytes().await.map_err(|error| failed(&error))?;
        let answer: Value = serde_json::from_slice(&answer).map_err(|error| failed(&error))?;
        if answer.pointer("/response/allowed") == Some(&Value::Bool(true)) {
            return Ok(None);
        }
        let text = |pointer| answer.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (reason, message) = (text("/response/status/reason"), text("/response/status/message"));
        let warnings = answer.pointer("/response/warnings").and_then(Value::as_array).cloned().unwrap_or_default();
        let warnings = warnings.iter().filter_map(Value::as_str).map(|warning| format!("Warning: {warning}\n"));
        let warnings: String = warnings.collect();
        Ok(Some(Denial {
            warnings,
            message: format!(
                "Error from server ({reason}): admission webhook \"pods.castoff.dev\" denied the request: {message}"
            ),
        }))
    }
}

type Webhook = Option<(reqwest::Client, String)>;

fn webhook_at(guard: Option<&GuardAddress>) -> Result<Webhook, Failure> {
    let Some(guard) = guard else { return Ok(None) };
    let client = trusting(&guard.ca).map_err(Failure::no)?;
    Ok(Some((client, format!("https://localhost:{}/validate?timeout=10s", guard.port))))
}

/// A client that trusts this CA, as the API server trusts the one in the webhook's configuration.
fn trusting(ca: &[u8]) -> Result<reqwest::Client, SecretError> {
    let secret: Secret = [("ca.crt".to_owned(), ca.to_vec())].into_iter().collect();
    Clients::new(GuardedDns::new(Arc::new(SystemDns::new()), true)).with(&secret)
}

fn review_of(pod: &Pod<'static>, user: &str) -> Value {
    let mut old_object = serde_json::to_value(pod).unwrap_or(Value::Null);
    if let Some(object) = old_object.as_object_mut() {
        object.insert("kind".to_owned(), json!("Pod"));
        object.insert("apiVersion".to_owned(), json!("v1"));
    }
    json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": format!("delete-of-{}", seat_of(pod)),
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "name": pod.metadata.name.as_str(),
            "namespace": pod.metadata.namespace.as_str(),
            "operation": "DELETE",
            "userInfo": {"username": user, "groups": ["system:authenticated"]},
            "object": null,
            "oldObject": old_object,
            "dryRun": false,
            "options": {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1", "gracePeriodSeconds": 30},
        }
    })
}

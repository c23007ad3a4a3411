//! Whom a drain waits for, and why that pod is not Ready: from its own conditions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kube::core::DynamicObject;
use kube::{Api, Client};
use serde_json::Value;
use tokio::time::Instant;

use crate::kubernetes::pods;

use super::drains::DrainView;

/// So many pods are looked at.
const MOST: usize = 5;

/// Pods are looked at again no more often than this.
const OFTEN: Duration = Duration::from_secs(5);

/// Why pods that are waited for are not Ready, as of a moment ago.
#[derive(Default)]
pub(super) struct Reasons {
    asked: Option<Instant>,
    /// By namespace and name.
    known: BTreeMap<(String, String), String>,
}

impl Reasons {
    /// Tells, of each drain that waits for other pods, why those are not Ready. What can't be looked at is left out.
    pub async fn explain(&mut self, client: &Client, views: &mut [DrainView]) {
        if self.asked.is_none_or(|asked| asked.elapsed() >= OFTEN) {
            self.known = why_awaited(client, views).await;
            self.asked = Some(Instant::now());
        }
        self.add(views);
    }

    fn add(&self, views: &mut [DrainView]) {
        for view in views.iter_mut().filter(|view| !view.over) {
            for name in awaited(view) {
                if let Some(why) = self.known.get(&(view.namespace.clone(), name.clone())) {
                    view.why = format!("{}; {name} {why}", view.why);
                }
            }
        }
    }
}

/// Asks for the pods that the first few drains wait for.
async fn why_awaited(client: &Client, views: &[DrainView]) -> BTreeMap<(String, String), String> {
    let open = views.iter().filter(|view| !view.over && !awaited(view).is_empty()).take(MOST);
    let mut pods = BTreeSet::new();
    for view in open {
        pods.extend(awaited(view).into_iter().take(MOST).map(|name| (view.namespace.clone(), name)));
    }
    let mut known = BTreeMap::new();
    for (namespace, name) in pods {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &pods::resource());
        let Ok(Some(pod)) = api.get_opt(&name).await else { continue };
        if let Some(why) = why_not_ready(&pod) {
            known.insert((namespace, name), why);
        }
    }
    known
}

/// The pods that a drain waits for: those before it, or the next one of its own name.
fn awaited(view: &DrainView) -> Vec<String> {
    if view.waits_for_replacement { vec![view.pod.clone()] } else { view.waits_for.pods.clone() }
}

/// Why a pod is not Ready; `None` where it is, or where it does not say.
fn why_not_ready(pod: &DynamicObject) -> Option<String> {
    let list = |place: &str| pod.data.pointer(place).and_then(Value::as_array).into_iter().flatten();
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let said = |value: &Value| {
        let (reason, message) = (text(value, "reason"), text(value, "message"));
        [reason, message].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
    };
    let condition = |kind: &str| {
        list("/status/conditions").find(|it| text(it, "type") == kind && text(it, "status") == "False").map(said)
    };
    if let Some(why) = condition("PodScheduled") {
        return Some(format!("is Pending: {why}"));
    }
    let waiting = list("/status/containerStatuses").find_map(|container| {
        let waiting = container.pointer("/state/waiting")?;
        Some(format!("has a container {} that waits: {}", text(container, "name"), said(waiting)))
    });
    waiting.or_else(|| condition("Ready").map(|why| format!("is not Ready: {why}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn pod(status: &Value) -> DynamicObject {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "broker-1"}, "status": status});
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn a_pod_says_why_it_is_not_ready() {
        let unschedulable = json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "0/3 nodes are available: 1 node(s) were unschedulable."}]});
        assert_eq!(
            why_not_ready(&pod(&unschedulable)).as_deref(),
            Some("is Pending: Unschedulable: 0/3 nodes are available: 1 node(s) were unschedulable.")
        );
        let image =
            json!({"containerStatuses": [{"name": "app", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]});
        let waits = "has a container app that waits: ImagePullBackOff";
        assert_eq!(why_not_ready(&pod(&image)).as_deref(), Some(waits));
        assert_eq!(why_not_ready(&pod(&json!({"conditions": [{"type": "Ready", "status": "True"}]}))), None);
    }

    #[test]
    fn one_that_has_left_waits_for_the_next_pod_of_its_name() {
        let mut drain = crate::lifecycle::Drain::new(&crate::pod::Pod::default(), "p", "alice");
        drain.spec.pod.name = "broker-1".to_owned();
        (drain.status.phase, drain.status.left) = (crate::lifecycle::Phase::Departing, true);
        assert_eq!(awaited(&DrainView::of_drain(&drain)), ["broker-1"]);
        drain.status.left = false;
        assert!(awaited(&DrainView::of_drain(&drain)).is_empty());
    }

    #[test]
    fn what_is_known_of_a_pod_is_told_of_every_drain_that_waits_for_it() {
        let view = |pod: &str| {
            let mut drain = crate::lifecycle::Drain::new(&crate::pod::Pod::default(), "p", "alice");
            drain.metadata.namespace = "n".to_owned();
            let why = crate::lifecycle::Explanation::from(format!("waits for {pod} (maxUnavailable 1)"));
            drain.status.explain(why.waiting_for([pod]));
            DrainView::of_drain(&drain)
        };
        let key = |namespace: &str| (namespace.to_owned(), "db-1".to_owned());
        let known = [(key("n"), "is Pending: Unschedulable".to_owned()), (key("other"), "is away".to_owned())];
        let reasons = Reasons { known: known.into(), ..Reasons::default() };
        let mut views = [view("db-1"), view("db-2")];
        reasons.add(&mut views);
        let told = views.each_ref().map(|view| view.why.as_str());
        let expected = "waits for db-1 (maxUnavailable 1); db-1 is Pending: Unschedulable";
        assert_eq!(told, [expected, "waits for db-2 (maxUnavailable 1)"]);
    }
}

//! Whom a drain waits for, and why that pod is not Ready: from its own conditions.

use kube::core::DynamicObject;
use kube::{Api, Client};
use serde_json::Value;

use crate::kubernetes::pods;

use super::drains::{DrainView, WAITS_FOR_REPLACEMENT};

/// So many pods are looked at.
const MOST: usize = 5;

/// Tells, of each drain that waits for other pods, why those are not Ready. What can't be looked at is left out.
pub(super) async fn explain(client: &Client, views: &mut [DrainView]) {
    for view in views.iter_mut().filter(|view| !view.over).take(MOST) {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &view.namespace, &pods::resource());
        for name in awaited(view).into_iter().take(MOST) {
            let Ok(Some(pod)) = api.get_opt(&name).await else { continue };
            if let Some(why) = why_not_ready(&pod) {
                view.why = format!("{}; {name} {why}", view.why);
            }
        }
    }
}

/// The pods that a drain waits for: those before it, or the next one of its own name.
fn awaited(view: &DrainView) -> Vec<String> {
    if view.why == WAITS_FOR_REPLACEMENT { vec![view.pod.clone()] } else { names(&view.why) }
}

/// The pods that a drain waits for, as its message names them: `waits for db-0, which is not Ready (maxUnavailable 1)`.
pub(super) fn names(why: &str) -> Vec<String> {
    let Some((named, _)) = why.strip_prefix("waits for ").and_then(|rest| rest.split_once(" (maxUnavailable")) else {
        return Vec::new();
    };
    if named.starts_with("pods that are missing") {
        return Vec::new();
    }
    let is_a_word = |word: &&str| ["", "and", "which", "is", "are", "not", "Ready", "others"].contains(word);
    named.split([',', ' ']).filter(|word| !is_a_word(word)).map(str::to_owned).collect()
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
    fn the_pods_that_are_waited_for_are_read_from_the_message() {
        assert_eq!(names("waits for broker-1 (maxUnavailable 1)"), ["broker-1"]);
        assert_eq!(names("waits for a-0 and a-1, a-2, which are not Ready (maxUnavailable 1)"), ["a-0", "a-1", "a-2"]);
        assert_eq!(names("waits for a-0 and others (maxUnavailable 3)"), ["a-0"]);
        for nobody in ["it is to be prepared", "waits for pods that are missing or not Ready (maxUnavailable 1)"] {
            assert!(names(nobody).is_empty(), "{nobody}");
        }
    }
}

//! People are told by Events, on the pod and on its drain, and by the log.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event as Note, EventType, Recorder, Reporter};
use tokio::sync::mpsc;

use crate::controller::log_events::LogEvents;
use crate::lifecycle::{Drain, Event};
use crate::pod::Pod;
use crate::ports::Events;
use crate::runbook::Links;

use super::cache::chain;
use super::resources::pod_drains;

/// How many events may wait to be written; further ones are only logged.
const WAITING: usize = 256;

/// The longest note that the API takes, in bytes.
pub(super) const LONGEST_NOTE: usize = 1024;

/// Writes Events in the order in which they are told, without holding up whoever tells.
pub struct ClusterEvents(mpsc::Sender<Told>);

/// An event, with the pod and the drain that it is about.
type Told = (ObjectReference, Option<ObjectReference>, Event);

impl ClusterEvents {
    /// Begins to write; `instance` is who tells, and `runbook` where people read on.
    pub fn new(client: Client, instance: &str, runbook: Links) -> (Self, impl Future<Output = ()> + use<>) {
        let (sender, mut receiver) = mpsc::channel::<Told>(WAITING);
        let reporter = Reporter { controller: "castoff".to_owned(), instance: Some(instance.to_owned()) };
        let recorder = Recorder::new(client, reporter);
        let write = async move {
            while let Some((pod, drain, event)) = receiver.recv().await {
                let on_drain = drain.as_ref().map(|drain| (drain, Some(&pod)));
                for (regarding, related) in [Some((&pod, drain.as_ref())), on_drain].into_iter().flatten() {
                    if let Err(error) = recorder.publish(&note(&event, related, &runbook), regarding).await {
                        tracing::debug!(error = %chain(&error), reason = event.reason, "an event could not be written");
                    }
                }
            }
        };
        (ClusterEvents(sender), write)
    }

    fn send(&self, pod: ObjectReference, drain: Option<ObjectReference>, event: &Event) {
        if let Err(mpsc::error::TrySendError::Full((pod, ..))) = self.0.try_send((pod, drain, event.clone())) {
            let pod = pod.name.unwrap_or_default();
            tracing::warn!(%pod, reason = event.reason, "too many events at once: this one is only logged");
        }
    }
}

impl Events for ClusterEvents {
    fn tell(&self, drain: &Drain, event: &Event) {
        LogEvents.tell(drain, event);
        let pod = pod_of(&drain.metadata.namespace, &drain.spec.pod.name, &drain.spec.pod.uid);
        self.send(pod, Some(reference_of(drain)), event);
    }

    fn tell_of_pod(&self, pod: &Pod<'_>, event: &Event) {
        LogEvents.tell_of_pod(pod, event);
        let meta = &pod.metadata;
        self.send(pod_of(&meta.namespace, &meta.name, &meta.uid), None, event);
    }
}

fn note(event: &Event, related: Option<&ObjectReference>, runbook: &Links) -> Note {
    Note {
        type_: if event.warning { EventType::Warning } else { EventType::Normal },
        reason: event.reason.to_owned(),
        note: Some(runbook.message(&event.message, event.reason, LONGEST_NOTE)),
        action: "Drain".to_owned(),
        secondary: related.cloned(),
    }
}

fn pod_of(namespace: &str, name: &str, uid: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: Some(name.to_owned()),
        namespace: Some(namespace.to_owned()),
        uid: Some(uid.to_owned()),
        ..ObjectReference::default()
    }
}

fn reference_of(drain: &Drain) -> ObjectReference {
    let resource = pod_drains();
    ObjectReference {
        api_version: Some(resource.api_version),
        kind: Some(resource.kind),
        name: Some(drain.metadata.name.clone()),
        namespace: Some(drain.metadata.namespace.clone()),
        uid: Some(drain.metadata.uid.clone()),
        ..ObjectReference::default()
    }
}

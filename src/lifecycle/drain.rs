//! The PodDrain: one pod's drain, and what was asked for. How far it is stands in [`super::status`].

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pod::Pod;
use crate::policy::Policy;
use crate::printable::printable;

use super::status::{DrainStatus, Limits, Phase};
use super::step::DrainStep;

/// One pod's drain, from the first request to the restore.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Drain {
    /// Name, namespace, and the version that a conditional write must name.
    pub metadata: DrainMetadata,
    /// What was asked for; fixed but for `cancel`.
    pub spec: DrainSpec,
    /// How far it is. Castoff's own.
    #[serde(default)]
    pub status: DrainStatus,
}

/// A PodDrain's metadata.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrainMetadata {
    /// `POD-UID8`, so that two replicas create the same one.
    pub name: String,
    /// The pod's namespace.
    pub namespace: String,
    /// What tells it from a drain of the same name before it. The store gives it out; empty where it does not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Which version this is. The store gives it out; a write names the version that it was made from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    /// What the store knows of it besides.
    #[serde(skip)]
    pub kept: Keeping,
}

/// What the store knows of a drain besides what is written in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keeping {
    /// Somebody is deleting it: the drain is to end, and what was set is to be undone first.
    pub deleting: bool,
    /// The API server keeps it until we say that it may go.
    pub finalizer: bool,
    /// An older version of Castoff made it: it is to be undone, and begun anew.
    pub older: bool,
    /// Another number each time a person who waits for it says so: a try.
    pub asked: u64,
}

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrainSpec {
    /// The pod.
    pub pod: PodReference,
    /// The policy that guarded the pod at the first try.
    #[schemars(length(max = 253))]
    pub policy: String,
    /// Who asked first: the user name in the request.
    #[schemars(length(max = 1024))]
    pub requester: String,
    /// A person gives the drain up.
    #[serde(default)]
    pub cancel: bool,
}

/// One pod, and none of the same name before or after it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PodReference {
    /// Its name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Its UID.
    #[schemars(length(max = 253))]
    pub uid: String,
}

/// User names are kept no longer than this, in bytes.
const LONGEST_REQUESTER: usize = 1024;

impl Drain {
    /// A new drain of this pod, under this policy.
    #[must_use]
    pub fn new(pod: &Pod<'_>, policy: &str, requester: &str) -> Self {
        let requester = requester.chars().take(LONGEST_REQUESTER / 4).collect::<String>();
        Drain {
            metadata: DrainMetadata {
                name: drain_name(&pod.metadata.name, &pod.metadata.uid),
                namespace: pod.metadata.namespace.as_str().to_owned(),
                ..DrainMetadata::default()
            },
            status: DrainStatus::first(&requester),
            spec: DrainSpec {
                pod: PodReference {
                    name: pod.metadata.name.as_str().to_owned(),
                    uid: pod.metadata.uid.as_str().to_owned(),
                },
                policy: policy.to_owned(),
                requester,
                cancel: false,
            },
        }
    }

    /// The same with the pod and the steps that it would be prepared by. Until draining begins, a drain follows its
    /// policy.
    #[must_use]
    pub fn following(mut self, pod: Option<&Arc<Pod<'static>>>, policy: Option<&Policy>) -> Self {
        self.status.pod = pod.cloned();
        let steps = policy.and_then(|policy| policy.steps.as_ref().ok());
        self.status.steps = steps.into_iter().flatten().map(DrainStep::from).collect();
        self.status.limits = policy.map(|policy| Limits::from(&policy.spec)).unwrap_or_default();
        self
    }

    /// The drain as it is to be stored over `before`: what follows the policy and the pod is not written down.
    #[must_use]
    pub fn to_be_stored(mut self, before: &Drain) -> Self {
        if self.status.phase == Phase::Queued && !self.owns_anything() {
            self.status.steps.clear();
            self.status.limits = Limits::default();
            self.status.pod.clone_from(&before.status.pod);
        }
        self
    }

    /// The pod's UID.
    #[must_use]
    pub fn pod_uid(&self) -> &str {
        &self.spec.pod.uid
    }

    /// How messages name the pod: `namespace/name`.
    #[must_use]
    pub fn pod_name(&self) -> String {
        let (namespace, name) = (&self.metadata.namespace, &self.spec.pod.name);
        printable(&format!("{namespace}/{name}")).into_owned()
    }

    /// The place in its set that the pod holds.
    #[must_use]
    pub fn seat(&self) -> String {
        self.status.pod.as_deref().map_or_else(|| self.spec.pod.name.clone(), seat_of)
    }

    /// Whether limits count this drain as they count the other: by what was asked for, the phase and the pod, and by
    /// nothing that changes while it is prepared, as progress and messages do.
    #[must_use]
    pub fn counts_as(&self, other: &Drain) -> bool {
        let of_pod = |drain: &Drain| drain.status.pod.as_ref().map(Arc::as_ptr);
        self.metadata.name == other.metadata.name
            && self.spec == other.spec
            && self.status.phase == other.status.phase
            && (of_pod(self) == of_pod(other) || self.status.pod == other.status.pod)
    }

    /// Whether anything at a backend is, or may be, ours to undo.
    #[must_use]
    pub fn owns_anything(&self) -> bool {
        self.status.steps.iter().any(DrainStep::owns)
    }

    /// Another number after each try that was written down.
    #[must_use]
    pub fn tries(&self) -> u64 {
        self.status.tries.wrapping_add(self.metadata.kept.asked)
    }

    /// Whether the drain is given up by a person's word: cancelled, or deleted.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.spec.cancel || self.metadata.kept.deleting
    }

    /// The wake-up's mark: the same for the same becoming-Drained, so that writing it twice changes nothing.
    #[must_use]
    pub fn wake_mark(&self) -> String {
        let uid = if self.metadata.uid.is_empty() { self.pod_uid() } else { &self.metadata.uid };
        format!("{uid}.{}", self.status.cycle)
    }

    /// The pod, with the addresses that it is seen with now. None at all, as between two sandboxes, are no news.
    #[must_use]
    pub fn with_addresses_of(mut self, seen: &Pod<'_>) -> Self {
        if let Some(pod) =
            self.status.pod.as_mut().filter(|pod| !seen.status.pod_ip.is_empty() && !pod.has_addresses_of(seen))
        {
            let now = seen.status.clone().into_owned();
            let pod = &mut Arc::make_mut(pod).status;
            (pod.pod_ip, pod.pod_ips, pod.host_ip) = (now.pod_ip, now.pod_ips, now.host_ip);
        }
        self
    }
}

/// The longest name that an object may have.
const LONGEST_NAME: usize = 253;

/// The name of the drain of the pod with this name and UID: the pod's name, cut where both would not fit.
#[must_use]
pub fn drain_name(pod: &str, uid: &str) -> String {
    let short: String = uid.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
    let room = LONGEST_NAME - short.len() - 1;
    let cut = pod.char_indices().take_while(|(at, char)| at + char.len_utf8() <= room).map(|(_, char)| char);
    let name: String = cut.collect();
    format!("{}-{short}", name.trim_end_matches(|char: char| !char.is_ascii_alphanumeric()))
}

/// The place in its set that a pod holds: its node in a DaemonSet, else its name. Which other pod replaces one with a
/// name of chance is told by numbers, not by places.
#[must_use]
pub fn seat_of(pod: &Pod<'_>) -> String {
    match pod.controller() {
        Some(owner) if owner.kind == "DaemonSet" => format!("{} on {}", owner.name, pod.spec.node_name),
        _ => pod.metadata.name.as_str().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_drain_fits_whatever_the_pods_is() {
        let uid = "0b811ef1-d87e-46e6-8def-5c6b856c1e18";
        assert_eq!(drain_name("db-0", uid), "db-0-0b811ef1");
        let longest = "a".repeat(253);
        assert_eq!(drain_name(&longest, uid), format!("{}-0b811ef1", "a".repeat(244)));
        let dots = format!("{}.{}", "a".repeat(243), "b".repeat(9));
        assert_eq!(drain_name(&dots, uid), format!("{}-0b811ef1", "a".repeat(243)), "no label begins with a dash");
    }

    #[test]
    fn agents_of_two_sets_on_one_node_hold_two_places() {
        let agent = |set: &str| {
            let pod = serde_json::json!({
                "metadata": {"name": format!("{set}-x"), "ownerReferences":
                    [{"kind": "DaemonSet", "name": set, "uid": set, "controller": true}]},
                "spec": {"nodeName": "n1"},
            });
            crate::pod::deserialize_owned(&pod).map(|pod| seat_of(&pod)).ok()
        };
        assert_eq!(agent("shm"), Some("shm on n1".to_owned()));
        assert_ne!(agent("shm"), agent("log"));
    }
}

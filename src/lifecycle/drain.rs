//! The PodDrain: one pod's drain, as it is stored.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plan::Mode;
use crate::pod::Pod;
use crate::policy::Policy;
use crate::policy::spec::{MaxUnavailable, PolicySpec};
use crate::printable::printable;

use super::caller::Caller;
use super::step::{DrainStep, StepProgress};

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

/// A policy's limits. Seconds throughout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Limits {
    /// How many pods may be away at once. Counts where the policy is gone; else what it says now does.
    #[schemars(schema_with = "crate::schema::int_or_string")]
    pub max_unavailable: MaxUnavailable,
    /// Between two looks at the backend.
    pub poll_period_seconds: u32,
    /// Without progress, until the drain is called stalled.
    pub progress_deadline_seconds: u32,
    /// Without a try, until the drain is given up.
    pub abandon_after_seconds: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits::from(&PolicySpec::default())
    }
}

impl From<&PolicySpec> for Limits {
    fn from(spec: &PolicySpec) -> Self {
        Limits {
            max_unavailable: spec.max_unavailable.clone(),
            poll_period_seconds: spec.poll_period_seconds,
            progress_deadline_seconds: spec.progress_deadline_seconds,
            abandon_after_seconds: spec.abandon_after_seconds,
        }
    }
}

/// Where a drain stands.
///
/// ```text
/// Queued ─slot─► Draining ─all steps done─► Drained ─claim─► Departing ─its hole is closed──────► Restoring ─► Completed
///    │              │  ▲                      │  │               │                                  │            │
///    │              │  └──no longer done──────┘  │               └─not carried out─► Drained        └─tried again┴─► Queued
///    ├──────────────┴── given up or cancelled ───┴──► Restoring
///    └── Queued, Draining, Drained: the pod is terminating or gone, by any path ──► Departing (Queued, nothing owned: Completed)
/// ```
///
/// Drained says that every step is done and that the policy's limit holds. A Draining drain that is blocked before it
/// owns anything goes back to Queued and gives its slot up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Waits for a slot, or for the backend to allow it.
    #[default]
    Queued,
    /// The backend is being prepared.
    Draining,
    /// Every step is done, and the limit holds: the next try may be allowed.
    Drained,
    /// Allowed, or gone without our yes.
    Departing,
    /// What was set is being undone.
    Restoring,
    /// Over.
    Completed,
    /// This version can't read it: left alone, and the pod stays.
    #[serde(other)]
    Unknown,
}

impl Phase {
    /// Its name, as the API shows it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Queued => "Queued",
            Phase::Draining => "Draining",
            Phase::Drained => "Drained",
            Phase::Departing => "Departing",
            Phase::Restoring => "Restoring",
            Phase::Completed => "Completed",
            Phase::Unknown => "Unknown",
        }
    }

    /// Whether a drain in this phase holds a place in its policy's limit.
    #[must_use]
    pub fn holds_a_place(self) -> bool {
        matches!(self, Phase::Draining | Phase::Drained | Phase::Departing | Phase::Restoring)
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// How a pod left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Outcome {
    /// Prepared, with our yes.
    Prepared,
    /// By a named exemption.
    Exempt,
    /// By the break-glass annotation.
    Bypassed,
    /// Without our yes.
    Unprepared,
}

/// How far a drain is.
#[allow(clippy::struct_excessive_bools)] // Each is a fact of its own, shown to users as a condition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DrainStatus {
    /// Where it stands.
    #[schemars(with = "String")]
    pub phase: Phase,
    /// Counts how often the drain became Drained or began anew; part of the wake-up's mark.
    pub cycle: u32,
    /// Whether the pod is expected back; decided when draining begins.
    pub mode: Mode,
    /// The pod, as it was when draining began, with the addresses that it was last seen with.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "crate::pod::deserialize_optional")]
    #[schemars(schema_with = "crate::schema::pod")]
    pub pod: Option<Pod<'static>>,
    /// The name of the step under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The steps, as the policy had them when draining began.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<DrainStep>,
    /// The policy's limits, as they were then.
    pub limits: Limits,
    /// How much is left in the step under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<StepProgress>,
    /// Why it does not go on, for people; constant for a cause.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// More of the same: errno, status, the beginning of a body.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The plan says "not now".
    pub blocked: bool,
    /// No progress for the policy's deadline.
    pub stalled: bool,
    /// Prepared for a minute, and nobody has asked for the pod since.
    pub unasked: bool,
    /// How often a try was written down (not every try is).
    pub tries: u64,
    /// What kind of caller asks.
    pub caller: Caller,
    /// The longest pause between two tries that was seen, in seconds.
    pub longest_pause_seconds: u64,
    /// How often an allow was claimed.
    pub claims: u64,
    /// The last claim stands: the pod was allowed to leave, and it is not known yet that it did not.
    pub allowed: bool,
    /// The pod was seen to leave.
    pub left: bool,
    /// How often an allow was not carried out.
    pub not_carried_out: u32,
    /// What was set is undone only to prepare the pod in another way: it is queued again after that.
    pub again: bool,
    /// How the pod left, or was let go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The drain of the same seat whose steps this one took over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predecessor: Option<String>,
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
    pub fn following(mut self, pod: Option<&Pod<'static>>, policy: Option<&Policy>) -> Self {
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
        self.status.pod.as_ref().map_or_else(|| self.spec.pod.name.clone(), seat_of)
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
        if let Some(pod) = self.status.pod.as_mut().filter(|_| !seen.status.pod_ip.is_empty()) {
            let now = seen.status.clone().into_owned();
            (pod.status.pod_ip, pod.status.pod_ips, pod.status.host_ip) = (now.pod_ip, now.pod_ips, now.host_ip);
        }
        self
    }
}

impl DrainStatus {
    /// The status of a drain that was only just asked for.
    #[must_use]
    pub fn first(requester: &str) -> Self {
        DrainStatus { tries: 1, caller: Caller::of(requester), ..Default::default() }
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

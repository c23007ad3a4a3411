//! The PodDrain: one pod's drain, as it is stored.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::plan::spec::PlanSpec;
use crate::plan::{Mode, Parameters, Progress};
use crate::pod::{Pod, PodAddress};
use crate::policy::Policy;
use crate::policy::spec::MaxUnavailable;
use crate::printable::printable;

use super::caller::Caller;

/// One pod's drain, from the first request to the restore.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Drain {
    /// Name, namespace, and the version that a conditional write must name.
    pub metadata: DrainMetadata,
    /// What was asked for; fixed but for `cancel`.
    pub spec: DrainSpec,
    /// How far it is.
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
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrainSpec {
    /// The pod, as it was at the first try.
    #[serde(deserialize_with = "crate::pod::deserialize_owned")]
    #[schemars(schema_with = "crate::schema::pod")]
    pub pod: Pod<'static>,
    /// The place in the set that the pod holds: its name in a StatefulSet, its node in a DaemonSet.
    pub seat: String,
    /// The policy that guards the pod.
    pub policy: String,
    /// The steps as they were: an edit does not change a drain under way.
    pub steps: Vec<DrainStep>,
    /// The policy's limits as they were.
    pub limits: Limits,
    /// Who asked first: the user name in the request.
    pub requester: String,
    /// What kind of caller that is.
    pub caller: Caller,
    /// A person gives the drain up.
    #[serde(default)]
    pub cancel: bool,
}

/// One step of a drain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrainStep {
    /// The step's name.
    pub name: String,
    /// The plan's name.
    pub plan: String,
    /// The plan's hash.
    pub hash: String,
    /// The plan itself.
    #[schemars(schema_with = "crate::schema::object")]
    pub plan_spec: PlanSpec,
    /// Its parameters, defaults filled in.
    #[schemars(schema_with = "crate::schema::object")]
    pub parameters: Parameters,
    /// The Secret that its requests use by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<String>,
}

/// A policy's limits. Seconds throughout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// How many pods may be away at once.
    #[schemars(schema_with = "crate::schema::int_or_string")]
    pub max_unavailable: MaxUnavailable,
    /// Between two looks at the backend.
    pub poll_period_seconds: u32,
    /// Without progress, until the drain is called stalled.
    pub progress_deadline_seconds: u32,
    /// Without a try, until the drain is given up.
    pub abandon_after_seconds: u32,
}

/// Where a drain stands.
///
/// ```text
/// Queued ─slot─► Draining ─all steps done─► Drained ─claim─► Departing ─replacement Ready, or none to come─► Restoring ─► Completed
///    │              │  ▲                      │  │               │                                             │            │
///    │              │  └──no longer done──────┘  │               └─not carried out─► Drained                   └─tried again┴─► Queued
///    ├──────────────┴── given up or cancelled ───┴──► Restoring
///    └── Queued, Draining, Drained: the pod is terminating or gone, by any path ──► Departing (Queued, nothing owned: Completed)
/// ```
///
/// A Draining drain that is blocked before it owns anything goes back to Queued and gives its slot up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Waits for a slot, or for the backend to allow it.
    #[default]
    Queued,
    /// The backend is being prepared.
    Draining,
    /// Every step is done: the next try may be allowed.
    Drained,
    /// Allowed, or gone without our yes.
    Departing,
    /// What was set is being undone.
    Restoring,
    /// Over.
    Completed,
    /// A phase that a newer version wrote: left alone, and the pod stays.
    #[serde(other)]
    Unknown,
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
    /// The name of the step under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The steps' states, in the order of the spec.
    pub steps: Vec<StepStatus>,
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
    /// How often a try was written down (not every try is).
    pub tries: u64,
    /// What kind of caller made the last one.
    pub caller: Caller,
    /// How long the callers have been denied by then, as measured by whoever wrote it down.
    pub denied_seconds: u64,
    /// How often an allow was claimed.
    pub claims: u64,
    /// The last claim stands: the pod was allowed to leave, and it is not known yet that it did not.
    pub allowed: bool,
    /// The pod was seen to leave.
    pub left: bool,
    /// How often an allow was not carried out.
    pub not_carried_out: u32,
    /// How the pod left, or was let go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The drain of the same seat whose ownership this one took over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predecessor: Option<String>,
    /// The pod's addresses, where they are no longer those of the first try: a pod may be asked for before it has any,
    /// and gets others when its sandbox is made anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addresses: Option<Addresses>,
}

/// Where a pod answers, and its node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Addresses {
    /// The pod's address.
    #[serde(rename = "podIP")]
    pub pod_ip: String,
    /// All its addresses, of both IP families.
    #[serde(rename = "podIPs")]
    pub pod_ips: Vec<String>,
    /// The address of its node.
    #[serde(rename = "hostIP")]
    pub host_ip: String,
}

impl From<&Pod<'_>> for Addresses {
    fn from(pod: &Pod<'_>) -> Self {
        Addresses {
            pod_ip: pod.status.pod_ip.to_string(),
            pod_ips: pod.status.pod_ips.iter().map(|own| own.ip.to_string()).collect(),
            host_ip: pod.status.host_ip.to_string(),
        }
    }
}

/// How much is left, and of which step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepProgress {
    /// The step's name.
    pub step: String,
    /// The most that was seen in this step.
    pub total: i64,
    /// What is left now.
    #[serde(flatten)]
    pub left: Progress,
}

impl StepProgress {
    /// As `12 leaders were left`, of a pod that goes.
    #[must_use]
    pub fn were_left(&self) -> String {
        format!("{} {} were left", self.left.remaining, self.left.unit)
    }
}

/// One step's state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StepStatus {
    /// What the pod is called at the backend; pinned before the first act.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// Whether the change at the backend is ours.
    pub ownership: Ownership,
    /// For how long an act of this step may go on at the backend after it was sent, in seconds.
    pub act_seconds: u64,
}

/// Whether a change at the backend is ours to undo.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Ownership {
    /// It is not, or there is none.
    #[default]
    None,
    /// We are about to make it: written down before the first act.
    Intent,
    /// We made it.
    Acted,
}

impl Drain {
    /// The pod, as it was at the first try but for the addresses that it was last seen with.
    #[must_use]
    pub fn pod(&self) -> Pod<'static> {
        let mut pod = self.spec.pod.clone();
        if let Some(now) = self.status.addresses.clone() {
            pod.status.pod_ip = now.pod_ip.into();
            pod.status.pod_ips = now.pod_ips.into_iter().map(|ip| PodAddress { ip: ip.into() }).collect();
            pod.status.host_ip = now.host_ip.into();
        }
        pod
    }

    /// The addresses of the pod as it is seen now, where they are others than before. None at all, as between two
    /// sandboxes, are no news.
    #[must_use]
    pub fn new_addresses(&self, seen: &Pod<'_>) -> Option<Addresses> {
        let now = Addresses::from(seen);
        let known = self.status.addresses.clone().unwrap_or_else(|| Addresses::from(&self.spec.pod));
        (!now.pod_ip.is_empty() && now != known).then_some(now)
    }

    /// A new drain of this pod, under this policy. `None` where the policy is not valid.
    #[must_use]
    pub fn new(pod: Pod<'static>, policy: &Policy, requester: &str, caller: Caller) -> Option<Self> {
        let steps = policy.steps.as_ref().ok()?;
        let spec = &policy.spec;
        let spec = DrainSpec {
            seat: seat_of(&pod),
            policy: policy.name.clone(),
            steps: steps.iter().map(DrainStep::from).collect(),
            limits: Limits {
                max_unavailable: spec.max_unavailable.clone(),
                poll_period_seconds: spec.poll_period_seconds,
                progress_deadline_seconds: spec.progress_deadline_seconds,
                abandon_after_seconds: spec.abandon_after_seconds,
            },
            requester: requester.to_owned(),
            caller,
            cancel: false,
            pod,
        };
        let status = DrainStatus::first(&spec);
        Some(Drain {
            metadata: DrainMetadata {
                name: drain_name(&spec.pod.metadata.name, &spec.pod.metadata.uid),
                namespace: spec.pod.metadata.namespace.as_str().to_owned(),
                ..DrainMetadata::default()
            },
            spec,
            status,
        })
    }

    /// The pod's UID.
    #[must_use]
    pub fn pod_uid(&self) -> &str {
        &self.spec.pod.metadata.uid
    }

    /// How messages name the pod: `namespace/name`.
    #[must_use]
    pub fn pod_name(&self) -> String {
        printable(&self.spec.pod.full_name()).into_owned()
    }

    /// Whether anything at a backend is, or may be, ours to undo.
    #[must_use]
    pub fn owns_anything(&self) -> bool {
        self.status.steps.iter().any(|step| step.ownership != Ownership::None)
    }

    /// The wake-up's mark: the same for the same becoming-Drained, so that writing it twice changes nothing.
    #[must_use]
    pub fn wake_mark(&self) -> String {
        let uid = if self.metadata.uid.is_empty() { self.pod_uid() } else { &self.metadata.uid };
        format!("{uid}.{}", self.status.cycle)
    }
}

impl DrainSpec {
    /// A fingerprint of everything that is fixed: all but `cancel`.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let fixed = DrainSpec { cancel: false, ..self.clone() };
        // What is made of maps with text keys and of numbers can always be put into JSON, with its keys in order.
        let text = serde_json::to_value(&fixed).map(|value| value.to_string()).unwrap_or_default();
        Sha256::digest(text).iter().take(16).fold(String::new(), |hash, byte| hash + &format!("{byte:02x}"))
    }
}

impl DrainStatus {
    /// The status of a drain that was only just asked for.
    #[must_use]
    pub fn first(spec: &DrainSpec) -> Self {
        DrainStatus {
            steps: vec![StepStatus::default(); spec.steps.len()],
            tries: 1,
            caller: spec.caller,
            ..Default::default()
        }
    }
}

impl DrainStep {
    /// On how many rounds running the step must be seen done.
    #[must_use]
    pub fn rounds(&self) -> u8 {
        self.plan_spec.rounds.number(&self.parameters)
    }
}

impl From<&crate::policy::Step> for DrainStep {
    fn from(step: &crate::policy::Step) -> Self {
        DrainStep {
            name: step.name.clone(),
            plan: step.plan_name.clone(),
            hash: step.plan.hash().to_owned(),
            plan_spec: step.plan.spec().clone(),
            parameters: step.parameters.clone(),
            credentials: step.credentials.clone(),
        }
    }
}

/// The name of the drain of the pod with this name and UID.
#[must_use]
pub fn drain_name(pod: &str, uid: &str) -> String {
    let short: String = uid.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
    format!("{pod}-{short}")
}

/// The place in its set that a pod holds. Pods of other owners are told apart by name: whichever pod replaces one of
/// them is found by its not being Ready.
#[must_use]
pub fn seat_of(pod: &Pod<'_>) -> String {
    match pod.controller() {
        Some(owner) if owner.kind == "DaemonSet" => format!("node/{}", pod.spec.node_name),
        _ => pod.metadata.name.as_str().to_owned(),
    }
}

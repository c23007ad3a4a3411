//! A guarded pod's case: everything that its answer is made from.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::facts::{NamespaceFacts, NodeSeen, OwnerSeen};
use crate::lifecycle::Drain;
use crate::pod::Pod;
use crate::policy::spec::{Exemption, PolicyMode};

use super::bypass::{self, Bypass};
use super::first::Guard;
use super::messages::Subject;
use super::request::Request;

/// The seconds that a caller which waits when told is told to wait.
pub const RETRY_AFTER_SECONDS: u32 = 5;

/// A guarded pod's case.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// What is asked.
    pub request: &'a Request<'a>,
    /// The pod, from the request or read live.
    pub pod: &'a Pod<'a>,
    /// What guards it.
    pub guard: &'a Guard,
    /// What is known of the things around it.
    pub facts: &'a Facts,
    /// Its drain, where there is one. That of another UID counts as none.
    pub drain: Option<&'a Drain>,
    /// The time, to which a bypass is held.
    pub now: Timestamp,
}

/// What is known of the things around a pod. What is not known never lets a pod go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Its namespace; `None` where not known.
    pub namespace: Option<NamespaceFacts>,
    /// Its node.
    pub node: NodeSeen,
    /// The owner that controls it.
    pub owner: OwnerSeen,
    /// The annotations of the webhook configuration by which requests come.
    pub registration: BTreeMap<String, String>,
}

impl<'a> Case<'a> {
    /// The drain of this very pod.
    pub(crate) fn drain(&self) -> Option<&'a Drain> {
        self.drain.filter(|drain| self.pod.metadata.uid == *drain.pod_uid())
    }

    /// The pod and what holds it, for texts; with the step under way where `with_step`.
    pub(crate) fn subject(&self, with_step: bool) -> Subject<'a> {
        let drain = self.drain();
        Subject {
            namespace: &self.pod.metadata.namespace,
            name: &self.pod.metadata.name,
            policy: drain.map_or(&self.guard.policy.name, |drain| &drain.spec.policy),
            step: drain.filter(|_| with_step).and_then(current_step),
        }
    }

    /// Whether every policy that selects the pod exempts this.
    pub(crate) fn exempts(&self, exemption: Exemption) -> bool {
        let exempts = |guard: &crate::policy::Policy| guard.spec.exempt.contains(&exemption);
        exempts(&self.guard.policy) && self.guard.rival.as_deref().is_none_or(exempts)
    }

    /// Whether every policy that selects the pod only tells what would have happened.
    pub(crate) fn is_audit(&self) -> bool {
        let audits = |guard: &crate::policy::Policy| guard.spec.mode == PolicyMode::Audit;
        audits(&self.guard.policy) && self.guard.rival.as_deref().is_none_or(audits)
    }

    /// What the annotations of the pod, its node and its namespace say of a bypass, and those of the webhook
    /// configuration, which count for every pod; with their places.
    pub(crate) fn bypasses(&self) -> [(&'static str, Bypass<'a>); 4] {
        let pod = &self.pod.metadata.annotations;
        let on_pod = bypass::read(|key| pod.get(key).map(crate::pod::Text::as_str), self.now);
        let on = |annotations: &'a BTreeMap<String, String>| {
            bypass::read(|key| annotations.get(key).map(String::as_str), self.now)
        };
        let on_node = match &self.facts.node {
            NodeSeen::Known(node) => on(&node.annotations),
            NodeSeen::Gone | NodeSeen::Unknown => Bypass::None,
        };
        let on_namespace = self.facts.namespace.as_ref().map_or(Bypass::None, |namespace| on(&namespace.annotations));
        let everywhere = on(&self.facts.registration);
        [("pod", on_pod), ("node", on_node), ("namespace", on_namespace), ("webhook configuration", everywhere)]
    }
}

/// The name of the step under way, where there is one.
pub fn current_step(drain: &Drain) -> Option<&str> {
    let counted = drain.status.progress.as_ref().map(|progress| progress.step.as_str());
    drain.status.step.as_deref().or(counted)
}

//! What a decision needs to know: from memory where memory will do, live where it lets a pod go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::admission::{Answer, Case, Facts, Reason, Request, What, messages};
use crate::facts::{NodeSeen, OwnerSeen};
use crate::lifecycle::drain::drain_name;
use crate::lifecycle::{Drain, Phase};
use crate::pod::Pod;
use crate::policy::{Policy, PolicyIndex};
use crate::ports::WAKE_ANNOTATION;

use super::Gatekeeper;

/// How long a read of the API may take: a denial is to be in time, whatever the API server does.
const PATIENCE: Duration = Duration::from_secs(2);

/// The pod that an eviction means.
pub(super) enum Evicted {
    /// This one.
    Pod(Arc<Pod<'static>>),
    /// There is none of that name.
    Nobody,
    /// It could not be told, or need not be.
    Unknown,
}

impl Gatekeeper {
    /// The policies to go by. Only namespaces with policies are registered: a review from one in which this replica
    /// knows none proves that it is behind, and it looks live before it lets anything go.
    pub(super) async fn policies_for(&self, request: &Request<'_>) -> Result<Arc<PolicyIndex>, Box<Answer>> {
        let known = self.policies.load_full();
        let is_other = matches!(request.what, What::Other { .. });
        if is_other || !known.of_namespace(&request.namespace).is_empty() {
            return Ok(known);
        }
        match timeout(PATIENCE, self.cluster.policies_now(&request.namespace)).await {
            Ok(Ok(Some(live))) => Ok(Arc::new(live)),
            Ok(Ok(None)) => Ok(known),
            Ok(Err(error)) => {
                tracing::warn!(%error, "no policy of this namespace is known, and none could be looked up");
                Err(Box::new(policies_unknown(request)))
            }
            Err(_) => Err(Box::new(policies_unknown(request))),
        }
    }

    /// The pod that an eviction means: read live. Without a cluster, where that can't be done, as its drain knows it.
    pub(super) async fn pod_of_eviction(&self, request: &Request<'_>, policies: &PolicyIndex) -> Evicted {
        let is_eviction = matches!(request.what, What::Eviction { .. });
        if !is_eviction || policies.of_namespace(&request.namespace).is_empty() {
            return Evicted::Unknown;
        }
        match timeout(PATIENCE, self.cluster.pod(&request.namespace, &request.name)).await {
            Ok(Ok(Some(pod))) => Evicted::Pod(pod),
            Ok(Ok(None)) => Evicted::Nobody,
            // The next pod of that name may be there already: nothing is allowed on the word of a copy.
            Ok(Err(_)) | Err(_) if self.own_user.is_some() => Evicted::Unknown,
            Ok(Err(_)) | Err(_) => {
                let is_its = |drain: &&Arc<Drain>| {
                    drain.status.phase != Phase::Completed
                        && !drain.status.left
                        && drain.spec.pod.name == request.name.as_str()
                };
                let drains = self.store.of_namespace(&request.namespace);
                let pod = drains.iter().find(is_its).and_then(|drain| drain.status.pod.clone());
                pod.map_or(Evicted::Unknown, Evicted::Pod)
            }
        }
    }

    /// The labels of the pod's node, where a policy asks for them and they are known.
    pub(super) fn node_labels(&self, pod: &Pod<'_>, policies: &PolicyIndex) -> Option<BTreeMap<String, String>> {
        let by_node = |policy: &Arc<Policy>| !policy.spec.node_selector.is_empty();
        if !policies.of_pod(&pod.metadata.namespace, &pod.metadata.labels).any(by_node) {
            return None;
        }
        self.cluster.node(&pod.spec.node_name).labels()
    }

    /// What is known of the things around a pod: the owner live, the rest from memory.
    pub(super) async fn facts(&self, pod: &Pod<'_>) -> Facts {
        Facts {
            namespace: self.cluster.namespace(&pod.metadata.namespace),
            node: self.cluster.node(&pod.spec.node_name),
            owner: self.owner_of(pod).await,
            registration: self.cluster.registration_annotations(),
        }
    }

    /// The pod and the things around it, as they are now; `None` where the pod can't be read, or is another one.
    pub(super) async fn facts_now(&self, case: &Case<'_>) -> Option<(Pod<'static>, Facts)> {
        let (pod, known) = (case.pod, case.facts);
        let namespace = &pod.metadata.namespace;
        let (live, node, of_namespace) = tokio::join!(
            self.true_pod(pod),
            timeout(PATIENCE, self.cluster.node_now(&pod.spec.node_name)),
            timeout(PATIENCE, self.cluster.namespace_now(namespace)),
        );
        let facts = Facts {
            namespace: of_namespace.ok().flatten(),
            node: node.unwrap_or(NodeSeen::Unknown),
            owner: known.owner.clone(),
            registration: known.registration.clone(),
        };
        Some((live?, facts))
    }

    /// The pod's owner as it is now.
    pub(super) async fn owner_of(&self, pod: &Pod<'_>) -> OwnerSeen {
        match pod.controller() {
            None => OwnerSeen::None,
            Some(owner) => {
                let seen = timeout(PATIENCE, self.cluster.owner(&pod.metadata.namespace, owner)).await;
                seen.unwrap_or(OwnerSeen::Unread)
            }
        }
    }

    /// The pod's drain. Read live where a copy that lags would matter: the pod's controller was woken, or a dry
    /// run must answer as the real call would.
    pub(super) async fn drain_of(&self, pod: &Pod<'_>, dry_run: bool) -> Option<Arc<Drain>> {
        let known = self.store.by_pod(&pod.metadata.uid);
        let woken = pod.metadata.annotations.contains_key(WAKE_ANNOTATION);
        if !woken && !dry_run {
            return known;
        }
        let name = drain_name(&pod.metadata.name, &pod.metadata.uid);
        let live = timeout(PATIENCE, self.store.read(&pod.metadata.namespace, &name)).await;
        live.ok().and_then(Result::ok).flatten().or(known)
    }

    /// The pod as the API server knows it. Whoever can reach this port could send a review of a pod that is none, or
    /// one with another's addresses: nothing is begun or asked on the word of a review alone.
    pub(super) async fn true_pod(&self, told: &Pod<'_>) -> Option<Pod<'static>> {
        match timeout(PATIENCE, self.cluster.pod(&told.metadata.namespace, &told.metadata.name)).await {
            Ok(Ok(Some(live))) if live.metadata.uid == told.metadata.uid => Some(Pod::clone(&live)),
            // Without a cluster, and without objects from files, the review is all there is.
            Ok(Err(_)) if self.own_user.is_none() => Some(told.clone().into_owned()),
            Ok(_) | Err(_) => {
                tracing::warn!(pod = %told.full_name(), "the API server shows no such pod now; nothing is begun for it");
                None
            }
        }
    }
}

fn policies_unknown(request: &Request<'_>) -> Answer {
    Answer::deny(Reason::UnknownPod, messages::policies_unknown(&request.namespace, &request.name))
}

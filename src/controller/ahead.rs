//! Begins the drains of pods whose node shows what their policy prepares ahead for, or is named by a NodeDrain.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::lifecycle::ahead::{self, Begin, Sign};
use crate::lifecycle::{Caller, Drain, PodSeen, claim};
use crate::pod::Pod;
use crate::policy::spec::PolicyMode;
use crate::policy::{Policy, PolicyIndex};
use crate::ports::StoreError;

use super::{Controller, sight};

/// Between two looks at the nodes.
const LOOK: Duration = Duration::from_secs(2);

/// A pod that is to be prepared, by which policy, and why.
type Found = (Arc<Pod<'static>>, Arc<Policy>, Sign);

impl Controller {
    /// Looks for such pods while this process leads, for ever.
    pub async fn prepare_ahead(&self) {
        // Each is begun once as long as its node shows it: one that a person gave up meanwhile stays so.
        let mut begun = BTreeSet::new();
        loop {
            tokio::time::sleep(LOOK).await;
            if (self.is_leader)() && self.cluster.sees_pods() {
                self.begin_ahead(&mut begun).await;
            } else {
                begun.clear();
            }
        }
    }

    async fn begin_ahead(&self, begun: &mut BTreeSet<String>) {
        let policies = self.policies.load();
        let mut found = self.on_nodes_that_show_it(&policies);
        found.extend(self.on_nodes_of_node_drains(&policies).await);
        let mut shown = BTreeSet::new();
        for (pod, policy, sign) in found {
            let uid = pod.metadata.uid.to_string();
            shown.insert(uid.clone());
            if begun.contains(&uid) {
                continue;
            }
            match self.begin_one(&pod, &policy, &sign).await {
                Ok(true) => drop(begun.insert(uid)),
                Ok(false) => {}
                Err(error) => tracing::debug!(pod = %pod.full_name(), %error, "not prepared ahead; trying again"),
            }
        }
        begun.retain(|uid| shown.contains(uid));
    }

    /// Pods that stand on a node which shows what their policy names.
    fn on_nodes_that_show_it(&self, policies: &PolicyIndex) -> Vec<Found> {
        let mut found = Vec::new();
        for policy in policies.all().filter(|policy| !policy.spec.prepare_ahead.is_empty()) {
            for pod in self.cluster.pods(&policy.namespace).iter() {
                let Some(signal) = ahead::signal(policy, &self.cluster.node(&pod.spec.node_name)) else { continue };
                if self.policy_to_prepare_by(pod, policies).is_some_and(|only| Arc::ptr_eq(only, policy)) {
                    found.push((Arc::clone(pod), Arc::clone(policy), Sign::Node(signal.clone())));
                }
            }
        }
        found
    }

    /// Pods that stand on a node which a NodeDrain names.
    async fn on_nodes_of_node_drains(&self, policies: &PolicyIndex) -> Vec<Found> {
        let mut found = Vec::new();
        for (node, name) in self.cluster.node_drains() {
            let pods = self.cluster.find_pods(None, Some(&node)).await.unwrap_or_default();
            for pod in pods {
                if let Some(policy) = self.policy_to_prepare_by(&pod, policies) {
                    found.push((Arc::clone(&pod), Arc::clone(policy), Sign::NodeDrain(name.clone())));
                }
            }
        }
        found
    }

    /// The one policy that guards a pod which is not on its way out; `None` where it can't be followed now.
    fn policy_to_prepare_by<'a>(&self, pod: &'a Pod<'_>, policies: &'a PolicyIndex) -> Option<&'a Arc<Policy>> {
        if !matches!(sight::pod_seen(Some(pod)), PodSeen::Present { .. }) || pod.is_mirror() {
            return None;
        }
        let node_labels = |node: &str| self.cluster.node(node).labels();
        let [only] = sight::selecting(Some(pod), policies, &node_labels)[..] else { return None };
        let is_followed = only.spec.mode == PolicyMode::Enforce
            && only.steps.is_ok()
            && only.freeze.in_force_anywhere(jiff::Timestamp::now()).is_none();
        is_followed.then_some(only)
    }

    /// Whether nothing is left to be begun.
    async fn begin_one(&self, pod: &Pod<'static>, policy: &Policy, sign: &Sign) -> Result<bool, StoreError> {
        let drain = self.store.by_pod(&pod.metadata.uid);
        match (ahead::begin(drain.as_deref()), drain) {
            (Begin::Nothing, _) => return Ok(true),
            (Begin::Later, _) => return Ok(false),
            (Begin::Anew, Some(drain)) => {
                self.store.write(claim::begun_anew(Drain::clone(&drain), Caller::Program)).await?;
            }
            (Begin::Create | Begin::Anew, _) => {
                self.store.create(Drain::new(pod, &policy.name, &ahead::requester(sign))).await?;
            }
        }
        tracing::info!(pod = %pod.full_name(), policy = %policy.name, %sign, "prepared ahead of being asked for");
        Ok(true)
    }
}

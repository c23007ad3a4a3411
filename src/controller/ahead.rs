//! Begins the drains of pods whose node shows what their policy prepares ahead for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::lifecycle::ahead::{self, Begin};
use crate::lifecycle::{Caller, Drain, PodSeen, claim};
use crate::pod::Pod;
use crate::policy::Policy;
use crate::policy::spec::{NodeSignal, PolicyMode};
use crate::ports::StoreError;

use super::{Controller, sight};

/// Between two looks at the nodes.
const LOOK: Duration = Duration::from_secs(2);

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
        let mut shown = BTreeSet::new();
        for (pod, policy, signal) in self.to_be_prepared_ahead() {
            let uid = pod.metadata.uid.to_string();
            shown.insert(uid.clone());
            if begun.contains(&uid) {
                continue;
            }
            match self.begin_one(&pod, &policy, &signal).await {
                Ok(()) => drop(begun.insert(uid)),
                Err(error) => tracing::debug!(pod = %pod.full_name(), %error, "not prepared ahead; trying again"),
            }
        }
        begun.retain(|uid| shown.contains(uid));
    }

    /// Pods that stand on such a node, each with its one policy, which can be followed and is not frozen.
    fn to_be_prepared_ahead(&self) -> Vec<(Arc<Pod<'static>>, Arc<Policy>, NodeSignal)> {
        let policies = self.policies.load();
        let node_labels = |node: &str| self.cluster.node(node).labels();
        let prepares = |policy: &&Arc<Policy>| {
            !policy.spec.prepare_ahead.is_empty()
                && policy.spec.mode == PolicyMode::Enforce
                && policy.steps.is_ok()
                && policy.freeze.in_force_anywhere(jiff::Timestamp::now()).is_none()
        };
        let mut found = Vec::new();
        for policy in policies.all().filter(prepares) {
            for pod in self.cluster.pods(&policy.namespace).iter() {
                let is_there = matches!(sight::pod_seen(Some(pod)), PodSeen::Present { .. });
                let selecting = sight::selecting(Some(pod), &policies, &node_labels);
                if !is_there || !matches!(selecting[..], [only] if Arc::ptr_eq(only, policy)) {
                    continue;
                }
                if let Some(signal) = ahead::signal(policy, &self.cluster.node(&pod.spec.node_name)) {
                    found.push((Arc::clone(pod), Arc::clone(policy), signal.clone()));
                }
            }
        }
        found
    }

    async fn begin_one(&self, pod: &Pod<'static>, policy: &Policy, signal: &NodeSignal) -> Result<(), StoreError> {
        let drain = self.store.by_pod(&pod.metadata.uid);
        let written = match ahead::begin(drain.as_deref()) {
            Begin::Nothing => return Ok(()),
            Begin::Create => self.store.create(Drain::new(pod, &policy.name, &ahead::requester(signal))).await,
            Begin::Anew => match drain {
                Some(drain) => self.store.write(claim::begun_anew(Drain::clone(&drain), Caller::Program)).await,
                None => return Ok(()),
            },
        };
        tracing::info!(pod = %pod.full_name(), policy = %policy.name, %signal, "prepared ahead: its node shows it");
        written.map(drop)
    }
}

//! What a turn sees around its drain, besides the backend.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::facts::{NodeSeen, OwnerSeen};
use crate::lifecycle::{Drain, Hole, Neighbourhood, Phase, PodSeen, PolicySeen, Room, Slots, Wish, World, hole, wish};
use crate::plan::Round;
use crate::pod::Pod;
use crate::policy::{Policy, PolicyIndex};
use crate::ports::StoreError;

use super::{Controller, sight};

/// What a turn has seen.
pub(super) struct Surroundings {
    /// The drain with what the turn goes by.
    pub drain: Drain,
    pods: Vec<Arc<Pod<'static>>>,
    pod: PodSeen,
    owner: OwnerSeen,
    policy: PolicySeen,
    /// What the policy's limit says.
    pub room: Room,
    /// The policy whose list of slots is to be written, and the version of it.
    pub slots_of: Option<(String, String)>,
    /// Drains that the list names and that are over, or gone.
    pub over: Vec<String>,
    predecessor: Option<Arc<Drain>>,
    successor: Option<Arc<Drain>>,
    listed: bool,
}

impl Surroundings {
    /// Whether requests may go to the pod's own address.
    pub fn is_present(&self) -> bool {
        self.pod != PodSeen::Gone
    }
}

impl Controller {
    pub(super) async fn look_around(&self, stored: &Drain, policies: &PolicyIndex) -> Result<Surroundings, StoreError> {
        let namespace = &stored.metadata.namespace;
        let pods = self.cluster.pods(namespace);
        let found = sight::pod_of(stored, &pods);
        let pod = if self.cluster.sees_pods() { sight::pod_seen(found.map(Arc::as_ref)) } else { PodSeen::Unseen };
        let all = policies.of_namespace(namespace);
        let node_labels = |node: &str| self.cluster.node(node).labels();
        let known = match found {
            Some(found) => stored.clone().following(Some(found), None),
            None => stored.clone(),
        };
        let guarding = sight::guarding(&known, all, &node_labels);
        let drain = sight::as_of_now(stored, found.map(Arc::as_ref), all, guarding.map(Arc::as_ref));
        let policy = sight::policy_seen(&drain, guarding.map(Arc::as_ref));
        let owner = self.owner_of(&drain).await;
        let drains = self.store.of_namespace(namespace);
        let ready = found.is_some_and(|pod| pod.is_ready());
        let predecessor =
            drains.iter().find(|other| !ready && found.is_some() && sight::may_be_taken_over(other, &drain, &pods));
        let successor = drains.iter().find(|other| other.status.predecessor.as_deref() == Some(&drain.metadata.name));
        let mut around = Surroundings {
            pod,
            owner,
            policy,
            room: Room::NoLimit,
            slots_of: None,
            over: Vec::new(),
            predecessor: predecessor.cloned(),
            successor: successor.cloned(),
            listed: !self.store.listing(namespace, &drain.metadata.name).is_empty(),
            drain,
            pods,
        };
        if let Some(guarding) = guarding {
            self.ask_for_room(&mut around, guarding, &drains).await?;
        }
        Ok(around)
    }

    /// The pod's owner: live where what can't be undone goes by it, else as it was a moment ago.
    async fn owner_of(&self, drain: &Drain) -> OwnerSeen {
        let namespace = &drain.metadata.namespace;
        let Some(pod) = &drain.status.pod else { return OwnerSeen::Unknown };
        let Some(owner) = pod.controller() else { return OwnerSeen::None };
        match drain.status.phase {
            Phase::Draining | Phase::Drained => self.cluster.owner(namespace, owner).await,
            Phase::Queued | Phase::Departing | Phase::Restoring => {
                self.owners.lately(&*self.cluster, namespace, owner).await
            }
            Phase::Completed | Phase::Unknown => OwnerSeen::Unknown,
        }
    }

    /// Asks the policy's limit, where that decides anything.
    async fn ask_for_room(
        &self,
        around: &mut Surroundings,
        policy: &Policy,
        drains: &[Arc<Drain>],
    ) -> Result<(), StoreError> {
        let drain = &around.drain;
        if !matches!(drain.status.phase, Phase::Queued | Phase::Draining | Phase::Drained) {
            return Ok(());
        }
        let namespace = &drain.metadata.namespace;
        let listed = self.store.slots(namespace, &policy.name).await?.unwrap_or_default();
        if drain.status.phase == Phase::Queued {
            around.over = self.entries_that_are_over(namespace, &listed.slots, drains).await?;
        }
        let selected = around.pods.iter().map(Arc::as_ref).filter(|pod| policy.selects(pod, None));
        let pods: Vec<&Pod<'static>> = drain.status.pod.iter().chain(selected).collect();
        let owners = self.owners.of_pods(&*self.cluster, namespace, &pods).await;
        let node_labels = |node: &str| self.cluster.node(node).labels();
        let slots = listed.slots.mended(&around.over, std::iter::empty());
        let neighbourhood = Neighbourhood {
            policy,
            pods: &around.pods,
            owners: &owners,
            drains,
            slots: &slots,
            node_labels: &node_labels,
        };
        let predecessor = around.predecessor.as_ref().map(|drain| drain.metadata.name.as_str());
        around.room = neighbourhood.ask(drain, predecessor, &around.over);
        around.slots_of = Some((policy.name.clone(), listed.version));
        Ok(())
    }

    /// The entries of a list whose drain a live look shows absent or over.
    async fn entries_that_are_over(
        &self,
        namespace: &str,
        slots: &Slots,
        drains: &[Arc<Drain>],
    ) -> Result<Vec<String>, StoreError> {
        let is_open = |drain: &Drain| drain.status.phase != Phase::Completed;
        let mut over = Vec::new();
        for slot in &slots.departing {
            if drains.iter().any(|drain| drain.metadata.name == slot.drain && is_open(drain)) {
                continue;
            }
            let live = self.store.read(namespace, &slot.drain).await?;
            if !live.is_some_and(|drain| is_open(&drain)) {
                over.push(slot.drain.clone());
            }
        }
        Ok(over)
    }

    /// What the lifecycle is told.
    pub(super) fn world(&self, around: &Surroundings, rounds: BTreeMap<usize, Round>) -> World {
        let drain = &around.drain;
        let node = drain.status.pod.as_ref().map_or(NodeSeen::Unknown, |pod| self.cluster.node(&pod.spec.node_name));
        let now = sight::pod_of(drain, &around.pods).map(Arc::as_ref).or(drain.status.pod.as_ref());
        World {
            now: self.now(),
            pod: around.pod.clone(),
            hole: match (&around.pod, &drain.status.pod) {
                (PodSeen::Gone, Some(pod)) => hole::hole(pod, &around.pods, &around.owner),
                // Of which nothing was ever known.
                (PodSeen::Gone, None) => Hole::Closed,
                _ => Hole::Open,
            },
            wish: now
                .map_or(Wish::None, |pod| wish::wish(pod, &around.owner, &node, drain.status.caller, &around.pods)),
            mode: now.and_then(|pod| wish::mode(pod, &around.owner)),
            room: around.room.clone(),
            listed: around.listed,
            rounds,
            predecessor: around.predecessor.as_ref().map(|drain| Box::new(Drain::clone(drain))),
            successor: around.successor.as_ref().map(|drain| Box::new(Drain::clone(drain))),
            namespace_ending: self.cluster.namespace(&drain.metadata.namespace).is_some_and(|facts| facts.deleting),
            policy: around.policy,
            settings: self.settings,
        }
    }
}

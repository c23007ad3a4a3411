//! What a turn sees around its drain, besides the backend.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::facts::{NodeSeen, OwnerSeen};
use crate::lifecycle::{
    Drain, Explanation, Hole, Neighbourhood, Phase, PodSeen, PolicySeen, Room, Slots, Wish, World, Wrong, ahead, hole,
    wish,
};
use crate::plan::Round;
use crate::pod::Pod;
use crate::policy::{Policy, PolicyIndex};
use crate::ports::StoreError;

use super::line::OF_A_POLICY;
use super::{Controller, owners, sight};

/// What a turn has seen.
pub(super) struct Surroundings {
    /// The drain with what the turn goes by.
    pub drain: Drain,
    pods: Arc<[Arc<Pod<'static>>]>,
    found: Option<Arc<Pod<'static>>>,
    pod: PodSeen,
    owner: OwnerSeen,
    policy: PolicySeen,
    wrong: Option<Wrong>,
    /// The policy that guards the pod now.
    guarding: Option<Arc<Policy>>,
    /// What the policy's limit says.
    pub room: Room,
    /// The policy whose list of slots is to be written, and the version of it.
    pub slots_of: Option<(String, String)>,
    /// Drains that the list names and that are over, or gone.
    pub over: Vec<String>,
    predecessor: Option<Arc<Drain>>,
    successor: Option<Arc<Drain>>,
    listed: bool,
    /// Many others of its policy's line are before it.
    far_behind: bool,
}

/// Between two turns of a drain that has many before it in its policy's line: it is called when it is among the first.
const IN_LINE: Duration = Duration::from_secs(10);

impl Surroundings {
    /// How long until the next turn of a drain that would look again after this time.
    pub fn pause(&self, again: Duration) -> Duration {
        if self.far_behind { again.max(IN_LINE) } else { again }
    }

    /// Whether requests may go to the pod's own address.
    pub fn is_present(&self) -> bool {
        self.pod != PodSeen::Gone
    }
}

impl Controller {
    /// Looks around for a drain that has so many before it in its policy's line.
    pub(super) async fn look_around(
        &self,
        stored: &Drain,
        policies: &PolicyIndex,
        before: usize,
    ) -> Result<Surroundings, StoreError> {
        let namespace = &stored.metadata.namespace;
        let pods = self.cluster.pods(namespace);
        let of_its_name = self.cluster.known(namespace, &stored.spec.pod.name);
        let found = of_its_name.filter(|pod| pod.metadata.uid == *stored.pod_uid());
        let seen = found.clone();
        let found_pod = seen.as_deref();
        let pod = if self.cluster.sees_pods() { sight::pod_seen(found_pod) } else { PodSeen::Unseen };
        let node_labels = |node: &str| self.cluster.node(node).labels();
        let selecting = sight::selecting(found_pod.or(stored.status.pod.as_deref()), policies, &node_labels);
        let guarding = sight::guarding(stored, &selecting);
        let drain = sight::as_of_now(stored, found.as_ref(), policies, guarding.map(Arc::as_ref));
        let policy = sight::policy_seen(&drain, guarding.map(Arc::as_ref));
        let owner = self.owner_of(&drain).await;
        let drains = self.store.of_namespace(namespace);
        let is_new = found_pod.is_some_and(|pod| !pod.is_ready());
        let predecessor = drains.iter().find(|other| is_new && sight::may_be_taken_over(other, &drain, &pods));
        let successor = drains.iter().find(|other| other.status.predecessor.as_deref() == Some(&drain.metadata.name));
        let mut around = Surroundings {
            guarding: guarding.cloned(),
            pod,
            owner,
            policy,
            wrong: sight::wrong(&selecting),
            room: Room::NoLimit,
            slots_of: None,
            over: Vec::new(),
            predecessor: predecessor.cloned(),
            successor: successor.cloned(),
            listed: !self.store.listing(namespace, &drain.metadata.name).is_empty(),
            far_behind: false,
            drain,
            pods,
            found,
        };
        if let Some(guarding) = guarding {
            self.ask_for_room(&mut around, guarding, &drains, before).await?;
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
        policy: &Arc<Policy>,
        drains: &Arc<[Arc<Drain>]>,
        before: usize,
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
        around.room = match policy.freeze.in_force_anywhere(jiff::Timestamp::now()) {
            Some(frozen) => Room::frozen(drain, &frozen),
            None => self.room_by_limit(around, policy, drains, &listed.slots, before).await,
        };
        around.far_behind = before >= OF_A_POLICY && matches!(around.room, Room::Wait(_));
        around.slots_of = Some((policy.name.clone(), listed.version));
        Ok(())
    }

    /// What the policy's limit says.
    async fn room_by_limit(
        &self,
        around: &Surroundings,
        policy: &Arc<Policy>,
        drains: &Arc<[Arc<Drain>]>,
        listed: &Slots,
        before: usize,
    ) -> Room {
        let drain = &around.drain;
        let owners = self.owners_around(around, policy).await;
        let node_labels = |node: &str| self.cluster.node(node).labels();
        let slots = listed.mended(&around.over, std::iter::empty());
        let neighbourhood = Neighbourhood {
            policy,
            pods: &around.pods,
            owners: &owners,
            drains,
            slots: &slots,
            node_labels: &node_labels,
        };
        let census = self.censuses.census(policy, &around.pods, drains, &neighbourhood);
        let predecessor = around.predecessor.as_ref().map(|drain| drain.metadata.name.as_str());
        match census.ask(drain, predecessor, &around.over) {
            // Only those ask their backend who would get the next places.
            Room::Take(_) if before > 0 && census.free(drain) <= before => Room::Wait(Explanation::in_line()),
            room => room,
        }
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

    /// How many pods the owners of the policy's pods want.
    async fn owners_around(&self, around: &Surroundings, policy: &Arc<Policy>) -> BTreeMap<String, OwnerSeen> {
        let namespace = &around.drain.metadata.namespace;
        let own = around.drain.status.pod.as_deref().and_then(|pod| pod.controller());
        let of_policy = self.censuses.owners(policy, &around.pods);
        // The pod's own, and those that the policy's are counted by.
        let owners = owners::distinct(own.into_iter().chain(of_policy.iter()));
        self.owners.all(&*self.cluster, namespace, owners).await
    }

    /// What the lifecycle is told.
    pub(super) fn world(&self, around: &Surroundings, rounds: BTreeMap<usize, Round>) -> World {
        let drain = &around.drain;
        let node = drain.status.pod.as_deref().map_or(NodeSeen::Unknown, |pod| self.cluster.node(&pod.spec.node_name));
        let now = around.found.as_deref().or(drain.status.pod.as_deref());
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
            ahead: self.is_asked_for_ahead(around, &node),
            mode: now.and_then(|pod| wish::mode(pod, &around.owner)),
            room: around.room.clone(),
            listed: around.listed,
            rounds,
            predecessor: around.predecessor.as_ref().map(|drain| Box::new(Drain::clone(drain))),
            successor: around.successor.as_ref().map(|drain| Box::new(Drain::clone(drain))),
            namespace_ending: self.cluster.namespace(&drain.metadata.namespace).is_some_and(|facts| facts.deleting),
            policy: around.policy,
            wrong: around.wrong.clone(),
            settings: self.settings,
        }
    }

    /// Whether the pod's node shows what its policy prepares ahead for, or a NodeDrain names it.
    fn is_asked_for_ahead(&self, around: &Surroundings, node: &NodeSeen) -> bool {
        let (Some(pod), Some(policy)) = (&around.found, &around.guarding) else { return false };
        ahead::signal(policy, node).is_some() || self.cluster.has_node_drain(&pod.spec.node_name)
    }
}

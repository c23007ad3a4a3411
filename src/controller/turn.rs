//! One turn of one drain: look, decide, write, act.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::lifecycle::slots::{Answer, Candidate};
use crate::lifecycle::{self, Drain, Effect, Memory, Phase, PodSeen, Successor, World};
use crate::pod::Pod;

use super::observe::Reads;
use super::{Controller, ROUND_LIMIT, Report, SOON, key, sight};
use crate::ports::{NodeSeen, OwnerSeen, StoreError, VersionedSlots};

/// What a turn has seen, besides the backend.
struct Surroundings {
    pods: Vec<Arc<Pod<'static>>>,
    owner: OwnerSeen,
    slots: VersionedSlots,
    pod: PodSeen,
}

impl Controller {
    /// Looks, decides, writes, acts.
    pub(super) async fn turn(self: Arc<Self>, drain: Arc<Drain>, memory: Memory) -> Report {
        let key = key(&drain);
        let version = drain.metadata.resource_version.clone();
        match self.try_turn(&drain, memory).await {
            Ok((memory, version, again)) => Report { key, memory: Some(memory), version, again },
            Err(StoreError::Conflict) => Report { key, memory: None, version, again: Duration::ZERO },
            Err(StoreError::Refused(error)) => {
                tracing::error!(pod = %drain.pod_name(), %error, "a drain could not be written; trying again");
                Report { key, memory: None, version, again: SOON }
            }
        }
    }

    async fn try_turn(&self, stored: &Drain, memory: Memory) -> Result<(Memory, String, Duration), StoreError> {
        let around = self.look_around(stored).await?;
        let drain = &*sight::with_addresses_of(&around.pods, stored);
        let present = !matches!(around.pod, PodSeen::Gone);
        let look = lifecycle::look(drain, &memory);
        let rounds = self.observer.observe(drain, present, &look, Instant::now() + ROUND_LIMIT, Reads::Shared).await;
        let world = self.world(drain, &around, rounds);
        let mut turn = lifecycle::reconcile(drain, &memory, &world);
        let mut version = drain.metadata.resource_version.clone();
        let mut written = None;
        self.must_be_leader()?;
        if lifecycle::must_be_written(stored, &turn.drain) {
            let stored = self.store.write(turn.drain.clone()).await?;
            version.clone_from(&stored.metadata.resource_version);
            log_change(drain, &stored);
            written = Some(stored);
        }
        let now_is = written.as_deref().unwrap_or(drain);
        let mut again = turn.again;
        for effect in turn.effects {
            self.must_be_leader()?;
            if let Effect::Send(step, act) = effect {
                if self.observer.send(now_is, step, present, &act).await {
                    turn.memory.cut_off(step, self.now());
                }
            } else if let Err(error) = self.carry_out(now_is, effect, &around).await {
                // What was to be done is found to be still undone by the next turn.
                tracing::debug!(pod = %drain.pod_name(), %error, "slots or drain were changed by somebody else");
                again = SOON;
            }
        }
        Ok((turn.memory, version, again))
    }

    /// Asked right before each effect: a lease may run out while a round takes its time.
    fn must_be_leader(&self) -> Result<(), StoreError> {
        if (self.is_leader)() {
            return Ok(());
        }
        Err(StoreError::Refused("another replica leads now".to_owned()))
    }

    async fn look_around(&self, drain: &Drain) -> Result<Surroundings, StoreError> {
        let namespace = &drain.metadata.namespace;
        let pods = self.cluster.pods(namespace);
        let pod = if self.cluster.sees_pods() { sight::pod_seen(drain, &pods) } else { PodSeen::Unseen };
        let owner = match drain.spec.pod.controller() {
            Some(owner) => match drain.status.phase {
                // What can't be undone must not go by what was a moment ago.
                Phase::Draining | Phase::Drained => self.cluster.owner(namespace, owner).await,
                Phase::Queued | Phase::Departing | Phase::Restoring => {
                    self.owners.lately(&*self.cluster, namespace, owner).await
                }
                Phase::Completed | Phase::Unknown => OwnerSeen::Unknown,
            },
            None => OwnerSeen::Unknown,
        };
        let slots = self.store.slots(namespace, &drain.spec.policy).await?;
        Ok(Surroundings { pods, owner, slots, pod })
    }

    fn world(
        &self,
        drain: &Drain,
        around: &Surroundings,
        rounds: std::collections::BTreeMap<usize, crate::plan::Round>,
    ) -> World {
        let node = self.cluster.node(&drain.spec.pod.spec.node_name);
        let all = self.store.all();
        let ready = is_ready(drain, &around.pods);
        let predecessor = all.iter().find(|other| may_be_taken_over(other, drain, &around.pods) && !ready);
        let superseded = all.iter().any(|other| {
            other.metadata.namespace == drain.metadata.namespace
                && other.status.predecessor.as_deref() == Some(&drain.metadata.name)
        });
        World {
            now: self.now(),
            pod: around.pod.clone(),
            successor: match around.pod {
                PodSeen::Unseen => Successor::Awaited,
                _ => sight::successor(drain, &around.pods, &around.owner),
            },
            owner_wants: sight::owner_wants(&drain.spec.pod, &around.owner, &node),
            owner_has_enough: sight::owner_has_enough(&drain.spec.pod, &around.pods, &around.owner),
            mode: sight::mode(&drain.spec.pod, &around.owner),
            slot: self.ask_for_slot(drain, around, ready, predecessor.map(|drain| drain.metadata.name.as_str())),
            rounds,
            predecessor: predecessor.map(|drain| Box::new(Drain::clone(drain))),
            superseded,
            namespace_ending: self.cluster.namespace(&drain.metadata.namespace).is_some_and(|facts| facts.deleting),
            policy: sight::policy_seen(drain, self.policies.load().get(&drain.metadata.namespace, &drain.spec.policy)),
            settings: self.settings,
        }
    }

    fn ask_for_slot(&self, drain: &Drain, around: &Surroundings, ready: bool, predecessor: Option<&str>) -> Answer {
        let policies = self.policies.load();
        let policy = policies.get(&drain.metadata.namespace, &drain.spec.policy).map(Arc::as_ref);
        let node_labels = |node: &str| match self.cluster.node(node) {
            NodeSeen::Known(node) => Some(node.labels),
            NodeSeen::Gone | NodeSeen::Unknown => None,
        };
        let (peers, missing) = sight::peers(policy, drain, &around.pods, &around.owner, node_labels);
        let limit = drain.spec.limits.max_unavailable.of(peers.len() + missing).unwrap_or(1);
        let candidate = Candidate { seat: &drain.spec.seat, drain: &drain.metadata.name, ready, predecessor };
        around.slots.slots.ask(candidate, &peers, missing, limit)
    }

    async fn carry_out(&self, drain: &Drain, effect: Effect, around: &Surroundings) -> Result<(), StoreError> {
        let (namespace, policy) = (&drain.metadata.namespace, &drain.spec.policy);
        match effect {
            Effect::TakeSlot(slots) => {
                let slots = VersionedSlots { slots, version: around.slots.version.clone() };
                self.store.write_slots(namespace, policy, slots).await?;
            }
            Effect::GiveSlot => {
                let slots = around.slots.slots.without(&drain.metadata.name);
                let slots = VersionedSlots { slots, version: around.slots.version.clone() };
                self.store.write_slots(namespace, policy, slots).await?;
            }
            // Sent by the turn itself, which remembers what came of it.
            Effect::Send(..) => {}
            Effect::Wake(mark) => {
                if let Err(error) = self.cluster.wake(&drain.spec.pod, &mark).await {
                    tracing::warn!(pod = %drain.pod_name(), %error, "the pod's controller could not be woken; trying again");
                }
            }
            Effect::Unmark => {
                if let Err(error) = self.cluster.unmark(&drain.spec.pod).await {
                    tracing::warn!(pod = %drain.pod_name(), %error, "the mark could not be taken off the pod; trying again");
                }
            }
            Effect::Delete => {
                tracing::info!(pod = %drain.pod_name(), "deletes the prepared pod: who asked does not ask again");
                if let Err(error) = self.cluster.delete(&drain.spec.pod).await {
                    tracing::warn!(pod = %drain.pod_name(), %error, "the prepared pod could not be deleted; trying again");
                }
            }
            Effect::Tell(event) => self.events.tell(drain, &event),
            Effect::Count(outcome) => self.metrics.count(outcome),
            Effect::Remove => self.store.remove(drain).await?,
        }
        Ok(())
    }
}

/// Whether the drain's pod is Ready, as far as can be seen.
fn is_ready(drain: &Drain, pods: &[Arc<Pod<'static>>]) -> bool {
    let seen = pods.iter().find(|pod| pod.metadata.uid == *drain.pod_uid());
    seen.map_or_else(|| drain.spec.pod.is_ready(), |pod| pod.is_ready())
}

/// Whether `other` is a drain of the same seat whose pod is gone for good.
fn may_be_taken_over(other: &Drain, drain: &Drain, pods: &[Arc<Pod<'static>>]) -> bool {
    other.metadata.namespace == drain.metadata.namespace
        && other.metadata.name != drain.metadata.name
        && other.spec.policy == drain.spec.policy
        && other.spec.seat == drain.spec.seat
        && other.status.phase == Phase::Departing
        && sight::pod_seen(other, pods) == PodSeen::Gone
}

fn log_change(before: &Drain, after: &Drain) {
    if before.status.phase != after.status.phase {
        let (from, to) = (before.status.phase, after.status.phase);
        let why = &after.status.message;
        tracing::info!(pod = %after.pod_name(), policy = %after.spec.policy, ?from, ?to, why, "drain");
    } else if before.status.message != after.status.message && !after.status.message.is_empty() {
        let (why, detail) = (&after.status.message, &after.status.detail);
        tracing::warn!(pod = %after.pod_name(), policy = %after.spec.policy, why, detail, "drain does not go on");
    }
}

//! One turn of one drain: look, decide, write, act.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::lifecycle::{self, Drain, Effect, Event, Memory, Phase};
use crate::pod::Pod;
use crate::ports::{StoreError, VersionedSlots};

use super::observe::Reads;
use super::surroundings::Surroundings;
use super::{Controller, ROUND_LIMIT, TURN_LIMIT};

/// What a turn leaves behind.
pub(super) struct Report {
    pub key: String,
    /// The version of the drain that it has seen, or written.
    pub version: String,
    pub end: End,
}

/// How a turn ended.
pub(super) enum End {
    /// As it should: what is remembered now, and how long until the next one.
    Done(Box<Memory>, Duration),
    /// Somebody else has written meanwhile.
    LostARace,
    /// Something could not be done, and is tried again.
    Failed,
}

impl Controller {
    /// Looks, decides, writes, acts.
    pub(super) async fn turn(self: Arc<Self>, drain: Arc<Drain>, memory: Memory) -> Report {
        let key = super::key(&drain);
        let before = drain.metadata.resource_version.clone();
        let pod = drain.pod_name();
        match tokio::time::timeout(TURN_LIMIT, self.try_turn(&drain, memory)).await {
            Ok(Ok((memory, version, again))) => Report { key, version, end: End::Done(Box::new(memory), again) },
            Ok(Err(StoreError::Conflict)) => Report { key, version: before, end: End::LostARace },
            Ok(Err(error)) => {
                tracing::error!(%pod, %error, "a drain could not be brought on; trying again, less and less often");
                Report { key, version: before, end: End::Failed }
            }
            Err(_) => {
                tracing::error!(%pod, limit = ?TURN_LIMIT, "a turn took too long; trying again, less and less often");
                Report { key, version: before, end: End::Failed }
            }
        }
    }

    async fn try_turn(&self, stored: &Drain, memory: Memory) -> Result<(Memory, String, Duration), StoreError> {
        let policies = self.policies.load();
        let around = self.look_around(stored, &policies).await?;
        let drain = &around.drain;
        self.tell_of_freed_slots(drain, &around);
        let present = around.is_present();
        let look = lifecycle::look(drain, &memory, &around.room);
        let rounds = self.observer.observe(drain, present, &look, Instant::now() + ROUND_LIMIT, Reads::Shared).await;
        let world = self.world(&around, rounds);
        let mut turn = lifecycle::reconcile(drain, &memory, &world);
        let before = stored.clone().to_be_stored(stored);
        let after = turn.drain.clone().to_be_stored(stored);
        let mut version = stored.metadata.resource_version.clone();
        self.must_lead()?;
        let mut now_is = turn.drain.clone();
        if lifecycle::must_be_written(&before, &after) {
            let written = self.store.write(after).await?;
            version.clone_from(&written.metadata.resource_version);
            now_is.metadata = written.metadata.clone();
            log_change(stored, &written);
        }
        for effect in std::mem::take(&mut turn.effects) {
            self.must_lead()?;
            if let Effect::Send(step, act) = effect {
                let sent = self.observer.send(&now_is, step, present, &act).await;
                turn.memory.sent(step, sent.cut_off, &sent.refused, self.now());
            } else {
                self.carry_out(&now_is, effect, &around).await?;
            }
        }
        Ok((turn.memory, version, turn.again))
    }

    /// Asked right before each effect: a lease may run out while a round takes its time.
    fn must_lead(&self) -> Result<(), StoreError> {
        if (self.is_leader)() { Ok(()) } else { Err(StoreError::NotLeader) }
    }

    async fn carry_out(&self, drain: &Drain, effect: Effect, around: &Surroundings) -> Result<(), StoreError> {
        let namespace = &drain.metadata.namespace;
        let unavailable = StoreError::Unavailable;
        match effect {
            Effect::TakeSlot(slots) => {
                if let Some((policy, version)) = &around.slots_of {
                    let slots = VersionedSlots { slots, version: version.clone() };
                    self.store.write_slots(namespace, policy, slots).await?;
                }
            }
            Effect::GiveSlot => self.give_slot(drain).await?,
            // Sent by the turn itself, which remembers what came of it.
            Effect::Send(..) => {}
            Effect::Wake(mark) => self.cluster.wake(pod_of(drain)?, &mark).await.map_err(unavailable)?,
            Effect::Unmark => self.cluster.unmark(pod_of(drain)?).await.map_err(unavailable)?,
            Effect::Delete => {
                tracing::info!(pod = %drain.pod_name(), "deletes the prepared pod: who asked does not ask again");
                self.cluster.delete(pod_of(drain)?).await.map_err(unavailable)?;
            }
            Effect::Tell(event) => self.events.tell(drain, &event),
            Effect::Count(outcome) => self.metrics.count(outcome),
            Effect::Release => self.store.release(drain).await?,
            Effect::Remove => self.store.remove(drain).await?,
        }
        Ok(())
    }

    /// Takes the drain off every list that names it: its policy may have been renamed meanwhile.
    async fn give_slot(&self, drain: &Drain) -> Result<(), StoreError> {
        let namespace = &drain.metadata.namespace;
        for policy in self.store.listing(namespace, &drain.metadata.name) {
            let Some(now) = self.store.slots(namespace, &policy).await? else { continue };
            let slots = VersionedSlots { slots: now.slots.without(&drain.metadata.name), version: now.version };
            self.store.write_slots(namespace, &policy, slots).await?;
        }
        Ok(())
    }

    fn tell_of_freed_slots(&self, drain: &Drain, around: &Surroundings) {
        for over in &around.over {
            let message = format!("the slot of {over} is free again: there is no such drain any more, or it is over");
            self.events.tell(drain, &Event { reason: "SlotFreed", warning: true, message });
        }
    }
}

fn pod_of(drain: &Drain) -> Result<&Pod<'static>, StoreError> {
    let unknown = || StoreError::Unavailable("the pod is not known yet".to_owned());
    drain.status.pod.as_ref().ok_or_else(unknown)
}

fn log_change(before: &Drain, after: &Drain) {
    if before.status.phase != after.status.phase {
        let (from, to) = (before.status.phase, after.status.phase);
        let why = &after.status.message;
        tracing::info!(pod = %after.pod_name(), policy = %after.spec.policy, %from, %to, why, "drain");
    } else if before.status.message != after.status.message && !after.status.message.is_empty() {
        let (why, detail) = (&after.status.message, &after.status.detail);
        tracing::warn!(pod = %after.pod_name(), policy = %after.spec.policy, why, detail, "drain does not go on");
    }
    if after.status.phase == Phase::Completed && before.status.phase != Phase::Completed {
        tracing::debug!(pod = %after.pod_name(), outcome = ?after.status.outcome, "drain is over");
    }
}

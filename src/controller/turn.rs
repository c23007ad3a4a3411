//! One turn of one drain: look, decide, write, act.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::lifecycle::{self, Drain, Effect, Event, Memory, Phase, Room, World};
use crate::plan::Verdict;
use crate::pod::Pod;
use crate::ports::{StoreError, VersionedSlots};

use super::report::{Begun, Done, End, Report};
use super::retry;
use super::surroundings::Surroundings;
use super::{Controller, ROUND_LIMIT, TURN_LIMIT};

impl Controller {
    /// Looks, decides, writes, acts.
    pub(super) async fn turn(self: Arc<Self>, begun: Begun) -> Report {
        let Begun { key, drain, memory, before } = begun;
        let pod = drain.pod_name();
        match tokio::time::timeout(TURN_LIMIT, self.try_turn(&drain, memory, before)).await {
            Ok(Ok((drain, done))) => Report { key, drain, end: End::Done(Box::new(done)) },
            Ok(Err(StoreError::Conflict)) => Report { key, drain, end: End::LostARace },
            Ok(Err(error)) => {
                tracing::error!(%pod, %error, "a drain could not be brought on; trying again, less and less often");
                Report { key, drain, end: End::Failed }
            }
            Err(_) => {
                tracing::error!(%pod, limit = ?TURN_LIMIT, "a turn took too long; trying again, less and less often");
                Report { key, drain, end: End::Failed }
            }
        }
    }

    async fn try_turn(
        &self,
        stored: &Arc<Drain>,
        memory: Memory,
        before: usize,
    ) -> Result<(Arc<Drain>, Done), StoreError> {
        let policies = self.policies.load();
        let around = self.look_around(stored, &policies, before).await?;
        let drain = &around.drain;
        self.tell_of_freed_slots(drain, &around);
        let present = around.is_present();
        let look = lifecycle::look(drain, &memory, &around.room);
        let (rounds, silent) =
            self.observer.observe_together(drain, present, &look, Instant::now() + ROUND_LIMIT).await;
        let world = self.world(&around, rounds);
        let mut turn = lifecycle::reconcile(drain, &memory, &world);
        let as_stored = Drain::clone(stored).to_be_stored(stored);
        let after = turn.drain.clone().to_be_stored(stored);
        self.must_lead()?;
        let (mut now_is, mut seen) = (turn.drain.clone(), Arc::clone(stored));
        if lifecycle::must_be_written(&as_stored, &after) {
            seen = self.store.write(after).await?;
            now_is.metadata = seen.metadata.clone();
            log_change(stored, &seen);
        }
        for effect in std::mem::take(&mut turn.effects) {
            self.must_lead()?;
            if let Effect::Send(step, act) = effect {
                let sent = self.observer.send(&now_is, step, present, &act).await;
                turn.memory.sent(step, sent.cut_off, sent.refused, self.now());
            } else {
                self.carry_out(&now_is, effect, &around).await?;
            }
        }
        let done = Done {
            again: spread(around.pause(turn.again)),
            // Whoever deletes a drain, or its namespace, waits for what is undone.
            silent: silent && !drain.metadata.kept.deleting && !world.namespace_ending,
            hindered: matches!(around.room, Room::Take(_))
                && now_is.status.phase == Phase::Queued
                && is_hindered(&world),
            held: matches!(around.room, Room::HeldBut(_)),
            memory: turn.memory,
        };
        Ok((seen, done))
    }

    /// Asked right before each effect: a lease may run out while a round takes its time.
    fn must_lead(&self) -> Result<(), StoreError> {
        if (self.is_leader)() { Ok(()) } else { Err(StoreError::NotLeader) }
    }

    async fn carry_out(&self, drain: &Drain, effect: Effect, around: &Surroundings) -> Result<(), StoreError> {
        let namespace = &drain.metadata.namespace;
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
            Effect::Wake(mark) => self.cluster.wake(pod_of(drain)?, &mark).await?,
            Effect::Unmark => self.cluster.unmark(pod_of(drain)?).await?,
            Effect::Delete => {
                tracing::info!(pod = %drain.pod_name(), "deletes the prepared pod: who asked does not ask again");
                self.cluster.delete(pod_of(drain)?).await?;
            }
            Effect::Tell(event) => self.events.tell(drain, &event),
            Effect::Count(outcome) => self.metrics.count(outcome, namespace, &drain.spec.policy),
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

/// A pause, a little shorter by chance: drains that began together do not all look at the same moment for ever.
fn spread(pause: Duration) -> Duration {
    pause.mul_f64(1.0 - retry::jitter() / 8.0)
}

/// Whether something else than the limit keeps it from beginning: others of its line need not wait for it.
fn is_hindered(world: &World) -> bool {
    if world.wrong.is_some() {
        return true;
    }
    let verdicts = world.rounds.values().map(|round| &round.verdict);
    verdicts.into_iter().any(|verdict| !matches!(verdict, Verdict::Done | Verdict::Waiting | Verdict::Act(_)))
}

fn pod_of(drain: &Drain) -> Result<&Pod<'static>, StoreError> {
    let unknown = || StoreError::Unavailable("the pod is not known yet".to_owned());
    drain.status.pod.as_deref().ok_or_else(unknown)
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

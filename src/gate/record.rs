//! What the gate writes: that a pod is asked for, and how it was let go.

use std::sync::Arc;

use tokio::time::Instant;

use crate::admission::{Answer, Case};
use crate::lifecycle::{Caller, Drain, Event, Outcome, Phase, claim};
use crate::ports::StoreError;

use super::Gatekeeper;

/// How often at most the gate tries to write down that a pod was let go.
const LET_GO_TRIES: usize = 5;

impl Gatekeeper {
    /// Writes down a try, or that the pod was let go.
    pub(super) async fn take_note(&self, case: &Case<'_>, answer: &Answer, deadline: Instant) {
        if let Some(message) = answer.told.clone() {
            self.events.tell_of_pod(case.pod, &Event { reason: answer.reason.as_str(), warning: true, message });
        }
        if let Some(outcome) = answer.outcome.filter(|_| answer.allowed) {
            // A drain that is over, after it was given up, follows its pod no more.
            match case.drain.filter(|drain| drain.status.phase != Phase::Completed) {
                Some(drain) if drain.status.outcome != Some(outcome) => {
                    self.write_let_go(drain, outcome, deadline).await;
                }
                Some(_) => {}
                None => self.metrics.let_go(&case.pod.metadata.uid, outcome),
            }
        } else if let Some(drain) = case.drain.filter(|_| !answer.allowed && !self.is_own(case.request)) {
            let last = self.tries.since_written(drain.pod_uid());
            if let Some(tried) = claim::tried(drain, case.request.caller, last) {
                self.tries.written(drain.pod_uid());
                self.write(tried, deadline).await;
            }
        }
    }

    pub(super) async fn create(&self, case: &Case<'_>, deadline: Instant) {
        let Some(pod) = self.true_pod(case.pod).await else { return };
        let mut drain = Drain::new(&pod, &case.guard.policy.name, &case.request.username);
        // The API server keeps no status of what is created; without one, this is all that is known of the pod.
        drain.status.pod = Some(Arc::new(pod));
        self.tries.written(drain.pod_uid());
        let name = drain.pod_name();
        match tokio::time::timeout_at(deadline, self.store.create(drain)).await {
            Ok(Ok(_) | Err(StoreError::Conflict)) => {}
            Ok(Err(error)) => {
                tracing::error!(pod = %name, %error, "the drain could not be written; denied all the same");
            }
            Err(_) => tracing::error!(pod = %name, "the drain was not written in time; denied all the same"),
        }
    }

    /// Begins a drain that is over anew. What ends it takes more than one write: after a conflict it is looked at
    /// once more, or the denial would promise what nobody does.
    pub(super) async fn begin_anew(&self, drain: &Drain, caller: Caller, deadline: Instant) {
        let begin = async {
            let written = self.store.write(claim::begun_anew(drain.clone(), caller)).await;
            if !matches!(written, Err(StoreError::Conflict)) {
                return written.map(drop);
            }
            let now = self.store.read(&drain.metadata.namespace, &drain.metadata.name).await?;
            match now.filter(|now| now.pod_uid() == drain.pod_uid() && now.status.phase == Phase::Completed) {
                Some(now) => self.store.write(claim::begun_anew(Drain::clone(&now), caller)).await.map(drop),
                None => Ok(()),
            }
        };
        match tokio::time::timeout_at(deadline, begin).await {
            Ok(Ok(()) | Err(StoreError::Conflict)) => {}
            Ok(Err(error)) => tracing::error!(pod = %drain.pod_name(), %error, "the drain could not begin anew"),
            Err(_) => tracing::error!(pod = %drain.pod_name(), "the drain did not begin anew in time"),
        }
    }

    /// Writes a new version, if nobody else was faster: then theirs is as good.
    pub(super) async fn write(&self, drain: Drain, deadline: Instant) {
        let name = drain.pod_name();
        match tokio::time::timeout_at(deadline, self.store.write(drain)).await {
            Ok(Ok(_) | Err(StoreError::Conflict)) => {}
            Ok(Err(error)) => tracing::error!(pod = %name, %error, "the drain could not be written"),
            Err(_) => tracing::error!(pod = %name, "the drain was not written in time"),
        }
    }

    /// Writes down how the pod was let go. The leader may be writing at the same time, and does not know it: then once
    /// more, on what it has written.
    async fn write_let_go(&self, drain: &Drain, outcome: Outcome, deadline: Instant) {
        let (namespace, name) = (&drain.metadata.namespace, &drain.metadata.name);
        let mut known = Arc::new(drain.clone());
        for _ in 0..LET_GO_TRIES {
            let changed = claim::let_go(Drain::clone(&known), outcome);
            match tokio::time::timeout_at(deadline, self.store.write(changed)).await {
                Ok(Err(StoreError::Conflict)) => {}
                Ok(Ok(_)) => return,
                Ok(Err(error)) => {
                    tracing::error!(pod = %drain.pod_name(), %error, ?outcome, "how the pod left could not be written");
                    return;
                }
                Err(_) => break,
            }
            match tokio::time::timeout_at(deadline, self.store.read(namespace, name)).await {
                Ok(Ok(Some(live))) if live.status.phase != Phase::Completed => known = live,
                _ => break,
            }
        }
        tracing::error!(pod = %drain.pod_name(), ?outcome, "how the pod left was not written in time");
    }
}

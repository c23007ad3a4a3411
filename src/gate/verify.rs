//! Prepared, as far as is known: looks at every step's backend and at the policy's limit now, claims, and only then
//! allows.

use std::collections::BTreeMap;

use tokio::time::Instant;

use crate::admission::{self, Answer, Case, NotVerified};
use crate::controller::ROUND_LIMIT;
use crate::controller::owners::{self, Owners};
use crate::lifecycle::{Drain, Explanation, Look, Neighbourhood, Phase, Slots, claim};
use crate::plan::{Round, Task, Verdict};
use crate::policy::Policy;
use crate::ports::StoreError;

use super::Gatekeeper;

/// The limit of a policy with at most so many pods is looked up live.
const MOST_LISTED: usize = 200;

impl Gatekeeper {
    pub(super) async fn verify(&self, case: &Case<'_>, drain: &Drain, dry_run: bool, deadline: Instant) -> Answer {
        let verified = tokio::time::timeout_at(deadline, self.look_and_claim(case, drain, dry_run, deadline)).await;
        verified.unwrap_or_else(|_| admission::not_verified(case, &NotVerified::NotClaimed))
    }

    async fn look_and_claim(&self, case: &Case<'_>, drain: &Drain, dry_run: bool, deadline: Instant) -> Answer {
        let refuse = |why: &str| {
            tracing::warn!(pod = %drain.pod_name(), why, "prepared, but not claimed");
            admission::not_verified(case, &NotVerified::NotClaimed)
        };
        let live = match self.store.read(&drain.metadata.namespace, &drain.metadata.name).await {
            Ok(Some(live)) if live.pod_uid() == drain.pod_uid() && claim::may_be_claimed(&live) => live,
            Ok(_) => return refuse("it was only just changed"),
            Err(error) => return refuse(&error.to_string()),
        };
        let look = Look { task: Task::Prepare, steps: (0..live.status.steps.len()).collect() };
        let limit = deadline.min(Instant::now() + ROUND_LIMIT);
        let (rounds, kept) =
            tokio::join!(self.observer.observe(&live, true, &look, limit), self.limit_now(&case.guard.policy, &live),);
        if let Some((step, why)) = first_not_done(&live, &rounds) {
            let said = rounds.get(&step).and_then(|round| Explanation::of(&round.verdict)).unwrap_or_default();
            self.write_no_longer(&live, Some(step), said, dry_run, deadline).await;
            return admission::not_verified(case, &why);
        }
        match kept {
            Ok(None) => {}
            Ok(Some(said)) => {
                let answer = admission::not_verified(case, &NotVerified::Limit { reason: &said.message });
                self.write_no_longer(&live, None, said, dry_run, deadline).await;
                return answer;
            }
            Err(error) => return refuse(&error.to_string()),
        }
        if dry_run {
            return admission::allowed(case);
        }
        match self.claim(&live).await {
            Ok(()) => admission::allowed(case),
            Err(error) => refuse(&error.to_string()),
        }
    }

    /// Why the policy's limit does not let the pod go now, as it is to be seen live.
    async fn limit_now(&self, policy: &Policy, drain: &Drain) -> Result<Option<Explanation>, StoreError> {
        let namespace = &drain.metadata.namespace;
        // Without pods to be seen there is nothing to count but the slots.
        if self.own_user.is_none() && !self.cluster.sees_pods() {
            return Ok(None);
        }
        let (pods, drains) = tokio::join!(self.cluster.selected_now(policy, MOST_LISTED), self.store.list(namespace));
        // Of more, the leader's word counts, which has them all in sight: that the drain is Drained.
        let Some(pods) = pods? else { return Ok(None) };
        let drains = drains?;
        let all = drain.status.pod.iter().chain(&pods).filter_map(|pod| pod.controller());
        let owners = owners::distinct(all);
        // With nothing remembered all of them are read now.
        let owners = Owners::default().all(&*self.cluster, namespace, owners).await;
        let node_labels = |node: &str| self.cluster.node(node).labels();
        let neighbourhood = Neighbourhood {
            policy,
            pods: &pods,
            owners: &owners,
            drains: &drains,
            slots: &Slots::default(),
            node_labels: &node_labels,
        };
        Ok(neighbourhood.why_not(drain))
    }

    async fn write_no_longer(
        &self,
        live: &Drain,
        step: Option<usize>,
        why: Explanation,
        dry_run: bool,
        deadline: Instant,
    ) {
        if dry_run || live.status.phase != Phase::Drained {
            return;
        }
        self.write(claim::no_longer_prepared(live.clone(), step, why), deadline).await;
    }

    /// Takes the drain to Departing, on the version that was read before the backend was observed. After a
    /// conflict once more, if what is there now may be claimed too.
    async fn claim(&self, live: &Drain) -> Result<(), StoreError> {
        match self.store.write(claim::claimed(live.clone())).await {
            Err(StoreError::Conflict) => {
                let now = self.store.read(&live.metadata.namespace, &live.metadata.name).await?;
                match now.filter(|now| claim::may_be_claimed_anew(live, now)) {
                    Some(now) => self.store.write(claim::claimed(Drain::clone(&now))).await.map(drop),
                    None => Err(StoreError::Conflict),
                }
            }
            written => written.map(drop),
        }
    }
}

/// The first step that is not done now, with why.
fn first_not_done<'a>(drain: &'a Drain, rounds: &'a BTreeMap<usize, Round>) -> Option<(usize, NotVerified<'a>)> {
    drain.status.steps.iter().enumerate().find_map(|(index, step)| {
        let step = step.name.as_str();
        let why = match rounds.get(&index).map(|round| &round.verdict) {
            Some(Verdict::Done) => return None,
            Some(Verdict::Blocked { message }) => NotVerified::Blocked { step, reason: message },
            Some(Verdict::Failed { message, .. } | Verdict::Unknown { message }) => {
                NotVerified::Failed { step, reason: message }
            }
            Some(Verdict::Waiting | Verdict::Act(_)) | None => NotVerified::NotDone { step },
        };
        Some((index, why))
    })
}

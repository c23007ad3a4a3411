//! A round at the backends of a drain's steps.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;
use serde_json::Value;
use tokio::time::Instant;

use crate::backend::trouble::shown;
use crate::backend::{Backend, Scope, Sent, Sharing, Silence};
use crate::lifecycle::{Drain, DrainStep, Explanation, Look};
use crate::plan::spec::PlanSpec;
use crate::plan::{self, ClusterRead, Inputs, Mistake, Next, Observations, Plan, Round, Source, Task, Verdict};
use crate::remedy::Cause;

use super::cluster_reads::ClusterReads;
use crate::ports::Cluster;

/// The most plans that are kept compiled; an installation has a handful.
const MOST_PLANS: usize = 256;

/// Looks at the backends of drains, by the plans that the drains carry.
pub struct Observer {
    backend: Backend,
    /// Plans by hash, with what they were compiled from: a drain carries its plans as text, and each is compiled once.
    plans: Mutex<HashMap<String, Compiled>>,
}

/// A plan, with what it was compiled from.
type Compiled = (Arc<PlanSpec>, Arc<Plan>);

impl Observer {
    /// An observer that sends through this backend client, and reads this cluster.
    #[must_use]
    pub fn new(backend: Backend, cluster: Arc<dyn Cluster>) -> Self {
        let backend = backend.with_cluster(Arc::new(ClusterReads(cluster)));
        Observer { backend, plans: Mutex::default() }
    }

    /// Makes a round for each of the steps, side by side; all of them end by `limit`. Whoever is about to allow sees for
    /// itself.
    pub async fn observe(
        &self,
        drain: &Drain,
        pod_present: bool,
        look: &Look,
        limit: Instant,
    ) -> BTreeMap<usize, Round> {
        self.rounds(drain, look, limit, &|step| scope(drain, step, pod_present)).await
    }

    /// The same by reads that drains of a policy share which look at the same time; and whether a backend that was asked
    /// did not answer.
    pub async fn observe_together(
        &self,
        drain: &Drain,
        pod_present: bool,
        look: &Look,
        limit: Instant,
    ) -> (BTreeMap<usize, Round>, bool) {
        let sharing = Sharing {
            among: format!("{}/{}", drain.metadata.namespace, drain.spec.policy),
            who: drain.metadata.name.clone(),
            silence: Silence::default(),
        };
        let of_step = |step: &DrainStep| Scope { sharing: Some(sharing.clone()), ..scope(drain, step, pod_present) };
        let rounds = self.rounds(drain, look, limit, &of_step).await;
        (rounds, sharing.silence.was_met())
    }

    async fn rounds(
        &self,
        drain: &Drain,
        look: &Look,
        limit: Instant,
        scope_of: &(dyn Fn(&DrainStep) -> Scope + Sync),
    ) -> BTreeMap<usize, Round> {
        if look.steps.is_empty() {
            return BTreeMap::new();
        }
        let pod = serde_json::to_value(&drain.status.pod).unwrap_or(Value::Null);
        let now = jiff::Timestamp::now().to_string();
        let rounds = look.steps.iter().filter_map(|index| {
            let step = drain.status.steps.get(*index)?;
            let member = step.member.as_deref();
            let (parameters, mode) = (&step.parameters, drain.status.mode);
            let inputs = Inputs { pod: &pod, parameters, member, mode, task: look.task, now: &now };
            let scope = scope_of(step);
            Some(async move { (*index, self.round(&scope, step, inputs, limit).await) })
        });
        join_all(rounds).await.into_iter().collect()
    }

    async fn round(&self, scope: &Scope, step: &DrainStep, inputs: Inputs<'_>, limit: Instant) -> Round {
        match self.plan(step) {
            Ok(plan) => self.backend.observe(scope, limit, |seen| plan.next(&inputs, seen)).await,
            Err(error) => {
                let (message, detail) = (error.to_string(), String::new());
                let cause = Cause::default();
                Round { verdict: Verdict::Failed { message, detail, cause }, member: None, progress: None, ours: None }
            }
        }
    }

    /// Looks at every step of a drain that is only thought of, side by side, and tells what was asked of the cluster.
    pub async fn probe(&self, drain: &Drain, limit: Instant) -> Vec<Probed> {
        let pod = serde_json::to_value(&drain.status.pod).unwrap_or(Value::Null);
        let now = jiff::Timestamp::now().to_string();
        let probes = drain.status.steps.iter().map(|step| {
            let (pod, now) = (&pod, now.as_str());
            async move {
                let (parameters, mode, task) = (&step.parameters, drain.status.mode, Task::Prepare);
                let inputs = Inputs { pod, parameters, member: None, mode, task, now };
                self.probe_step(&scope(drain, step, true), step, inputs, limit).await
            }
        });
        join_all(probes).await
    }

    async fn probe_step(&self, scope: &Scope, step: &DrainStep, inputs: Inputs<'_>, limit: Instant) -> Probed {
        let Ok(plan) = self.plan(step) else { return Probed::default() };
        let reads = Mutex::new(Vec::new());
        let next = |seen: &Observations| {
            let next = plan.next(&inputs, seen);
            if let Next::Read(wanted) = &next {
                let of_cluster = wanted.iter().filter_map(|read| match &read.source {
                    Source::Cluster(read) => Some(read.clone()),
                    Source::Backend(_) => None,
                });
                reads.lock().unwrap_or_else(PoisonError::into_inner).extend(of_cluster);
            }
            next
        };
        let round = self.backend.observe(scope, limit, next).await;
        Probed { round: Some(round), reads: reads.into_inner().unwrap_or_else(PoisonError::into_inner) }
    }

    /// Sends an act of a step. Its answer decides nothing: the next round does.
    pub async fn send(&self, drain: &Drain, step: usize, pod_present: bool, act: &plan::Act) -> ActSent {
        let Some(step) = drain.status.steps.get(step) else { return ActSent::default() };
        let sent = self.backend.send(&scope(drain, step, pod_present), act).await;
        let (step, pod) = (&step.name, drain.pod_name());
        if sent.accepted {
            tracing::info!(%pod, %step, method = %act.request.method, url = %shown(&act.request.url), "act sent");
            return ActSent::default();
        }
        let (why, detail) = (&sent.message, &sent.detail);
        tracing::warn!(%pod, %step, why, detail, "an act was not accepted; the next round looks again");
        sent.into()
    }

    fn plan(&self, step: &DrainStep) -> Result<Arc<Plan>, NotCompiled> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, plan)) =
            plans.get(&step.hash).filter(|(spec, _)| Arc::ptr_eq(spec, &step.plan_spec) || *spec == step.plan_spec)
        {
            return Ok(Arc::clone(plan));
        }
        let plan = plan::compile(&step.plan_spec)
            .map_err(|mistakes| NotCompiled { plan: step.plan.clone(), first: mistakes.into_iter().next() })?;
        let plan = Arc::new(plan.named(step.plan.as_str()));
        if plans.len() >= MOST_PLANS {
            plans.clear();
        }
        plans.insert(step.hash.clone(), (step.plan_spec.clone(), Arc::clone(&plan)));
        Ok(plan)
    }
}

/// The plan that a drain began with is one for this version no more.
#[derive(Debug, thiserror::Error)]
#[error("the plan {plan} that this drain began with does not compile: {}", .first.as_ref().map_or_else(String::new, |it| format!("{}: {}", it.field, it.message)))]
struct NotCompiled {
    plan: String,
    first: Option<Mistake>,
}

/// What a look at a step, for its own sake, has shown.
#[derive(Debug, Default)]
pub struct Probed {
    /// How it stands; `None` where no round could be made.
    pub round: Option<Round>,
    /// What was asked of the cluster.
    pub reads: Vec<ClusterRead>,
}

/// What came of an act.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActSent {
    /// No answer came in time: the backend may still carry it out.
    pub cut_off: bool,
    /// What the backend said when it refused.
    pub refused: Option<Explanation>,
}

impl From<Sent> for ActSent {
    fn from(sent: Sent) -> Self {
        let refused = sent.refused.map(|said| Explanation { cause: sent.cause, ..Explanation::from(said) });
        ActSent { cut_off: sent.cut_off, refused }
    }
}

fn scope(drain: &Drain, step: &DrainStep, pod_present: bool) -> Scope {
    Scope {
        namespace: drain.metadata.namespace.clone(),
        pod: drain.status.pod.clone().unwrap_or_default(),
        pod_present,
        credentials: step.credentials.clone(),
        plan: step.plan.clone(),
        sharing: None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::remedy::Kind;

    #[test]
    fn what_a_backend_says_to_an_act_is_kept_with_what_is_to_be_mended() {
        let sent = |refused: Option<&str>| Sent {
            accepted: false,
            cut_off: refused.is_none(),
            message: "answers 403".to_owned(),
            refused: refused.map(str::to_owned),
            detail: String::new(),
            cause: Kind::Unauthorized.into(),
        };
        let refused = ActSent::from(sent(Some("you may not"))).refused.unwrap();
        assert_eq!((refused.message.as_str(), refused.cause), ("you may not", Kind::Unauthorized.into()));
        assert_eq!(ActSent::from(sent(None)), ActSent { cut_off: true, refused: None });
    }
}

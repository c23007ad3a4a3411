//! A round at the backends of a drain's steps.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;
use serde_json::Value;
use tokio::time::Instant;

use crate::backend::trouble::shown;
use crate::backend::{Backend, Scope, Sharing};
use crate::lifecycle::{Drain, DrainStep, Look};
use crate::plan::{self, Inputs, Plan, Round, Verdict};

use super::cluster_reads::ClusterReads;
use crate::ports::Cluster;

/// Whose reads a round goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Its own: whoever is about to allow sees for itself.
    Own,
    /// Those of other drains of the policy too, where they look at the same time.
    Shared,
}

/// The most plans that are kept compiled; an installation has a handful.
const MOST_PLANS: usize = 256;

/// Looks at the backends of drains, by the plans that the drains carry.
pub struct Observer {
    backend: Backend,
    /// Plans by hash: a drain carries its plans as text, and each is compiled once.
    plans: Mutex<HashMap<String, Arc<Plan>>>,
}

impl Observer {
    /// An observer that sends through this backend client, and reads this cluster.
    #[must_use]
    pub fn new(backend: Backend, cluster: Arc<dyn Cluster>) -> Self {
        let backend = backend.with_cluster(Arc::new(ClusterReads(cluster)));
        Observer { backend, plans: Mutex::default() }
    }

    /// Makes a round for each of the steps, side by side; all of them end by `limit`.
    pub async fn observe(
        &self,
        drain: &Drain,
        pod_present: bool,
        look: &Look,
        limit: Instant,
        reads: Reads,
    ) -> BTreeMap<usize, Round> {
        let sharing = (reads == Reads::Shared).then(|| Sharing {
            among: format!("{}/{}", drain.metadata.namespace, drain.spec.policy),
            who: drain.metadata.name.clone(),
        });
        let pod = serde_json::to_value(drain.pod()).unwrap_or(Value::Null);
        let now = jiff::Timestamp::now().to_string();
        let rounds = look.steps.iter().filter_map(|index| {
            let step = drain.spec.steps.get(*index)?;
            let member = drain.status.steps.get(*index).and_then(|status| status.member.as_deref());
            let (parameters, mode) = (&step.parameters, drain.status.mode);
            let inputs = Inputs { pod: &pod, parameters, member, mode, task: look.task, now: &now };
            let scope = Scope { sharing: sharing.clone(), ..scope(drain, step, pod_present) };
            Some(async move { (*index, self.round(&scope, step, inputs, limit).await) })
        });
        join_all(rounds).await.into_iter().collect()
    }

    async fn round(&self, scope: &Scope, step: &DrainStep, inputs: Inputs<'_>, limit: Instant) -> Round {
        match self.plan(step) {
            Ok(plan) => self.backend.observe(scope, limit, |seen| plan.next(&inputs, seen)).await,
            Err(message) => {
                let detail = String::new();
                Round { verdict: Verdict::Failed { message, detail }, member: None, progress: None, ours: None }
            }
        }
    }

    /// Sends an act of a step. Its answer decides nothing: the next round does. True where none came in time, so that
    /// the backend may still carry it out.
    pub async fn send(&self, drain: &Drain, step: usize, pod_present: bool, act: &plan::Act) -> bool {
        let Some(step) = drain.spec.steps.get(step) else { return false };
        let sent = self.backend.send(&scope(drain, step, pod_present), act).await;
        let (step, pod) = (&step.name, drain.pod_name());
        if sent.accepted {
            tracing::info!(%pod, %step, method = %act.request.method, url = %shown(&act.request.url), "act sent");
        } else {
            let (why, detail) = (&sent.message, &sent.detail);
            tracing::warn!(%pod, %step, why, detail, "an act was not accepted; the next round looks again");
        }
        sent.cut_off
    }

    fn plan(&self, step: &DrainStep) -> Result<Arc<Plan>, String> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = plans.get(&step.hash) {
            return Ok(Arc::clone(plan));
        }
        let plan = plan::compile(&step.plan_spec).map_err(|mistakes| {
            let first =
                mistakes.first().map_or_else(String::new, |mistake| format!("{}: {}", mistake.field, mistake.message));
            format!("the plan {} that this drain began with does not compile: {first}", step.plan)
        })?;
        if plan.hash() != step.hash {
            return Err(format!("the plan {} is not the one that this drain began with: cancel it", step.plan));
        }
        let plan = Arc::new(plan.named(step.plan.as_str()));
        if plans.len() >= MOST_PLANS {
            plans.clear();
        }
        plans.insert(step.hash.clone(), Arc::clone(&plan));
        Ok(plan)
    }
}

fn scope(drain: &Drain, step: &DrainStep, pod_present: bool) -> Scope {
    Scope {
        namespace: drain.metadata.namespace.clone(),
        pod: drain.pod(),
        pod_present,
        credentials: step.credentials.clone(),
        plan: step.plan.clone(),
        sharing: None,
    }
}

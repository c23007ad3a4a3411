//! Pods, policies and drains to put before the gate.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use castoff::admission::{Case, Decision, Facts, Guard, Request, decide};
use castoff::lifecycle::{Caller, Drain, Phase};
use castoff::plan::{Plan, Progress};
use castoff::pod::Pod;
use castoff::policy::spec::{PlanReference, PolicySpec};
use castoff::policy::{NoPlan, Plans, Policy};
use serde_json::json;

pub const NOW: &str = "2030-01-31T12:00:00Z";
pub const UID: &str = "7c0ffee1-3c02-46e3-a1aa-fa853ce37e4c";

struct NoPlans;

impl Plans for NoPlans {
    fn find(&self, _: &PlanReference) -> Result<Arc<Plan>, NoPlan> {
        Err(NoPlan("there is no such plan".to_owned()))
    }
}

/// The captured reviews: `1.36/delete-by-user.json` and so on, with their places.
pub fn captured() -> Vec<(String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reviews");
    let mut found = Vec::new();
    let folders = std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    for folder in folders {
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            found.push((path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned(), path));
        }
    }
    found.sort();
    found
}

/// A policy that guards every pod of its namespace, labelled or not.
pub fn policy(namespace: &str, name: &str, change: impl FnOnce(&mut PolicySpec)) -> Policy {
    let mut spec: PolicySpec = serde_json::from_value(json!({
        "selector": {"matchExpressions": [{"key": "castoff.dev/no-such-label", "operator": "DoesNotExist"}]},
        "steps": [],
    }))
    .unwrap();
    change(&mut spec);
    let mut policy = Policy::new(namespace, name, spec, &NoPlans);
    // The gate only asks whether there are steps that can be followed, never what they do.
    policy.steps = Ok(Vec::new());
    policy
}

/// The same, but with a step whose plan does not exist.
pub fn invalid_policy(namespace: &str, name: &str) -> Policy {
    let mut spec = policy(namespace, name, |_| {}).spec;
    spec.steps = serde_json::from_value(json!([{"name": "evict-leaders", "plan": {"builtIn": "no-plan"}}])).unwrap();
    Policy::new(namespace, name, spec, &NoPlans)
}

/// A pod that runs and is Ready.
pub fn pod(namespace: &str, name: &str) -> Pod<'static> {
    let json = json!({
        "metadata": {"name": name, "namespace": namespace, "uid": UID},
        "spec": {"nodeName": "node-7"},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"state": {"running": {"startedAt": "2030-01-01T00:00:00Z"}}}],
        },
    });
    castoff::pod::deserialize_owned(json).unwrap()
}

/// A drain of this pod, changed as told.
pub fn drain(pod: &Pod<'static>, policy: &Policy, change: impl FnOnce(&mut Drain)) -> Drain {
    let mut drain = Drain::new(pod, &policy.name, "alice").following(Some(&Arc::new(pod.clone())), Some(policy));
    change(&mut drain);
    drain
}

/// A drain in the middle of a step, with so many leaders left of so many.
pub fn draining(pod: &Pod<'static>, policy: &Policy, remaining: i64, total: i64) -> Drain {
    drain(pod, policy, |drain| {
        drain.status.phase = Phase::Draining;
        drain.status.step = Some("evict-leaders".into());
        drain.status.progress = Some(castoff::lifecycle::step::StepProgress {
            step: "evict-leaders".into(),
            total,
            left: Progress { remaining, unit: "leaders".into() },
        });
    })
}

/// A request to delete this pod.
pub fn delete<'a>(pod: &Pod<'a>, username: &'a str, grace_period_seconds: Option<i64>) -> Request<'a> {
    Request {
        uid: "call-1".into(),
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        username: username.into(),
        caller: Caller::of(username),
        dry_run: false,
        what: castoff::admission::What::Delete { pod: Box::new(pod.clone()), grace_period_seconds },
    }
}

/// A guarded pod, with everything around it to be changed by a test.
pub struct Scene {
    pub pod: Pod<'static>,
    pub guard: Guard,
    pub facts: Facts,
    pub drain: Option<Drain>,
    pub username: &'static str,
    pub grace_period_seconds: Option<i64>,
    pub dry_run: bool,
}

impl Scene {
    /// The pod `tidb/basic-tikv-2`, guarded by a policy `tikv` that is changed as told, asked for by a StatefulSet.
    pub fn new(change: impl FnOnce(&mut PolicySpec)) -> Self {
        Scene {
            pod: pod("tidb", "basic-tikv-2"),
            guard: Guard { policy: Arc::new(policy("tidb", "tikv", change)), rival: None },
            facts: Facts::default(),
            drain: None,
            username: "system:serviceaccount:kube-system:statefulset-controller",
            grace_period_seconds: Some(30),
            dry_run: false,
        }
    }

    /// The same, with a drain that is changed as told.
    pub fn with_drain(mut self, change: impl FnOnce(&mut Drain)) -> Self {
        self.drain = Some(drain(&self.pod, &self.guard.policy, change));
        self
    }

    /// Hands the scene's case over.
    pub fn case<T>(&self, with: impl FnOnce(&Case<'_>) -> T) -> T {
        let mut request = delete(&self.pod, self.username, self.grace_period_seconds);
        request.dry_run = self.dry_run;
        with(&Case {
            request: &request,
            pod: &self.pod,
            guard: &self.guard,
            facts: &self.facts,
            drain: self.drain.as_ref(),
            now: NOW.parse().unwrap(),
        })
    }

    /// What is decided.
    pub fn decide(&self) -> Decision {
        self.case(decide)
    }

    /// The answer that is decided, where nothing has to be verified first.
    pub fn answer(&self) -> castoff::admission::Answer {
        match self.decide() {
            Decision::Answer(answer) | Decision::Create(answer) | Decision::Again(answer) => answer,
            Decision::Verify => panic!("to be verified"),
        }
    }
}

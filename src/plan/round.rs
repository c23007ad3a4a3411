//! One round: from what was observed so far to what to read next, or to how things stand.

use kube_cel::cel::Value;

use super::compiled::{ActPlan, FindingPlan, Plan, Steps};
use super::request;
use super::scope::{Scope, Trouble};
use super::{Inputs, Mode, Next, Observations, Progress, Round, Task, Verdict};
use crate::remedy::Cause;

impl Plan {
    /// What a round needs next: reads to make, or its end. Ask again with the answers added to `seen`, until it ends;
    /// each answer of [`Next::Read`] holds at least one read that was not made yet.
    #[must_use]
    pub fn next(&self, inputs: &Inputs<'_>, seen: &Observations) -> Next {
        let mut scope = Scope::new(self, inputs, seen);
        let trouble = match conclude(&mut scope) {
            Ok(round) => return Next::Round(round),
            Err(trouble) => trouble,
        };
        let Trouble::Missing(names) = trouble else {
            return Next::Round(ended_by(trouble, &scope));
        };
        match request::needed(&mut scope, &names) {
            Ok(mut reads) => {
                for read in request::possible(&mut scope, &self.certain_reads(inputs)) {
                    if reads.iter().all(|other| other.key != read.key) {
                        reads.push(read);
                    }
                }
                if reads.is_empty() {
                    let trouble = scope.failure("observe", "asks for nothing new", format!("{names:?} are missing"));
                    return Next::Round(ended_by(trouble, &scope));
                }
                Next::Read(reads)
            }
            Err(trouble) => Next::Round(ended_by(trouble, &scope)),
        }
    }
}

/// The round, when a value that it needs can't be had.
fn ended_by(trouble: Trouble, scope: &Scope<'_>) -> Round {
    let verdict = match (trouble, scope.inputs.task) {
        // What was set at an address of the pod is gone with the pod.
        (Trouble::PodGone, Task::Restore) => Verdict::Done,
        (Trouble::PodGone, Task::Prepare) => Verdict::Failed {
            message: "the pod has no address that could be asked".to_owned(),
            detail: "its address is not there yet, or no longer".to_owned(),
            cause: Cause::default(),
        },
        (Trouble::Failed { message, detail, cause }, _) => Verdict::Failed { message, detail, cause },
        (Trouble::Missing(names), _) => Verdict::Failed {
            message: "the plan's reads refer to each other".to_owned(),
            detail: format!("{names:?} are missing"),
            cause: Cause::default(),
        },
    };
    round(scope, verdict)
}

pub(super) fn conclude(scope: &mut Scope<'_>) -> Result<Round, Trouble> {
    let (plan, inputs) = (scope.plan, scope.inputs);
    if inputs.task == Task::Prepare && inputs.mode == Mode::Removal && !plan.allows_removal() {
        let message = "the plan lets no pod leave that will not come back".to_owned();
        return Ok(round(scope, Verdict::Blocked { message }));
    }
    if scope.member().is_none() {
        let name = member(scope)?;
        match name {
            Membership::One(name) => scope.set_member(name),
            Membership::Nowhere(verdict) => return Ok(round(scope, verdict)),
        }
    }
    if let Some(message) = first(scope, &plan.unknown, |_| true)? {
        return Ok(round(scope, Verdict::Unknown { message }));
    }
    let steps = plan.steps(inputs.mode);
    match inputs.task {
        Task::Prepare => prepare(scope, steps),
        Task::Restore => restore(scope, steps),
    }
}

fn round(scope: &Scope<'_>, verdict: Verdict) -> Round {
    Round { verdict, member: scope.member().map(str::to_owned), progress: None, ours: None }
}

enum Membership {
    One(String),
    Nowhere(Verdict),
}

/// What the pod is called at the backend. That it is called nothing there is believed only when nothing is unknown.
fn member(scope: &Scope<'_>) -> Result<Membership, Trouble> {
    let plan = scope.plan;
    let Some(expression) = &plan.member else {
        let name = scope.inputs.pod.pointer("/metadata/name").and_then(serde_json::Value::as_str);
        return match name {
            Some(name) => Ok(Membership::One(name.to_owned())),
            None => Err(scope.failure("member", "is not known", "the pod has no name")),
        };
    };
    let members = scope.list(expression)?;
    if let [member] = members.as_slice() {
        return match member {
            Value::String(name) => Ok(Membership::One(name.to_string())),
            Value::Int(number) => Ok(Membership::One(number.to_string())),
            Value::UInt(number) => Ok(Membership::One(number.to_string())),
            other => Err(scope.failure(&expression.field, "gives no name", format!("it gives a {}", other.type_of()))),
        };
    }
    if let Some(message) = first(scope, &plan.unknown, |finding| !finding.takes_member)? {
        return Ok(Membership::Nowhere(Verdict::Unknown { message }));
    }
    match members.len() {
        0 => nobody(scope).map(Membership::Nowhere),
        several => Err(Trouble::Failed {
            message: format!("the backend knows this pod under {several} names"),
            detail: format!("member gives {several} names"),
            cause: Cause::default(),
        }),
    }
}

/// That nobody was found is no proof that the pod is nobody there: names differ from one installation to the next.
fn nobody(scope: &Scope<'_>) -> Result<Verdict, Trouble> {
    let (what, detail) = match (&scope.plan.absent, scope.inputs.task) {
        (_, Task::Restore) => return Ok(Verdict::Done),
        (Some(absent), Task::Prepare) if scope.holds(absent)? => return Ok(Verdict::Done),
        (Some(_), Task::Prepare) => (", nor can all of its members be told to be other pods", "absent does not hold"),
        (None, Task::Prepare) => ("", "member gives an empty list"),
    };
    let (message, detail) = (format!("the backend does not know this pod{what}"), detail.to_owned());
    Err(Trouble::Failed { message, detail, cause: Cause::default() })
}

/// The message of the first finding that holds.
fn first(
    scope: &Scope<'_>,
    findings: &[FindingPlan],
    asked: impl Fn(&FindingPlan) -> bool,
) -> Result<Option<String>, Trouble> {
    for finding in findings.iter().filter(|finding| asked(finding)) {
        if scope.holds(&finding.when)? {
            return match finding.message.text(scope) {
                Ok(message) => Ok(Some(super::expression::clean(&message, 300))),
                Err(Trouble::Missing(names)) => Err(Trouble::Missing(names)),
                // That it holds is known; only the words for it are not.
                Err(_) => Ok(Some(format!("{} holds", finding.when.field))),
            };
        }
    }
    Ok(None)
}

fn prepare(scope: &Scope<'_>, steps: &Steps) -> Result<Round, Trouble> {
    let plan = scope.plan;
    let ours = || plan.ours.as_ref().and_then(|ours| scope.holds(ours).ok());
    if let Some(message) = first(scope, &plan.blocked, |_| true)? {
        let progress = progress(scope, steps).ok().flatten();
        return Ok(Round {
            verdict: Verdict::Blocked { message },
            progress,
            ours: ours(),
            ..round(scope, Verdict::Done)
        });
    }
    let verdict = match act(scope, &steps.prepare)? {
        Some(act) => act,
        None if done(scope, steps)? => Verdict::Done,
        None => Verdict::Waiting,
    };
    let progress = match progress(scope, steps) {
        Err(Trouble::Missing(names)) if !matches!(verdict, Verdict::Act(_)) => return Err(Trouble::Missing(names)),
        counted => counted.ok().flatten(),
    };
    Ok(Round { progress, ours: ours(), ..round(scope, verdict) })
}

fn restore(scope: &Scope<'_>, steps: &Steps) -> Result<Round, Trouble> {
    let ours = scope.plan.ours.as_ref().map(|ours| scope.holds(ours)).transpose()?;
    let verdict = match ours {
        // The state bears another's mark, or none: it is not ours to undo.
        Some(false) => Verdict::Done,
        _ => act(scope, &steps.restore)?.unwrap_or(Verdict::Done),
    };
    Ok(Round { ours, ..round(scope, verdict) })
}

/// The first act whose condition holds.
fn act(scope: &Scope<'_>, acts: &[ActPlan]) -> Result<Option<Verdict>, Trouble> {
    for (index, act) in acts.iter().enumerate() {
        if scope.holds(&act.when)? {
            return Ok(Some(Verdict::Act(Box::new(request::act(scope, index, act)?))));
        }
    }
    Ok(None)
}

fn done(scope: &Scope<'_>, steps: &Steps) -> Result<bool, Trouble> {
    steps.done.as_ref().map_or(Ok(false), |done| scope.holds(done))
}

fn progress(scope: &Scope<'_>, steps: &Steps) -> Result<Option<Progress>, Trouble> {
    let Some((remaining, unit)) = &steps.progress else { return Ok(None) };
    let count = match scope.evaluate(remaining)? {
        Value::Int(count) => count,
        Value::UInt(count) => i64::try_from(count).unwrap_or(i64::MAX),
        // A part of one is still something left. The conversion saturates.
        #[allow(clippy::cast_possible_truncation)]
        Value::Float(count) => count.ceil() as i64,
        other => {
            let detail = format!("it gives a {}", other.type_of());
            return Err(scope.failure(&remaining.field, "gives no number", &detail));
        }
    };
    Ok(Some(Progress { remaining: count.max(0), unit: unit.clone() }))
}

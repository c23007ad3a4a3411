//! The second questions: a guarded pod's exemptions, then its drain.

use crate::facts::{NodeSeen, OwnerSeen};
use crate::lifecycle::claim::may_be_claimed;
use crate::lifecycle::{Caller, Drain, Outcome, Phase};
use crate::policy::Policy;
use crate::policy::spec::Exemption;

use super::answer::{Answer, Audited};
use super::bypass::Bypass;
use super::case::{Case, RETRY_AFTER_SECONDS};
use super::messages;
use super::reason::Reason;

/// What is to be done with a guarded pod's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing but to answer.
    Answer(Answer),
    /// Make the pod's drain, then answer this denial, whether that could be made or not. Never on a dry run.
    Create(Answer),
    /// The pod's drain is over: begin it anew, then answer this denial. Never on a dry run.
    Again(Answer),
    /// Observe every step live. If all are done, claim the drain (not on a dry run) and answer [`allowed`]; else
    /// [`not_verified`].
    Verify,
}

/// Why a pod that seemed prepared stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotVerified<'a> {
    /// This step is no longer done.
    NotDone {
        /// The step's name.
        step: &'a str,
    },
    /// The plan of this step says "not now".
    Blocked {
        /// The step's name.
        step: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// Every step is done, but the policy's limit does not hold now.
    Limit {
        /// Whom the pod waits for.
        reason: &'a str,
    },
    /// Nothing could be learnt: the backend does not answer, or its answers can't be believed.
    Failed {
        /// The step's name.
        step: &'a str,
        /// Why; constant for a cause.
        reason: &'a str,
    },
    /// The look at the backend took too long, or every step is done but the claim was refused or late.
    NotClaimed,
}

/// What lets a guarded pod go unprepared, in the order of the questions.
const EXEMPTIONS: [fn(&Case<'_>) -> Option<Answer>; 7] =
    [bypassed, namespace_deleted, owner_deleted, node_lost, not_running, unready, force];

/// What holds a guarded pod, in the order of the questions; after them its phase decides.
const HOLDS: [fn(&Case<'_>) -> Option<Decision>; 6] = [conflict, invalid_policy, frozen, not_begun, blocked, stalled];

/// What is to be done with a guarded pod's request.
#[must_use]
pub fn decide(case: &Case<'_>) -> Decision {
    if let Some(answer) = EXEMPTIONS.iter().find_map(|reason| reason(case)) {
        return Decision::Answer(answer);
    }
    let held = held(case);
    if case.is_audit() {
        return Decision::Answer(audited(case, &held));
    }
    match held {
        Decision::Create(answer) | Decision::Again(answer) if case.request.dry_run => Decision::Answer(answer),
        decision => decision,
    }
}

/// The answer where every step was seen done and the claim, but on a dry run, succeeded.
#[must_use]
pub fn allowed(case: &Case<'_>) -> Answer {
    let departing = case.drain().is_some_and(|drain| drain.status.phase == Phase::Departing);
    let reason = if departing { Reason::Departing } else { Reason::Drained };
    Answer::allow(reason).departs(Outcome::Prepared)
}

/// The answer where a pod that seemed prepared stays.
#[must_use]
pub fn not_verified(case: &Case<'_>, why: &NotVerified<'_>) -> Answer {
    let of = |step| messages::Subject { step: Some(step), ..case.subject(false) };
    match *why {
        NotVerified::NotDone { step } => deny(case, Reason::Draining, messages::preparing(&of(step))),
        NotVerified::Blocked { step, reason } => deny(case, Reason::Blocked, messages::blocked(&of(step), reason)),
        NotVerified::Failed { step, reason } => deny(case, Reason::Draining, messages::waiting(&of(step), reason)),
        NotVerified::Limit { reason } => deny(case, Reason::Draining, messages::waiting(&case.subject(false), reason)),
        NotVerified::NotClaimed => {
            let reason = "it was prepared, but that could not be confirmed and written down just now";
            deny(case, Reason::NotClaimed, messages::waiting(&case.subject(false), reason))
        }
    }
}

fn bypassed(case: &Case<'_>) -> Option<Answer> {
    case.bypasses().into_iter().find_map(|(place, bypass)| {
        let Bypass::InForce(reason) = bypass else { return None };
        let why = format!("bypassed on the {place}: {reason}");
        let warning = messages::leaves_unprepared(&case.subject(false), &why);
        let left = case.drain().and_then(|drain| drain.status.progress.as_ref());
        let (pod, user) = (&case.pod.metadata.name, &case.request.username);
        let told = messages::bypassed(pod, place, reason, user, left);
        Some(Answer::allow(Reason::Bypassed).warn(warning).tell(told).departs(Outcome::Bypassed))
    })
}

/// The namespace's secrets, services and claims go too: nothing can be held.
fn namespace_deleted(case: &Case<'_>) -> Option<Answer> {
    let deleting = case.facts.namespace.as_ref().is_some_and(|namespace| namespace.deleting);
    deleting.then(|| exempt(case, Reason::NamespaceDeleted))
}

fn owner_deleted(case: &Case<'_>) -> Option<Answer> {
    let deleted = case.facts.owner == OwnerSeen::DeletingOrGone;
    (deleted && case.exempts(Exemption::OwnerDeleted)).then(|| exempt(case, Reason::OwnerDeleted))
}

/// A node that says itself that it is not well is not lost: its pods may still serve.
fn node_lost(case: &Case<'_>) -> Option<Answer> {
    let lost = match &case.facts.node {
        NodeSeen::Gone => true,
        NodeSeen::Known(node) => node.ready.is_none(),
        NodeSeen::Unknown => false,
    };
    (lost && case.exempts(Exemption::NodeLost)).then(|| exempt(case, Reason::NodeLost))
}

/// A crash loop must be replaceable. What a node that is not Ready last said of its containers proves nothing.
fn not_running(case: &Case<'_>) -> Option<Answer> {
    (is_stopped(case) && case.exempts(Exemption::NotRunning)).then(|| exempt(case, Reason::NotRunning))
}

fn is_stopped(case: &Case<'_>) -> bool {
    let node_ready = matches!(&case.facts.node, NodeSeen::Known(node) if node.ready == Some(true));
    node_ready && !case.pod.runs()
}

/// A pod that is not Ready, and may be asked in vain: people are told what would let it go.
fn is_held_though_not_ready(case: &Case<'_>) -> bool {
    let waits = case.drain().is_some_and(|drain| is_under_way(drain) && !drain.status.message.is_empty());
    waits && !case.pod.is_ready() && !case.exempts(Exemption::Unready)
}

fn unready(case: &Case<'_>) -> Option<Answer> {
    (!case.pod.is_ready() && case.exempts(Exemption::Unready)).then(|| exempt(case, Reason::Unready))
}

fn force(case: &Case<'_>) -> Option<Answer> {
    let forced = case.request.grace_period_seconds() == Some(0);
    (forced && case.exempts(Exemption::Force)).then(|| exempt(case, Reason::Force))
}

fn exempt(case: &Case<'_>, reason: Reason) -> Answer {
    let warning = messages::leaves_unprepared(&case.subject(false), reason.as_str());
    Answer::allow(reason).warn(warning).departs(Outcome::Exempt)
}

fn audited(case: &Case<'_>, held: &Decision) -> Answer {
    let (reason, denied) = match held {
        Decision::Answer(answer) | Decision::Create(answer) | Decision::Again(answer) => (answer.reason, true),
        Decision::Verify => (allowed(case).reason, false),
    };
    let warning = messages::audited(&case.subject(false), reason.as_str(), denied);
    let audited = Audited { policy: case.guard.policy.name.clone(), would: reason };
    Answer { audited: Some(audited), ..Answer::allow(Reason::Audited).warn(warning) }
}

fn held(case: &Case<'_>) -> Decision {
    HOLDS.iter().find_map(|reason| reason(case)).unwrap_or_else(|| by_phase(case))
}

fn conflict(case: &Case<'_>) -> Option<Decision> {
    let rival = case.guard.rival.as_ref()?;
    let subject = messages::Subject { policy: &case.guard.policy.name, ..case.subject(false) };
    Some(asked_for(case, deny(case, Reason::Conflict, messages::conflict(&subject, &rival.name))))
}

fn invalid_policy(case: &Case<'_>) -> Option<Decision> {
    let mistakes = case.guard.policy.steps.as_ref().err()?;
    let subject = messages::Subject { policy: &case.guard.policy.name, ..case.subject(false) };
    Some(asked_for(case, deny(case, Reason::InvalidPolicy, messages::invalid_policy(&subject, mistakes))))
}

/// Also one that was allowed already and has not left.
fn frozen(case: &Case<'_>) -> Option<Decision> {
    let frozen = case.guard.policy.freeze.in_force(case.now)?;
    let subject = messages::Subject { policy: &case.guard.policy.name, ..case.subject(false) };
    Some(asked_for(case, deny(case, Reason::Frozen, messages::frozen(&subject, &frozen))))
}

fn not_begun(case: &Case<'_>) -> Option<Decision> {
    let subject = case.subject(false);
    let begin = || asked_for(case, deny(case, Reason::Queued, messages::waiting(&subject, "it is to be prepared")));
    case.drain().is_none().then(begin)
}

/// A denial that is written down: the pod's drain begins, or begins anew, also where it can only wait for a person who
/// mends something. By it people are told, and it goes on by itself once that is done.
fn asked_for(case: &Case<'_>, answer: Answer) -> Decision {
    match case.drain() {
        None => Decision::Create(answer),
        // One that can't be begun anew as it is goes by itself, and the next try makes another.
        Some(drain) if drain.status.phase == Phase::Completed && may_begin_anew(drain, &case.guard.policy) => {
            Decision::Again(answer)
        }
        Some(_) => Decision::Answer(answer),
    }
}

fn blocked(case: &Case<'_>) -> Option<Decision> {
    let drain = case.drain().filter(|drain| drain.status.blocked && is_under_way(drain))?;
    let message = messages::blocked(&case.subject(true), &drain.status.message);
    Some(Decision::Answer(deny(case, Reason::Blocked, message)))
}

fn stalled(case: &Case<'_>) -> Option<Decision> {
    let drain = case.drain().filter(|drain| drain.status.stalled && is_under_way(drain))?;
    let message = messages::stalled(&case.subject(true), &drain.status.message);
    Some(Decision::Answer(deny(case, Reason::Stalled, message)))
}

fn is_under_way(drain: &Drain) -> bool {
    matches!(drain.status.phase, Phase::Queued | Phase::Draining)
}

fn by_phase(case: &Case<'_>) -> Decision {
    let reason = case.drain().map_or("", |drain| &drain.status.message);
    let phase = case.drain().map_or(Phase::Queued, |drain| drain.status.phase);
    let denied = |reason, message| Decision::Answer(deny(case, reason, message));
    match phase {
        Phase::Queued => {
            let reason = if reason.is_empty() { "it is to be prepared" } else { reason };
            denied(Reason::Queued, messages::waiting(&case.subject(true), reason))
        }
        Phase::Draining if reason.is_empty() => denied(Reason::Draining, messages::preparing(&case.subject(true))),
        Phase::Draining => denied(Reason::Draining, messages::waiting(&case.subject(true), reason)),
        Phase::Drained | Phase::Departing if case.drain().is_some_and(may_be_claimed) => Decision::Verify,
        Phase::Drained | Phase::Departing => {
            let reason = "it was seen to leave already, without having been allowed to";
            denied(Reason::Departing, messages::waiting(&case.subject(false), reason))
        }
        Phase::Restoring => {
            let reason = "what was prepared before is being undone first";
            denied(Reason::Restoring, messages::waiting(&case.subject(false), reason))
        }
        Phase::Completed => {
            let reason = "what was prepared before is undone, and it is prepared anew";
            asked_for(case, deny(case, Reason::Completed, messages::waiting(&case.subject(false), reason)))
        }
        Phase::Unknown => {
            let name = case.drain().map_or("", |drain| &drain.metadata.name);
            denied(Reason::UnknownPhase, messages::unreadable(&case.subject(false), name))
        }
    }
}

/// Whether a drain that is over may be used for its pod again: what it was asked for is fixed.
fn may_begin_anew(drain: &Drain, policy: &Policy) -> bool {
    drain.spec.policy == policy.name && !drain.metadata.kept.older && !drain.metadata.kept.deleting
}

/// Whether the message of a denial for this reason ends in a next step already.
fn names_a_step(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Blocked | Reason::Conflict | Reason::InvalidPolicy | Reason::UnknownPhase | Reason::Unconfirmed
    )
}

/// What to do where to wait is not all.
fn next_step(case: &Case<'_>, reason: Reason, subject: &messages::Subject<'_>) -> Option<String> {
    if is_stopped(case) && !case.exempts(Exemption::NotRunning) {
        return Some(messages::NONE_RUNS.to_owned());
    }
    if is_held_though_not_ready(case) {
        return Some(messages::not_ready());
    }
    // A program's tries go on; people read of it in the pod's events.
    let waits_in_vain = case.drain().is_some_and(|drain| !drain.status.cause.is_other());
    let is_told = case.request.caller == Caller::Person && (reason == Reason::Stalled || waits_in_vain);
    is_told.then(|| messages::look(subject))
}

/// Whether the pod is prepared, or to be, for a person's request: it serves less, or not at all, until that is undone.
fn is_prepared_for_it(case: &Case<'_>, reason: Reason) -> bool {
    match reason {
        Reason::Queued
        | Reason::Draining
        | Reason::Frozen
        | Reason::Stalled
        | Reason::NotClaimed
        | Reason::Completed => true,
        Reason::Blocked => case.drain().is_some_and(Drain::owns_anything),
        _ => false,
    }
}

/// The answer where a pod would be let go, but a live look could not confirm why.
pub fn unconfirmed(case: &Case<'_>, reason: Reason) -> Answer {
    deny(case, Reason::Unconfirmed, messages::unconfirmed(&case.subject(false), reason.as_str()))
}

/// A denial, with what every denial has: the one next step of this caller, how to undo what was begun for it, why a
/// bypass does not count, the progress, and the time to wait for those callers that wait when told.
fn deny(case: &Case<'_>, reason: Reason, mut message: String) -> Answer {
    for (place, bypass) in case.bypasses() {
        if let Bypass::DoesNotCount(why) = bypass {
            message.push_str(&messages::bypass_does_not_count(place, &why));
        }
    }
    let subject = case.subject(false);
    let is_person = case.request.caller == Caller::Person;
    // One next step at the most: of two, nobody knows which one is his.
    let step = if names_a_step(reason) { None } else { next_step(case, reason, &subject) };
    message.push_str(step.as_deref().unwrap_or_default());
    if reason.passes_by_itself() && !case.request.tries_again() {
        message.push_str(&messages::not_kept(step.is_some()));
    }
    if is_person && is_prepared_for_it(case, reason) {
        message.push_str(&messages::undo(&subject));
    }
    let mut answer = Answer::deny(reason, message);
    answer.retry_after_seconds = case.request.caller.waits_when_told().then_some(RETRY_AFTER_SECONDS);
    let progress = case
        .drain()
        .filter(|drain| drain.status.phase == Phase::Draining)
        .and_then(|drain| drain.status.progress.as_ref());
    match progress {
        Some(progress) => answer.warn(messages::progress(&case.pod.metadata.name, progress)),
        None => answer,
    }
}

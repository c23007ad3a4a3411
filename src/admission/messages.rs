//! What people read: the texts of denials and warnings.
//!
//! A denial's message is constant for phase, step and reason: it holds no figure, no duration and no UID, since
//! events with equal messages are counted together and others are soon held back. Progress goes into a warning.

use std::borrow::Cow;
use std::fmt;

use crate::lifecycle::step::StepProgress;
use crate::plan::Mistake;
use crate::policy::freeze::Frozen;
use crate::printable::printable;

use super::bypass;

/// For callers that do not try again by themselves; what follows is their next step.
const NOT_KEPT: &str = " This delete is not kept";

/// For a person whose waiting does not help; the command follows.
const LOOK: &str = " To mend it, see:";

/// For a caller who does not try again by itself: what to do. Where the message names a next step already, only that
/// the delete is not kept.
#[must_use]
pub fn not_kept(has_next_step: bool) -> String {
    let repeat = if has_next_step { "" } else { ": repeat it until it is allowed" };
    format!("{NOT_KEPT}{repeat}.")
}

/// For a person: how to have a preparation undone that was begun for the request.
pub fn undo(subject: &Subject<'_>) -> String {
    format!(" To undo: castoff cancel {} -n {}.", printable(subject.name), printable(subject.namespace))
}

/// For a person whose waiting does not help: something is in the way, and the command names it and what mends it.
pub fn look(subject: &Subject<'_>) -> String {
    format!("{LOOK} castoff check-pod {} -n {}.", printable(subject.name), printable(subject.namespace))
}

/// A message without its caller's next step, for who only tries a delete out and is told more than that.
#[must_use]
pub fn without_next_step(message: &str) -> &str {
    let before = |message, words| str::split_once(message, words).map_or(message, |(before, _)| before);
    before(before(message, LOOK), NOT_KEPT)
}

/// For a pod that its policy holds although it serves nobody.
pub const NONE_RUNS: &str =
    " None of its containers runs; with NotRunning in the policy's exempt it may leave at once.";

/// For a pod that is not Ready and whose preparation does not go on.
pub fn not_ready() -> String {
    let (reason, until) = (bypass::REASON, bypass::UNTIL);
    format!(
        " The pod is not Ready: with Unready in the policy's exempt it may leave at once, and so it may with the \
         annotations {reason} and {until}."
    )
}

/// Which pod a text is about, and what holds it.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    pub namespace: &'a str,
    pub name: &'a str,
    pub policy: &'a str,
    pub step: Option<&'a str>,
}

impl Subject<'_> {
    fn pod(&self) -> String {
        format!("{}/{}", printable(self.namespace), printable(self.name))
    }
}

/// `policy tikv, step evict-leaders`.
impl fmt::Display for Subject<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "policy {}", printable(self.policy))?;
        self.step.map_or(Ok(()), |step| write!(formatter, ", step {}", printable(step)))
    }
}

/// The backend is being prepared, and nothing is in the way.
pub fn preparing(subject: &Subject<'_>) -> String {
    format!("{} is being prepared ({subject}) and may not leave yet.", subject.pod())
}

/// It waits for something, as another pod or a backend that does not answer.
pub fn waiting(subject: &Subject<'_>, reason: &str) -> String {
    format!("{} may not leave yet ({subject}): {}.", subject.pod(), clause(reason))
}

/// The plan says "not now".
pub fn blocked(subject: &Subject<'_>, reason: &str) -> String {
    let (reason_key, until_key) = (bypass::REASON, bypass::UNTIL);
    format!(
        "{} must not leave now ({subject}): {}. If this pod must go all the same, whoever has the role castoff-bypass \
         annotates it with {reason_key} and {until_key}.",
        subject.pod(),
        clause(reason)
    )
}

/// No progress for the policy's deadline.
pub fn stalled(subject: &Subject<'_>, reason: &str) -> String {
    if reason.is_empty() {
        return format!("{} may not leave yet ({subject}): its preparation makes no progress.", subject.pod());
    }
    format!("{} may not leave yet ({subject}): no progress: {}.", subject.pod(), clause(reason))
}

/// The policy can't be followed.
pub fn invalid_policy(subject: &Subject<'_>, mistakes: &[Mistake]) -> String {
    let first = mistakes.first().map_or_else(
        || "it has a mistake".to_owned(),
        |mistake| format!("{}: {}", printable(&mistake.field), clause(&mistake.message)),
    );
    format!("{} may not leave: its {subject} is not valid: {first}. {}", subject.pod(), edit(subject))
}

/// A person has frozen the policy.
pub fn frozen(subject: &Subject<'_>, frozen: &Frozen) -> String {
    format!("{} may not leave: its {subject} is {}.", subject.pod(), clause(&frozen.to_string()))
}

/// Two policies select the pod.
pub fn conflict(subject: &Subject<'_>, rival: &str) -> String {
    let (one, other) = (printable(subject.policy), printable(rival));
    let narrow = edit(&Subject { policy: rival, ..*subject });
    format!("{} may not leave: the policies {one} and {other} both select it. {narrow}", subject.pod())
}

/// The command that mends a policy.
fn edit(subject: &Subject<'_>) -> String {
    let (policy, namespace) = (printable(subject.policy), printable(subject.namespace));
    format!("To mend it: kubectl edit drainpolicy {policy} -n {namespace}.")
}

/// This version can't read the drain.
pub fn unreadable(subject: &Subject<'_>, drain: &str) -> String {
    let (pod, drain) = (subject.pod(), printable(drain));
    format!(
        "{pod} may not leave ({subject}): this version of Castoff can't read its drain. If no newer version is there to \
         go on with it, delete it: kubectl delete poddrain {drain} -n {}.",
        printable(subject.namespace)
    )
}

/// What would let the pod go could not be looked up.
pub fn unconfirmed(subject: &Subject<'_>, reason: &str) -> String {
    format!(
        "{} may not leave yet ({subject}): it would be let go ({reason}), but that could not be confirmed with the API \
         server just now.",
        subject.pod()
    )
}

/// Nobody knows which pod is meant.
pub fn unknown_pod(namespace: &str, name: &str, missing: Option<&str>) -> String {
    let (namespace, name) = (printable(namespace), printable(name));
    match missing {
        Some(field) => {
            format!("{namespace}/{name} may not leave: the review lacks {field}, and policies guard pods here.")
        }
        None => format!(
            "{namespace}/{name} may not leave yet: policies guard pods here, an eviction does not bring its pod along, \
             and the pod could not be read just now. (Without a cluster, pods come from their drains and from --pods.)"
        ),
    }
}

/// No policy of the namespace is known here, and none could be looked up.
pub fn policies_unknown(namespace: &str, name: &str) -> String {
    let (namespace, name) = (printable(namespace), printable(name));
    format!(
        "{namespace}/{name} may not leave yet: this replica of Castoff is behind, and could not look up the policies of \
         the namespace just now."
    )
}

pub fn bypass_does_not_count(place: &str, why: &str) -> String {
    format!(" The bypass on the {place} does not count: {why}.")
}

pub fn leaves_unprepared(subject: &Subject<'_>, why: &str) -> String {
    format!("castoff: {} leaves unprepared ({subject}): {}", subject.pod(), printable(why))
}

/// A pod is let go by a bypass, for those who were not there.
pub fn bypassed(name: &str, place: &str, reason: &str, user: &str, left: Option<&StepProgress>) -> String {
    let (name, reason, user) = (printable(name), printable(reason), printable(user));
    let key = bypass::REASON;
    let text = format!("{name} may leave unprepared by {key} \"{reason}\" on the {place}, asked for by {user}");
    match left {
        Some(left) => format!("{text}; {}", printable(&left.were_left())),
        None => text,
    }
}

/// What would have happened, were the policy enforced.
pub fn audited(subject: &Subject<'_>, reason: &str, held: bool) -> String {
    let pod = subject.pod();
    if held {
        format!("castoff: {pod} would have been denied ({subject}, audit only): {reason}")
    } else {
        format!("castoff: {pod} would have been looked at once more, then allowed ({subject}, audit only): {reason}")
    }
}

/// `castoff: basic-tikv-2: 12 of 40 leaders left`.
pub fn progress(name: &str, progress: &StepProgress) -> String {
    let unit = if progress.left.unit.is_empty() { "steps" } else { &progress.left.unit };
    let total = progress.total.max(progress.left.remaining);
    format!("castoff: {}: {} of {total} {} left", printable(name), progress.left.remaining, printable(unit))
}

/// The webhook configuration sends something that nobody guards.
pub fn not_for_us(described: &str) -> String {
    format!("castoff: {described} is not guarded: send only DELETE of pods and CREATE of pods/eviction")
}

/// A foreign sentence, to be followed by our own full stop.
fn clause(text: &str) -> Cow<'_, str> {
    printable(text.trim().trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_sentence_does_not_end_twice() {
        let subject = Subject { namespace: "tidb", name: "tikv-2", policy: "tikv", step: Some("evict") };
        assert_eq!(
            waiting(&subject, "https://pd:2379/stores does not answer."),
            "tidb/tikv-2 may not leave yet (policy tikv, step evict): https://pd:2379/stores does not answer."
        );
    }
}

//! Drains and policies as people see them. Pure.

use anstream::adapter::strip_str;
use jiff::Timestamp;
use kube::core::DynamicObject;
use serde::Serialize;

use crate::kubernetes::drains::{self, Kept};
use crate::kubernetes::policies::read_policy;
use crate::kubernetes::policy_status::worst;
use crate::lifecycle::{Awaited, Caller, Drain, Phase};
use crate::remedy::Cause;

use super::render::{Paint, cut, narrowed, painted, span, table};

/// How wide a progress bar is.
const BAR: usize = 20;

/// A drain.
#[allow(clippy::struct_excessive_bools)] // Each is a fact of its own.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DrainView {
    pub namespace: String,
    pub pod: String,
    /// The PodDrain's name.
    pub drain: String,
    pub policy: String,
    /// The phase, or what keeps it from going on.
    pub state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<Left>,
    /// What it waits for, or what is going on.
    pub why: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// What a person mends.
    #[serde(skip_serializing_if = "Cause::is_other")]
    pub cause: Cause,
    /// Whom it waits for.
    #[serde(skip_serializing_if = "Awaited::is_nobody")]
    pub waits_for: Awaited,
    pub requester: String,
    /// Since when it is prepared, or is being.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Prepared for a minute, and nobody asks.
    #[serde(skip)]
    pub unasked: bool,
    #[serde(skip)]
    pub over: bool,
    /// Its pod has left, and its replacement is waited for.
    #[serde(skip)]
    pub waits_for_replacement: bool,
    /// It says why it does not go on.
    #[serde(skip)]
    pub is_held: bool,
    /// Since when it was in which phase, as far as that was kept.
    #[serde(skip)]
    pub way: Vec<(Phase, Timestamp)>,
}

/// How much is left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Left {
    pub remaining: i64,
    pub total: i64,
    pub unit: String,
}

/// A policy, and whether it guards anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Guarding {
    pub namespace: String,
    pub policy: String,
    pub ready: bool,
    pub pods: u64,
    pub reason: String,
    pub message: String,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Overview {
    pub drains: Vec<DrainView>,
    pub policies: Vec<Guarding>,
}

/// How it is to look.
#[allow(clippy::struct_excessive_bools)] // Each is a choice of its own.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Looks {
    /// With a column for the namespace.
    pub namespaces: bool,
    /// With those that are over.
    pub completed: bool,
    pub bars: bool,
    /// In so many columns; `None` where lines may be as long as they are.
    pub columns: Option<usize>,
}

impl DrainView {
    /// The drain that this PodDrain is.
    pub fn of(object: &DynamicObject) -> Self {
        let kept = drains::read(object);
        let way = kept.times.way(kept.drain.status.phase, kept.created);
        DrainView { since: since(object, &kept), way, ..DrainView::of_drain(&kept.drain) }
    }

    /// The same, where it is not known since when.
    pub fn of_drain(drain: &Drain) -> Self {
        let status = &drain.status;
        let progress = status.progress.as_ref().filter(|_| status.phase == Phase::Draining);
        DrainView {
            namespace: drain.metadata.namespace.clone(),
            pod: drain.spec.pod.name.clone(),
            drain: drain.metadata.name.clone(),
            policy: drain.spec.policy.clone(),
            state: drains::state_of(status),
            step: status.step.clone().filter(|_| matches!(status.phase, Phase::Draining | Phase::Restoring)),
            left: progress.map(|progress| Left {
                remaining: progress.left.remaining,
                total: progress.total.max(progress.left.remaining),
                unit: progress.left.unit.clone(),
            }),
            why: why(drain),
            detail: status.detail.clone(),
            cause: status.cause.clone(),
            waits_for: status.waits_for.clone(),
            requester: requester(&drain.spec.requester).to_owned(),
            since: None,
            unasked: status.unasked,
            over: status.phase == Phase::Completed,
            waits_for_replacement: status.phase == Phase::Departing && status.left,
            is_held: status.says_why_it_is_held(),
            way: Vec::new(),
        }
    }

    /// In one line: `tidb/basic-tikv-2: Draining, step evict-leaders, 12 of 40 leaders left: ...`.
    pub fn sentence(&self) -> String {
        let DrainView { namespace, pod, state, step, left, why, .. } = self;
        let step = step.as_ref().map_or_else(String::new, |step| format!(", step {step}"));
        let left = left.as_ref().map_or_else(String::new, |left| format!(", {} left", left.text()));
        let why = if why.is_empty() { String::new() } else { format!(": {why}") };
        format!("{namespace}/{pod}: {state}{step}{left}{why}")
    }

    /// The colour of its state.
    pub fn paint(&self) -> Paint {
        match self.state.as_str() {
            "Drained" | "Departing" => Paint::Good,
            "Blocked" | "Stalled" | "Unknown" | "Unreadable" => Paint::Bad,
            "Completed" => Paint::Plain,
            _ => Paint::Waiting,
        }
    }
}

impl Left {
    /// `12 of 40 leaders`.
    pub fn text(&self) -> String {
        format!("{} of {} {}", self.remaining, self.total, self.unit).trim_end().to_owned()
    }

    /// `[############--------]`: what is done already.
    pub fn bar(&self) -> String {
        let done = (self.total - self.remaining).max(0);
        let width = i64::try_from(BAR).unwrap_or(0);
        let filled = if self.total > 0 { done * width / self.total } else { width };
        let filled = usize::try_from(filled).unwrap_or(0).min(BAR);
        format!("[{}{}]", "#".repeat(filled), "-".repeat(BAR - filled))
    }
}

impl Guarding {
    /// What this DrainPolicy's status says.
    pub fn of(object: &DynamicObject) -> Option<Self> {
        let (_, policy) = read_policy(object)?;
        let ready = worst(&policy.conditions);
        let not_seen = "Castoff has not looked at it yet: does it run?";
        Some(Guarding {
            ready: ready.is_some_and(|ready| ready.status == "True"),
            pods: policy.status.get("pods").and_then(serde_json::Value::as_u64).unwrap_or(0),
            reason: ready.map_or_else(|| "NotSeen".to_owned(), |ready| ready.reason.clone()),
            message: ready.map_or_else(|| not_seen.to_owned(), |ready| ready.message.clone()),
            namespace: policy.namespace,
            policy: policy.name,
        })
    }

    /// Whether there is something that it guards.
    pub fn guards(&self) -> bool {
        self.ready && self.reason != "NoPods"
    }
}

impl Overview {
    /// All of it, of these PodDrains and DrainPolicies.
    pub fn of<'a>(
        drains: impl IntoIterator<Item = &'a DynamicObject>,
        policies: impl IntoIterator<Item = &'a DynamicObject>,
    ) -> Self {
        let mut drains: Vec<DrainView> = drains.into_iter().map(DrainView::of).collect();
        drains.sort_by(|one, other| (&one.namespace, &one.drain).cmp(&(&other.namespace, &other.drain)));
        let mut policies: Vec<Guarding> = policies.into_iter().filter_map(Guarding::of).collect();
        policies.sort_by(|one, other| (&one.namespace, &one.policy).cmp(&(&other.namespace, &other.policy)));
        Overview { drains, policies }
    }

    /// Lines for a person.
    pub fn lines(&self, looks: Looks, now: Timestamp) -> Vec<String> {
        let shown: Vec<&DrainView> = self.drains.iter().filter(|view| looks.completed || !view.over).collect();
        let mut lines = drains_as_table(&shown, looks, now);
        lines.extend(self.besides(looks));
        lines
    }

    /// What is to be told besides drains: policies that guard nothing, and how many there are of all.
    pub fn besides(&self, looks: Looks) -> Vec<String> {
        let mut lines = Vec::new();
        for policy in self.policies.iter().filter(|policy| !policy.guards()) {
            let Guarding { namespace, policy, reason, message, ready, .. } = policy;
            let (is, paint) = if *ready { ("waits for pods", Paint::Waiting) } else { ("is not ready", Paint::Bad) };
            let line = looks.fitting(&format!("policy {namespace}/{policy} {is} ({reason}): {message}"));
            lines.push(line.replacen(reason.as_str(), &painted(reason, paint), 1));
        }
        lines.push(looks.fitting(&self.sum()));
        lines
    }

    /// How many drains and policies there are.
    pub fn sum(&self) -> String {
        let count = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
        let over = self.drains.iter().filter(|view| view.over).count();
        let under_way = count(self.drains.len() - over, "drain");
        let ready: Vec<&Guarding> = self.policies.iter().filter(|policy| policy.guards()).collect();
        let pods: u64 = ready.iter().map(|policy| policy.pods).sum();
        let pods = count(usize::try_from(pods).unwrap_or(usize::MAX), "pod");
        let policies = match (self.policies.is_empty(), ready.len()) {
            (true, _) => "no policy here: nothing is guarded".to_owned(),
            (false, 0) => format!("no policy guards a pod, of {}", self.policies.len()),
            (false, 1) => format!("{pods} guarded by 1 policy"),
            (false, ready) => format!("{pods} guarded by {ready} policies"),
        };
        format!("{under_way} under way, {over} over; {policies}")
    }
}

impl Looks {
    /// A line in as many columns as there are.
    pub fn fitting(&self, line: &str) -> String {
        self.columns.map_or_else(|| line.to_owned(), |columns| cut(line, columns))
    }
}

/// A line each; where that is too long for the screen, what it waits for is a line of its own.
fn drains_as_table(shown: &[&DrainView], looks: Looks, now: Timestamp) -> Vec<String> {
    if shown.is_empty() {
        return Vec::new();
    }
    let plain = |text: &str| (text.to_owned(), Paint::Plain);
    let mut rows = vec![["NAMESPACE", "POD", "POLICY", "PHASE", "STEP", "LEFT", "FOR", "WHY"].map(plain).to_vec()];
    rows.extend(shown.iter().map(|view| view.row(looks, now)));
    if !looks.namespaces {
        for row in &mut rows {
            row.remove(0);
        }
    }
    let lines = table(&rows);
    let fits = |line: &String| strip_str(line).to_string().chars().count() <= looks.columns.unwrap_or(usize::MAX);
    let Some(columns) = looks.columns.filter(|_| !lines.iter().all(fits)) else { return lines };
    let whys: Vec<String> = rows.iter_mut().filter_map(Vec::pop).map(|(why, _)| why).collect();
    narrowed(&mut rows, columns);
    let mut lines = Vec::new();
    for ((line, why), number) in table(&rows).into_iter().zip(whys).zip(0..) {
        lines.push(line);
        if number > 0 && !why.is_empty() {
            lines.push(cut(&format!("  {why}"), columns));
        }
    }
    lines
}

impl DrainView {
    fn row(&self, looks: Looks, now: Timestamp) -> Vec<(String, Paint)> {
        let plain = |text: &str| (text.to_owned(), Paint::Plain);
        let left = match &self.left {
            Some(left) if looks.bars => format!("{} {}", left.bar(), left.text()),
            Some(left) => left.text(),
            None => String::new(),
        };
        let since = self.since.map_or_else(String::new, |since| span(now.duration_since(since).as_secs()));
        vec![
            plain(&self.namespace),
            plain(&self.pod),
            plain(&self.policy),
            (self.state.clone(), self.paint()),
            plain(self.step.as_deref().unwrap_or_default()),
            plain(&left),
            plain(&since),
            plain(&self.why),
        ]
    }
}

/// Since when it is prepared, or is being: the condition `Prepared` keeps the time at which it last changed.
fn since(object: &DynamicObject, kept: &Kept) -> Option<Timestamp> {
    let prepared = kept.conditions.iter().find(|condition| condition.kind == "Prepared");
    let written = prepared.and_then(|condition| condition.last_transition_time.parse::<Timestamp>().ok());
    written.or_else(|| object.metadata.creation_timestamp.as_ref()?.0.to_string().parse().ok())
}

/// What it waits for, or what is going on.
fn why(drain: &Drain) -> String {
    let status = &drain.status;
    if !status.message.is_empty() {
        return status.message.clone();
    }
    let asked = || format!("asked for by {}", who(drain));
    match status.phase {
        Phase::Queued => format!("to be prepared, {}", asked()),
        Phase::Draining => asked(),
        Phase::Drained => "may leave: the next delete is allowed".to_owned(),
        Phase::Departing if status.left => "has left; waits for its replacement".to_owned(),
        Phase::Departing => "was allowed to leave".to_owned(),
        Phase::Restoring => "what was set is being undone".to_owned(),
        Phase::Completed if status.left => "has left; nothing is left to do".to_owned(),
        Phase::Completed => "was given up; what was set is undone".to_owned(),
        Phase::Unknown => "this version of Castoff can't read it".to_owned(),
    }
}

/// Who asks: by name while it is the one who asked first.
pub(super) fn who(drain: &Drain) -> String {
    if drain.status.caller == Caller::of(&drain.spec.requester) {
        requester(&drain.spec.requester).to_owned()
    } else {
        match drain.status.caller {
            Caller::Person => "somebody".to_owned(),
            Caller::Program => "a controller or an autoscaler".to_owned(),
            Caller::Scheduler => "the scheduler".to_owned(),
            Caller::Owner => "the pod's own controller".to_owned(),
            Caller::TaintEviction => "taint eviction".to_owned(),
        }
    }
}

/// A user name as short as it stays clear: `statefulset-controller` of `system:serviceaccount:kube-system:...`.
fn requester(user: &str) -> &str {
    user.strip_prefix("system:serviceaccount:kube-system:").unwrap_or(user)
}

#[cfg(test)]
pub(super) mod tests;

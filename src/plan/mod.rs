//! The plan language: how one kind of backend is observed, prepared and restored, as data.
//!
//! A plan is compiled once, when it is read ([`compile()`]). A *round* is a pure conversation: [`Plan::next`] is given
//! what was observed so far and says either what to read next or, once it knows enough, how things stand. Whoever
//! calls it does the reading; the plan never sees a socket or a clock.
//!
//! # Rules of the language
//!
//! - CEL sees `pod`, `params`, `member`, `now`, `removal` (true for a pod that will not come back), the endpoints' URLs, the
//!   variables and the observations: `{code, body}` each, or with `forEach` a list of `{item, code, body}`.
//! - A read by `command` is `{code, body}` as well: code 200 and the answer; an error of the server is code 500 and its text,
//!   and an answer only where `ok` says so. Maps of Redis are maps, lists and sets are lists, nil is null.
//! - A read of the cluster is a value of its own: `pods` a list of pods as `pod` is one, `owner` a map that may have
//!   `replicas`. It comes from memory, some moments old.
//! - `now` is the time at which the round began, a CEL timestamp. Times within a pod are by other clocks.
//! - A read is made only when a value that the round needs refers to it. Those that are surely needed are made side by
//!   side; what stands behind the `?` of a conditional is read once that conditional asks for it.
//! - CEL here is strict, since whatever fails counts as "not done": a field of what is no map is an error, and so is
//!   comparing a text with a number. Numbers compare by value, whole or not. Functions: those of CEL, and Kubernetes'
//!   for lists, texts, `format`, `math`, URLs and IP addresses.
//! - `${cel}` in a text stands for the value; `$${` is a plain `${`. A leaf of a body that is only `${cel}` keeps its
//!   type. In a URL, a value at its very beginning is a base URL and stands as it is; every other one is escaped. An
//!   IPv6 address right behind `://` gets its brackets.
//! - `done` must hold on `rounds` rounds running: a number, or the name of an integer parameter; default, and fewest, 2.
//! - A parameter that is a text may hold `${cel}` over `pod` alone.
//! - Limits: expressions of 4096 bytes, 24 open brackets and 40 levels; 12 names that follow one from another; 64 items
//!   for a `forEach`; bodies of [`answer::LARGEST_BODY`] bytes and [`answer::MOST_VALUES`] values. An expression's work
//!   is not limited otherwise: whoever may write plans is trusted not to loop over lists within lists.

pub mod answer;
pub mod catalogue;
mod commands;
mod compile;
mod compiled;
mod equality;
mod evaluate;
mod expression;
mod functions;
mod joins;
pub mod labels;
mod metrics_text;
mod names;
mod parameters;
mod pieces;
mod pod_fields;
mod protocol;
mod request;
mod round;
pub(crate) mod rounds;
mod scope;
pub mod spec;
mod syntax;
mod template;
mod value;
mod words;
#[cfg(test)]
mod work_tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::printable::printable;
use crate::remedy::Cause;

pub use self::compile::compile;
pub use self::compiled::Plan;

/// A mistake in a plan or a policy, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where, as `spec.observe.stores.url`.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead, where that can be told.
    pub hint: Option<String>,
}

impl Mistake {
    /// The same, in words that a terminal can show: mistakes cite what is wrong.
    pub(crate) fn printable(mut self) -> Self {
        for text in [&mut self.message].into_iter().chain(&mut self.hint) {
            if let Cow::Owned(shown) = printable(text) {
                *text = shown;
            }
        }
        self
    }
}

/// Values of parameters, by name.
pub type Parameters = BTreeMap<String, Value>;

/// Whether the pod is expected back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
pub enum Mode {
    /// A pod of the same seat takes over afterwards.
    #[default]
    Restart,
    /// None does: the pod leaves for good.
    Removal,
}

/// What a round is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    /// Making the backend ready for the pod to leave.
    Prepare,
    /// Undoing what was done.
    Restore,
}

/// What a round works on.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The pod, as plans see it (`pod`): a [`crate::pod::Pod`] as JSON.
    pub pod: &'a Value,
    /// Parameters with the plan's defaults filled in ([`Plan::parameters`]).
    pub parameters: &'a Parameters,
    /// What the pod is called at the backend, once that is pinned.
    pub member: Option<&'a str>,
    /// Whether the pod is expected back (`removal` in CEL).
    pub mode: Mode,
    /// What the round is for.
    pub task: Task,
    /// The time, as RFC 3339 (`now` in CEL).
    pub now: &'a str,
}

/// Which read an observation belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadKey {
    /// Its name in `observe`.
    pub name: String,
    /// The number of its item, under `forEach`.
    pub item: Option<usize>,
}

/// A read to make now. All reads of one answer may run side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// What its answer is filed under.
    pub key: ReadKey,
    /// What is read.
    pub source: Source,
}

/// What a read reads.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A backend.
    Backend(BackendRead),
    /// The cluster that the pod lives in; it brings an [`Observation::Value`].
    Cluster(ClusterRead),
}

/// A read of a backend.
#[derive(Clone, Debug, PartialEq)]
pub struct BackendRead {
    /// What to send.
    pub request: Request,
    /// How to read the answer's body.
    pub parse: spec::Parse,
}

/// A read of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterRead {
    /// These pods: a list of [`crate::pod::Pod`] as JSON.
    Pods(PodsQuery),
    /// What controls the pod: a map with `replicas`, where its kind has that number.
    Owner,
}

/// Which pods are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodsQuery {
    /// Their labels.
    pub labels: labels::Labels,
    /// Their namespace; `None` for all.
    pub namespace: Option<String>,
    /// Their node; `None` for any.
    pub node: Option<String>,
}

impl PodsQuery {
    /// Whether this pod is among them.
    #[must_use]
    pub fn takes(&self, pod: &crate::pod::Pod<'_>) -> bool {
        self.namespace.as_ref().is_none_or(|namespace| pod.metadata.namespace == **namespace)
            && self.node.as_ref().is_none_or(|node| pod.spec.node_name == **node)
            && self.labels.matches(&pod.metadata.labels)
    }
}

/// A request, rendered: by HTTP, or Redis commands.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// HTTP method, upper case; of commands their names, as `SENTINEL MASTER`, for people.
    pub method: String,
    /// The whole URL.
    pub url: String,
    /// JSON body.
    pub body: Option<Value>,
    /// What is sent to Redis in place of method and body.
    pub commands: Option<Commands>,
    /// Statuses that are answers besides 2xx.
    pub ok: spec::Accept,
    /// Longest wait.
    pub timeout: Duration,
    /// Secret with `ca.crt`, `tls.crt`, `tls.key`; empty for none.
    pub tls_secret: String,
    /// Secret with `token`, or `username` and `password`; empty for none.
    pub auth_secret: String,
}

/// Redis commands, sent together over one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commands {
    /// Their words.
    pub list: Vec<Vec<String>>,
    /// It is one, whose answer is the whole answer; else that is the list of answers.
    pub one: bool,
}

/// What a read brought.
#[derive(Clone, Debug, PartialEq)]
pub enum Observation {
    /// An answer that the read accepts.
    Answer {
        /// HTTP status; 0 where `ok: any` accepts that nothing answered.
        code: u16,
        /// The body, parsed.
        body: Value,
    },
    /// What the cluster shows.
    Value(Value),
    /// No answer, or one that the read does not accept.
    Failed {
        /// For users: constant for a cause, as `https://basic-pd:2379/pd/api/v1/stores does not answer`.
        message: String,
        /// For the log and the drain: errno, status, the body's beginning.
        detail: String,
        /// What a person mends.
        cause: Cause,
    },
    /// The request goes to an address of the pod, and the pod no longer has it.
    PodGone,
}

/// What was observed in this round so far.
pub type Observations = BTreeMap<ReadKey, Observation>;

/// An act to send.
#[derive(Clone, Debug, PartialEq)]
pub struct Act {
    /// Its number in the list that it comes from.
    pub index: usize,
    /// What to send.
    pub request: Request,
    /// It may go on at the backend after the request has ended.
    pub background: bool,
    /// It can't be undone.
    pub irreversible: bool,
}

/// How much is left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Progress {
    /// 0 when nothing is left.
    pub remaining: i64,
    /// What is counted, as `leaders`.
    pub unit: String,
}

/// How things stand at the backend.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Prepare: nothing unknown, nothing blocked, no act to send, and `done` holds. Restore: nothing unknown and no
    /// act to send.
    Done,
    /// Prepare: no act to send, but `done` does not hold yet.
    Waiting,
    /// This is to be sent.
    Act(Box<Act>),
    /// The pod must not leave now.
    Blocked {
        /// Why, for users.
        message: String,
    },
    /// The answers can't be believed just now.
    Unknown {
        /// Why, for users.
        message: String,
    },
    /// The backend can't be asked, or an expression failed.
    Failed {
        /// For users: constant for a cause.
        message: String,
        /// For the log and the drain.
        detail: String,
        /// What a person mends.
        cause: Cause,
    },
}

impl Verdict {
    /// Whether it keeps a step from going on.
    #[must_use]
    pub fn is_hindrance(&self) -> bool {
        matches!(self, Verdict::Blocked { .. } | Verdict::Unknown { .. } | Verdict::Failed { .. })
    }
}

/// What a round found.
#[derive(Clone, Debug, PartialEq)]
pub struct Round {
    /// How things stand.
    pub verdict: Verdict,
    /// What the pod is called at the backend; `None` where it is provably nobody there (`absent`), or
    /// where the round failed before that was known.
    pub member: Option<String>,
    /// How much is left, where the plan counts; none while the answers can't be believed.
    pub progress: Option<Progress>,
    /// Whether the state at the backend bears our mark; `None` where the plan has no `ours`, or where the round ended
    /// before that was known. A restore is [`Verdict::Done`] where it does not.
    pub ours: Option<bool>,
}

/// What a round needs next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Make these reads, add them to the observations, and ask again.
    Read(Vec<Read>),
    /// The round is over.
    Round(Round),
}

//! The twelve words of the plan language, as they are written in YAML.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::rounds::Rounds;

/// How one kind of backend is observed, prepared and restored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanSpec {
    /// What the plan does, in one sentence.
    pub summary: String,
    /// The parameters that a policy gives.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Parameter>,
    /// Base URLs, with how to authenticate there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub endpoints: BTreeMap<String, EndpointSpec>,
    /// Reads.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub observe: BTreeMap<String, ReadSpec>,
    /// Named CEL expressions, in one name space with `observe`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    /// CEL list: what the pod is called at the backend. Default: its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// CEL, asked when `member` is empty: the backend shows that the pod is nobody there, so that it may leave. Without
    /// it such a pod stays: that nobody was found is no proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<String>,
    /// When the answers can't be believed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<Finding>,
    /// When the pod must not leave now, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked: Vec<Finding>,
    /// Acts that make the backend ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prepare: Vec<ActSpec>,
    /// CEL: the backend is ready for the pod to leave.
    pub done: String,
    /// On how many rounds running `done` must hold, for a removal too.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(schema_with = "crate::schema::anything")]
    pub rounds: Rounds,
    /// How much is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<ProgressSpec>,
    /// Acts that undo what `prepare` did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restore: Vec<ActSpec>,
    /// CEL: the state at the backend bears our mark. Where given, it alone decides what is restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ours: Option<String>,
    /// What differs for a pod that will not come back.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(schema_with = "crate::schema::anything")]
    pub removal: Removal,
}

/// One parameter of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Parameter {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: ParameterType,
    /// Its value where a policy gives none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::anything")]
    pub default: Option<Value>,
    /// Whether a policy must give it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub required: bool,
}

/// The types that a parameter may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ParameterType {
    /// A text.
    String,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
}

/// A base URL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EndpointSpec {
    /// Template of the URL.
    pub url: String,
    /// Template of the name of a Secret with `ca.crt`, `tls.crt`, `tls.key`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tls_secret: String,
    /// Template of the name of a Secret with `token`, or `username` and `password`; for Redis `password` alone will do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub auth_secret: String,
}

/// A read: of a backend (`url`), or of the cluster (`pods`, `owner`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReadSpec {
    /// HTTP method; default GET.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Template of the URL: begins with an endpoint, or is a URL of its own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// In place of method and body, at a `redis://` URL: a command, as `[SENTINEL, MASTER, main]`. Each word is a template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// The same for several commands, sent together over one connection. The answer's body is the list of answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commands: Option<Vec<Vec<String>>>,
    /// In place of `url`: pods of the cluster. The value is a list of pods, each as plans see `pod`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<PodsSpec>,
    /// In place of `url`: what controls the pod. The value is `{replicas}`, or `{}` where its kind has no number.
    #[serde(default, skip_serializing_if = "is_default")]
    pub owner: bool,
    /// Body to send; texts in it are templates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::anything")]
    pub body: Option<Value>,
    /// Statuses, besides 2xx, that are an answer and no error.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(schema_with = "crate::schema::anything")]
    pub ok: Accept,
    /// CEL list: one read for each item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<String>,
    /// The item's name in `url` and `body`; default `item`.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// How the answer is read.
    #[serde(default, skip_serializing_if = "is_default")]
    pub parse: Parse,
    /// Longest wait, as `1s` or `500ms`; default and at most 3 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// Template of the name of a Secret, for a URL of its own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tls_secret: String,
    /// Template of the name of a Secret, for a URL of its own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub auth_secret: String,
}

/// Which pods of the cluster are read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PodsSpec {
    /// Template of a label selector as kubectl writes it, as `app=web,tier in (a,b)`; default: all pods.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub selector: String,
    /// Template of their namespace, `*` for all namespaces; default: the pod's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Template of the name of their node; default: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

/// Which HTTP statuses besides 2xx are answers: a list of codes, or the word `any` (then a read that got no answer at
/// all counts as one too, with code 0).
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Accept {
    /// These codes.
    Codes(Vec<u16>),
    /// The word `any`.
    Any(AnyWord),
    /// Only 2xx.
    #[default]
    None,
}

/// The word `any`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AnyWord {
    /// Whatever comes.
    Any,
}

/// How an answer's body becomes a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Parse {
    /// JSON (a body that is not JSON, under an accepted status beyond 2xx, is a text).
    #[default]
    Json,
    /// A text.
    Text,
    /// Prometheus' text format: a list of `{name, labels, value}`.
    Prometheus,
}

/// A condition and what it means for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Finding {
    /// CEL.
    pub when: String,
    /// Template of the message.
    pub message: String,
}

/// An act: a request that changes the backend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ActSpec {
    /// CEL: whether there is something to do.
    pub when: String,
    /// HTTP method.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub method: String,
    /// Template of the URL.
    pub url: String,
    /// In place of method and body, at a `redis://` URL: a command. Each word is a template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// The same for several commands, sent together over one connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commands: Option<Vec<Vec<String>>>,
    /// Body to send; texts in it are templates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::anything")]
    pub body: Option<Value>,
    /// Statuses, besides 2xx, that are no error. No answer decides anything: the next observation does.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(schema_with = "crate::schema::anything")]
    pub ok: Accept,
    /// The act may go on at the backend after the request has ended.
    #[serde(default, skip_serializing_if = "is_default")]
    pub background: bool,
    /// The act can't be undone: never sent for a drain that may still be given up.
    #[serde(default, skip_serializing_if = "is_default")]
    pub irreversible: bool,
    /// Longest wait, as `1s` or `500ms`; default and at most 3 s, with `background` at most 60 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
}

/// How much is left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProgressSpec {
    /// CEL number; 0 when nothing is left.
    pub remaining: String,
    /// What is counted, as `leaders`.
    pub unit: String,
}

/// What differs for a pod that will not come back.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Removal {
    /// `asRestart` or `Deny`.
    Word(RemovalWord),
    /// Steps of its own.
    Steps(Box<RemovalSpec>),
    /// Nothing said: as for a restart.
    #[default]
    None,
}

/// The words that stand for a whole `removal`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RemovalWord {
    /// As for a pod that comes back.
    #[serde(rename = "asRestart")]
    AsRestart,
    /// Such a pod may not leave under this plan.
    Deny,
}

/// How a backend is made ready for a pod that will not come back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RemovalSpec {
    /// Acts that make the backend ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prepare: Vec<ActSpec>,
    /// CEL: the backend is ready for the pod to leave for good.
    pub done: String,
    /// How much is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<ProgressSpec>,
    /// Acts that undo what `prepare` did, when the drain is given up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restore: Vec<ActSpec>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

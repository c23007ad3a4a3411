//! Bytes to request: a slim parse of an AdmissionReview, borrowed from the bytes.
//!
//! Only the fields that decisions read are kept; everything else (`managedFields`, containers, volumes) is skipped
//! without recursion, so that nested brackets can't exhaust the stack. What a review looks like for each kind of call
//! is in the API server's behaviour: a DELETE brings the pod along as `oldObject`, a DELETECOLLECTION leaves out
//! `name`, an eviction brings no pod at all.

use serde::de::IgnoredAny;

use super::wire::{Body, DeleteOptions, Eviction, Review};
use crate::lifecycle::Caller;
use crate::pod::{Pod, Text};
use crate::printable::printable;

/// The one version that is served.
pub const API_VERSION: &str = "admission.k8s.io/v1";

/// What the API server asks.
#[derive(Clone, Debug, PartialEq)]
pub struct Request<'a> {
    /// The call's own identifier, to be given back. Never a key: one delete can make several calls.
    pub uid: Text<'a>,
    /// The namespace of the object.
    pub namespace: Text<'a>,
    /// The object's name.
    pub name: Text<'a>,
    /// Who asks; empty where the review does not say.
    pub username: Text<'a>,
    /// What kind of caller that is.
    pub caller: Caller,
    /// Nothing may be changed anywhere.
    pub dry_run: bool,
    /// What is asked for.
    pub what: What<'a>,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum What<'a> {
    /// A pod's delete, alone or in a collection.
    Delete {
        /// The pod, with name, namespace and UID.
        pod: Box<Pod<'a>>,
        /// Seconds; 0 is a force delete. Absent in a collection unless the client gave it.
        grace_period_seconds: Option<i64>,
    },
    /// A pod's eviction. It brings no pod along: that has to be read live.
    Eviction {
        /// The UID that the evicted pod must have.
        uid_precondition: Option<Text<'a>>,
        /// Seconds, where the client gave them.
        grace_period_seconds: Option<i64>,
    },
    /// A delete or an eviction that does not say of which pod.
    Incomplete {
        /// The field that is missing, as `request.oldObject`.
        missing: &'static str,
    },
    /// Another resource or operation.
    Other {
        /// As `DELETE deployments.apps`.
        described: String,
    },
}

impl<'a> Request<'a> {
    /// The pod, where the request brings it along.
    #[must_use]
    pub fn pod(&self) -> Option<&Pod<'a>> {
        if let What::Delete { pod, .. } = &self.what { Some(pod) } else { None }
    }

    /// Whether the caller tries again by itself: a person's delete alone does not, but a drain loop does.
    #[must_use]
    pub fn tries_again(&self) -> bool {
        self.caller != Caller::Person || matches!(self.what, What::Eviction { .. })
    }

    /// Seconds that the pod is given to end, where the request says so.
    #[must_use]
    pub fn grace_period_seconds(&self) -> Option<i64> {
        match &self.what {
            What::Delete { grace_period_seconds, .. } | What::Eviction { grace_period_seconds, .. } => {
                *grace_period_seconds
            }
            What::Incomplete { .. } | What::Other { .. } => None,
        }
    }
}

/// A body that is no AdmissionReview that can be answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Malformed {
    /// What is wrong and where; without control characters.
    pub message: String,
}

impl Malformed {
    fn new(message: &str) -> Self {
        Malformed { message: printable(message).into_owned() }
    }
}

type PodBody<'a> = Body<'a, Eviction<'a>, Pod<'a>, DeleteOptions<'a>>;

/// Which calls are told apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Delete,
    Eviction,
    Other,
}

/// Reads an AdmissionReview. Unknown fields are tolerated: each version of Kubernetes adds some.
///
/// # Errors
/// The body is no JSON, no AdmissionReview of the version that is served, or lacks what an answer needs.
pub fn parse(bytes: &[u8]) -> Result<Request<'_>, Malformed> {
    match serde_json::from_slice::<Review<'_, Eviction<'_>, Pod<'_>, DeleteOptions<'_>>>(bytes) {
        Ok(review) => {
            let body = body_of(review)?;
            match call_of(&body)? {
                Call::Delete => delete(body),
                Call::Eviction => eviction(body),
                Call::Other => other(body),
            }
        }
        Err(error) => parse_foreign(bytes).unwrap_or_else(|| {
            Err(Malformed::new(&format!("the body is no AdmissionReview that can be read: {error}")))
        }),
    }
}

/// Another resource's objects need not look like a pod: those are looked at without their objects. `None` where that
/// explains nothing.
fn parse_foreign(bytes: &[u8]) -> Option<Result<Request<'_>, Malformed>> {
    let review = serde_json::from_slice::<Review<'_, IgnoredAny, IgnoredAny, IgnoredAny>>(bytes).ok()?;
    let read = body_of(review).and_then(|body| Ok((call_of(&body)?, body)));
    match read {
        Ok((Call::Other, body)) => Some(other(body)),
        Ok(_) => None,
        Err(malformed) => Some(Err(malformed)),
    }
}

fn body_of<E, O, P>(review: Review<'_, E, O, P>) -> Result<Body<'_, E, O, P>, Malformed> {
    match review.api_version.as_deref() {
        Some(API_VERSION) => {}
        Some(version) => {
            let version = printable(version);
            return Err(Malformed::new(&format!("apiVersion {version} is not served: send {API_VERSION}")));
        }
        None => return Err(Malformed::new(&format!("apiVersion is missing: send {API_VERSION}"))),
    }
    if review.kind.as_deref() != Some("AdmissionReview") {
        return Err(Malformed::new("kind is not AdmissionReview"));
    }
    review.request.ok_or_else(|| Malformed::new("request is missing"))
}

fn call_of<E, O, P>(body: &Body<'_, E, O, P>) -> Result<Call, Malformed> {
    let operation = body.operation.as_deref().ok_or_else(|| Malformed::new("request.operation is missing"))?;
    let resource = body.resource.as_ref().ok_or_else(|| Malformed::new("request.resource is missing"))?;
    if !resource.group.is_empty() || resource.resource != "pods" {
        return Ok(Call::Other);
    }
    Ok(match (operation, body.sub_resource.as_deref().unwrap_or_default()) {
        ("DELETE", "") => Call::Delete,
        ("CREATE", "eviction") => Call::Eviction,
        _ => Call::Other,
    })
}

fn delete(mut body: PodBody<'_>) -> Result<Request<'_>, Malformed> {
    let grace_period_seconds = body.options.as_ref().and_then(|options| options.grace_period_seconds);
    let Some(mut pod) = body.old_object.take() else {
        return request(body, What::Incomplete { missing: "request.oldObject" });
    };
    settle(&mut body.name, &mut pod.metadata.name);
    settle(&mut body.namespace, &mut pod.metadata.namespace);
    let what = if pod.metadata.name.is_empty() {
        What::Incomplete { missing: "request.oldObject.metadata.name" }
    } else if pod.metadata.namespace.is_empty() {
        What::Incomplete { missing: "request.oldObject.metadata.namespace" }
    } else if pod.metadata.uid.is_empty() {
        What::Incomplete { missing: "request.oldObject.metadata.uid" }
    } else {
        What::Delete { pod: Box::new(pod), grace_period_seconds }
    };
    request(body, what)
}

/// What the pod says of itself holds; where it is silent, what the request says.
fn settle<'a>(asked: &mut Option<Text<'a>>, own: &mut Text<'a>) {
    if own.is_empty() {
        *own = asked.clone().unwrap_or_default();
    } else {
        *asked = Some(own.clone());
    }
}

fn eviction(mut body: PodBody<'_>) -> Result<Request<'_>, Malformed> {
    let evicted = body.object.take().unwrap_or_default();
    let options = evicted.delete_options.unwrap_or_default();
    // `kubectl drain --dry-run=server` says so only here, not in the request itself.
    let dry = options.dry_run.is_some_and(|stages| stages.iter().any(|stage| stage == "All"));
    body.dry_run = Some(dry || body.dry_run == Some(true));
    body.name = body.name.filter(|name| !name.is_empty()).or(evicted.metadata.name);
    let what = if body.name.as_deref().unwrap_or_default().is_empty() {
        What::Incomplete { missing: "request.name" }
    } else if body.namespace.as_deref().unwrap_or_default().is_empty() {
        What::Incomplete { missing: "request.namespace" }
    } else {
        What::Eviction {
            uid_precondition: options.preconditions.and_then(|preconditions| preconditions.uid),
            grace_period_seconds: options.grace_period_seconds,
        }
    };
    request(body, what)
}

fn other<E, O, P>(body: Body<'_, E, O, P>) -> Result<Request<'_>, Malformed> {
    let operation = body.operation.as_deref().unwrap_or_default();
    let mut described = operation.to_owned();
    if let Some(resource) = &body.resource {
        described = format!("{operation} {}", resource.resource);
        for (separator, part) in [("/", body.sub_resource.as_ref()), (".", Some(&resource.group))] {
            if let Some(part) = part.filter(|part| !part.is_empty()) {
                described.push_str(separator);
                described.push_str(part);
            }
        }
    }
    let described = printable(&described).into_owned();
    request(body, What::Other { described })
}

fn request<'a, E, O, P>(body: Body<'a, E, O, P>, what: What<'a>) -> Result<Request<'a>, Malformed> {
    let uid = body.uid.filter(|uid| !uid.is_empty()).ok_or_else(|| Malformed::new("request.uid is missing"))?;
    let username = body.user_info.unwrap_or_default().username;
    Ok(Request {
        uid,
        namespace: body.namespace.unwrap_or_default(),
        name: body.name.unwrap_or_default(),
        caller: Caller::of(&username),
        username,
        dry_run: body.dry_run.unwrap_or_default(),
        what,
    })
}

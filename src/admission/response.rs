//! Answer to bytes: the AdmissionReview that goes back.

use serde::Serialize;

use super::answer::Answer;
use super::dry_run::{CAUSE, StepNow};
use super::request::API_VERSION;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
    audit_annotations: AuditAnnotations<'a>,
}

#[derive(Serialize)]
struct Status<'a> {
    code: u16,
    reason: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Details {
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    causes: Vec<Cause>,
}

#[derive(Serialize)]
struct Cause {
    reason: &'static str,
    message: String,
}

impl Details {
    fn of(answer: &Answer) -> Option<Self> {
        let cause = |step: &StepNow| Some(Cause { reason: CAUSE, message: serde_json::to_string(step).ok()? });
        let causes: Vec<Cause> = answer.steps.iter().filter_map(cause).collect();
        let retry_after_seconds = answer.retry_after_seconds;
        (retry_after_seconds.is_some() || !causes.is_empty()).then_some(Details { retry_after_seconds, causes })
    }
}

#[derive(Serialize)]
struct AuditAnnotations<'a> {
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    told: Option<&'a str>,
    /// Of a policy that only tells: its name, and the question that would have decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    would: Option<&'static str>,
}

impl<'a> AuditAnnotations<'a> {
    fn of(answer: &'a Answer) -> Self {
        let audited = answer.audited.as_ref();
        AuditAnnotations {
            reason: answer.reason.as_str(),
            told: answer.told.as_deref(),
            policy: audited.map(|audited| audited.policy.as_str()),
            would: audited.map(|audited| audited.would.as_str()),
        }
    }
}

/// The one status of every denial. `kubectl drain` tries again for this one alone; 404 would be taken as deleted, and
/// the reason `Invalid` would hide the message.
pub const DENIED: (u16, &str) = (429, "TooManyRequests");

/// The AdmissionReview, as JSON, that answers the call `uid`.
#[must_use]
pub fn render(uid: &str, answer: &Answer) -> Vec<u8> {
    let status = (!answer.allowed).then(|| Status {
        code: DENIED.0,
        reason: DENIED.1,
        message: &answer.message,
        details: Details::of(answer),
    });
    let review = Review {
        api_version: API_VERSION,
        kind: "AdmissionReview",
        response: Response {
            uid,
            allowed: answer.allowed,
            status,
            warnings: &answer.warnings,
            audit_annotations: AuditAnnotations::of(answer),
        },
    };
    let mut body = Vec::with_capacity(256 + answer.message.len());
    if serde_json::to_writer(&mut body, &review).is_err() {
        // Can't happen: texts and numbers always serialise. An empty body is taken as a failure, never as an allow.
        body.clear();
    }
    body
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::super::dry_run::State;
    use super::super::reason::Reason;
    use super::*;
    use crate::remedy::Cause;

    fn rendered(answer: &Answer) -> Value {
        serde_json::from_slice(&render("u-1", answer)).unwrap()
    }

    #[test]
    fn an_allow_without_words_is_as_short_as_can_be() {
        assert_eq!(
            rendered(&Answer::allow(Reason::NotGuarded)),
            json!({
                "apiVersion": "admission.k8s.io/v1",
                "kind": "AdmissionReview",
                "response": {"uid": "u-1", "allowed": true, "auditAnnotations": {"reason": "NotGuarded"}},
            })
        );
    }

    #[test]
    fn every_denial_is_429_too_many_requests_with_its_message_and_warnings() {
        for reason in Reason::ALL {
            let answer = Answer::deny(reason, "a/b may not leave.".into()).warn("castoff: b: 3 of 4 left".into());
            assert_eq!(
                rendered(&answer)["response"],
                json!({
                    "uid": "u-1",
                    "allowed": false,
                    "status": {"code": 429, "reason": "TooManyRequests", "message": "a/b may not leave."},
                    "warnings": ["castoff: b: 3 of 4 left"],
                    "auditAnnotations": {"reason": reason.as_str()},
                })
            );
        }
    }

    #[test]
    fn who_is_told_to_wait_is_told_in_details() {
        let answer = Answer { retry_after_seconds: Some(5), ..Answer::deny(Reason::Queued, String::new()) };
        assert_eq!(rendered(&answer)["response"]["status"]["details"], json!({"retryAfterSeconds": 5}));
    }

    #[test]
    fn how_steps_stand_is_told_to_people_and_to_programs() {
        let left = crate::plan::Progress { remaining: 40, unit: "leaders".into() };
        let (step, plan, text) = ("evict".into(), "tikv".into(), String::new());
        let step = StepNow { step, plan, state: State::ToDo, left: Some(left), text, cause: Cause::default() };
        let response =
            rendered(&Answer::deny(Reason::Queued, String::new()).tell_step(step.clone()))["response"].take();
        assert_eq!(response["warnings"], json!(["castoff: step evict (tikv): to do: 40 leaders left"]));
        let cause = &response["status"]["details"]["causes"][0];
        assert_eq!(cause["reason"], CAUSE);
        assert_eq!(serde_json::from_str::<StepNow>(cause["message"].as_str().unwrap()).unwrap(), step);
    }

    #[test]
    fn the_uid_goes_back_as_it_came() {
        let uid = "a\"\\\n\u{7f}ü";
        let body: Value = serde_json::from_slice(&render(uid, &Answer::allow(Reason::Finished))).unwrap();
        assert_eq!(body["response"]["uid"], uid);
    }
}

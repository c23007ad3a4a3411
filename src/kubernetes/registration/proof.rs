//! Whether the API server really sends a namespace's deletes: seen, or tried out.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{DeleteParams, Preconditions};
use kube::client::Body;
use kube::core::{Request, Resource, Status};

use crate::kubernetes::cache::chain;

use super::{PODS, Seen};

/// The longest that a dry run may take: the longest timeout that a webhook may have, and a little more.
const PATIENCE: Duration = Duration::from_secs(35);

/// Namespaces of which a request has come, under the registration as it was then.
#[derive(Debug, Default)]
pub struct Proofs(Mutex<BTreeMap<String, u64>>);

impl Proofs {
    /// A request from this namespace has come, or [`prove`] has said [`Sent::Yes`].
    pub fn note(&self, namespace: &str, seen: &Seen) {
        let Some(print) = seen.print(namespace) else { return };
        let mut proofs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if proofs.get(namespace) != Some(&print) {
            proofs.insert(namespace.to_owned(), print);
        }
    }

    /// Whether one has come since the registration was last changed in anything that matters to this namespace.
    #[must_use]
    pub fn hold(&self, namespace: &str, seen: &Seen) -> bool {
        let proofs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.print(namespace).is_some_and(|print| proofs.get(namespace) == Some(&print))
    }
}

/// What a dry run of a delete has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The API server has asked Castoff.
    Yes,
    /// It wants to, and can't; this is what it says. Deletes are refused, or let through under `Ignore`.
    Failing(String),
    /// The delete would be carried out, and nothing shows that Castoff was asked. Where the gate would have denied it,
    /// it was not asked.
    NotDenied,
    /// It shows nothing: the pod is gone, another one or held by somebody else, or the API server did not answer.
    Unclear(String),
}

/// Tries out a delete of this pod, as a dry run, which changes nothing anywhere. The best pod to try is one whose
/// delete the gate would deny.
pub async fn prove(client: &Client, namespace: &str, pod: &str, uid: &str) -> Sent {
    match tokio::time::timeout(PATIENCE, try_delete(client, namespace, pod, uid)).await {
        Ok(Ok(answer)) => judge(&answer),
        Ok(Err(error)) => Sent::Unclear(chain(&error)),
        Err(_) => Sent::Unclear("the API server does not answer".to_owned()),
    }
}

/// What the API server answers when a delete is tried out.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub code: u16,
    /// What it says of a failure.
    pub status: Status,
    pub warnings: Vec<String>,
}

/// Tries out a delete of the pod with this UID: a dry run, which changes nothing anywhere and is answered as the real
/// one would be.
pub(crate) async fn try_delete(client: &Client, namespace: &str, pod: &str, uid: &str) -> kube::Result<Answer> {
    let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
    let parameters = DeleteParams { dry_run: true, preconditions: Some(preconditions), ..DeleteParams::default() };
    let request = Request::new(Pod::url_path(&(), Some(namespace))).delete(pod, &parameters);
    // By hand: a client's own delete gives no warnings.
    let request = request.map_err(kube::Error::BuildRequest)?;
    let (head, body) = client.send(request.map(Body::from)).await?.into_parts();
    let warnings = head.headers.get_all("warning").iter().filter_map(|value| warning(value.to_str().ok()?)).collect();
    let status = serde_json::from_slice(&body.collect_bytes().await?).unwrap_or_default();
    Ok(Answer { code: head.status.as_u16(), status, warnings })
}

/// The text of a Warning header: `299 - "text"`, in which quotes and backslashes are escaped.
fn warning(header: &str) -> Option<String> {
    let mut text = String::new();
    let mut characters = header.split_once('"')?.1.chars();
    loop {
        match characters.next()? {
            '"' => return Some(text),
            '\\' => text.push(characters.next()?),
            other => text.push(other),
        }
    }
}

fn judge(answer: &Answer) -> Sent {
    let Answer { code, status: Status { message, .. }, warnings } = answer;
    if message.starts_with(&format!("admission webhook \"{PODS}\" denied the request")) {
        return Sent::Yes;
    }
    if message.contains(&format!("failed calling webhook \"{PODS}\"")) {
        return Sent::Failing(without_path(message));
    }
    // All that Castoff warns of begins so.
    if warnings.iter().any(|warning| warning.starts_with("castoff: ")) {
        return Sent::Yes;
    }
    if (200..300).contains(code) { Sent::NotDenied } else { Sent::Unclear(message.clone()) }
}

/// A message of the API server's without the paths of the URLs in it: that of the webhook is for nobody else to know.
pub fn without_path(message: &str) -> String {
    let mut told = String::new();
    let mut rest = message;
    while let Some((before, url)) = rest.split_once("https://") {
        let host_ends = url.find(['/', '"', ' ']).unwrap_or(url.len());
        let (host, path) = url.split_at(host_ends);
        let path_ends = path.find(['?', '"', ' ']).unwrap_or(path.len());
        told.extend([before, "https://", host]);
        rest = &path[path_ends..];
    }
    told + rest
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::*;

    fn answer(code: u16, message: &str, warnings: &[&str]) -> Sent {
        let warnings = warnings.iter().map(|&warning| warning.to_owned()).collect();
        judge(&Answer { code, status: Status { message: message.to_owned(), ..Status::default() }, warnings })
    }

    #[test]
    fn only_castoffs_own_words_prove_that_it_was_asked() {
        let denied = "admission webhook \"pods.castoff.dev\" denied the request: a/b may not leave yet";
        assert_eq!(answer(429, denied, &[]), Sent::Yes);
        assert_eq!(answer(200, "", &["castoff: a/b would be held"]), Sent::Yes);
        assert_eq!(answer(200, "", &[]), Sent::NotDenied);
        assert_eq!(answer(200, "", &["something else is deprecated"]), Sent::NotDenied);
        let failing = "Internal error occurred: failed calling webhook \"pods.castoff.dev\": failed to call webhook: \
                       Post \"https://castoff.castoff-system.svc:443/validate/5ec7e7?timeout=10s\": x509: unknown authority";
        let Sent::Failing(told) = answer(500, failing, &[]) else { panic!("it is failing") };
        assert!(
            told.ends_with("https://castoff.castoff-system.svc:443?timeout=10s\": x509: unknown authority"),
            "{told}"
        );
        for (code, message) in [
            (404, "pods \"b\" not found"),
            (409, "the UID in the precondition does not match"),
            (403, "pods \"b\" is forbidden"),
            (400, "admission webhook \"other.example\" denied the request: no"),
        ] {
            assert_eq!(answer(code, message, &[]), Sent::Unclear(message.to_owned()));
        }
    }

    #[test]
    fn a_warning_is_read_from_its_header() {
        assert_eq!(warning("299 - \"a \\\"b\\\" \\\\ c\"").as_deref(), Some("a \"b\" \\ c"));
        assert_eq!(warning("299 - nothing"), None);
    }
}

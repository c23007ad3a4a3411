//! A delete of a pod, tried out: a dry run, which changes nothing anywhere and is answered as the real one would be.

use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{DeleteParams, Preconditions};
use kube::client::Body;
use kube::core::{Request, Resource, Status};

use crate::admission::dry_run::StepNow;
use crate::kubernetes::cache::chain;
use crate::kubernetes::registration::{PODS, without_path};

/// What the API server answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Trial {
    pub code: u16,
    pub message: String,
    pub warnings: Vec<String>,
}

/// What that means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The pod may leave; whether anything shows that Castoff was asked.
    Allowed { asked: bool },
    /// Castoff holds it; its message.
    Held(String),
    /// Another webhook does: its name, and the message.
    HeldBy(String, String),
    /// A webhook could not be asked: its name, and why.
    NotReached(String, String),
    /// Something else is in the way, as missing rights.
    Refused(String),
}

/// Tries the delete of this pod out.
pub(super) async fn delete(client: &Client, namespace: &str, pod: &str, uid: &str) -> Result<Trial, String> {
    let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
    let parameters = DeleteParams { dry_run: true, preconditions: Some(preconditions), ..DeleteParams::default() };
    let request = Request::new(Pod::url_path(&(), Some(namespace))).delete(pod, &parameters);
    let request = request.map_err(|error| error.to_string())?;
    // By hand: a client's own delete gives no warnings.
    let response = client.send(request.map(Body::from)).await.map_err(|error| chain(&error))?;
    let (head, body) = response.into_parts();
    let warnings = head.headers.get_all("warning").iter().filter_map(|value| text_of(value.to_str().ok()?));
    let warnings = warnings.collect();
    let body = body.collect_bytes().await.map_err(|error| chain(&error))?;
    let message = serde_json::from_slice::<Status>(&body).map(|status| status.message).unwrap_or_default();
    Ok(Trial { code: head.status.as_u16(), message, warnings })
}

impl Trial {
    /// What the answer means.
    pub fn said(&self) -> Said {
        if (200..300).contains(&self.code) {
            return Said::Allowed { asked: self.warnings.iter().any(|warning| warning.starts_with("castoff: ")) };
        }
        if let Some((webhook, text)) = named(&self.message, "admission webhook \"", "\" denied the request") {
            let text = text.trim_start_matches([':', ' ']).to_owned();
            return if webhook == PODS { Said::Held(text) } else { Said::HeldBy(webhook, text) };
        }
        match named(&self.message, "failed calling webhook \"", "\": ") {
            Some((webhook, why)) => Said::NotReached(webhook, without_path(&why)),
            None => Said::Refused(self.message.clone()),
        }
    }

    /// How each step stands at its backend, as Castoff says.
    pub fn steps(&self) -> Vec<StepNow> {
        self.warnings.iter().filter_map(|warning| StepNow::read(warning)).collect()
    }

    /// What was said besides.
    pub fn further_warnings(&self) -> Vec<String> {
        self.warnings.iter().filter(|warning| StepNow::read(warning).is_none()).cloned().collect()
    }
}

/// The name between two texts, and what follows the second.
fn named(message: &str, before: &str, after: &str) -> Option<(String, String)> {
    let (_, rest) = message.split_once(before)?;
    let (name, rest) = rest.split_once(after)?;
    Some((name.to_owned(), rest.to_owned()))
}

/// The text of a Warning header: `299 - "text"`, in which quotes and backslashes are escaped.
fn text_of(header: &str) -> Option<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: u16, message: &str, warnings: &[&str]) -> Said {
        let warnings = warnings.iter().map(|&warning| warning.to_owned()).collect();
        Trial { code, message: message.to_owned(), warnings }.said()
    }

    #[test]
    fn tells_castoffs_denial_from_those_of_others_and_from_failures() {
        let denied = "admission webhook \"pods.castoff.dev\" denied the request: a/b may not leave yet.";
        assert_eq!(said(429, denied, &[]), Said::Held("a/b may not leave yet.".to_owned()));
        let other = "admission webhook \"other.example\" denied the request: no";
        assert_eq!(said(400, other, &[]), Said::HeldBy("other.example".to_owned(), "no".to_owned()));
        let failing =
            "Internal error occurred: failed calling webhook \"pods.castoff.dev\": failed to call webhook: Post";
        assert_eq!(
            said(500, failing, &[]),
            Said::NotReached(PODS.to_owned(), "failed to call webhook: Post".to_owned())
        );
        assert_eq!(said(403, "pods \"b\" is forbidden", &[]), Said::Refused("pods \"b\" is forbidden".to_owned()));
    }

    #[test]
    fn only_castoffs_own_words_show_that_it_was_asked() {
        assert_eq!(said(200, "", &["castoff: step a (tikv): done"]), Said::Allowed { asked: true });
        assert_eq!(said(200, "", &["something is deprecated"]), Said::Allowed { asked: false });
    }

    #[test]
    fn a_warning_is_read_from_its_header() {
        assert_eq!(text_of("299 - \"a \\\"b\\\" \\\\ c\"").as_deref(), Some("a \"b\" \\ c"));
        assert_eq!(text_of("299 - nothing"), None);
    }
}

//! A delete of a pod, tried out: a dry run, which changes nothing anywhere and is answered as the real one would be.

use kube::Client;

use crate::admission::dry_run::{CAUSE, StepNow};
use crate::kubernetes::registration::{Answer, PODS, try_delete, without_path};

/// What the API server answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Trial {
    pub code: u16,
    pub message: String,
    pub warnings: Vec<String>,
    /// How each step stands at its backend, as Castoff says with a denial.
    pub steps: Vec<StepNow>,
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
pub(super) async fn delete(client: &Client, namespace: &str, pod: &str, uid: &str) -> kube::Result<Trial> {
    let Answer { code, status, warnings } = try_delete(client, namespace, pod, uid).await?;
    let causes = status.details.into_iter().flat_map(|details| details.causes).filter(|cause| cause.reason == CAUSE);
    let steps = causes.filter_map(|cause| serde_json::from_str(&cause.message).ok()).collect();
    Ok(Trial { code, message: status.message, warnings, steps })
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

    /// What was said besides how steps stand.
    pub fn further_warnings(&self) -> Vec<String> {
        let steps: Vec<String> = self.steps.iter().map(ToString::to_string).collect();
        // The API server may have cut it short.
        let is_step = |warning: &&String| steps.iter().any(|step| step.starts_with(warning.as_str()));
        self.warnings.iter().filter(|warning| !is_step(warning)).cloned().collect()
    }
}

/// The name between two texts, and what follows the second.
fn named(message: &str, before: &str, after: &str) -> Option<(String, String)> {
    let (_, rest) = message.split_once(before)?;
    let (name, rest) = rest.split_once(after)?;
    Some((name.to_owned(), rest.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: u16, message: &str, warnings: &[&str]) -> Said {
        let warnings = warnings.iter().map(|&warning| warning.to_owned()).collect();
        Trial { code, message: message.to_owned(), warnings, steps: Vec::new() }.said()
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
}

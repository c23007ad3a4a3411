//! Where people read on: the runbook, and which of its sections is about what.

use std::sync::Arc;

/// The runbook, as `docs/runbook.md` has it.
pub const TEXT: &str = include_str!("../docs/runbook.md");

/// The section that is about this, as its link names it. `reason` is what an event, a policy's condition or a finding
/// of the doctor calls it.
#[must_use]
pub fn section(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "DrainStalled" | "Stalled" => "stalled",
        "DrainBlocked" | "Blocked" => "blocked",
        "BackendSilent" | "BackendNotReached" | "BackendNotBelieved" | "BackendRefuses" => "backend-does-not-answer",
        "BesideOperator" => "guarded-beside-an-operator",
        "NothingSelected" => "nothing-selected",
        "PolicyChanged" => "policy-changed",
        "LeftUnprepared" => "left-unprepared",
        "NotRestored" => "not-restored",
        "DrainUnasked" | "Unasked" => "prepared-but-nobody-asks",
        "ReplacedByAllAppearance" => "replaced-by-all-appearance",
        "SlotFreed" => "a-slot-was-freed",
        "NoPods" | "PolicyWithoutPods" => "nopods",
        "NotCompiled" | "PolicyNotValid" => "notcompiled",
        "Conflict" | "PolicyConflict" => "conflict",
        "NotCalled" | "PolicyNotCalled" | "NotAsked" | "NotCovered" => "notcalled",
        "RegistrationDeleted" | "NotRegistered" => "guards-nothing",
        "RegistrationPutBack" => "registration-put-back",
        "CertificateEnds" | "CertificateNotAccepted" => "certificates",
        "PathGuessed" => "path-of-the-webhook",
        "NotInCharge" => "no-leader",
        "NoReplica" | "NotReached" | "ReplicaNotReady" => "no-replica-answers",
        "DrainNotKnown" | "VersionsDiffer" => "unknown-phase",
        "Bypassed" | "GateOpen" => "bypassed",
        "Frozen" => "frozen",
        _ => return None,
    })
}

/// The command that prints the section about this.
#[must_use]
pub fn command(reason: &str) -> Option<String> {
    section(reason).map(|section| format!("castoff runbook {section}"))
}

/// How messages in the cluster lead to the runbook.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links(Option<Arc<str>>);

impl Links {
    /// Links to the runbook where it is published; without a URL they name the command that prints it.
    #[must_use]
    pub fn to(url: Option<&str>) -> Self {
        Links(url.map(Arc::from))
    }

    /// A message about `reason` in at most so many bytes, with where to read on at its end.
    #[must_use]
    pub fn message(&self, message: &str, reason: &str, most: usize) -> String {
        let link = match (&self.0, section(reason)) {
            (Some(url), Some(section)) => format!(". Runbook: {url}#{section}"),
            (None, Some(section)) => format!(". Runbook: castoff runbook {section}"),
            (_, None) => String::new(),
        };
        let room = most.saturating_sub(link.len());
        let kept = &message[..message.floor_char_boundary(room)];
        match (link.as_str(), kept.ends_with('?')) {
            ("", _) => kept.to_owned(),
            // A question ends by its own mark.
            (link, true) => format!("{kept}{}", link.trim_start_matches('.')),
            (link, false) => format!("{}{link}", kept.trim_end_matches('.')),
        }
    }
}

/// A section of the runbook: its heading and what stands below.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// As readers see it.
    pub heading: &'static str,
    /// Markdown.
    pub text: &'static str,
}

impl Section {
    /// The heading as links name it, which is as GitHub does it.
    #[must_use]
    pub fn name(&self) -> String {
        self.heading.to_lowercase().replace(' ', "-")
    }
}

/// The sections, in the runbook's order.
pub fn sections() -> impl Iterator<Item = Section> {
    TEXT.split("\n## ").skip(1).map(|section| {
        let (heading, text) = section.split_once('\n').unwrap_or((section, ""));
        Section { heading, text: text.trim() }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    /// The reasons that this file names, read from it, so that none is forgotten here.
    fn reasons() -> Vec<&'static str> {
        let source = include_str!("runbook.rs").split("#[must_use]\npub fn command").next().unwrap();
        let quoted = source.split('"').skip(1).step_by(2);
        quoted.filter(|text| text.starts_with(char::is_uppercase)).collect()
    }

    #[test]
    fn every_reason_leads_to_a_section_that_is_there() {
        let names: Vec<String> = sections().map(|section| section.name()).collect();
        assert!(reasons().len() > 20, "{:?}", reasons());
        for reason in reasons() {
            let section = section(reason).unwrap_or_else(|| panic!("{reason} has no section"));
            assert!(names.iter().any(|name| name == section), "{reason} leads to {section}, which is not there");
        }
    }

    #[test]
    fn a_message_keeps_its_link_however_long_it_is() {
        let published = Links::to(Some("https://wiki.example/castoff/runbook"));
        let said = "12 leaders left, none has moved for 10m0s.";
        assert_eq!(
            published.message(said, "DrainStalled", 1024),
            "12 leaders left, none has moved for 10m0s. Runbook: https://wiki.example/castoff/runbook#stalled"
        );
        let long = "ü".repeat(1000);
        let cut = Links::default().message(&long, "DrainBlocked", 100);
        assert!(cut.len() <= 100 && cut.ends_with("ü. Runbook: castoff runbook blocked"), "{cut}");
        let asked = Links::default().message("is the port right?", "BackendNotReached", 100);
        assert_eq!(asked, "is the port right? Runbook: castoff runbook backend-does-not-answer");
        assert_eq!(Links::default().message("prepared in 2s", "Drained", 100), "prepared in 2s");
        assert_eq!(Links::default().message("prepared", "Drained", 3), "pre");
    }
}

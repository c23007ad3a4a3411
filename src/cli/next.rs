//! What a person types next, wherever this program ends a line with `next` or `fix`. All of it can be pasted into a
//! shell: what explains a command stands behind `#`.

use crate::remedy::Place;

use super::drains::DrainView;
use super::held::{Backend, GuardedBy, UNKNOWN};
use super::render::program;

/// What to do about a pod that is held: waiting is right only where the preparation can end by itself.
pub(super) fn about_held(pod: &str, guards: &[GuardedBy], view: Option<&DrainView>, backend: &[Backend]) -> String {
    let (namespace, name) = pod.split_once('/').unwrap_or(("", pod));
    let edit = |policy: &str, why: &str| format!("kubectl edit drainpolicy {policy} -n {namespace}   # {why}");
    if let [_, rival, ..] = guards {
        return edit(&rival.policy, "narrow its selector");
    }
    if let Some(wrong) = guards.iter().find(|guard| guard.mistake.is_some()) {
        return edit(&wrong.policy, "see the mistake above");
    }
    let policy = guards.first().map_or("", |guard| guard.policy.as_str());
    if let Some(step) = backend.iter().find(|step| step.state == UNKNOWN) {
        let secret = guards.iter().find_map(|guard| guard.secrets.get(&step.step)).map(String::as_str);
        return called(&step.cause.command(&Place { namespace, policy, secret }));
    }
    // What a look does not show: that an act was refused.
    if let Some(view) = view.filter(|view| view.cause.missing_right.is_some()) {
        return called(&view.cause.command(&Place { namespace, policy, secret: None }));
    }
    let blocked = backend.iter().any(|step| step.state == NOT_NOW);
    match view.map(|view| view.state.as_str()) {
        Some("Unreadable" | "Unknown") => format!("{} forget {name} -n {namespace} --yes", program()),
        Some("Stalled") => runbook("stalled"),
        _ if blocked => runbook("blocked"),
        _ => format!("{} prepare {name} -n {namespace} --wait", program()),
    }
}

/// A step whose plan says "not now".
const NOT_NOW: &str = "not now";

/// Looks at the whole installation.
pub(super) fn doctor() -> String {
    format!("{} doctor", program())
}

/// A section of the runbook.
pub(super) fn runbook(section: &str) -> String {
    format!("{} runbook {section}", program())
}

/// Which other webhooks there are.
pub(super) fn webhooks() -> String {
    "kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations".to_owned()
}

/// Whether one may do this.
pub(super) fn may_i(what: &str, namespace: &str) -> String {
    format!("kubectl auth can-i {what} -n {namespace}")
}

/// A command of this program as it was called here.
pub(super) fn called(command: &str) -> String {
    command.strip_prefix("castoff ").map_or_else(|| command.to_owned(), |rest| format!("{} {rest}", program()))
}

#[cfg(test)]
pub(super) mod typed {
    //! Whether what people are told to type can be typed.
    #![allow(clippy::panic)]

    use clap::CommandFactory;

    /// The verbs of kubectl that are told.
    const VERBS: [&str; 12] = [
        "annotate", "apply", "auth", "create", "delete", "describe", "edit", "get", "label", "logs", "patch", "rollout",
    ];

    /// Fails unless a shell takes this line as commands that there are, with nothing left to be filled in.
    pub fn can_be_typed(line: &str) {
        let command = line.split("   # ").next().unwrap_or(line);
        for part in command.split([';', '|']).flat_map(|part| part.split(" && ")) {
            let words: Vec<&str> = part.split_whitespace().collect();
            let is_blank = |word: &&str| word.contains(['<', '>', '(', ')', '…', '`', '"']) || word.contains("...");
            assert!(!words.iter().any(is_blank), "{line}: a shell does not take this");
            let is_placeholder = |word: &&str| word.len() > 2 && word.chars().all(|letter| letter.is_ascii_uppercase());
            assert!(!words.iter().any(is_placeholder), "{line}: something is left to be filled in");
            match words.as_slice() {
                ["kubectl", verb, ..] => assert!(VERBS.contains(verb), "{line}: kubectl has no {verb}"),
                ["castoff", ..] => castoff(line, &words),
                _ => panic!("{line}: is no command"),
            }
        }
    }

    fn castoff(line: &str, words: &[&str]) {
        if let Err(error) = super::super::Arguments::command().try_get_matches_from(words) {
            panic!("{line}: {error}");
        }
        if let ["castoff", "runbook", section] = words {
            let there = crate::runbook::sections().any(|found| found.name() == *section);
            assert!(there || crate::runbook::section(section).is_some(), "{line}: the runbook has no such section");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cli::drains::DrainView;
    use crate::lifecycle::{Drain, Phase};
    use crate::policy::spec::PolicyMode;
    use crate::remedy::{Cause, Kind, Right};

    fn guard(policy: &str, mistake: Option<&str>) -> GuardedBy {
        let secrets = BTreeMap::from([("evict".to_owned(), "pd-client".to_owned())]);
        let (policy, mistake) = (policy.to_owned(), mistake.map(str::to_owned));
        GuardedBy { policy, mode: PolicyMode::Enforce, steps: Vec::new(), mistake, secrets }
    }

    fn step(state: &'static str, kind: Kind) -> Backend {
        let (step, plan) = ("evict".to_owned(), "tikv".to_owned());
        Backend { step, plan, state, text: String::new(), cause: kind.into() }
    }

    fn view(change: impl FnOnce(&mut Drain)) -> DrainView {
        let mut drain = Drain::new(&crate::pod::Pod::default(), "tikv", "alice");
        drain.status.phase = Phase::Draining;
        change(&mut drain);
        DrainView::of_drain(&drain)
    }

    #[test]
    fn waiting_is_told_only_where_it_can_end() {
        let one = || vec![guard("tikv", None)];
        let stalled = view(|drain| drain.status.stalled = true);
        let unreadable = view(|drain| drain.status.phase = Phase::Unknown);
        let told = |guards: Vec<GuardedBy>, view: Option<&DrainView>, steps: &[Backend]| {
            let told = about_held("tidb/tikv-2", &guards, view, steps);
            typed::can_be_typed(&told);
            told
        };
        assert_eq!(told(one(), None, &[step("to do", Kind::Other)]), "castoff prepare tikv-2 -n tidb --wait");
        let edits = "kubectl edit drainpolicy";
        assert!(told(vec![guard("tikv", None), guard("all", None)], None, &[]).starts_with(&format!("{edits} all ")));
        assert!(told(vec![guard("tikv", Some("no plan"))], None, &[]).starts_with(&format!("{edits} tikv ")));
        assert!(told(one(), None, &[step(UNKNOWN, Kind::Silent)]).starts_with("kubectl get networkpolicies"));
        let keys = step(UNKNOWN, Kind::Keys);
        assert_eq!(told(one(), Some(&stalled), &[keys]), "kubectl describe secret pd-client -n tidb");
        assert_eq!(told(one(), Some(&stalled), &[step("to do", Kind::Other)]), "castoff runbook stalled");
        assert_eq!(told(one(), None, &[step(NOT_NOW, Kind::Other)]), "castoff runbook blocked");
        assert_eq!(told(one(), Some(&unreadable), &[]), "castoff forget tikv-2 -n tidb --yes");
    }

    #[test]
    fn every_remedy_can_be_typed() {
        use Kind::{
            AddressRefused, Certificates, Keys, NamesNoSecret, NoName, NoRole, NoSecret, Other, Refused, Silent,
            Unauthorized,
        };
        let kinds = [
            Refused,
            AddressRefused,
            NoName,
            Silent,
            Certificates,
            Unauthorized,
            NoRole,
            NoSecret,
            NamesNoSecret,
            Keys,
            Other,
        ];
        let of_secret = Right::to_read_secret("system:serviceaccount:a:b", "tidb", "x").0;
        for cause in kinds.map(Cause::from).into_iter().chain([of_secret.into()]) {
            for secret in [None, Some("x")] {
                typed::can_be_typed(&cause.command(&Place { namespace: "tidb", policy: "tikv", secret }));
            }
        }
    }
}

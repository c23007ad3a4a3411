//! `castoff check-pod`: what would happen if the pod were deleted now.

use clap::Args;
use serde::Serialize;

use crate::admission::{Stage, first_questions, messages};
use crate::kubernetes::cache::chain;
use crate::kubernetes::drains;
use crate::kubernetes::resources::pod_drains;
use crate::policy::spec::PolicyMode;

use super::connect::{Reach, whoami};
use super::drains::DrainView;
use super::held::{Backend, GuardedBy};
use super::output::{self, Output};
use super::render::{Paint, painted, table};
use super::trial::{self, Said};
use super::{Failure, guards, next, waits};

/// Says what would happen if a pod were deleted now: which policy guards it, how its backend stands, may it leave.
///
/// It sends the delete as a dry run: the API server asks Castoff, Castoff looks at the backend, and nothing is changed
/// anywhere. So it needs the right to delete the pod.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  castoff check-pod basic-tikv-2 -n tidb
  castoff check-pod basic-tikv-2 -n tidb -o json

Exit codes: 0 it may leave now, 1 it may not, or should be guarded and is not, 2 wrong usage.")]
pub(super) struct CheckPod {
    /// The pod
    #[arg(value_name = "POD")]
    pod: String,

    /// How to print
    #[arg(short, long, default_value = "table", value_name = "FORMAT")]
    output: Output,

    #[command(flatten)]
    reach: Reach,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    pod: String,
    guarded_by: Vec<GuardedBy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    view: Option<DrainView>,
    /// How each step stands at its backend.
    backend: Vec<Backend>,
    may_leave: bool,
    /// What the answer would be, and why.
    answer: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Tries the delete out, prints what it comes to, and says no if the pod may not leave.
pub(super) async fn run(command: CheckPod) -> Result<(), Failure> {
    let (client, namespace) = command.reach.connect().await?;
    let pod = guards::pod(&client, &namespace, &command.pod).await?;
    let user = whoami(&client).await?;
    let policies = guards::policies(&client, &namespace).await?;
    let labels = guards::node_labels(&client, &pod, &policies).await;
    let guard = match first_questions(&guards::delete_of(&pod, &user), None, &policies, labels.as_ref()) {
        Stage::Guarded(guard) => vec![Some(guard.policy), guard.rival],
        Stage::Answer(_) => Vec::new(),
    };
    let guarded_by: Vec<GuardedBy> = guard.iter().flatten().map(GuardedBy::of).collect();
    let drains = crate::cli::connect::list(&client, &pod_drains(), Some(&namespace)).await?;
    let is_its = |object: &&kube::core::DynamicObject| pod.metadata.uid == *drains::read(object).drain.pod_uid();
    let mut view = drains.iter().find(is_its).map(DrainView::of);
    waits::Reasons::default().explain(&client, view.as_mut_slice()).await;
    let trial = trial::delete(&client, &namespace, &command.pod, &pod.metadata.uid).await;
    let trial = trial.map_err(|error| Failure::No(chain(&error)))?;
    let report = Report::of(&pod.full_name(), guarded_by, view, &trial);
    output::print_as(command.output, &report, || {
        report.lines().iter().for_each(output::line);
    })?;
    if report.may_leave { Ok(()) } else { Err(Failure::No(String::new())) }
}

impl Report {
    fn of(pod: &str, guarded_by: Vec<GuardedBy>, view: Option<DrainView>, trial: &trial::Trial) -> Self {
        let backend: Vec<Backend> = trial.steps.iter().map(Backend::of).collect();
        let enforced = guarded_by.iter().any(|guard| guard.mode == PolicyMode::Enforce);
        let held = || next::about_held(pod, &guarded_by, view.as_ref(), &backend);
        let (may_leave, answer, next) = match trial.said() {
            // Castoff says something on every dry run of a pod that a policy selects.
            Said::Allowed { asked: false } if enforced => {
                let answer = "the delete would be carried out: the API server does not ask Castoff about it";
                (false, answer.to_owned(), Some(next::doctor()))
            }
            Said::Allowed { .. } if guarded_by.is_empty() => (true, "no policy guards it".to_owned(), None),
            Said::Allowed { .. } => (true, "the delete would be allowed".to_owned(), None),
            Said::Held(message) => {
                let next = held();
                (false, message, Some(next))
            }
            Said::HeldBy(webhook, message) => {
                (false, format!("another webhook, {webhook}, denies it: {message}"), Some(next::webhooks()))
            }
            Said::NotReached(webhook, why) => {
                (false, format!("the API server can't ask the webhook {webhook}: {why}"), Some(next::doctor()))
            }
            Said::Refused(message) => {
                let next = next::may_i("delete pods", pod.split_once('/').map_or("", |(namespace, _)| namespace));
                (false, format!("the API server refuses: {message}"), Some(next))
            }
        };
        Report {
            pod: pod.to_owned(),
            guarded_by,
            view,
            backend,
            may_leave,
            // What a person who deletes is told, and who only tries it out need not be.
            answer: messages::without_next_step(&answer).to_owned(),
            warnings: trial.further_warnings(),
            next,
        }
    }

    fn lines(&self) -> Vec<String> {
        let plain = |text: &str| (text.to_owned(), Paint::Plain);
        let mut rows = vec![vec![plain("pod"), plain(&self.pod)]];
        for guard in &self.guarded_by {
            let how = match &guard.mistake {
                Some(mistake) => format!("policy {}, which is not valid: {mistake}", guard.policy),
                None => format!("policy {}, mode {}: {}", guard.policy, guard.mode, guard.steps.join(", then ")),
            };
            rows.push(vec![plain("guarded by"), plain(&how)]);
        }
        if self.guarded_by.is_empty() {
            rows.push(vec![plain("guarded by"), plain("nothing")]);
        }
        let view = self.view.as_ref().filter(|view| !view.over);
        rows.extend(view.map(|view| vec![plain("drain"), plain(&view.sentence())]));
        for step in &self.backend {
            let text = if step.text.is_empty() { String::new() } else { format!(": {}", step.text) };
            rows.push(vec![
                plain("backend now"),
                plain(&format!("{} ({}): {}{text}", step.step, step.plan, step.state)),
            ]);
        }
        rows.extend(self.warnings.iter().map(|warning| vec![plain("warning"), plain(warning)]));
        let (word, colour) = if self.may_leave { ("yes", Paint::Good) } else { ("no", Paint::Bad) };
        rows.push(vec![plain("may leave"), plain(&format!("{}: {}", painted(word, colour), self.answer))]);
        rows.extend(self.next.as_ref().map(|next| vec![plain("next"), plain(next)]));
        table(&rows)
    }
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;
    use crate::admission::dry_run::{State, StepNow};
    use crate::cli::trial::Trial;
    use crate::plan::Progress;
    use crate::remedy::Cause;

    fn guard(mode: PolicyMode) -> GuardedBy {
        let steps = vec!["evict-leaders (tikv)".to_owned()];
        let secrets = std::collections::BTreeMap::default();
        GuardedBy { policy: "tikv".to_owned(), mode, steps, mistake: None, secrets }
    }

    fn report(guards: Vec<GuardedBy>, code: u16, message: &str, warnings: &[&str]) -> Report {
        let warnings = warnings.iter().map(|&warning| warning.to_owned()).collect();
        let trial = Trial { code, message: message.to_owned(), warnings, steps: Vec::new() };
        Report::of("tidb/tikv-2", guards, None, &trial)
    }

    #[test]
    fn says_what_guards_how_the_backend_stands_and_what_to_do() {
        let message = "admission webhook \"pods.castoff.dev\" denied the request: tidb/tikv-2 may not leave yet \
                       (policy tikv): it is to be prepared. This delete is not kept: repeat it until it is allowed.";
        let warnings = ["castoff: step evict-leaders (tikv): to do: 40 leaders left", "something is deprecated"];
        let warnings = warnings.map(str::to_owned).to_vec();
        let left = Some(Progress { remaining: 40, unit: "leaders".to_owned() });
        let (step, plan, text) = ("evict-leaders".to_owned(), "tikv".to_owned(), String::new());
        let steps = vec![StepNow { step, plan, state: State::ToDo, left, text, cause: Cause::default() }];
        let trial = Trial { code: 429, message: message.to_owned(), warnings, steps };
        let report = Report::of("tidb/tikv-2", vec![guard(PolicyMode::Enforce)], None, &trial);
        assert!(!report.may_leave);
        assert_eq!(
            report.lines().iter().map(|line| strip_str(line).to_string()).collect::<Vec<_>>(),
            [
                "pod          tidb/tikv-2",
                "guarded by   policy tikv, mode Enforce: evict-leaders (tikv)",
                "backend now  evict-leaders (tikv): to do: 40 leaders left",
                "warning      something is deprecated",
                "may leave    no: tidb/tikv-2 may not leave yet (policy tikv): it is to be prepared.",
                "next         castoff prepare tikv-2 -n tidb --wait",
            ]
        );
    }

    #[test]
    fn a_guarded_pod_that_castoff_is_not_asked_about_is_no_pod_that_may_leave() {
        let unasked = report(vec![guard(PolicyMode::Enforce)], 200, "", &[]);
        assert!(!unasked.may_leave && unasked.answer.contains("does not ask Castoff"), "{unasked:?}");
        let asked = ["castoff: step evict-leaders (tikv): done"];
        assert!(report(vec![guard(PolicyMode::Enforce)], 200, "", &asked).may_leave);
        assert!(report(vec![], 200, "", &[]).may_leave);
    }

    #[test]
    fn what_else_is_in_the_way_is_named() {
        let other = report(vec![], 400, "admission webhook \"other.example\" denied the request: no", &[]);
        assert!(!other.may_leave && other.answer.contains("other.example"));
        let failing = "Internal error occurred: failed calling webhook \"pods.castoff.dev\": connection refused";
        let failing = report(vec![guard(PolicyMode::Enforce)], 500, failing, &[]);
        assert!(failing.next.is_some_and(|next| next.ends_with("doctor")));
    }
}

//! `castoff history`: drains that are over, how long each took, and whether that fits what drains nodes.

use std::collections::BTreeMap;

use clap::Args;
use kube::core::DynamicObject;
use serde::Serialize;

use crate::kubernetes::drains;
use crate::kubernetes::history::{Summary, remembered};
use crate::kubernetes::policies::{PolicyObject, read_policy};
use crate::kubernetes::resources::{drain_policies, pod_drains};

use super::Failure;
use super::connect::{Which, list};
use super::output::{self, Output};
use super::render::{Paint, span, table};
use super::upgrades::UPGRADES;

/// Shows drains that are over: how each pod left, who asked, how long it took; and what that means for node upgrades.
///
/// A policy's status keeps the last ten, also after the PodDrains are gone.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  castoff history -n tidb
  castoff history -A -o json | jq '.policies[] | {policy, worstSeconds}'
  castoff history basic-tikv-2 -n tidb

It needs the rights of the ClusterRole castoff-view.

Exit codes: 0 fine, 1 the cluster did not answer, 2 wrong usage.")]
pub(super) struct History {
    /// Only this pod's
    #[arg(value_name = "POD")]
    pod: Option<String>,

    /// The namespace; default: that of the kubeconfig's context
    #[arg(short, long, value_name = "NAME", conflicts_with = "all_namespaces")]
    namespace: Option<String>,

    /// All namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,

    /// How to print
    #[arg(short, long, default_value = "table", value_name = "FORMAT")]
    output: Output,

    #[command(flatten)]
    which: Which,
}

/// All of it.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Report {
    drains: Vec<Over>,
    policies: Vec<Figures>,
}

/// A drain that is over.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Over {
    namespace: String,
    policy: String,
    #[serde(flatten)]
    summary: Summary,
}

/// How long a policy's preparations took, of the pods that left prepared.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Figures {
    namespace: String,
    policy: String,
    drains: usize,
    median_seconds: i64,
    worst_seconds: i64,
    /// Who would not wait so long.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    too_long_for: Vec<&'static str>,
}

/// Shows it.
pub(super) async fn run(command: History) -> Result<(), Failure> {
    let client = command.which.connect().await?;
    let namespace = command.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
    let namespace = (!command.all_namespaces).then_some(namespace);
    let policies = list(&client, &drain_policies(), namespace.as_deref()).await?;
    let drains = list(&client, &pod_drains(), namespace.as_deref()).await?;
    let report = Report::of(&policies, &drains, command.pod.as_deref());
    output::print_as(command.output, &report, || report.lines().iter().for_each(output::line))
}

/// What a policy's status keeps.
fn kept(policy: &PolicyObject) -> Vec<Summary> {
    let kept = policy.status.get("history").cloned().unwrap_or_default();
    serde_json::from_value(kept).unwrap_or_default()
}

/// How long a policy's last preparations took, and whether that fits, in a sentence.
pub(super) fn told(policy: &PolicyObject) -> Option<String> {
    let key = (policy.namespace.clone(), policy.name.clone());
    Figures::of(&key, &kept(policy)).map(|figures| figures.sentence())
}

impl Report {
    /// What these objects tell, of one pod or of all.
    pub fn of<'a>(
        policies: impl IntoIterator<Item = &'a DynamicObject>,
        drains: impl IntoIterator<Item = &'a DynamicObject>,
        pod: Option<&str>,
    ) -> Self {
        let mut by_policy: BTreeMap<(String, String), Vec<Summary>> = BTreeMap::new();
        for (_, policy) in policies.into_iter().filter_map(read_policy) {
            let kept = kept(&policy);
            by_policy.insert((policy.namespace, policy.name), kept);
        }
        for kept in drains.into_iter().map(drains::read) {
            let Some(summary) = Summary::of(&kept.drain, &kept.times) else { continue };
            let key = (kept.drain.metadata.namespace.clone(), kept.drain.spec.policy.clone());
            let known = by_policy.entry(key).or_default();
            *known = remembered(known, [summary]);
        }
        let figures = by_policy.iter().filter_map(|(key, all)| Figures::of(key, all)).collect();
        let is_wanted = |over: &Over| pod.is_none_or(|pod| over.summary.pod == pod);
        let over = by_policy.into_iter().flat_map(|((namespace, policy), all)| {
            all.into_iter().map(move |summary| Over { namespace: namespace.clone(), policy: policy.clone(), summary })
        });
        let mut drains: Vec<Over> = over.filter(is_wanted).collect();
        drains.sort_by(|one, other| one.summary.ended.cmp(&other.summary.ended));
        Report { drains, policies: figures }
    }

    fn lines(&self) -> Vec<String> {
        if self.drains.is_empty() {
            return vec!["no drain is over here, or its policy is gone".to_owned()];
        }
        let mut lines = table(&self.rows());
        lines.push(String::new());
        lines.extend(self.sentences());
        lines
    }

    /// The drains as a table, its heads first.
    pub fn rows(&self) -> Vec<Vec<(String, Paint)>> {
        let plain = |text: &str| (text.to_owned(), Paint::Plain);
        let heads = ["NAMESPACE", "POD", "POLICY", "OUTCOME", "WAITED", "PREPARED IN", "AWAY", "TRIES", "ENDED", "BY"];
        let mut rows = vec![heads.map(plain).to_vec()];
        rows.extend(self.drains.iter().map(Over::row));
        rows
    }

    /// What is to be told of each policy.
    pub fn sentences(&self) -> impl Iterator<Item = String> {
        self.policies.iter().map(Figures::sentence)
    }
}

impl Over {
    fn row(&self) -> Vec<(String, Paint)> {
        let Summary { pod, outcome, requester, tries, ended, .. } = &self.summary;
        let paint = match outcome.as_str() {
            "Prepared" => Paint::Good,
            "Unprepared" => Paint::Bad,
            _ => Paint::Waiting,
        };
        let short = requester.strip_prefix("system:serviceaccount:").unwrap_or(requester);
        let plain = |text: String| (text, Paint::Plain);
        vec![
            plain(self.namespace.clone()),
            plain(pod.clone()),
            plain(self.policy.clone()),
            (outcome.clone(), paint),
            plain(span(self.summary.waited_seconds)),
            plain(span(self.summary.prepared_seconds)),
            plain(span(self.summary.away_seconds)),
            plain(tries.to_string()),
            plain(ended.clone()),
            plain(short.to_owned()),
        ]
    }
}

impl Figures {
    fn of((namespace, policy): &(String, String), all: &[Summary]) -> Option<Self> {
        let prepared = all.iter().filter(|summary| summary.outcome == "Prepared");
        let mut seconds: Vec<i64> = prepared.map(|it| it.waited_seconds + it.prepared_seconds).collect();
        seconds.sort_unstable();
        let worst = *seconds.last()?;
        let too_long = UPGRADES.iter().filter(|upgrade| worst > upgrade.seconds).map(|upgrade| upgrade.says);
        Some(Figures {
            namespace: namespace.clone(),
            policy: policy.clone(),
            drains: seconds.len(),
            median_seconds: seconds.get(seconds.len() / 2).copied().unwrap_or(worst),
            worst_seconds: worst,
            too_long_for: too_long.collect(),
        })
    }

    fn sentence(&self) -> String {
        let Figures { namespace, policy, drains, median_seconds, worst_seconds, too_long_for } = self;
        let (median, worst) = (span(*median_seconds), span(*worst_seconds));
        let fits = match too_long_for.as_slice() {
            [] => "fits every managed upgrade".to_owned(),
            some => format!("may be too long: {}", some.join("; ")),
        };
        format!(
            "policy {namespace}/{policy}: {drains} prepared, median {median}, worst {worst} from the first try; {fits}"
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use anstream::adapter::strip_str;
    use serde_json::json;

    use super::*;

    fn summary(pod: &str, outcome: &str, prepared: i64, ended: &str) -> serde_json::Value {
        json!({"pod": pod, "drain": format!("{pod}-7c0ffee1"), "outcome": outcome, "tries": 7, "ended": ended,
            "requester": "system:serviceaccount:kube-system:statefulset-controller",
            "waitedSeconds": 2, "preparedSeconds": prepared, "readySeconds": 1, "awaySeconds": 30})
    }

    fn policy(history: &serde_json::Value) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "castoff.dev/v1alpha1", "kind": "DrainPolicy",
            "metadata": {"name": "tikv", "namespace": "tidb"}, "spec": {}, "status": {"history": history},
        }))
        .unwrap()
    }

    #[test]
    fn each_drain_is_a_line_and_each_policy_says_whether_its_preparations_fit() {
        let history = json!([
            summary("tikv-0", "Prepared", 60, "2030-01-01T00:00:00Z"),
            summary("tikv-1", "Prepared", 1200, "2030-01-01T00:10:00Z"),
            summary("tikv-2", "GivenUp", 5000, "2030-01-01T00:20:00Z"),
        ]);
        let report = Report::of(&[policy(&history)], &[], None);
        let lines: Vec<String> = report.lines().iter().map(|line| strip_str(line).to_string()).collect();
        assert_eq!(
            lines[1],
            "tidb       tikv-0  tikv    Prepared  2s      60s          30s   7      2030-01-01T00:00:00Z  kube-system:statefulset-controller"
        );
        assert_eq!(
            lines.last().map(String::as_str),
            Some(
                "policy tidb/tikv: 2 prepared, median 20m, worst 20m from the first try; may be too long: an EKS managed \
                 node group gives an upgrade up after 15 minutes"
            )
        );
        let (_, read) = read_policy(&policy(&history)).unwrap();
        assert_eq!(told(&read).as_deref(), lines.last().map(String::as_str));
        assert_eq!(Report::of(&[policy(&history)], &[], Some("tikv-1")).drains.len(), 1);
    }

    #[test]
    fn a_drain_that_is_still_there_is_told_once() {
        let drain = |phase: &str| -> DynamicObject {
            serde_json::from_value(json!({
                "apiVersion": "castoff.dev/v1alpha1", "kind": "PodDrain",
                "metadata": {"name": "tikv-0-7c0ffee1", "namespace": "tidb"},
                "spec": {"pod": {"name": "tikv-0", "uid": "7c0ffee1"}, "policy": "tikv", "requester": "alice"},
                "status": {"phase": phase, "left": true, "outcome": "Prepared", "tries": 3,
                    "times": {"since": "2030-01-01T00:00:00Z", "seconds": {"Queued": 2, "Draining": 60}}},
            }))
            .unwrap()
        };
        let kept = json!([summary("tikv-0", "Prepared", 60, "2030-01-01T00:00:00Z")]);
        assert_eq!(Report::of(&[policy(&kept)], &[drain("Completed")], None).drains.len(), 1);
        assert_eq!(
            Report::of(&[policy(&json!([]))], &[drain("Completed")], None).drains[0].summary.prepared_seconds,
            60
        );
        assert!(Report::of(&[policy(&json!([]))], &[drain("Drained")], None).drains.is_empty());
    }
}

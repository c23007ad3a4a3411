//! `castoff audit`: what policies in mode Audit would have held, by the API server's audit log.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::admission::Reason;

use super::Failure;
use super::output::{self, Output};
use super::render::{Paint, table};

/// Tells what policies in mode Audit would have held, by the API server's audit log.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  castoff audit --since 7d /var/log/kubernetes/audit/audit.log
  gcloud logging read ... --format=json | jq -c '.[].protoPayload' | castoff audit -
  castoff audit audit.log -o json | jq '.[] | select(.never > 0)'

It reads the audit log as the API server writes it: a JSON object a line, with the level Metadata
or more for deletes of pods and creates of pods/eviction. A delete of a collection is one line, and
counts as one pod. Where there is no such log, castoff_audited_total counts the same, by policy.
docs/from-audit-to-enforce.md has more.

Exit codes: 0 fine, 1 a file can't be read, 2 wrong usage.")]
pub(super) struct Audit {
    /// The log's files; - for standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// Only what was asked since then, as 7d, 12h or 30m
    #[arg(long, value_name = "TIME", value_parser = ago)]
    since: Option<Duration>,

    /// How to print
    #[arg(short, long, default_value = "table", value_name = "FORMAT")]
    output: Output,
}

/// Prints it.
pub(super) async fn run(command: Audit) -> Result<(), Failure> {
    tokio::task::spawn_blocking(move || tell(&command)).await.map_err(Failure::no)?
}

fn tell(command: &Audit) -> Result<(), Failure> {
    let from = command.since.and_then(|since| Timestamp::now().checked_sub(since).ok());
    let mut found = Found::default();
    for file in &command.files {
        let unread = |error: std::io::Error| Failure::No(format!("{}: {error}", file.display()));
        let input: Box<dyn BufRead> = if file == Path::new("-") {
            Box::new(std::io::stdin().lock())
        } else {
            Box::new(BufReader::new(std::fs::File::open(file).map_err(unread)?))
        };
        for line in input.lines() {
            found.take(&line.map_err(unread)?, from);
        }
    }
    let policies = found.policies();
    output::print_as(command.output, &policies, || lines(&policies, found.read).iter().for_each(output::line))
}

/// Reads `7d` too, besides what other options take.
fn ago(text: &str) -> Result<Duration, &'static str> {
    if let Some(days) = text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok()) {
        return Ok(Duration::from_secs(days.saturating_mul(86_400)));
    }
    super::serve::duration(text).map_err(|_| "write a time as 7d, 12h or 30m")
}

/// What a log holds.
#[derive(Default)]
struct Found {
    /// Lines that are of an audit log.
    read: usize,
    /// By namespace and name of the policy.
    by_policy: BTreeMap<(String, String), Of>,
}

/// What it holds of a policy.
#[derive(Default)]
struct Of {
    pods: BTreeSet<String>,
    held: BTreeSet<String>,
    would: BTreeMap<Reason, usize>,
    callers: BTreeMap<String, usize>,
}

/// What would have become of a policy's pods.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Audited {
    namespace: String,
    policy: String,
    /// Pods that were asked for.
    pods: usize,
    /// Of these, pods that would have been held first.
    held: usize,
    /// Requests that nothing but a person would have ended: the policy is in conflict, or can't be followed.
    never: usize,
    /// Requests by the question that would have decided.
    would: BTreeMap<&'static str, usize>,
    /// Requests by who asked, the most frequent first.
    callers: Vec<(String, usize)>,
}

impl Found {
    fn take(&mut self, line: &str, from: Option<Timestamp>) {
        let Ok(event) = serde_json::from_str::<Value>(line) else { return };
        let text = |place: &str| event.pointer(place).and_then(Value::as_str).unwrap_or_default();
        if !["", "ResponseComplete"].contains(&text("/stage")) {
            return;
        }
        self.read += usize::from(event.get("objectRef").is_some());
        let when: Option<Timestamp> = text("/requestReceivedTimestamp").parse().ok();
        if from.is_some_and(|from| when.is_some_and(|when| when < from)) {
            return;
        }
        let annotation = |name: &str| {
            let places = ["pods", "evictions"].map(|webhook| format!("{webhook}.castoff.dev/{name}"));
            places.into_iter().find_map(|key| event["annotations"].get(&key).and_then(Value::as_str))
        };
        let (Some(policy), Some(would)) = (annotation("policy"), annotation("would")) else { return };
        let Some(would) = Reason::ALL.into_iter().find(|reason| reason.as_str() == would) else { return };
        let key = (text("/objectRef/namespace").to_owned(), policy.to_owned());
        let (of, pod) = (self.by_policy.entry(key).or_default(), text("/objectRef/name").to_owned());
        if !matches!(would, Reason::Drained | Reason::Departing) {
            of.held.insert(pod.clone());
        }
        of.pods.insert(pod);
        *of.would.entry(would).or_default() += 1;
        let user = text("/user/username");
        let user = user.strip_prefix("system:serviceaccount:").unwrap_or(user).to_owned();
        *of.callers.entry(user).or_default() += 1;
    }

    fn policies(&self) -> Vec<Audited> {
        let policy = |((namespace, policy), of): (&(String, String), &Of)| {
            let mut callers: Vec<(String, usize)> =
                of.callers.iter().map(|(user, count)| (user.clone(), *count)).collect();
            callers.sort_by_key(|(user, count)| (std::cmp::Reverse(*count), user.clone()));
            let of_person = |reason: &Reason| matches!(reason, Reason::Conflict | Reason::InvalidPolicy);
            Audited {
                namespace: namespace.clone(),
                policy: policy.clone(),
                pods: of.pods.len(),
                held: of.held.len(),
                never: of.would.iter().filter(|(reason, _)| of_person(reason)).map(|(_, count)| count).sum(),
                would: of.would.iter().map(|(reason, count)| (reason.as_str(), *count)).collect(),
                callers,
            }
        };
        self.by_policy.iter().map(policy).collect()
    }
}

fn lines(policies: &[Audited], read: usize) -> Vec<String> {
    if policies.is_empty() {
        let why = if read == 0 {
            "there is no line of an audit log"
        } else {
            "no pod of a policy in mode Audit was asked for"
        };
        return vec![format!("{why} (of {read} requests that were read)")];
    }
    let plain = |text: String| (text, Paint::Plain);
    let heads = ["NAMESPACE", "POLICY", "PODS", "WOULD BE HELD", "BY", "ASKED FOR BY"];
    let mut rows = vec![heads.map(|head| plain(head.to_owned())).to_vec()];
    for policy in policies {
        let would: Vec<String> = policy.would.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        let callers: Vec<String> =
            policy.callers.iter().take(3).map(|(user, count)| format!("{user} {count}")).collect();
        rows.push(vec![
            plain(policy.namespace.clone()),
            plain(policy.policy.clone()),
            plain(policy.pods.to_string()),
            (policy.held.to_string(), if policy.never > 0 { Paint::Bad } else { Paint::Plain }),
            plain(would.join(", ")),
            plain(callers.join(", ")),
        ]);
    }
    let mut lines = table(&rows);
    for policy in policies.iter().filter(|policy| policy.never > 0) {
        let Audited { namespace, policy, never, .. } = policy;
        lines.push(format!(
            "policy {namespace}/{policy}: {never} requests would have been denied until somebody mends the policy: \
             kubectl describe drainpolicy {policy} -n {namespace}"
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use anstream::adapter::strip_str;
    use serde_json::json;

    use super::*;

    fn line(pod: &str, webhook: &str, would: &str, user: &str, time: &str) -> String {
        json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "stage": "ResponseComplete", "verb": "delete",
            "requestReceivedTimestamp": time, "user": {"username": user},
            "objectRef": {"resource": "pods", "namespace": "tidb", "name": pod},
            "annotations": {
                (format!("{webhook}.castoff.dev/reason")): "Audited", (format!("{webhook}.castoff.dev/policy")): "tikv",
                (format!("{webhook}.castoff.dev/would")): would,
            },
        })
        .to_string()
    }

    fn log() -> Vec<String> {
        let owner = "system:serviceaccount:kube-system:statefulset-controller";
        let unguarded = json!({"stage": "ResponseComplete", "objectRef": {"namespace": "web", "name": "a"},
            "annotations": {"pods.castoff.dev/reason": "NotGuarded"}});
        vec![
            line("tikv-0", "pods", "Queued", owner, "2030-01-01T00:00:00.000000Z"),
            line("tikv-1", "pods", "Queued", owner, "2030-01-02T00:00:00.000000Z"),
            line("tikv-1", "evictions", "Drained", "alice", "2030-01-02T00:01:00.000000Z"),
            unguarded.to_string(),
            "no line of such a log".to_owned(),
            line("tikv-2", "pods", "Queued", owner, "2030-01-02T00:00:00Z")
                .replace("ResponseComplete", "RequestReceived"),
        ]
    }

    fn told(lines_of: &[String], from: Option<&str>) -> Vec<String> {
        let mut found = Found::default();
        for line in lines_of {
            found.take(line, from.map(|from| from.parse().unwrap()));
        }
        lines(&found.policies(), found.read).iter().map(|line| strip_str(line).to_string()).collect()
    }

    #[test]
    fn each_policy_says_what_it_would_have_held_and_who_asked() {
        assert_eq!(
            told(&log(), None),
            [
                "NAMESPACE  POLICY  PODS  WOULD BE HELD  BY                   ASKED FOR BY",
                "tidb       tikv    2     2              Drained 1, Queued 2  kube-system:statefulset-controller 2, alice 1",
            ]
        );
        let later = told(&log(), Some("2030-01-01T12:00:00Z"));
        assert!(later[1].starts_with("tidb       tikv    1     1"), "{later:?}");
    }

    #[test]
    fn what_nothing_but_a_person_would_have_ended_is_told() {
        let conflict = [line("tikv-0", "pods", "Conflict", "alice", "2030-01-01T00:00:00Z")];
        assert!(told(&conflict, None)[2].contains("kubectl describe drainpolicy tikv -n tidb"));
    }

    #[test]
    fn a_log_without_such_lines_says_so() {
        assert_eq!(
            told(&log()[3..4], None),
            ["no pod of a policy in mode Audit was asked for (of 1 requests that were read)"]
        );
        assert!(told(&["x".to_owned()], None)[0].starts_with("there is no line of an audit log"));
    }

    #[test]
    fn a_time_may_be_days() {
        assert_eq!((ago("7d"), ago("12h")), (Ok(Duration::from_hours(168)), Ok(Duration::from_hours(12))));
        assert!(ago("soon").is_err());
    }
}

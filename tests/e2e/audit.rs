//! The API server's audit log: what was asked and answered, in whose name and when, told by neither us nor the guard.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

/// As whom the guard asks.
pub const GUARD: &str = "system:serviceaccount:castoff-system:castoff";

/// One request, answered.
#[derive(Debug)]
pub struct Line(Value);

/// What was answered in a namespace so far; `None` where this cluster's audit log can't be read.
pub fn of_namespace(namespace: &str) -> Option<Vec<Line>> {
    let mut lines = with(&format!("\"namespace\":\"{namespace}\""))?;
    lines.retain(|line| line.0["stage"] == "ResponseComplete");
    Some(lines)
}

/// All that the guard has asked for since the control plane was started, watches from their beginning; `None` where
/// this cluster's audit log can't be read.
pub fn of_guard() -> Option<Vec<Line>> {
    let mut lines = with(GUARD)?;
    lines.retain(|line| line.user() == GUARD);
    Some(lines)
}

fn with(word: &str) -> Option<Vec<Line>> {
    let path = std::env::var("CASTOFF_TEST_CLUSTER_AUDIT_LOG").ok()?;
    let text = std::fs::read_to_string(path).ok()?;
    let lines = text.lines().filter(|line| line.contains(word)).filter_map(|line| serde_json::from_str(line).ok());
    Some(lines.map(Line).collect())
}

impl Line {
    /// Whether this was done, and was no dry run: `delete`, `pods`, `poddrains/status`.
    pub fn is(&self, verb: &str, resource: &str) -> bool {
        let (kind, part) = resource.split_once('/').unwrap_or((resource, ""));
        let is_dry = self.0["requestURI"].as_str().is_some_and(|uri| uri.contains("dryRun"));
        self.verb() == verb && self.about("resource") == kind && self.about("subresource") == part && !is_dry
    }

    pub fn succeeded(&self) -> bool {
        self.code().is_some_and(|code| code < 300)
    }

    pub fn code(&self) -> Option<u64> {
        self.0["responseStatus"]["code"].as_u64()
    }

    /// Why it failed.
    pub fn message(&self) -> &str {
        self.0["responseStatus"]["message"].as_str().unwrap_or_default()
    }

    pub fn verb(&self) -> &str {
        self.0["verb"].as_str().unwrap_or_default()
    }

    /// A field of what it was about: `apiGroup`, `resource`, `subresource`, `namespace`.
    pub fn about(&self, field: &str) -> &str {
        self.0["objectRef"][field].as_str().unwrap_or_default()
    }

    pub fn name(&self) -> &str {
        self.about("name")
    }

    pub fn user(&self) -> &str {
        self.0["user"]["username"].as_str().unwrap_or_default()
    }

    /// The question by which the guard decided.
    pub fn question(&self) -> &str {
        self.0["annotations"]["pods.castoff.dev/reason"].as_str().unwrap_or_default()
    }

    pub fn came(&self) -> Timestamp {
        time(&self.0["requestReceivedTimestamp"])
    }

    pub fn answered(&self) -> Timestamp {
        time(&self.0["stageTimestamp"])
    }

    /// Whether it changes something, or was meant to.
    pub fn changes(&self) -> bool {
        !["get", "list", "watch"].map(Some).contains(&self.0["verb"].as_str())
    }
}

impl Display for Line {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        let (verb, about) = (self.0["verb"].as_str().unwrap_or_default(), &self.0["objectRef"]);
        let kind = about["resource"].as_str().unwrap_or_default();
        let part = about["subresource"].as_str().map(|part| format!("/{part}")).unwrap_or_default();
        let code = &self.0["responseStatus"]["code"];
        write!(to, "{} {} {verb} {kind}{part} {}: {code}", self.came(), self.user(), self.name())?;
        if self.question().is_empty() { Ok(()) } else { write!(to, " ({})", self.question()) }
    }
}

/// The last changes in a namespace, one a line.
pub fn last_changes(namespace: &str, most: usize) -> String {
    let Some(lines) = of_namespace(namespace) else { return "can't be read on this cluster".to_owned() };
    let changes: Vec<String> = lines.iter().filter(|line| line.changes()).map(ToString::to_string).collect();
    changes[changes.len().saturating_sub(most)..].join("\n")
}

fn time(value: &Value) -> Timestamp {
    value.as_str().and_then(|text| text.parse().ok()).unwrap()
}

/// How long a write of the guard's takes here, at the median: more than some milliseconds tell of a busy machine.
pub fn median_write(namespace: &str) -> Option<Duration> {
    let lines = of_namespace(namespace)?;
    let writes = lines.iter().filter(|line| line.is("update", "poddrains/status") && line.succeeded());
    let mut times: Vec<Duration> =
        writes.map(|line| line.answered().duration_since(line.came()).unsigned_abs()).collect();
    times.sort();
    times.get(times.len() / 2).copied()
}

/// Pods whose DELETE was allowed as prepared with no write of their drain's status before it.
pub fn allowed_before_drained(namespace: &str) -> Option<Vec<String>> {
    let lines = of_namespace(namespace)?;
    let allowed = lines.iter().filter(|line| line.is("delete", "pods") && line.question() == "Drained");
    let is_written = |delete: &&Line| {
        lines.iter().any(|line| {
            let of_pod = line.name().rsplit_once('-').is_some_and(|(pod, _)| pod == delete.name());
            of_pod && line.is("update", "poddrains/status") && line.succeeded() && line.answered() <= delete.came()
        })
    };
    Some(allowed.filter(|delete| !is_written(delete)).map(|delete| delete.name().to_owned()).collect())
}

/// For each pod that its controller was woken for: from the write that made it Drained to the DELETE that was allowed.
pub fn drained_to_delete(namespace: &str) -> Option<Vec<Duration>> {
    let lines = of_namespace(namespace)?;
    let allowed = lines.iter().filter(|line| line.is("delete", "pods") && line.question() == "Drained");
    let times = allowed.filter_map(|delete| {
        // The controller may be faster than the answer to the patch that woke it.
        let before = |line: &&Line| line.succeeded() && line.user() == GUARD && line.came() < delete.came();
        let woken =
            lines.iter().filter(before).rfind(|line| line.is("patch", "pods") && line.name() == delete.name())?;
        let of_pod = |line: &&Line| {
            line.is("update", "poddrains/status")
                && line.name().rsplit_once('-').is_some_and(|(pod, _)| pod == delete.name())
        };
        let drained = lines.iter().filter(before).filter(of_pod).rfind(|line| line.answered() <= woken.came())?;
        Some(delete.came().duration_since(drained.answered()).unsigned_abs())
    });
    Some(times.collect())
}

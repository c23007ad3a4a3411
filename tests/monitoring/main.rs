//! Metrics, and what is made of them: the page, the alert rules and the dashboard name what there is.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use castoff::metrics::{ALL, Kind, Labels, Metric, Teller};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(place: &str) -> String {
    std::fs::read_to_string(repository().join(place)).unwrap()
}

/// The page, as the table of metrics says.
fn page() -> String {
    let mut page = "\
# Metrics

`/metrics` of each replica, on the port of `--admin-listen`. [Alert rules and a dashboard](../manifests/monitoring) are made of these; \
the rules lead into the [runbook](runbook.md). This page is made from [the table of the code](../src/metrics/mod.rs), and held to it by a test.

Labels `namespace` and `policy` say which policy it is about. They are as many as there are policies: what a drain says of a policy that \
is not there is told with both empty, and series go with their policy. `--metrics-labels namespace` leaves the policy away, \
`--metrics-labels none` both; then the alerts fire as before, and name no policy. A Prometheus that puts a label `namespace` on its targets must leave these as they are: `honor_labels: true`, as the PodMonitor has it.

A series is there once there is something to tell: one that has not been counted yet is not told as 0. So an alert on an increase must take \
a series that is new for one, as the rules do.

| metric | kind | labels | of the replicas | what it means |
|---|---|---|---|---|
"
    .to_owned();
    for metric in ALL {
        let labels = metric.all_labels(Labels::Policy);
        let labels = labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        let (name, kind, teller, help) = (metric.name, metric.kind.as_str(), metric.teller.as_str(), metric.help);
        writeln!(page, "| `{name}` | {kind} | {labels} | {teller} | {help} |").unwrap();
    }
    page
}

#[test]
fn the_page_says_what_the_code_does() {
    let made = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("metrics.md");
    std::fs::write(&made, page()).unwrap();
    assert!(read("docs/metrics.md") == page(), "cp {} docs/metrics.md", made.display());
}

/// A metric as a query names it, with the labels that it asks for.
#[derive(Debug, PartialEq)]
struct Named {
    metric: String,
    labels: BTreeSet<String>,
}

fn is_of_a_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

/// Castoff's own metrics in a text.
fn named(text: &str) -> Vec<Named> {
    let mut found = Vec::new();
    for (start, _) in text.match_indices("castoff_") {
        if text[..start].ends_with(is_of_a_name) {
            continue;
        }
        let rest = &text[start..];
        let (metric, rest) = rest.split_at(rest.find(|letter| !is_of_a_name(letter)).unwrap_or(rest.len()));
        let matchers =
            rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(matchers, _)| matchers);
        // Values hold no commas and no equals signs.
        let labels =
            matchers.split(',').filter_map(|matcher| matcher.split_once(['=', '!'])).map(|(label, _)| label.trim());
        found.push(Named { metric: metric.to_owned(), labels: labels.map(str::to_owned).collect() });
    }
    found
}

fn table(name: &str) -> Option<&'static Metric> {
    let is_it = |metric: &&Metric| {
        let parts: &[&str] = if let Kind::Histogram(_) = metric.kind { &["_bucket", "_sum", "_count"] } else { &[""] };
        parts.iter().any(|part| name.strip_suffix(part) == Some(metric.name))
    };
    ALL.iter().find(is_it)
}

fn mistakes(text: &str) -> Vec<String> {
    let mut mistakes = Vec::new();
    for Named { metric, labels } in named(text) {
        let Some(found) = table(&metric) else {
            mistakes.push(format!("there is no metric {metric}"));
            continue;
        };
        let mut known = found.all_labels(Labels::Policy);
        known.extend(["le", "instance"]);
        let strange = labels.iter().filter(|label| !known.contains(&label.as_str()));
        mistakes.extend(strange.map(|label| format!("{metric} has no label {label}")));
    }
    mistakes
}

/// The queries of the dashboard.
fn queries() -> Vec<String> {
    let dashboard: serde_json::Value = serde_json::from_str(&read("manifests/monitoring/dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn rules_and_dashboard_name_metrics_and_labels_that_there_are() {
    let rules = read("manifests/monitoring/rules.yaml");
    assert!(named(&rules).len() > 20);
    assert_eq!(mistakes(&rules), [""; 0]);
    assert!(queries().len() > 20);
    for query in queries() {
        assert_eq!(mistakes(&query), [""; 0], "{query}");
    }
}

#[test]
fn the_dashboard_shows_every_metric() {
    let shown: BTreeSet<&str> =
        queries().iter().flat_map(|query| named(query)).filter_map(|named| Some(table(&named.metric)?.name)).collect();
    let all: BTreeSet<&str> = ALL.iter().map(|metric| metric.name).collect();
    assert_eq!(shown, all);
}

/// What is told by all replicas alike must not be added up, and a counter must be: what it is in one query it is in all.
#[test]
fn the_dashboard_takes_replicas_together_as_the_page_says() {
    for query in queries() {
        for Named { metric, .. } in named(&query) {
            let found = table(&metric).unwrap();
            let once = found.teller == Teller::Same;
            let by_max = query.contains("max by (") || query.contains("max(");
            assert_eq!(by_max, once, "{query}");
        }
    }
}

#[test]
fn what_is_wrong_with_a_query_is_found() {
    let query =
        r#"sum by (le) (rate(castoff_time_to_gone_seconds_bucket{namespace=~"a", le!="1"}[5m])) / castoff_drains"#;
    assert_eq!(mistakes(query), [""; 0]);
    assert_eq!(mistakes("castoff_drain > 0"), ["there is no metric castoff_drain"]);
    assert_eq!(mistakes(r#"castoff_drains{state="Stalled"}"#), ["castoff_drains has no label state"]);
    assert_eq!(mistakes("castoff_time_to_gone_seconds"), ["there is no metric castoff_time_to_gone_seconds"]);
}

#[test]
fn metrics_are_called_as_prometheus_wants_it_and_each_is_made_somewhere() {
    let table = read("src/metrics/mod.rs");
    let sources = sources(&repository().join("src"));
    for metric in ALL {
        let counts = matches!(metric.kind, Kind::Counter);
        assert_eq!(counts, metric.name.ends_with("_total"), "{}", metric.name);
        assert!(metric.help.ends_with('.') && !metric.help.contains('|'), "{}", metric.name);
        let declared = table.lines().find(|line| line.contains(&format!("\"{}\"", metric.name))).unwrap();
        let constant = declared.trim().split(':').next().unwrap();
        let made =
            sources.iter().any(|source| source.split(|letter| !is_of_a_name(letter)).any(|word| word == constant));
        assert!(made, "nobody makes {}", metric.name);
    }
}

/// The sources but for the table itself.
fn sources(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() && !path.ends_with("metrics") {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(std::fs::read_to_string(&path).unwrap());
        }
    }
    found
}

//! The alert rules.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{ROOT, read, tool};
use crate::{Failure, differences};

/// Where people read the runbook: `#` and a section follow.
const RUNBOOK: &str = "https://castoff.dev/docs/runbook";

const TESTS: &str = "tests/monitoring/rules.test.yaml";

/// What is wrong with the alert rules.
pub fn complaints() -> Result<Vec<String>, Failure> {
    let text = read(&Path::new(ROOT).join("monitoring/rules.yaml"))?;
    let rules = yaml(&text)?;
    let object = yaml(&read(&Path::new(ROOT).join("monitoring/prometheus-rule.yaml"))?)?;
    let mut wrong = differences::between("prometheus-rule.yaml", &rules, &object["spec"]);
    let mut sources = String::new();
    sources_of(Path::new("src"), &mut sources)?;
    wrong.extend(unknown_metrics(&text, &sources));
    let alerts = alerts(&rules);
    let runbook = anchors(&read(Path::new("docs/runbook.md"))?);
    for alert in &alerts {
        wrong.extend(nowhere(alert, &runbook));
    }
    wrong.extend(untested(&alerts, &yaml(&read(Path::new(TESTS))?)?));
    let played = Command::new(tool("promtool")?).args(["test", "rules", TESTS]).output();
    let played = played.map_err(|error| error.to_string())?;
    if !played.status.success() {
        let said = [played.stdout, played.stderr].concat();
        wrong.push(String::from_utf8_lossy(&said).trim().to_owned());
    }
    println!("monitoring: {} alerts, played by promtool", alerts.len());
    Ok(wrong)
}

fn yaml(text: &str) -> Result<Value, String> {
    serde_saphyr::from_str(text).map_err(|error| error.to_string())
}

fn sources_of(folder: &Path, sources: &mut String) -> Result<(), Failure> {
    let entries = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            sources_of(&path, sources)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&read(&path)?);
        }
    }
    Ok(())
}

/// Names of metrics in the rules that the program does not have.
fn unknown_metrics(rules: &str, sources: &str) -> Vec<String> {
    let words = rules.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let metrics: BTreeSet<&str> = words.filter(|word| word.starts_with("castoff_")).collect();
    let base = |metric: &str| metric.strip_suffix("_bucket").unwrap_or(metric).to_owned();
    let unknown = metrics.into_iter().filter(|metric| !sources.contains(&format!("\"{}\"", base(metric))));
    unknown.map(|metric| format!("there is no metric {metric}")).collect()
}

fn alerts(rules: &Value) -> Vec<&Value> {
    let groups = rules["groups"].as_array().into_iter().flatten();
    let rules = groups.filter_map(|group| group["rules"].as_array()).flatten();
    rules.filter(|rule| rule.get("alert").is_some()).collect()
}

/// The complaint that an alert's place is not in the runbook.
fn nowhere(alert: &Value, runbook: &BTreeSet<String>) -> Option<String> {
    let place = alert["annotations"]["runbook_url"].as_str().and_then(|url| url.strip_prefix(RUNBOOK));
    let found = place.and_then(|place| place.strip_prefix('#')).is_some_and(|anchor| runbook.contains(anchor));
    (!found).then(|| format!("{} names no place in the runbook", name(alert)))
}

fn name(alert: &Value) -> &str {
    alert["alert"].as_str().unwrap_or_default()
}

/// The places of a page that a link can name.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page
        .lines()
        .filter_map(|line| line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#')));
    let kept = |letter: &char| letter.is_alphanumeric() || "_- ".contains(*letter);
    headings
        .map(|heading| heading.chars().filter(kept).collect::<String>().trim().to_lowercase().replace(' ', "-"))
        .collect()
}

/// Alerts that no test shows to fire, or to keep silent.
fn untested(alerts: &[&Value], tests: &Value) -> Vec<String> {
    let groups = tests["tests"].as_array().into_iter().flatten();
    let shown: Vec<&Value> = groups.filter_map(|test| test["alert_rule_test"].as_array()).flatten().collect();
    let is_shown = |alert: &Value, fires: bool| {
        shown.iter().any(|test| {
            let expected = test["exp_alerts"].as_array().is_some_and(|alerts| !alerts.is_empty());
            test["alertname"] == alert["alert"] && expected == fires
        })
    };
    let mut wrong = Vec::new();
    for alert in alerts {
        for (fires, what) in [(true, "fires"), (false, "keeps silent")] {
            if !is_shown(alert, fires) {
                wrong.push(format!("no test shows that {} {what}", name(alert)));
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_metric_that_the_program_does_not_have_is_found() {
        let sources = "\"castoff_a_total\" \"castoff_time_seconds\"";
        assert!(
            unknown_metrics("rate(castoff_a_total[5m]) > castoff_time_seconds_bucket{le=\"1\"}", sources).is_empty()
        );
        assert_eq!(unknown_metrics("castoff_a > 0", sources), ["there is no metric castoff_a"]);
    }

    #[test]
    fn an_alert_that_leads_nowhere_is_found() {
        let runbook = anchors("# Book\n\n## Not restored, why?\n");
        let led = |url: &str| nowhere(&json!({"alert": "Stalled", "annotations": {"runbook_url": url}}), &runbook);
        assert_eq!(led(&format!("{RUNBOOK}#not-restored-why")), None);
        for url in ["", RUNBOOK, "https://castoff.dev/docs/runbook#stalled", "docs/runbook.md#not-restored-why"] {
            assert!(led(url).is_some(), "{url}");
        }
    }

    #[test]
    fn an_alert_without_both_tests_is_found() {
        let rules = json!({"groups": [{"rules": [{"alert": "A"}, {"record": "b"}]}]});
        let alerts = alerts(&rules);
        let test = |fires: Value| json!({"alertname": "A", "eval_time": "1m", "exp_alerts": fires});
        let tests = |some: Vec<Value>| json!({"tests": [{"alert_rule_test": some}]});
        assert!(untested(&alerts, &tests(vec![test(json!([{}])), test(json!([]))])).is_empty());
        assert_eq!(untested(&alerts, &tests(vec![test(json!([]))])), ["no test shows that A fires"]);
        assert_eq!(untested(&alerts, &tests(vec![test(json!([{}]))])), ["no test shows that A keeps silent"]);
    }
}

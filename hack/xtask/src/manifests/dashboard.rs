//! Grafana's dashboard: the same as a file and as an object, and Prometheus understands each of its queries.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{ROOT, read, tool};
use crate::{Failure, Outcome};

const FILE: &str = "monitoring/dashboard.json";
const OBJECT: &str = "monitoring/dashboard.yaml";

/// What stands before the dashboard in its object.
const HEAD: &str = "\
# The dashboard of `dashboard.json` as Grafana's sidecar finds it; `hack/manifests --write` makes it.
apiVersion: v1
kind: ConfigMap
metadata:
  name: castoff-dashboard
  namespace: castoff-system
  labels: {app.kubernetes.io/name: castoff, grafana_dashboard: \"1\"}
data:
  castoff.json: |
";

/// Values of Grafana's variables by which a query is one of Prometheus.
const VARIABLES: [(&str, &str); 4] =
    [("$__rate_interval", "5m"), ("$__range", "6h"), ("$namespace", ".*"), ("$policy", ".*")];

/// Writes the object.
pub fn write() -> Outcome {
    let text = object_of(&read(&Path::new(ROOT).join(FILE))?);
    std::fs::write(Path::new(ROOT).join(OBJECT), text).map_err(|error| error.to_string())?;
    Ok(true)
}

/// What is wrong with it.
pub fn complaints() -> Result<Vec<String>, Failure> {
    let text = read(&Path::new(ROOT).join(FILE))?;
    let dashboard: Value = serde_json::from_str(&text).map_err(|error| format!("{FILE}: {error}"))?;
    let mut wrong = Vec::new();
    if read(&Path::new(ROOT).join(OBJECT))? != object_of(&text) {
        wrong.push(format!("{OBJECT} is not as {FILE}: hack/manifests --write"));
    }
    let queries = queries(&dashboard);
    wrong.extend(not_understood(&queries)?);
    println!("dashboard: {} queries, read by promtool", queries.len());
    Ok(wrong)
}

fn object_of(dashboard: &str) -> String {
    let lines = dashboard.lines().map(|line| format!("    {line}\n"));
    HEAD.chars().map(String::from).chain(lines).collect()
}

fn queries(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().into_iter().flatten();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    let with_values =
        |query: &str| VARIABLES.iter().fold(query.to_owned(), |query, (name, value)| query.replace(name, value));
    targets.filter_map(|target| target["expr"].as_str()).map(with_values).collect()
}

/// Queries as rules, which promtool reads all at once.
fn not_understood(queries: &[String]) -> Result<Option<String>, Failure> {
    let rule = |(number, query): (usize, &String)| json!({"record": format!("query:{number}"), "expr": query});
    let rules: Vec<Value> = queries.iter().enumerate().map(rule).collect();
    let rules = json!({"groups": [{"name": "dashboard", "rules": rules}]}).to_string();
    let file = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    std::fs::write(file.path(), rules).map_err(|error| error.to_string())?;
    let checked = Command::new(tool("promtool")?).args(["check", "rules", "--lint=none"]).arg(file.path()).output();
    let checked = checked.map_err(|error| error.to_string())?;
    let said = [checked.stdout, checked.stderr].concat();
    Ok((!checked.status.success()).then(|| String::from_utf8_lossy(&said).trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_query_of_each_panel_is_one_of_prometheus() {
        let dashboard = json!({"panels": [{"type": "row"}, {"targets": [
            {"expr": "rate(a{namespace=~\"$namespace\"}[$__rate_interval])"}, {"expr": "b"},
        ]}]});
        assert_eq!(queries(&dashboard), ["rate(a{namespace=~\".*\"}[5m])", "b"]);
    }

    #[test]
    fn the_object_holds_the_file_as_it_is() {
        let object: Value = serde_saphyr::from_str(&object_of("{\n \"a\": 1\n}\n")).unwrap_or_default();
        assert_eq!(object["data"]["castoff.json"], "{\n \"a\": 1\n}\n");
    }
}

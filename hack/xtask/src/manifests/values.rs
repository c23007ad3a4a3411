//! The chart's values, what they may be, and what is written about them; and the versions that are written in several
//! places.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{ROOT, read, tool};
use crate::{Failure, Outcome};

/// What is wrong with values, schema, README and versions.
pub fn complaints() -> Result<Vec<String>, Failure> {
    let of_chart = |name: &str| read(&Path::new(ROOT).join("helm").join(name));
    let yaml = |text: &str| serde_saphyr::from_str::<Value>(text).map_err(|error| error.to_string());
    let schema: Value = serde_json::from_str(&of_chart("values.schema.json")?).map_err(|error| error.to_string())?;
    let mut wrong = Vec::new();
    let values = yaml(&of_chart("values.yaml")?)?;
    unlike("values", &values, &schema, &schema, &mut wrong);
    wrong.extend(unwritten(&values, &schema));
    let page = page()?;
    if of_chart("README.md")? != page {
        wrong.push("README.md is not what helm-docs makes: hack/manifests --write".to_owned());
    }
    let bare = page.lines().filter(|line| line.starts_with('|') && line.ends_with("|  |"));
    wrong.extend(bare.map(|line| format!("a value has no description: {line}")));
    let about = yaml(&of_chart("Chart.yaml")?)?;
    wrong.extend(floor(&about, &supported()?, &read(Path::new("README.md"))?));
    let version = version(&read(Path::new("Cargo.toml"))?);
    let kustomization = read(&Path::new(ROOT).join("base/kustomization.yaml"))?;
    for (place, found) in [
        ("Chart.yaml: version", about["version"] == version.as_str()),
        ("Chart.yaml: appVersion", about["appVersion"] == version.as_str()),
        ("base/kustomization.yaml: label", kustomization.contains(&format!("kubernetes.io/version: {version}\n"))),
        ("base/kustomization.yaml: newTag", kustomization.contains(&format!("newTag: {version}}}"))),
    ] {
        if !found {
            wrong.push(format!("{place} is not Castoff's version, {version}"));
        }
    }
    Ok(wrong)
}

/// Writes the chart's README.
pub fn write() -> Outcome {
    let path = Path::new(ROOT).join("helm/README.md");
    std::fs::write(&path, page()?).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(true)
}

/// The chart's README, as helm-docs makes it.
fn page() -> Result<String, Failure> {
    let made = Command::new(tool("helm-docs")?)
        .args(["--dry-run", "--sort-values-order=file", "--log-level=warning"])
        .arg("--chart-search-root")
        .arg(Path::new(ROOT).join("helm"))
        .output()
        .map_err(|error| error.to_string())?;
    if !made.status.success() {
        return Err(String::from_utf8_lossy(&made.stderr).trim().to_owned().into());
    }
    Ok(String::from_utf8_lossy(&made.stdout).trim().to_owned() + "\n")
}

/// Values that the schema does not know, and objects that it lets hold anything. What an object may hold that is empty by
/// default is not looked into.
fn unlike(place: &str, value: &Value, schema: &Value, whole: &Value, wrong: &mut Vec<String>) {
    let schema = resolved(schema, whole);
    let (Some(values), Some(properties)) = (value.as_object(), schema["properties"].as_object()) else { return };
    if schema["additionalProperties"] != false {
        wrong.push(format!("values.schema.json lets anything be in {place}"));
    }
    for (key, value) in values {
        match properties.get(key) {
            Some(below) => unlike(&format!("{place}.{key}"), value, below, whole, wrong),
            None => wrong.push(format!("values.schema.json does not know {place}.{key}")),
        }
    }
}

/// What a schema refers to, or itself.
fn resolved<'a>(schema: &'a Value, whole: &'a Value) -> &'a Value {
    let place = schema["$ref"].as_str().and_then(|place| place.strip_prefix('#'));
    place.and_then(|place| whole.pointer(place)).unwrap_or(schema)
}

/// Values that the schema knows and that values.yaml, and so the README, does not have.
fn unwritten(values: &Value, schema: &Value) -> Vec<String> {
    // Helm hands `global` to every chart.
    let known = schema["properties"].as_object().into_iter().flatten().filter(|(key, _)| *key != "global");
    let missing = known.filter(|(key, _)| values.get(key).is_none());
    missing.map(|(key, _)| format!("values.yaml does not have {key}")).collect()
}

/// The minor versions of Kubernetes on which Castoff is tested, the oldest first.
fn supported() -> Result<Vec<u32>, Failure> {
    let folder = Path::new("hack/control-plane");
    let entries = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut minors: Vec<u32> =
        names.filter_map(|name| name.strip_prefix("kubernetes-1.").and_then(|minor| minor.parse().ok())).collect();
    minors.sort_unstable();
    Ok(minors)
}

/// That the chart refuses a Kubernetes on which nothing is tested, and the README names those on which all is.
fn floor(about: &Value, supported: &[u32], readme: &str) -> Vec<String> {
    let (Some(oldest), Some(newest)) = (supported.first(), supported.last()) else {
        return vec!["hack/control-plane has no Kubernetes".to_owned()];
    };
    let mut wrong = Vec::new();
    if about["kubeVersion"] != format!(">= 1.{oldest}.0-0").as_str() {
        wrong.push(format!("Chart.yaml: kubeVersion does not begin with the oldest that is tested, 1.{oldest}"));
    }
    if !readme.contains(&format!("Kubernetes 1.{oldest} to 1.{newest}")) {
        wrong.push(format!("the README does not say that Castoff is for Kubernetes 1.{oldest} to 1.{newest}"));
    }
    wrong
}

/// The version in a Cargo.toml.
fn version(manifest: &str) -> String {
    let line = manifest.lines().find_map(|line| line.strip_prefix("version = "));
    line.unwrap_or_default().trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_that_the_schema_does_not_know_is_found_at_any_depth() {
        let object = |properties: Value| json!({"additionalProperties": false, "properties": properties});
        let mut schema = object(json!({"image": {"$ref": "#/definitions/image"}, "open": {"properties": {}}}));
        schema["definitions"] = json!({"image": object(json!({"tag": {}}))});
        let values = json!({"image": {"tag": "x", "name": "y"}, "new": 1, "open": {}});
        let mut wrong = Vec::new();
        unlike("values", &values, &schema, &schema, &mut wrong);
        assert_eq!(
            wrong,
            [
                "values.schema.json does not know values.image.name",
                "values.schema.json does not know values.new",
                "values.schema.json lets anything be in values.open",
            ]
        );
        assert_eq!(unwritten(&json!({"image": {}}), &schema), ["values.yaml does not have open"]);
    }

    #[test]
    fn a_floor_or_a_readme_that_says_something_else_than_what_is_tested_is_found() {
        let about = |floor: &str| json!({"kubeVersion": floor});
        let readme = "For Kubernetes 1.34 to 1.37.";
        assert!(floor(&about(">= 1.34.0-0"), &[34, 37], readme).is_empty());
        assert_eq!(floor(&about(">= 1.30.0-0"), &[34, 37], readme).len(), 1);
        assert_eq!(floor(&about(">= 1.34.0-0"), &[34, 38], readme).len(), 1);
        assert_eq!(floor(&about(">= 1.34.0-0"), &[], readme).len(), 1);
    }
}

//! The Helm chart makes what the kustomizations build.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::expected::{CHANGED, CHART, REFUSED, WITHOUT};
use super::objects::{Object, read};
use super::{ROOT, build, text_of, tool, values};
use crate::{Failure, differences};

/// What Helm adds to a definition, so that an uninstall takes no policies away.
const KEPT: &str = "helm.sh/resource-policy";

/// Labels that tell how something was installed, and so differ.
const BY_INSTALLER: [&str; 4] =
    ["app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "app.kubernetes.io/version", "helm.sh/chart"];

/// What is wrong with the chart.
pub fn complaints() -> Result<Vec<String>, Failure> {
    let helm = tool("helm")?;
    let mut wrong = Vec::new();
    for (values, folder) in CHART {
        let made = compared(read(&rendered(&helm, values, "castoff-system")?)?);
        let mut wanted = compared(build(&Path::new(ROOT).join(folder))?);
        if folder == "monitoring" {
            wanted.extend(compared(build(&Path::new(ROOT).join("base"))?));
        }
        let found = differ(&wanted, &made);
        wrong.extend(found.into_iter().map(|found| format!("with '{values}' not as in {folder}: {found}")));
    }
    for (values, words) in CHANGED {
        let text = rendered(&helm, values, "castoff-system")?;
        let missing = words.iter().filter(|word| !text.contains(**word));
        wrong.extend(missing.map(|word| format!("with '{values}' there is no {word}")));
    }
    for (values, words) in WITHOUT {
        if rendered(&helm, values, "castoff-system")?.contains(words) {
            wrong.push(format!("with '{values}' there is still {words}"));
        }
    }
    wrong.extend(values::complaints()?);
    if rendered(&helm, "monitoring.enabled=true,certManager.enabled=true", "elsewhere")?.contains("castoff-system") {
        wrong.push("in another namespace castoff-system is still named".to_owned());
    }
    wrong.extend(REFUSED.iter().filter_map(|values| match rendered(&helm, values, "castoff-system") {
        Ok(_) => Some(format!("the mistake '{values}' is accepted")),
        Err(error) if error.contains("schema") => None,
        Err(error) => Some(format!("the mistake '{values}' is not told as one: {error}")),
    }));
    let (same, changed, refused) = (CHART.len(), CHANGED.len() + WITHOUT.len(), REFUSED.len());
    println!("helm: {same} times as kustomize, {changed} other values, {refused} mistakes refused");
    Ok(wrong)
}

/// What the chart makes of these values, in the form in which kustomize writes it.
fn rendered(helm: &str, values: &str, namespace: &str) -> Result<String, String> {
    let mut command = Command::new(helm);
    command.args(["template", "castoff"]).arg(Path::new(ROOT).join("helm"));
    let made = command.args(["--namespace", namespace, "--no-hooks", "--set", values]).output();
    let made = made.map_err(|error| format!("{helm}: {error}"))?;
    if !made.status.success() {
        return Err(String::from_utf8_lossy(&made.stderr).trim().to_owned());
    }
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let put = |name: &str, content: &[u8]| std::fs::write(folder.path().join(name), content);
    put("rendered.yaml", &made.stdout).map_err(|error| error.to_string())?;
    put("kustomization.yaml", b"resources: [rendered.yaml]\n").map_err(|error| error.to_string())?;
    text_of(folder.path())
}

/// Objects by kind and name, as they are to be the same in the chart and in a kustomization.
fn compared(objects: Vec<Object>) -> BTreeMap<String, Value> {
    let same = objects.into_iter().filter(|object| !object.identity.starts_with("Namespace/"));
    same.map(|mut object| {
        for place in ["/metadata/labels", "/spec/template/metadata/labels"] {
            if let Some(labels) = object.content.pointer_mut(place).and_then(Value::as_object_mut) {
                labels.retain(|name, _| !BY_INSTALLER.contains(&name.as_str()));
            }
        }
        let metadata = &mut object.content["metadata"];
        if let Some(annotations) = metadata["annotations"].as_object_mut() {
            annotations.remove(KEPT);
        }
        if let Some(metadata) = metadata.as_object_mut() {
            // Asking for a key that is not there has put it there.
            metadata.retain(|key, value| key != "annotations" || value.as_object().is_some_and(|map| !map.is_empty()));
        }
        (object.identity, object.content)
    })
    .collect()
}

fn differ(wanted: &BTreeMap<String, Value>, made: &BTreeMap<String, Value>) -> Vec<String> {
    let value =
        |objects: &BTreeMap<String, Value>| objects.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    differences::between("objects", &Value::Object(value(wanted)), &Value::Object(value(made)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(yaml: &str) -> BTreeMap<String, Value> {
        compared(read(yaml).unwrap())
    }

    #[test]
    fn what_differs_is_found_but_not_what_helm_adds_nor_the_namespace() {
        let wanted = objects(
            "kind: A\nmetadata: {name: a}\nspec: {x: 1}\n---\nkind: Namespace\nmetadata: {name: castoff-system}\n",
        );
        let kept = "kind: A\nmetadata: {name: a, annotations: {helm.sh/resource-policy: keep}}\nspec: {x: 1}\n";
        assert!(differ(&wanted, &objects(kept)).is_empty());
        let labelled = objects(&kept.replace("annotations:", "labels: {helm.sh/chart: x}, annotations:"));
        assert_eq!(differ(&wanted, &labelled), ["objects: A/a: metadata: labels is new"]);
        let other = objects(&kept.replace("x: 1", "x: 2"));
        assert_eq!(differ(&wanted, &other), ["objects: A/a: spec: x: was 1, is 2"]);
        assert_eq!(differ(&wanted, &objects("")), ["objects: A/a is gone"]);
        let annotated = objects(&kept.replace("resource-policy", "other"));
        assert_eq!(differ(&wanted, &annotated).len(), 1);
    }
}

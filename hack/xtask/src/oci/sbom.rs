//! What a program is made of, as SPDX 2.3: the crates that cargo resolves for it, without those of builds and tests.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

/// The list, from what `cargo metadata` says.
pub fn of(metadata: &Value, version: &str, created: &str) -> Result<Value, String> {
    let root = metadata["resolve"]["root"].as_str().ok_or("cargo metadata names no root")?;
    let packages: BTreeMap<&str, &Value> = by_id(&metadata["packages"]);
    let linked = linked(&by_id(&metadata["resolve"]["nodes"]), root);
    let mut entries: Vec<Value> =
        linked.into_iter().filter_map(|id| packages.get(id)).map(|package| entry(package)).collect();
    entries.sort_by(|one, other| one["SPDXID"].as_str().cmp(&other["SPDXID"].as_str()));
    let described = entry(packages.get(root).ok_or("cargo metadata does not describe its root")?)["SPDXID"].clone();
    let contains = |entry: &Value| {
        json!({
            "spdxElementId": described,
            "relationshipType": "CONTAINS",
            "relatedSpdxElement": entry["SPDXID"],
        })
    };
    let relationships: Vec<Value> = entries.iter().filter(|entry| entry["SPDXID"] != described).map(contains).collect();
    Ok(json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": format!("castoff-{version}"),
        "documentNamespace": format!("https://castoff.dev/spdx/castoff-{version}"),
        "creationInfo": {"created": created, "creators": ["Tool: hack/image"]},
        "packages": entries,
        "documentDescribes": [described],
        "relationships": relationships,
    }))
}

fn by_id(list: &Value) -> BTreeMap<&str, &Value> {
    list.as_array().into_iter().flatten().filter_map(|item| Some((item["id"].as_str()?, item))).collect()
}

/// What is linked into the root, itself included. What builds it, or is there for its tests, has another kind than null.
fn linked<'a>(nodes: &BTreeMap<&'a str, &'a Value>, root: &'a str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![root];
    while let Some(one) = waiting.pop() {
        if !found.insert(one) {
            continue;
        }
        let dependencies = nodes.get(one).and_then(|node| node["deps"].as_array()).into_iter().flatten();
        let is_linked = |dependency: &&Value| {
            dependency["dep_kinds"].as_array().into_iter().flatten().any(|kind| kind["kind"].is_null())
        };
        waiting.extend(dependencies.filter(is_linked).filter_map(|dependency| dependency["pkg"].as_str()));
    }
    found
}

fn entry(package: &Value) -> Value {
    let text = |key: &str| package[key].as_str().unwrap_or_default();
    let (name, version) = (text("name"), text("version"));
    let licence = package["license"].as_str().filter(|licence| !licence.is_empty()).unwrap_or("NOASSERTION");
    json!({
        "SPDXID": format!("SPDXRef-{name}-{}", version.replace('+', "-")),
        "name": name,
        "versionInfo": version,
        "licenseDeclared": licence.replace('/', " OR "),
        "licenseConcluded": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "downloadLocation": "NOASSERTION",
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": format!("pkg:cargo/{name}@{version}"),
        }],
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::of;

    #[test]
    fn what_is_linked_is_listed_and_what_builds_or_tests_is_not() {
        let package = |name: &str| json!({"id": name, "name": name, "version": "1.0.0+x", "license": "MIT/Apache-2.0"});
        let needs = |name: &str, kind: serde_json::Value| json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
        let packages = ["castoff", "used", "below", "tests", "builds"].map(package);
        let metadata = json!({
            "packages": packages,
            "resolve": {"root": "castoff", "nodes": [
                {"id": "castoff", "deps": [
                    needs("used", json!(null)), needs("tests", json!("dev")), needs("builds", json!("build")),
                ]},
                {"id": "used", "deps": [needs("below", json!(null))]},
            ]},
        });
        let bill = of(&metadata, "1", "2030-01-01T00:00:00Z").unwrap();
        let names: Vec<&str> =
            bill["packages"].as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["below", "castoff", "used"]);
        assert_eq!(bill["packages"][0]["licenseDeclared"], "MIT OR Apache-2.0");
        assert_eq!(bill["packages"][0]["SPDXID"], "SPDXRef-below-1.0.0-x");
        assert_eq!(bill["relationships"].as_array().unwrap().len(), 2);
    }
}

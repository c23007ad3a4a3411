//! Objects of the cluster, and what is wrong with them.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use super::expected::{ARGUMENTS, FOLDERS};

/// An object, with its identity as KIND/NAME.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    pub identity: String,
    pub content: Value,
}

/// The objects of a YAML stream.
pub fn read(text: &str) -> Result<Vec<Object>, String> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|error| error.to_string())?;
    documents.into_iter().filter(|document| !document.is_null()).map(Object::of).collect()
}

impl Object {
    fn of(content: Value) -> Result<Object, String> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        match (text(&content["kind"]), text(&content["metadata"]["name"])) {
            (Some(kind), Some(name)) => Ok(Object { identity: format!("{kind}/{name}"), content }),
            _ => Err(format!("a document without kind or name: {content}")),
        }
    }

    fn namespace(&self) -> &str {
        self.content["metadata"]["namespace"].as_str().unwrap_or_default()
    }

    fn is_a(&self, kind: &str) -> bool {
        self.content["kind"] == kind
    }
}

/// What is wrong with what a folder builds.
pub fn complaints(folder: &str, objects: &[Object]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for object in objects {
        if !seen.insert((&object.identity, object.namespace())) {
            wrong.push(format!("{} is there twice", object.identity));
        }
    }
    let found: BTreeSet<&str> = objects.iter().map(|object| object.identity.as_str()).collect();
    if let Some((_, expected)) = FOLDERS.iter().find(|(name, _)| *name == folder) {
        let expected: BTreeSet<&str> = expected.objects().collect();
        wrong.extend(expected.difference(&found).map(|name| format!("{name} is missing")));
        wrong.extend(found.difference(&expected).map(|name| format!("{name} is not expected")));
    }
    for object in objects {
        wrong.extend(rights(object));
        if object.identity == "NetworkPolicy/castoff" {
            wrong.extend(cut_off(&object.content, &ports_at_nodes(Path::new("src/plan/builtin"))));
        }
        if object.identity == "Deployment/castoff" {
            let words = ARGUMENTS.iter().filter(|(name, _)| *name == folder).flat_map(|(_, words)| *words);
            let arguments = arguments(&object.content);
            let missing = words.filter(|word| !arguments.contains(**word));
            wrong.extend(missing.map(|word| format!("{} lacks {word}", object.identity)));
        }
    }
    wrong
}

fn arguments(deployment: &Value) -> BTreeSet<&str> {
    let containers = deployment["spec"]["template"]["spec"]["containers"].as_array().into_iter().flatten();
    containers.filter_map(|container| container["args"].as_array()).flatten().filter_map(Value::as_str).collect()
}

/// What is wrong with the rights that a role gives.
fn rights(object: &Object) -> Vec<String> {
    let mut wrong = Vec::new();
    if !object.is_a("Role") && !object.is_a("ClusterRole") {
        return wrong;
    }
    // The one wildcard: owners are of any kind, and this reads nothing else of them.
    let any_scale = json!({"apiGroups": ["*"], "resources": ["*/scale"], "verbs": ["get"]});
    for rule in object.content["rules"].as_array().into_iter().flatten().filter(|rule| **rule != any_scale) {
        if rule.to_string().contains('*') {
            wrong.push(format!("{} has a wildcard", object.identity));
        }
        let resources = rule["resources"].as_array().into_iter().flatten();
        if object.is_a("ClusterRole") && resources.into_iter().any(|resource| resource == "secrets") {
            wrong.push(format!("{} reaches Secrets in every namespace", object.identity));
        }
    }
    wrong
}

/// Ports at a pod's own node that a built-in plan asks, with the plan's name.
fn ports_at_nodes(plans: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(plans).into_iter().flatten().flatten() {
        let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
        let name = entry.path().file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        for rest in text.split("status.hostIP}:").skip(1) {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            found.extend(digits.parse().map(|port| (name.clone(), port)));
        }
    }
    found.sort();
    found.dedup();
    found
}

/// What of that the network policy does not let through. To anywhere: a node has no label by which a rule could choose.
fn cut_off(policy: &Value, asked: &[(String, u64)]) -> Vec<String> {
    let rules = policy["spec"]["egress"].as_array().into_iter().flatten();
    let open: Vec<&Value> =
        rules.filter(|rule| rule.get("to").is_none()).filter_map(|rule| rule["ports"].as_array()).flatten().collect();
    let is_cut = |(_, port): &&(String, u64)| !open.iter().any(|entry| entry["port"] == *port);
    asked
        .iter()
        .filter(is_cut)
        .map(|(plan, port)| {
            format!("NetworkPolicy/castoff cuts off the built-in plan {plan}, which asks port {port} of the node")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(folder: &str, yaml: &str) -> Vec<String> {
        complaints(folder, &read(yaml).unwrap())
    }

    #[test]
    fn an_object_that_is_there_twice_is_found_but_not_in_another_namespace() {
        let object = |namespace: &str| format!("kind: Role\nmetadata: {{name: a, namespace: {namespace}}}\n");
        assert_eq!(wrong("x", &format!("{}---\n{}", object("n"), object("n"))), ["Role/a is there twice"]);
        assert!(wrong("x", &format!("{}---\n{}", object("n"), object("m"))).is_empty());
    }

    #[test]
    fn what_is_missing_or_not_expected_is_found_and_a_folder_that_is_not_listed_is_only_built() {
        let yaml = "kind: PodMonitor\nmetadata: {name: castoff}\n---\nkind: Role\nmetadata: {name: odd}\n";
        let missing = ["ConfigMap/castoff-dashboard is missing", "PrometheusRule/castoff is missing"];
        assert_eq!(wrong("monitoring", yaml), [&missing[..], &["Role/odd is not expected"]].concat());
        assert!(wrong("recipes", yaml).is_empty());
    }

    #[test]
    fn a_wildcard_and_secrets_everywhere_are_found_however_they_are_written() {
        let role =
            |kind: &str, rule: &str| wrong("x", &format!("kind: {kind}\nmetadata: {{name: a}}\nrules:\n- {rule}\n"));
        for rule in ["{verbs: ['*']}", "{verbs: [\"*\"]}", "\n  resources:\n  - 'pods/*'", "{apiGroups: ['*']}"] {
            assert_eq!(role("Role", rule), ["Role/a has a wildcard"], "{rule}");
        }
        let scale = "{apiGroups: ['*'], resources: ['*/scale'], verbs: [get]}";
        assert!(role("ClusterRole", scale).is_empty());
        let more = "{apiGroups: ['*'], resources: ['*/scale'], verbs: [get, update]}";
        assert_eq!(role("ClusterRole", more), ["ClusterRole/a has a wildcard"]);
        for rule in ["{resources: [secrets]}", "\n  resources:\n  - pods\n  - 'secrets'"] {
            assert_eq!(role("ClusterRole", rule), ["ClusterRole/a reaches Secrets in every namespace"], "{rule}");
            assert!(role("Role", rule).is_empty());
        }
    }

    #[test]
    fn a_deployment_that_lacks_an_argument_is_found() {
        let yaml =
            "kind: Deployment\nmetadata: {name: castoff}\nspec: {template: {spec: {containers: [{args: [ARGS]}]}}}";
        let lacks = |arguments: &str| {
            let found = wrong("overlays/gitops", &yaml.replace("ARGS", arguments));
            found.iter().any(|complaint| complaint == "Deployment/castoff lacks --manage-webhook=false")
        };
        assert!(lacks("serve") && !lacks("serve, --manage-webhook=false"));
    }

    #[test]
    fn a_port_that_the_network_policy_cuts_off_is_found() {
        let asked = [("consul".to_owned(), 8500)];
        let policy = |egress: Value| json!({"spec": {"egress": egress}});
        assert!(cut_off(&policy(json!([{"ports": [{"port": 53}, {"port": 8500}]}])), &asked).is_empty());
        assert_eq!(cut_off(&policy(json!([{"ports": [{"port": 53}]}])), &asked).len(), 1);
        assert_eq!(cut_off(&policy(json!([{"ports": [{"port": 8500}], "to": []}])), &asked).len(), 1);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert!(read("kind: Role\n").is_err() && read("a: [").is_err());
        assert_eq!(read("---\n").unwrap(), []);
    }
}

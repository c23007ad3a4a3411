//! The reference of the API is what the definitions say.

use std::fmt::Write;

use serde_json::Value;

use super::{are_kept, cell, printed};

const HEAD: &str = "\
# Reference of the API

Every field of the four kinds of `castoff.dev/v1alpha1`, from the definitions that `castoff crds` prints, and held to them by a test. \
[What a policy's lines are for](policies.md), [how to write a plan](plans.md). `kubectl explain drainpolicy.spec` has the same in a terminal.
";

/// The definitions, as the program prints them.
fn definitions() -> Vec<Value> {
    let printed = printed(&["crds"]);
    let documents = printed.split("---\n").filter(|document| !document.trim().is_empty());
    documents.map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}

fn text<'a>(value: &'a Value, place: &str) -> &'a str {
    value.pointer(place).and_then(Value::as_str).unwrap_or_default()
}

fn page(definitions: &[Value]) -> String {
    let schema = |definition: &Value| definition.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap().clone();
    let of_plans = definitions.iter().find(|definition| text(definition, "/spec/names/kind") == "DrainPlan").unwrap();
    let plan = schema(of_plans)["properties"]["spec"]["properties"].clone();
    let mut page = HEAD.to_owned();
    for definition in definitions {
        let schema = schema(definition);
        let (kind, scope) = (text(definition, "/spec/names/kind"), text(definition, "/spec/scope"));
        let short = text(definition, "/spec/names/shortNames/0");
        let place = if scope == "Namespaced" { "in a namespace" } else { "for the whole cluster" };
        let called = if short.is_empty() { String::new() } else { format!(", `{short}` for short") };
        let said = text(&schema, "/description");
        write!(page, "\n## {kind}\n\n{said} It lives {place}{called}.\n").unwrap();
        for part in ["spec", "status"] {
            let Some(part_of) = schema["properties"].get(part) else { continue };
            write!(page, "\n### {part} of a {kind}\n\n| field | type | default | what it is |\n|---|---|---|---|\n")
                .unwrap();
            let is_plan = |properties: &Value| kind != "DrainPlan" && *properties == plan;
            rows(part_of, "", &is_plan, &mut page);
        }
    }
    page
}

/// The rows of a schema's fields, and of theirs.
fn rows(schema: &Value, place: &str, is_plan: &dyn Fn(&Value) -> bool, page: &mut String) {
    let required = |name: &str| schema["required"].as_array().is_some_and(|names| names.iter().any(|one| one == name));
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let place = format!("{place}{name}");
        let default = match field.get("default") {
            Some(default) => format!("`{}`", cell(&default.to_string())),
            None if required(name) => "required".to_owned(),
            None => String::new(),
        };
        let said = cell(text(field, "/description"));
        let (kind, below) = kind_of(field, &place);
        if below.is_some_and(|(below, _)| is_plan(&below["properties"])) {
            writeln!(
                page,
                "| `{place}` | {kind} | {default} | {said} As the spec of a [DrainPlan](#spec-of-a-drainplan). |"
            )
            .unwrap();
            continue;
        }
        writeln!(page, "| `{place}` | {kind} | {default} | {said} |").unwrap();
        if let Some((below, prefix)) = below_of(field, &place) {
            rows(below, &prefix, is_plan, page);
        }
    }
}

/// What a field is, and the schema of what is below it.
fn kind_of<'a>(field: &'a Value, place: &str) -> (String, Option<(&'a Value, String)>) {
    let below = below_of(field, place);
    let of = |field: &Value| {
        if let Some(values) = field["enum"].as_array() {
            return values
                .iter()
                .map(|value| format!("`{}`", value.as_str().unwrap_or_default()))
                .collect::<Vec<_>>()
                .join(", ");
        }
        let either = field["x-kubernetes-int-or-string"] == true;
        if either { "integer or string".to_owned() } else { text(field, "/type").to_owned() }
    };
    let kind = match text(field, "/type") {
        "array" => format!("list of {}", of(&field["items"])),
        "object" if field["additionalProperties"].is_object() => {
            format!("map to {}", of(&field["additionalProperties"]))
        }
        _ => of(field),
    };
    (if kind.is_empty() { "any".to_owned() } else { kind }, below)
}

fn below_of<'a>(field: &'a Value, place: &str) -> Option<(&'a Value, String)> {
    let has_fields = |schema: &Value| schema["properties"].is_object();
    if has_fields(field) {
        return Some((field, format!("{place}.")));
    }
    let (items, values) = (&field["items"], &field["additionalProperties"]);
    if has_fields(items) {
        return Some((items, format!("{place}[].")));
    }
    has_fields(values).then(|| (values, format!("{place}.*.")))
}

#[test]
fn the_reference_says_what_the_definitions_do() {
    are_kept(&[("reference.md".to_owned(), page(&definitions()))]);
}

#[test]
fn every_field_says_what_it_is_and_a_plan_stands_there_once() {
    let page = page(&definitions());
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    assert!(rows.len() > 80, "{}", rows.len());
    assert_eq!(rows.iter().filter(|row| row.starts_with("| `spec.")).count(), 0);
    for field in ["| `selector` |", "| `steps[].plan.builtIn` |", "| `observe.*.url` |", "| `pod.uid` |"] {
        assert_eq!(rows.iter().filter(|row| row.starts_with(field)).count(), 1, "{field}");
    }
}

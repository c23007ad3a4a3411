//! `castoff plans`.

use std::fmt::Write;

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use crate::plan::Plan;
use crate::plan::catalogue;
use crate::plan::spec::{ActSpec, ParameterType, PlanSpec, ReadSpec, Removal};
use crate::policy::find_built_in;
use crate::policy::spec::PlanReference;

use super::Failure;
use super::output::{self, Output};

/// Lists the built-in plans; with a name, prints one as a DrainPlan that can be applied, and a policy to begin with.
#[derive(Debug, Args)]
pub(super) struct Plans {
    /// The plan to print
    #[arg(value_name = "NAME")]
    name: Option<String>,

    /// In place of the plan itself: what it makes of what its backend answers, case by case
    #[arg(long, requires = "name")]
    explain: bool,

    /// How to print
    #[arg(short, long, default_value = "table", value_name = "FORMAT")]
    output: Output,
}

/// One plan in the list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: &'static str,
    summary: String,
    checked_against: &'static str,
}

/// Lists the built-in plans, or prints one.
pub(super) fn run(command: &Plans) -> Result<(), Failure> {
    let Some(name) = &command.name else { return list(command.output) };
    let source = catalogue::SOURCES.iter().find(|(known, _)| known == name);
    let (Some((name, text)), Some(plan)) = (source, catalogue::builtin(name)) else {
        let reference = PlanReference { built_in: Some(name.clone()), name: None };
        return Err(Failure::Usage(find_built_in(&reference).err().map(|why| why.to_string()).unwrap_or_default()));
    };
    if command.explain {
        return super::plan::explain(name, plan, command.output);
    }
    output::print_as(command.output, plan.spec(), || output::line(document(name, text, plan).trim_end()))
}

fn list(output: Output) -> Result<(), Failure> {
    let row = |name: &'static str| {
        let summary = catalogue::builtin(name)?.spec().summary.clone();
        Some(Row { name, summary, checked_against: catalogue::checked(name) })
    };
    let rows: Vec<Row> = catalogue::names().into_iter().filter_map(row).collect();
    output::print_as(output, &rows, || {
        for row in &rows {
            output::line(format_args!("{:16}{}", row.name, row.summary));
            output::line(format_args!("{:16}checked against {}", "", row.checked_against));
        }
        output::line(
            "\ncastoff plans NAME prints one, with its parameters, what it asks for, and a policy to begin with; --explain \
             what it makes of what its backend answers.",
        );
    })
}

/// A plan as a DrainPlan that can be applied, told in comments, and a policy that uses it.
fn document(name: &str, text: &str, plan: &Plan) -> String {
    let spec = plan.spec();
    let mut page = format!("# {}\n#\n# Parameters:\n", spec.summary);
    // Writing to a text does not fail.
    for (name, parameter) in &spec.params {
        let presence = match &parameter.default {
            Some(default) => format!("default {default}"),
            None if parameter.required => "required".to_owned(),
            None => "optional".to_owned(),
        };
        let _ = writeln!(page, "#   {name}: {}, {presence}", kind(parameter.kind));
    }
    let _ = writeln!(
        page,
        "#\n# Reads (the backend must let Castoff see all of it: an empty answer is not taken for none):"
    );
    for read in spec.observe.values() {
        let _ = writeln!(page, "#   {}", told(read));
    }
    let acts = acts(spec);
    let _ = writeln!(
        page,
        "#\n# Changes{}",
        if acts.is_empty() { ": nothing" } else { " (these rights it needs besides):" }
    );
    for act in acts {
        let _ = writeln!(page, "#   {act}");
    }
    let _ = write!(
        page,
        "apiVersion: castoff.dev/v1alpha1\nkind: DrainPlan\nmetadata: {{name: {name}}}\nspec:\n{}",
        indented(text)
    );
    page + &policy(name, spec)
}

/// What a read asks, and whom.
fn told(read: &ReadSpec) -> String {
    if read.owner {
        return "the cluster: what controls the pod".to_owned();
    }
    let Some(pods) = &read.pods else {
        let sent = commands(read.command.as_ref(), read.commands.as_ref());
        return format!("{} {}", sent.as_deref().or(read.method.as_deref()).unwrap_or("GET"), read.url);
    };
    let mut text = "the cluster: pods".to_owned();
    if !pods.selector.is_empty() {
        let _ = write!(text, " with labels {}", pods.selector);
    }
    if let Some(node) = &pods.node {
        let _ = write!(text, " on node {node}");
    }
    let _ = write!(text, " in namespace {}", pods.namespace.as_deref().unwrap_or("${pod.metadata.namespace}"));
    text
}

/// Redis commands, as people write them.
fn commands(one: Option<&Vec<String>>, several: Option<&Vec<Vec<String>>>) -> Option<String> {
    let all: Vec<&Vec<String>> = one.into_iter().chain(several.into_iter().flatten()).collect();
    (!all.is_empty()).then(|| all.iter().map(|words| words.join(" ")).collect::<Vec<_>>().join("; ") + " at")
}

fn acts(spec: &PlanSpec) -> Vec<String> {
    let of_removal: Vec<&ActSpec> = match &spec.removal {
        Removal::Steps(steps) => steps.prepare.iter().chain(&steps.restore).collect(),
        Removal::Word(_) | Removal::None => Vec::new(),
    };
    let mut lines = Vec::new();
    for act in spec.prepare.iter().chain(&spec.restore).chain(of_removal) {
        let sent = commands(act.command.as_ref(), act.commands.as_ref());
        let line = format!("{} {}", sent.as_deref().unwrap_or(&act.method), act.url);
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}

fn indented(text: &str) -> String {
    text.lines().flat_map(|line| [if line.is_empty() { "" } else { "  " }, line, "\n"]).collect()
}

/// A policy to begin with; what a plan requires is to be filled in.
fn policy(name: &str, spec: &PlanSpec) -> String {
    let required = spec.params.iter().filter(|(_, parameter)| parameter.required);
    let parameters = required.map(|(name, parameter)| format!("{name}: {}", example(name, parameter.kind, spec)));
    let parameters = parameters.collect::<Vec<_>>().join(", ");
    format!(
        "---
apiVersion: castoff.dev/v1alpha1
kind: DrainPolicy
metadata: {{name: my-{name}, namespace: my-namespace}}
spec:
  selector: {{matchLabels: {{app: my-app}}}}
  steps:
  - name: prepare
    plan: {{builtIn: {name}}}   # or {{name: {name}}}: the DrainPlan above, applied and changed
    parameters: {{{parameters}}}
"
    )
}

fn kind(kind: ParameterType) -> &'static str {
    match kind {
        ParameterType::String => "string",
        ParameterType::Integer => "integer",
        ParameterType::Boolean => "boolean",
    }
}

fn example(name: &str, kind: ParameterType, spec: &PlanSpec) -> Value {
    let begins = format!("${{params.{name}}}");
    match kind {
        ParameterType::String if spec.endpoints.values().any(|endpoint| endpoint.url.starts_with(&begins)) => {
            Value::from("http://my-service:80")
        }
        ParameterType::String if name == "selector" => Value::from("app=my-client"),
        ParameterType::String => Value::from(format!("my-{name}")),
        ParameterType::Integer => Value::from(1),
        ParameterType::Boolean => Value::from(true),
    }
}

//! Policies and plans from files.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use crate::plan::spec::PlanSpec;
use crate::plan::{self, Mistake, Plan, catalogue};
use crate::policy::spec::{PlanReference, PolicySpec};
use crate::policy::{Plans, Policy, PolicyIndex};
use crate::yaml::{self, Document, YamlError};

/// The version of the resources that files hold.
const API_VERSION: &str = "castoff.dev/v1alpha1";

/// The files that are read, by the end of their name.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    api_version: String,
    kind: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Resource<S> {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    metadata: Metadata,
    spec: S,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    #[serde(default)]
    namespace: String,
}

/// The plans that a policy may name.
#[derive(Default)]
struct Known(BTreeMap<String, Arc<Plan>>);

impl Plans for Known {
    fn find(&self, reference: &PlanReference) -> Result<Arc<Plan>, String> {
        match (&reference.built_in, &reference.name) {
            (Some(name), None) => catalogue::builtin(name).cloned().ok_or_else(|| {
                let names = catalogue::names().join(", ");
                format!("there is no built-in plan {name}; there are {names}")
            }),
            (None, Some(name)) => self.0.get(name).cloned().ok_or_else(|| {
                format!("there is no DrainPlan {name} beside the policies; a plan that comes with Castoff is named by builtIn")
            }),
            _ => Err("name exactly one of builtIn and name".to_owned()),
        }
    }
}

/// One document of a file.
struct Source<'a> {
    path: &'a Path,
    document: Document<'a>,
}

/// Reads every policy and plan of a directory. A file may hold several documents.
///
/// # Errors
/// All mistakes, a line each: file, line, field, what is wrong, and what to write instead.
pub fn read(directory: &Path) -> Result<PolicyIndex, String> {
    let files = read_directory(directory)?;
    let sources = || {
        files
            .iter()
            .flat_map(|(path, text)| yaml::documents(text).into_iter().map(move |document| Source { path, document }))
    };
    let mut mistakes = String::new();
    let mut plans = Known::default();
    for source in sources() {
        if let Err(mistake) = source.add_plan(&mut plans) {
            mistakes.push_str(&mistake);
        }
    }
    let mut policies = Vec::new();
    for source in sources() {
        match source.policy(&plans) {
            Ok(Some(policy)) => policies.push(policy),
            Ok(None) => {}
            Err(mistake) => mistakes.push_str(&mistake),
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    for policy in &policies {
        if !seen.insert((policy.namespace.clone(), policy.name.clone())) {
            let _ = writeln!(mistakes, "there are two policies {}/{}", policy.namespace, policy.name);
        }
    }
    if mistakes.is_empty() { Ok(PolicyIndex::new(policies)) } else { Err(mistakes.trim_end().to_owned()) }
}

impl Source<'_> {
    /// Takes a DrainPlan up; other kinds are passed over.
    fn add_plan(&self, plans: &mut Known) -> Result<(), String> {
        let header = self.header()?;
        match header.kind.as_str() {
            "DrainPolicy" => return Ok(()),
            "DrainPlan" => {}
            other => {
                let message = format!("{other} is no kind that is read here: DrainPolicy or DrainPlan");
                return Err(self.mistake(Some("kind"), &message, None));
            }
        }
        let resource: Resource<PlanSpec> = self.parse()?;
        let plan = plan::compile(&resource.spec).map_err(|mistakes| self.mistakes_in_spec(&mistakes))?;
        let plan = Arc::new(plan.named(resource.metadata.name.as_str()));
        if plans.0.insert(resource.metadata.name.clone(), plan).is_some() {
            let message = format!("there are two DrainPlans {}", resource.metadata.name);
            return Err(self.mistake(Some("metadata.name"), &message, None));
        }
        Ok(())
    }

    fn policy(&self, plans: &Known) -> Result<Option<Policy>, String> {
        // Mistakes in the header were told when plans were read.
        if self.header().map_or(true, |header| header.kind != "DrainPolicy") {
            return Ok(None);
        }
        let resource: Resource<PolicySpec> = self.parse()?;
        if resource.metadata.namespace.is_empty() {
            return Err(self.mistake(Some("metadata"), "a DrainPolicy needs metadata.namespace", None));
        }
        let policy = Policy::new(&resource.metadata.namespace, &resource.metadata.name, resource.spec, plans);
        match &policy.steps {
            Ok(_) => Ok(Some(policy)),
            Err(mistakes) => Err(self.mistakes(mistakes)),
        }
    }

    fn header(&self) -> Result<Header, String> {
        let header: Header = self.parse()?;
        if header.api_version == API_VERSION {
            return Ok(header);
        }
        let message = format!("{} is not known here", header.api_version);
        Err(self.mistake(Some("apiVersion"), &message, Some(&format!("write {API_VERSION}"))))
    }

    fn parse<T: serde::de::DeserializeOwned>(&self) -> Result<T, String> {
        yaml::parse(self.document.text).map_err(|error: YamlError| {
            let line = error.line.map(|line| self.document.line(line));
            told(self.path, line, error.field.as_deref(), &error.message, error.hint.as_deref())
        })
    }

    fn mistakes(&self, mistakes: &[Mistake]) -> String {
        mistakes
            .iter()
            .map(|mistake| self.mistake(Some(&mistake.field), &mistake.message, mistake.hint.as_deref()))
            .collect()
    }

    fn mistakes_in_spec(&self, mistakes: &[Mistake]) -> String {
        let placed =
            mistakes.iter().map(|mistake| Mistake { field: format!("spec.{}", mistake.field), ..mistake.clone() });
        self.mistakes(&placed.collect::<Vec<_>>())
    }

    fn mistake(&self, field: Option<&str>, message: &str, hint: Option<&str>) -> String {
        let line = field.and_then(|field| yaml::line_of(self.document.text, field)).unwrap_or(1);
        told(self.path, Some(self.document.line(line)), field, message, hint)
    }
}

/// One mistake, as `file:line: field: message; hint`.
fn told(path: &Path, line: Option<usize>, field: Option<&str>, message: &str, hint: Option<&str>) -> String {
    let mut text = path.display().to_string();
    // Writing to a text does not fail.
    let _ = line.map_or(Ok(()), |line| write!(text, ":{line}"));
    let _ = field.filter(|field| !field.is_empty()).map_or(Ok(()), |field| write!(text, ": {field}"));
    let _ = write!(text, ": {message}");
    let _ = hint.map_or(Ok(()), |hint| write!(text, "; {hint}"));
    text.push('\n');
    text
}

/// The YAML and JSON files of a directory, by name, with their texts.
///
/// # Errors
/// A sentence that names the directory or file that can't be read.
pub fn read_directory(directory: &Path) -> Result<Vec<(PathBuf, String)>, String> {
    let said = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(|error| said(directory, &error))? {
        let path = entry.map_err(|error| said(directory, &error))?.path();
        let is_read = path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known));
        if is_read && path.is_file() {
            let text = std::fs::read_to_string(&path).map_err(|error| said(&path, &error))?;
            files.push((path, text));
        }
    }
    files.sort();
    Ok(files)
}

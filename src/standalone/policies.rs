//! Policies and plans from files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::nearest::did_you_mean;
use crate::plan::spec::PlanSpec;
use crate::plan::{self, Mistake, Plan, catalogue};
use crate::policy::spec::{PlanReference, PolicySpec};
use crate::policy::{NoPlan, Plans, Policy, PolicyIndex, find_built_in};
use crate::printable::printable;
use crate::yaml::{self, Document, YamlError};

use super::mistakes::{self, Reading};
use super::{FileError, at};

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
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// The plans that a policy may name.
#[derive(Default)]
struct Known {
    plans: BTreeMap<String, Arc<Plan>>,
    /// Those that have mistakes, which are told where they stand.
    broken: BTreeSet<String>,
    /// There is a document of which not even the name can be read.
    unread: bool,
}

impl Known {
    /// Whether this plan is there, and its mistakes are told where it stands.
    fn has_mistakes_in(&self, reference: &PlanReference) -> bool {
        let is_there = |name: &String| !self.plans.contains_key(name) && (self.unread || self.broken.contains(name));
        reference.built_in.is_none() && reference.name.as_ref().is_some_and(is_there)
    }
}

impl Plans for Known {
    fn find(&self, reference: &PlanReference) -> Result<Arc<Plan>, NoPlan> {
        match (&reference.built_in, &reference.name) {
            (None, Some(name)) => self.plans.get(name).cloned().ok_or_else(|| {
                if self.has_mistakes_in(reference) {
                    return NoPlan("its DrainPlan has mistakes".to_owned());
                }
                let known = self.plans.keys().map(String::as_str).chain(catalogue::names());
                let meant = did_you_mean(name, known.filter(|known| known != name));
                let meant = meant.map_or_else(String::new, |meant| format!("; {meant}"));
                NoPlan(format!(
                    "there is no DrainPlan {name} beside the policies; a plan that comes with Castoff is named by builtIn{meant}"
                ))
            }),
            _ => find_built_in(reference),
        }
    }
}

/// One document of a file.
struct Source<'a> {
    path: &'a Path,
    document: Document<'a>,
}

/// A mistake in a file, with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Complaint {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1, where it is known.
    pub line: Option<usize>,
    /// The field, as `spec.steps[0].plan`; empty where it is not known.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead; empty where that can't be told.
    pub hint: String,
}

/// A policy, with its place.
#[derive(Debug)]
pub struct Found {
    /// The policy.
    pub policy: Policy,
    /// Its file.
    pub file: PathBuf,
    /// The line that its selector begins in.
    pub line: usize,
}

/// What files hold, and what is wrong with it.
#[derive(Debug, Default)]
pub struct Checked {
    /// The policies that can be followed.
    pub policies: Vec<Found>,
    /// How many plans of one's own there are.
    pub plans: usize,
    /// What is wrong, by file and line.
    pub complaints: Vec<Complaint>,
}

/// Why the policies of a directory are not followed.
#[derive(Debug, thiserror::Error)]
pub enum PoliciesError {
    /// A file can't be read.
    #[error(transparent)]
    Unreadable(#[from] FileError),
    /// All mistakes, a line each.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Wrong(Vec<Complaint>),
}

/// Reads every policy and plan of a directory. A file may hold several documents.
///
/// # Errors
/// All mistakes: file, line, field, what is wrong, and what to write instead.
pub fn read(directory: &Path) -> Result<PolicyIndex, PoliciesError> {
    let checked = check(&read_directory(directory)?);
    if checked.complaints.is_empty() {
        return Ok(PolicyIndex::new(checked.policies.into_iter().map(|found| found.policy)));
    }
    Err(PoliciesError::Wrong(checked.complaints))
}

/// Checks files, each with its path and text.
#[must_use]
pub fn check(files: &[(PathBuf, String)]) -> Checked {
    check_beside(files, Vec::new())
}

/// The same, where a policy may also name these plans, which are elsewhere.
#[must_use]
pub fn check_beside(files: &[(PathBuf, String)], elsewhere: Vec<(String, Arc<Plan>)>) -> Checked {
    let sources = || {
        files
            .iter()
            .flat_map(|(path, text)| yaml::documents(text).into_iter().map(move |document| Source { path, document }))
    };
    let mut checked = Checked::default();
    let mut plans = Known::default();
    for source in sources() {
        checked.complaints.extend(source.add_plan(&mut plans).err().unwrap_or_default());
    }
    checked.plans = plans.plans.len();
    for (name, plan) in elsewhere {
        plans.plans.entry(name).or_insert(plan);
    }
    for source in sources() {
        match source.policy(&plans) {
            Ok(None) => {}
            Ok(Some(policy)) => {
                let is_it =
                    |found: &Found| found.policy.namespace == policy.namespace && found.policy.name == policy.name;
                if checked.policies.iter().any(is_it) {
                    let message = format!("there are two policies {}/{}", policy.namespace, policy.name);
                    checked.complaints.push(source.complaint("metadata.name", &message, ""));
                }
                checked.policies.push(source.found(policy));
            }
            Err(complaints) => checked.complaints.extend(complaints),
        }
    }
    checked.complaints.sort_by(|one, other| (&one.file, one.line).cmp(&(&other.file, other.line)));
    checked
}

impl Checked {
    /// Policies that are in each other's way: one selects every pod that the other does, and such pods would be
    /// denied, naming both. That is no reason not to follow the others.
    #[must_use]
    pub fn conflicts(&self) -> Vec<Complaint> {
        let mut conflicts = Vec::new();
        for (index, found) in self.policies.iter().enumerate() {
            let earlier = self.policies.iter().take(index);
            let rivals = earlier
                .filter(|other| other.policy.name != found.policy.name && other.policy.surely_overlaps(&found.policy));
            conflicts.extend(rivals.map(|other| Complaint {
                file: found.file.clone(),
                line: Some(found.line),
                field: "spec.selector".to_owned(),
                message: format!(
                    "selects the same pods as the policy {}: they would be denied, naming both",
                    other.policy.name
                ),
                hint: "narrow one of the two".to_owned(),
            }));
        }
        conflicts
    }
}

type Complaints = Vec<Complaint>;

/// The mistakes that are to be told: not those that follow from what could not be read.
fn told<T>(reading: &Reading<T>, mistakes: Vec<Mistake>, prefix: &str) -> Vec<Mistake> {
    let is_news = |mistake: &Mistake| !reading.explains(&format!("{prefix}{}", mistake.field));
    mistakes.into_iter().filter(is_news).collect()
}

impl Source<'_> {
    /// Takes a DrainPlan up; other kinds are passed over.
    fn add_plan(&self, plans: &mut Known) -> Result<(), Complaints> {
        if self.is_of_kubernetes() {
            return Ok(());
        }
        let header = self.header().inspect_err(|_| match self.name() {
            Some(name) => drop(plans.broken.insert(name)),
            None => plans.unread = true,
        })?;
        match header.kind.as_str() {
            "DrainPolicy" => return Ok(()),
            "DrainPlan" => {}
            other => {
                let message = format!("{other} is no kind that is read here: DrainPolicy or DrainPlan");
                return Err(vec![self.complaint("kind", &message, "")]);
            }
        }
        let reading = mistakes::read::<Resource<PlanSpec>>(self.document.text);
        let compiled = reading.value.as_ref().map(|resource| (&resource.metadata.name, plan::compile(&resource.spec)));
        let mut complaints = self.unread(&reading);
        match compiled {
            Some((name, Ok(plan))) if complaints.is_empty() => {
                let earlier = plans.plans.insert(name.clone(), Arc::new(plan.named(name.as_str())));
                let message = format!("there are two DrainPlans {name}");
                complaints.extend(earlier.map(|_| self.complaint("metadata.name", &message, "")));
            }
            Some((_, Err(mistakes))) => complaints.extend(self.complaints(&told(&reading, mistakes, "spec."), "spec.")),
            _ => {}
        }
        if complaints.is_empty() {
            return Ok(());
        }
        plans.broken.extend(self.name());
        Err(complaints)
    }

    /// What this document is called, where nothing else of it can be read.
    fn name(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Named {
            metadata: Metadata,
        }
        yaml::parse::<Named>(self.document.text).ok().map(|named| named.metadata.name)
    }

    fn policy(&self, plans: &Known) -> Result<Option<Policy>, Complaints> {
        // Mistakes in the header were told when plans were read.
        if self.header().map_or(true, |header| header.kind != "DrainPolicy") {
            return Ok(None);
        }
        let mut reading = mistakes::read::<Resource<PolicySpec>>(self.document.text);
        let mut complaints = self.unread(&reading);
        let Some(resource) = reading.value.take() else { return Err(complaints) };
        if resource.metadata.namespace.is_empty() && !reading.explains("metadata.namespace") {
            complaints.push(self.complaint("metadata", "a DrainPolicy needs metadata.namespace", ""));
        }
        let Metadata { namespace, name, annotations } = resource.metadata;
        let policy = Policy::new(&namespace, &name, resource.spec, plans).annotated(&annotations);
        let mut mistakes = policy.steps.as_ref().err().cloned().unwrap_or_default();
        let is_followed = mistakes.is_empty();
        for (index, _) in policy.spec.steps.iter().enumerate().filter(|(_, step)| plans.has_mistakes_in(&step.plan)) {
            mistakes.retain(|mistake| mistake.field != format!("spec.steps[{index}].plan"));
        }
        complaints.extend(self.complaints(&told(&reading, mistakes, ""), ""));
        match (complaints.is_empty(), is_followed) {
            (true, true) => Ok(Some(policy)),
            // All that is wrong with it is wrong with its plan.
            (true, false) => Ok(None),
            (false, _) => Err(complaints),
        }
    }

    /// What can't be read of this document.
    fn unread<T>(&self, reading: &Reading<T>) -> Complaints {
        reading.mistakes.iter().map(|error| self.of_yaml(error.clone())).collect()
    }

    /// Whether it is an object of Kubernetes' own, as the Role that a policy needs, which may stand beside it.
    fn is_of_kubernetes(&self) -> bool {
        let Ok(header) = yaml::parse::<Header>(self.document.text) else { return false };
        let group = header.api_version.split_once('/').map_or("", |(group, _)| group);
        (["", "apps", "batch", "policy"].contains(&group) || group.ends_with(".k8s.io"))
            && !["DrainPolicy", "DrainPlan"].contains(&header.kind.as_str())
    }

    fn header(&self) -> Result<Header, Complaints> {
        let header: Header = yaml::parse(self.document.text).map_err(|error| vec![self.of_yaml(error)])?;
        if header.api_version == API_VERSION {
            return Ok(header);
        }
        let message = format!("{} is not known here", header.api_version);
        Err(vec![self.complaint("apiVersion", &message, &format!("write {API_VERSION}"))])
    }

    fn of_yaml(&self, error: YamlError) -> Complaint {
        Complaint {
            file: self.path.to_owned(),
            line: error.line.map(|line| self.document.line(line)),
            field: printable(&error.field.unwrap_or_default()).into_owned(),
            message: error.message,
            hint: error.hint.unwrap_or_default(),
        }
    }

    fn complaints(&self, mistakes: &[Mistake], prefix: &str) -> Complaints {
        let complaint = |mistake: &Mistake| {
            let field = format!("{prefix}{}", mistake.field);
            self.complaint(&field, &mistake.message, mistake.hint.as_deref().unwrap_or_default())
        };
        mistakes.iter().map(complaint).collect()
    }

    fn found(&self, policy: Policy) -> Found {
        Found { policy, file: self.path.to_owned(), line: self.line_of("spec.selector") }
    }

    fn line_of(&self, field: &str) -> usize {
        self.document.line(yaml::line_of(self.document.text, field).unwrap_or(1))
    }

    fn complaint(&self, field: &str, message: &str, hint: &str) -> Complaint {
        Complaint {
            file: self.path.to_owned(),
            line: Some(self.line_of(field)),
            field: printable(field).into_owned(),
            message: printable(message).into_owned(),
            hint: printable(hint).into_owned(),
        }
    }
}

/// As `file:line: field: message; hint`.
impl fmt::Display for Complaint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(formatter, ":{line}")?;
        }
        if !self.field.is_empty() {
            write!(formatter, ": {}", self.field)?;
        }
        write!(formatter, ": {}", self.message)?;
        if self.hint.is_empty() { Ok(()) } else { write!(formatter, "; {}", self.hint) }
    }
}

/// The YAML and JSON files of a directory, by name, with their texts.
///
/// # Errors
/// The directory or file that can't be read.
pub fn read_directory(directory: &Path) -> Result<Vec<(PathBuf, String)>, FileError> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(at(directory))? {
        let path = entry.map_err(at(directory))?.path();
        let is_read = path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known));
        if is_read && path.is_file() {
            let text = std::fs::read_to_string(&path).map_err(at(&path))?;
            files.push((path, text));
        }
    }
    files.sort();
    Ok(files)
}

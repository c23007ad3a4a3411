//! What `manifests/` builds is what it should be: objects by kind and name, none twice, no role with a wildcard or with
//! Secrets of every namespace. The Helm chart makes the same objects as the kustomization that each of its values
//! stands for. The alert rules are the same as a file and as an object, name metrics that the program has and places
//! that the runbook has, and do what their tests say. The dashboard is the same as a file and as an object, and can be
//! asked.

mod argocd;
mod chart;
mod dashboard;
mod expected;
mod objects;
mod rules;
mod values;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Failure, Outcome};
use objects::Object;

const ROOT: &str = "manifests";

/// Prints what a folder builds.
pub fn print(folder: &str) -> Outcome {
    print!("{}", text_of(Path::new(folder))?);
    Ok(true)
}

/// Writes what is made from other files: the chart's README, and the object of the dashboard.
pub fn write() -> Outcome {
    Ok(values::write()? && dashboard::write()?)
}

/// Checks all of it, and tells what is wrong.
pub fn check() -> Outcome {
    let mut wrong = Vec::new();
    let folders = kustomizations(Path::new(ROOT))?;
    for name in expected::FOLDERS.iter().map(|(name, _)| name) {
        if !folders.iter().any(|folder| folder == Path::new(name)) {
            wrong.push(format!("{name} is not there"));
        }
    }
    for folder in &folders {
        let name = folder.display().to_string();
        let complaints = match build(&Path::new(ROOT).join(folder)) {
            Ok(objects) => {
                println!("{name}: {} objects", objects.len());
                objects::complaints(&name, &objects)
            }
            Err(error) => vec![error],
        };
        wrong.extend(complaints.into_iter().map(|complaint| format!("{name}: {complaint}")));
    }
    wrong.extend(wrong_example()?);
    wrong.extend(chart::complaints()?.into_iter().map(|complaint| format!("helm: {complaint}")));
    wrong.extend(argocd::complaints()?.into_iter().map(|complaint| format!("argocd: {complaint}")));
    wrong.extend(rules::complaints()?.into_iter().map(|complaint| format!("monitoring: {complaint}")));
    wrong.extend(dashboard::complaints()?.into_iter().map(|complaint| format!("dashboard: {complaint}")));
    for complaint in &wrong {
        println!("{complaint}");
    }
    Ok(wrong.is_empty())
}

/// The folders below `root` that hold a kustomization, by their places from there, sorted.
fn kustomizations(root: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))? {
            let entry = entry.map_err(|error| error.to_string())?;
            // A link leads to what is found elsewhere.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                waiting.push(entry.path());
            } else if entry.file_name() == "kustomization.yaml" {
                found.push(folder.strip_prefix(root).unwrap_or(&folder).to_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// What a kustomization builds, as it is written.
fn text_of(folder: &Path) -> Result<String, String> {
    let built = Command::new("kubectl").arg("kustomize").arg(folder).output();
    let built = built.map_err(|_| "kubectl is missing: https://kubernetes.io/docs/tasks/tools/".to_owned())?;
    if built.status.success() {
        Ok(String::from_utf8_lossy(&built.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&built.stderr).trim().to_owned())
    }
}

/// What a kustomization builds.
fn build(folder: &Path) -> Result<Vec<Object>, String> {
    objects::read(&text_of(folder)?)
}

/// A file's text.
fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::Other(format!("{}: {error}", path.display())))
}

/// The path of a tool, which is built if it is not there yet.
fn tool(name: &str) -> Result<String, Failure> {
    let built = Command::new("hack/tools/build").arg(name).stderr(std::process::Stdio::inherit()).output();
    match built {
        Ok(built) if built.status.success() => Ok(String::from_utf8_lossy(&built.stdout).trim().to_owned()),
        _ => Err(Failure::Other(format!("hack/manifests: {name} could not be built, see above"))),
    }
}

/// What is wrong with the kustomization that manifests/README.md shows: it builds, and every line of it takes.
fn wrong_example() -> Result<Vec<String>, Failure> {
    let page = read(&Path::new(ROOT).join("README.md"))?;
    let example = page.split("```yaml\n").skip(1).find(|rest| rest.starts_with("resources:"));
    let example = example
        .and_then(|rest| rest.split("```").next())
        .ok_or("manifests/README.md has no kustomization".to_owned())?;
    let local = |line: &str| {
        if line.starts_with("resources:") { "resources: [../manifests/base]\n".to_owned() } else { format!("{line}\n") }
    };
    let folder = tempfile::tempdir_in(".").map_err(|error| error.to_string())?;
    let kustomization: String = example.lines().map(local).collect();
    std::fs::write(folder.path().join("kustomization.yaml"), kustomization).map_err(|error| error.to_string())?;
    let built = text_of(folder.path())?;
    let missing = expected::EXAMPLE.iter().filter(|word| !built.contains(**word));
    Ok(missing.map(|word| format!("the kustomization in README.md makes no {word}")).collect())
}

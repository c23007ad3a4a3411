//! The Helm chart, as an archive and as an artefact for registries.

use std::path::Path;

use serde_json::{Value, json};

use super::{Files, Release, archive};
use crate::Failure;
use crate::oci::layout::{Layout, bytes};
use crate::oci::tar::{self, File};

const FOLDER: &str = "manifests/helm";

/// The chart as `helm install FILE` takes it, and as a layout that a registry takes.
pub fn files(release: &Release) -> Result<Files, Failure> {
    let ignored = std::fs::read_to_string(Path::new(FOLDER).join(".helmignore")).map_err(|error| error.to_string())?;
    let ignored: Vec<&str> = ignored.lines().chain([".helmignore"]).collect();
    let mut files = archive::folder(Path::new(FOLDER), |name| !ignored.contains(&name))?;
    let about = described(&files, release)?;
    named(&mut files, release)?;
    let packed = archive::compressed("castoff", files)?;
    let mut layout = Layout::default();
    let config = layout.add("application/vnd.cncf.helm.config.v1+json", bytes(&about));
    let layer = layout.add("application/vnd.cncf.helm.chart.content.v1.tar+gzip", packed.clone());
    let annotations = json!({
        "org.opencontainers.image.title": about["name"],
        "org.opencontainers.image.version": about["version"],
        "org.opencontainers.image.description": about["description"],
        "org.opencontainers.image.created": release.created,
    });
    let described = layout.add_manifest(&config, &[layer], &annotations);
    let name = format!("{}/charts/castoff:{}", release.registry, release.version);
    let artefact = tar::pack(&layout.files(name.trim_start_matches('/'), described))?;
    let version = release.version;
    Ok([(format!("castoff-{version}.tgz"), packed), (format!("castoff-{version}-chart.oci.tar"), artefact)].into())
}

/// What the chart says of itself; its version must be the release's.
fn described(files: &[File], release: &Release) -> Result<Value, Failure> {
    let about = files.iter().find(|file| file.name == "Chart.yaml").map(|file| file.content.as_slice());
    let about: Value = serde_saphyr::from_slice(about.unwrap_or_default()).map_err(|error| error.to_string())?;
    for key in ["version", "appVersion"] {
        if about[key] != release.version {
            return Err(format!("hack/dist: {FOLDER}/Chart.yaml has another {key} than {}", release.version).into());
        }
    }
    Ok(about)
}

/// Writes into the values where the image is found.
fn named(files: &mut [File], release: &Release) -> Result<(), Failure> {
    let plain = "repository: castoff\n";
    let values = files.iter_mut().find(|file| file.name == "values.yaml");
    let values = values.ok_or_else(|| format!("{FOLDER} has no values.yaml"))?;
    let text = String::from_utf8_lossy(&values.content).into_owned();
    if text.matches(plain).count() != 1 {
        return Err(format!("{FOLDER}/values.yaml does not say where the image is by '{}'", plain.trim()).into());
    }
    values.content = text.replace(plain, &format!("repository: {}\n", release.repository())).into_bytes();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;

    #[test]
    fn a_chart_of_another_version_is_refused() {
        let files = |version: &str| {
            let text = format!("version: {version}\nappVersion: 1.2.3\n");
            [File::plain("Chart.yaml", text.into_bytes())]
        };
        assert!(described(&files("1.2.3"), &example()).is_ok());
        assert!(described(&files("1.2.4"), &example()).is_err());
        assert!(described(&[], &example()).is_err());
    }

    #[test]
    fn values_name_the_image_of_the_release() {
        let mut files = [File::plain("values.yaml", b"image:\n  repository: castoff\n".to_vec())];
        named(&mut files, &example()).unwrap();
        assert_eq!(files[0].content, b"image:\n  repository: registry.example/tools/castoff\n");
        assert!(named(&mut files, &example()).is_err());
    }
}

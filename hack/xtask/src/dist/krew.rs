//! A manifest by which Krew, kubectl's manager of plugins, installs the command.

use super::{Files, PROCESSORS, Release};
use crate::Failure;
use crate::oci::layout::sha256;

const HEAD: &str = "\
apiVersion: krew.googlecontainertools.github.com/v1alpha2
kind: Plugin
metadata: {name: castoff}
spec:
  version: vVERSION
  homepage: https://castoff.dev
  shortDescription: Prepare backends before guarded pods leave
  description: |
    Castoff holds back the delete of an important pod until its backend is ready for it to leave. This plugin shows how
    far drains are, prepares pods ahead of their delete, and finds what is wrong with an installation (doctor).
  caveats: |
    Castoff itself must be installed in the cluster: see https://castoff.dev/docs/install.
  platforms:
";

/// The manifest, for the archives that are among these files.
pub fn manifest(release: &Release, files: &Files) -> Result<String, Failure> {
    let platform = |processor: &str| -> Result<String, Failure> {
        let folder = format!("castoff-{}-linux-{processor}", release.version);
        let name = format!("{folder}.tar.gz");
        let content = files.get(&name).ok_or_else(|| format!("hack/dist: {name} is not there"))?;
        let (url, digest) = (release.url, sha256(content));
        Ok(format!(
            "  - selector: {{matchLabels: {{os: linux, arch: {processor}}}}}
    uri: {url}/{name}
    sha256: {digest}
    bin: castoff
    files:
    - {{from: {folder}/castoff, to: .}}
    - {{from: {folder}/LICENSE, to: .}}
"
        ))
    };
    let platforms: Vec<String> = PROCESSORS.into_iter().map(platform).collect::<Result<_, _>>()?;
    Ok(HEAD.replace("VERSION", release.version) + &platforms.concat())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::example;
    use super::*;

    #[test]
    fn each_processor_has_its_archive_and_digest() {
        let files: Files =
            PROCESSORS.map(|processor| (format!("castoff-1.2.3-linux-{processor}.tar.gz"), vec![])).into();
        let manifest: Value = serde_saphyr::from_str(&manifest(&example(), &files).unwrap()).unwrap();
        assert_eq!(manifest["spec"]["version"], "v1.2.3");
        let arm = &manifest["spec"]["platforms"][1];
        assert_eq!(arm["selector"]["matchLabels"]["arch"], "arm64");
        assert_eq!(arm["uri"], "https://example.test/v1.2.3/castoff-1.2.3-linux-arm64.tar.gz");
        assert_eq!(arm["sha256"], "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn an_archive_that_is_missing_is_told() {
        assert!(manifest(&example(), &Files::new()).is_err());
    }
}

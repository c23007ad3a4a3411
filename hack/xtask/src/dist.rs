//! Everything that a release has, from programs that are built already: archives of the command, an image for both
//! processors, the chart, a manifest for Krew, lists of what is in it, checksums, and how it came about. Nothing in it
//! depends on the time or on this machine.

mod archive;
mod chart;
mod krew;
mod provenance;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::oci::layout::{Layout, bytes, sha256};
use crate::oci::tar::{self, File};
use crate::oci::{Program, labels, metadata, read, sbom};
use crate::options::Options;
use crate::{Failure, Outcome};

/// The processors, as containers call them.
const PROCESSORS: [&str; 2] = ["amd64", "arm64"];

/// What the release is called, and where it will be found.
struct Release<'a> {
    version: &'a str,
    revision: &'a str,
    created: String,
    /// What stands before `/castoff` in the image's name; empty for a name that clusters are given by hand.
    registry: &'a str,
    /// Where files are downloaded from.
    url: &'a str,
}

impl Release<'_> {
    fn image(&self) -> String {
        format!("{}:{}", self.repository(), self.version)
    }

    fn repository(&self) -> String {
        if self.registry.is_empty() { "castoff".to_owned() } else { format!("{}/castoff", self.registry) }
    }
}

/// The files of a release by their names.
type Files = BTreeMap<String, Vec<u8>>;

/// `dist --stage FOLDER --output FOLDER ...`: as hack/dist asks for it, which has put into the stage what is built.
pub fn make(options: &[&str]) -> Outcome {
    let options = Options(options);
    let release = Release {
        version: options.get("version")?,
        revision: options.get("revision")?,
        created: options.created()?,
        registry: options.get("registry")?,
        url: options.get("url")?,
    };
    let stage = PathBuf::from(options.get("stage")?);
    let bills = bills(&stage, &release)?;
    let mut files = Files::new();
    files.extend(archives(&stage, &release)?);
    let (image, described) = image(&stage, &release, bills.clone(), options.most()?)?;
    files.insert(format!("castoff-{}-image.tar", release.version), image);
    files.extend(chart::files(&release)?);
    for (processor, bill) in PROCESSORS.iter().zip(&bills) {
        files.insert(format!("castoff-{}-linux-{processor}.spdx.json", release.version), bytes(bill));
    }
    files.insert("install.yaml".to_owned(), installed(&stage, &release)?);
    files.insert("crds.yaml".to_owned(), read_at(&stage.join("crds.yaml"))?);
    files.insert("krew.yaml".to_owned(), krew::manifest(&release, &files)?.into_bytes());
    let digest = described["digest"].as_str().unwrap_or_default().to_owned();
    let rust = options.get("rust")?;
    files.insert(
        "provenance.intoto.json".to_owned(),
        provenance::statement(&release, &files, &digest, rust, &read("Cargo.lock")?),
    );
    let sums: Vec<String> = files.iter().map(|(name, content)| format!("{}  {name}", sha256(content))).collect();
    files.insert("SHA256SUMS".to_owned(), (sums.join("\n") + "\n").into_bytes());
    let output = Path::new(options.get("output")?);
    for (name, content) in &files {
        let path = output.join(name);
        std::fs::write(&path, content).map_err(|error| format!("{}: {error}", path.display()))?;
        println!("{:>9}  {name}", content.len());
    }
    println!("image {} {digest}", release.image());
    Ok(true)
}

/// What each program is made of.
fn bills(stage: &Path, release: &Release) -> Result<Vec<Value>, Failure> {
    let bill = |processor| {
        let metadata = metadata(&stage.join(processor).join("metadata.json").display().to_string())?;
        Ok(sbom::of(&metadata, release.version, &release.created)?)
    };
    PROCESSORS.into_iter().map(bill).collect()
}

/// The command with its licence, manual page and completions, for each processor.
fn archives(stage: &Path, release: &Release) -> Result<Files, Failure> {
    let common = archive::folder(&stage.join("common"), |_| true)?;
    let mut made = Files::new();
    for processor in PROCESSORS {
        let name = format!("castoff-{}-linux-{processor}", release.version);
        let program = read_at(&stage.join(processor).join("castoff"))?;
        let mut files = vec![File { name: "castoff".to_owned(), content: program, mode: 0o755 }];
        files.extend(common.iter().cloned());
        made.insert(format!("{name}.tar.gz"), archive::compressed(&name, files)?);
    }
    Ok(made)
}

/// One image for all processors, as an archive, and its description.
fn image(stage: &Path, release: &Release, bills: Vec<Value>, most: usize) -> Result<(Vec<u8>, Value), Failure> {
    let mut layout = Layout::default();
    let mut images = Vec::new();
    for (processor, bill) in PROCESSORS.into_iter().zip(bills) {
        let (version, revision, created) = (release.version, release.revision, release.created.clone());
        let binary = read_at(&stage.join(processor).join("castoff"))?;
        let image = Program { binary, bill, version, revision, created, most }.image();
        let image = image.map_err(|error| format!("hack/dist: {processor}: {error}"))?;
        if image.architecture != processor {
            return Err(format!("hack/dist: the program for {processor} is one for {}", image.architecture).into());
        }
        images.push(image.put(&mut layout).map_err(|error| format!("hack/dist: {processor}: {error}"))?);
    }
    let described = layout.add_index(&images, &labels(release.version, release.revision));
    Ok((tar::pack(&layout.files(&release.image(), described.clone()))?, described))
}

/// All objects in one file, with the image's name.
fn installed(stage: &Path, release: &Release) -> Result<Vec<u8>, Failure> {
    let text = String::from_utf8_lossy(&read_at(&stage.join("install.yaml"))?).into_owned();
    let plain = format!("image: castoff:{}\n", release.version);
    if text.matches(&plain).count() != 1 {
        return Err(format!("hack/dist: manifests/base does not name the image castoff:{}", release.version).into());
    }
    Ok(text.replace(&plain, &format!("image: {}\n", release.image())).into_bytes())
}

fn read_at(path: &Path) -> Result<Vec<u8>, String> {
    read(&path.display().to_string())
}

/// A subject of a statement: a name, and what has it.
fn subject(name: &str, content_digest: &str) -> Value {
    json!({"name": name, "digest": {"sha256": content_digest.trim_start_matches("sha256:")}})
}

#[cfg(test)]
fn example() -> Release<'static> {
    Release {
        version: "1.2.3",
        revision: "abc",
        created: "2030-01-01T00:00:00Z".to_owned(),
        registry: "registry.example/tools",
        url: "https://example.test/v1.2.3",
    }
}
